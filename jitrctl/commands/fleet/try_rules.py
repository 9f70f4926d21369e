"""`jitrctl fleet try-rules`: tries the fleet file's rules on certificates that the accounts already have."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.commands.ca.status import Cas
from jitrctl.rules.trial import DecisionChange, Trial, try_rules
from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.pace import in_words
from jitrctl.session.stage import chosen_cas, known_ca
from jitrctl.terminal import err, out, short, table

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

_SAMPLE = 300
_DECIDED = "deployed → fleet file"


@over_stages
def try_fleet_rules(
    scope: Scope,
    ca: Cas = None,
    *,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=1, help="At most so many of each CA: the newest and the oldest.")
    ] = _SAMPLE,
) -> None:
    """Show on which registered certificates the fleet file would decide differently from the deployed rules.

    Changes nothing; run it before `cdk deploy`. Enrollment entries, CRLs and hooks are left out.
    Exit code 1 when the rules would refuse an ACTIVE certificate that the deployed rules admit.

    Example: jitrctl fleet try-rules --ca factory
    """
    for name in ca or ():
        known_ca(scope.fleet, name)
    _say_calls(scope, ca, sample)
    results = scope.across(
        lambda stage: try_rules(stage, chosen_cas(stage, ca or ()), sample), doing="evaluating certificates"
    )
    breaks = any(change.breaks for done in results.done for change in done.value.changes)

    def show_results() -> None:
        alike = [some for done in results.done for some in _alike(done.stage, done.value)]
        if alike:
            out.print(table([one.row for one in alike], whole=[_DECIDED]))
            out.print()
            for one in alike:
                out.print(one.example, markup=False, soft_wrap=True)
            out.print()
        looked_at = sum(done.value.looked_at.total() for done in results.done)
        if breaks:
            out.print("ACTIVE devices would be refused: correct the rules before you deploy.")
        elif not alike:
            out.print(f"Nothing is decided otherwise: {looked_at} certificates judged.")

    scope.warn([(str(done.stage), text) for done in results.done for text in _limits(done.value, sample)])
    scope.report(results, show=show_results, fields=_document, ok=not breaks)


def _limits(trial: Trial, sample: int) -> list[str]:
    """What the comparison does not cover in a stage."""
    limits = []
    if trial.unread:
        limits.append(
            f"the deployed rules cannot be read, so what is ACTIVE is taken as admitted by them: {trial.unread}"
        )
    return limits + [
        f"AWS IoT lists no certificate under CA {name}; of the account's newest and oldest {sample}, the "
        f"{trial.looked_at[name]} that it signed were judged."
        for name in trial.unlisted
    ]


def _say_calls(scope: Scope, ca: list[str] | None, sample: int) -> None:
    """Report the number of calls first: they share a quota with devices that register."""
    most = sample * max((len(chosen_cas(stage, ca or ())) for stage in scope.stages), default=0)
    err.print(in_words(most, scope.stages), style="dim")


@dataclass(frozen=True, slots=True)
class _Alike:
    """Changes in a stage that differ only in the certificate."""

    stage: str
    judged: int  # certificates of their CA
    changes: list[DecisionChange]

    @property
    def row(self) -> dict[str, str]:
        first = self.changes[0]
        return {
            "stage": self.stage,
            "CA": first.ca,
            "certificates": f"{len(self.changes)} of {self.judged} {first.status}",
            _DECIDED: f"{first.before} → {first.after}",
        }

    @property
    def example(self) -> str:
        first = self.changes[0]
        return f"{self.stage}, {first.after}, as {short(first.certificate_id)}: {first.detail}"


def _alike(stage: Stage, trial: Trial) -> list[_Alike]:
    alike: dict[tuple[str, str, str, str], list[DecisionChange]] = defaultdict(list)
    for change in trial.changes:
        alike[change.ca, change.status, change.before, change.after].append(change)
    return [_Alike(str(stage), trial.looked_at[ca], changes) for (ca, *_), changes in sorted(alike.items())]


def _document(trial: Trial) -> dict[str, Any]:
    return {
        "looked_at": dict(trial.looked_at),
        "deployed_rules_unread": trial.unread,
        "unlisted_cas": list(trial.unlisted),
        "changes": [
            {
                "ca": change.ca,
                "certificate_id": change.certificate_id,
                "status": change.status.value,
                "deployed": change.before,
                "fleet_file": change.after,
                "detail": change.detail,
                "breaks": change.breaks,
            }
            for change in trial.changes
        ],
    }
