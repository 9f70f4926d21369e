"""`jitrctl crl …`: the commands that publish the CAs' CRLs in every account, and show what is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.x509.crl import CrlProblem as UnusableList
from jitr.x509.crl import RevocationList
from jitrctl.ca.crl_publish import NewCrl, is_published, publish, read_crl, read_published, why_not_newer
from jitrctl.ca.crl_state import CrlApplied, applied_fields, describe_applied, read_applied
from jitrctl.clock import now
from jitrctl.errors import Refused, Unusable
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr.aws.crl_bucket import PublishedCrl
    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage


_Ca = Annotated[str | None, typer.Option("--ca", metavar="NAME", help="The CA, as the fleet file calls it.")]


@over_stages
def put(
    scope: Scope,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An X.509 CRL, in DER or PEM, signed by the CA.")],
    ca: _Ca = None,
    *,
    yes: Yes = False,
) -> None:
    """Publish a CRL in every account that has its CA; refused everywhere if it is older than a published one.

    Example: jitrctl crl put factory.crl --yes
    """
    new = read_crl(file, _cas(scope, ca), now=now())
    stages, failed = scope.open_stages()
    seen = scope.across(
        lambda stage: read_published(stage, new.ca), doing="reading", stages=_with_ca(scope, new.ca, stages)
    )
    older = [f"in {done.stage} {why}" for done in seen.done if (why := why_not_newer(new, done.value))]
    if older:
        raise Refused(f"{file} must not be published: {'; '.join(older)}; nothing was changed anywhere")
    if any(not is_published(new, done.value) for done in seen.done):
        scope.confirm(
            [
                f"CRL of CA {new.ca.name}, {_in_words(new.revocations)}, instead of",
                *(f"  {done.stage}  {_state(done.value)}" for done in seen.done),
            ],
            yes=yes,
        )
    before = {done.stage: done.value for done in seen.done}

    def put_here(stage: Stage) -> bool:
        if is_published(new, before[stage]):
            return False
        publish(stage, new, before[stage])
        return True

    results = scope.across(put_here, doing="publishing", stages=list(before))
    scope.report(
        results,
        rows=lambda _, changed: [
            {"CA": new.ca.name, "now": "published" if changed else "was published before", **_columns(new)}
        ],
        fields=lambda changed: {"changed": changed},
        failed=(*(one for one in failed if _has(one.stage, new.ca)), *seen.failed),
        ca=new.ca.name,
        crl=_fields(new.revocations),
    )


@over_stages
def show(scope: Scope, ca: _Ca = None) -> None:
    """Show which CRL is published for each CA, until when it is in force, and how far it is applied to ACTIVE devices.

    Example: jitrctl crl show --account prod
    """
    cas = _cas(scope, ca)
    stages = [stage for stage in scope.stages if any(_has(stage, one) for one in cas)]
    results = scope.across(
        lambda stage: {one.name: _read(stage, one) for one in cas if _has(stage, one)},
        doing="reading",
        stages=stages,
    )
    scope.report(
        results,
        rows=lambda stage, published: [
            {
                "CA": name,
                "check": _mode(stage, name),
                "published": _state(one),
                "ACTIVE devices": describe_applied(applied),
            }
            for name, (one, applied) in published.items()
        ],
        fields=lambda published: {
            "cas": {
                name: {**_published_fields(one), "applied": applied_fields(applied)}
                for name, (one, applied) in published.items()
            }
        },
    )


def _read(stage: Stage, ca: Ca) -> tuple[PublishedCrl, CrlApplied]:
    """Raises Refused, Unavailable, botocore's errors."""
    published = read_published(stage, ca)
    return published, read_applied(stage, ca, published)


def _cas(scope: Scope, name: str | None) -> Sequence[Ca]:
    """The CA of that name, or all.

    Raises Unusable.
    """
    chosen = [ca for ca in scope.fleet.cas if name in (None, ca.name)]
    if not chosen:
        known = ", ".join(ca.name for ca in scope.fleet.cas)
        raise Unusable(f"the fleet file has no CA {name}: it has {known}")
    return chosen


def _has(stage: Stage, ca: Ca) -> bool:
    return stage.rules.ca(ca.certificate_id) is not None


def _with_ca(scope: Scope, ca: Ca, stages: Sequence[Stage]) -> list[Stage]:
    if not any(_has(stage, ca) for stage in scope.stages):
        raise Unusable(f"none of the chosen accounts has the CA {ca.name}")
    return [stage for stage in stages if _has(stage, ca)]


def _mode(stage: Stage, name: str) -> str:
    """The mode of the check `revocation` in the stage's rules."""
    return next(rules.mode_of("revocation").value for rules in stage.rules.cas if rules.name == name)


def _state(published: PublishedCrl) -> str:
    """What is published, in words: nothing; number 4, 17 entries, in force until …; cannot be used: …."""
    match published.revocations:
        case None:
            return "nothing"
        case UnusableList(why):
            return f"cannot be used: {why}"
        case crl:
            return _in_words(crl)


def _in_words(crl: RevocationList) -> str:
    number = f"number {crl.number}" if crl.number is not None else "without a number"
    until = "stale since" if crl.next_update < now() else "in force until"
    return f"{number}, {crl.size} {'entry' if crl.size == 1 else 'entries'}, {until} {at(crl.next_update)}"


def _columns(new: NewCrl) -> dict[str, str]:
    crl = new.revocations
    return {
        "number": "none" if crl.number is None else str(crl.number),
        "entries": str(crl.size),
        "until": at(crl.next_update),
    }


def _published_fields(published: PublishedCrl) -> dict[str, Any]:
    match published.revocations:
        case None:
            return {"state": "missing"}
        case UnusableList(why):
            return {"state": "unusable", "error": why}
        case crl:
            return {"state": "stale" if crl.next_update < now() else "in force", **_fields(crl)}


def _fields(crl: RevocationList) -> dict[str, Any]:
    return {
        "number": crl.number,
        "this_update": crl.this_update.isoformat(),
        "next_update": crl.next_update.isoformat(),
        "entries": crl.size,
    }
