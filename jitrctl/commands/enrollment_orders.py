"""Writes the entries of an enrollment order into every stage: plan, question, writing, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitr.admission.enrollment import Entry, EntryRule
from jitrctl.clock import now
from jitrctl.device import denied_but_active, enrollment
from jitrctl.terminal import at as at_
from jitrctl.terminal import out, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitr.admission.enrollment import Subject
    from jitrctl.device.enrollment import Written
    from jitrctl.run.parallel import Failed
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

_NAMED = 5  # names shown in a note; --json has all


def allow_entries(scope: Scope, entries: Sequence[Entry], *, yes: bool, lift_denials: bool) -> None:
    """Allow devices, and lift only the denials that the plan has shown."""
    subjects = [entry.subject for entry in entries]
    stages, failed = scope.open_stages()
    seen = scope.across(lambda stage: stage.enrollment.entries(subjects), doing="reading", stages=stages)
    denied = {
        done.stage: [one for subject in subjects if (one := done.value.get(subject)) and one.rule is EntryRule.DENY]
        for done in seen.done
    }
    lifting = lift_denials or not yes
    what = f"allow {name_devices(subjects)}"
    several = len(subjects) > 1
    where = [
        f"  {stage} as {stage.caller}" + "".join(_denial(one, lifting=lifting, of_several=several) for one in of_stage)
        for stage, of_stage in denied.items()
    ]
    if where:
        scope.confirm([f"{what}, in", *where], yes=yes)
    _write_confirmed(
        scope,
        entries,
        what,
        [*denied],
        (*failed, *seen.failed),
        lift_in={stage for stage, of_stage in denied.items() if of_stage} if lifting else set(),
        seen_in={done.stage: done.value for done in seen.done},
        denied_is_failure=True,
    )


def _denial(seen: Entry, *, lifting: bool, of_several: bool) -> str:
    """What the plan says of an existing denial."""
    why = f": {seen.note}" if seen.note else ""
    since = f" {seen.at:%Y-%m-%d %H:%M}Z" if seen.at else ""
    place = f"\n    {seen.subject}, which" if of_several else ", where it"
    text = f"{place} was denied{since} by {seen.by}{why}"
    return f"{text}; this lifts the denial" if lifting else f"{text}; it stays denied (--lift-denials)"


def write_entries(
    scope: Scope,
    entries: Sequence[Entry],
    what: str,
    *,
    yes: bool,
    lift_denials: bool,
    ok: bool = True,
    **top: Any,
) -> None:
    """Write entries into every stage, once the operator has confirmed; `ok` and `top` are those of `scope.report`."""
    stages, failed = scope.open_stages()
    if stages:
        scope.confirm([f"{what}, in", *(f"  {stage} as {stage.caller}" for stage in stages)], yes=yes)
    lift_in = set(stages) if lift_denials else set()
    _write_confirmed(scope, entries, what, stages, failed, lift_in=lift_in, ok=ok, **top)


def _write_confirmed(
    scope: Scope,
    entries: Sequence[Entry],
    what: str,
    stages: Sequence[Stage],
    failed: Sequence[Failed],
    *,
    lift_in: set[Stage],
    seen_in: Mapping[Stage, Mapping[Subject, Entry]] | None = None,
    denied_is_failure: bool = False,
    ok: bool = True,
    **top: Any,
) -> None:
    """Write entries into every stage; `seen_in` has the entries that the operator was shown.

    An entry that others have written meanwhile is kept, and is a failure. `ok` and `top` are those of `scope.report`.
    """
    at = now()
    rows = dict.fromkeys(stages, 0)

    def how_far() -> str:
        return f"{what}: {sum(rows.values()):,} of {len(entries) * len(rows):,} rows" if len(entries) > 1 else what

    def work(stage: Stage) -> tuple[Written, list[str]]:
        written = enrollment.write(
            stage.enrollment,
            entries,
            by=stage.caller,
            at=at,
            lift_denials=stage in lift_in,
            seen=seen_in[stage] if seen_in else None,
            progress=lambda done: rows.__setitem__(stage, done),
        )
        denied = [entry.subject for entry in entries if entry.rule is EntryRule.DENY]
        looked_at = denied if len(entries) == 1 else denied_but_active.select_known(stage, denied)
        return written, [
            active for subject in looked_at for active in denied_but_active.list_still_active(stage, subject)
        ]

    results = scope.across(work, doing=how_far, stages=stages)

    def show_results() -> None:
        out.print(table([{"stage": str(done.stage), **_outcome(done.value[0])} for done in results.done]))
        for done in results.done:
            for line in _still_active(done.stage, done.value[1], scope.fleet_option):
                out.print(line, markup=False)

    scope.report(
        results,
        show=show_results,
        fields=lambda done: {
            "written": done[0].written,
            "unchanged": done[0].unchanged,
            "still_denied": [{one.kind.value: one.name} for one in done[0].still_denied],
            "overtaken": [enrollment.document(one) for one in done[0].overtaken],
            "still_active": done[1],
        },
        failed=failed,
        ok=ok
        and not any(
            done.value[0].overtaken or (denied_is_failure and done.value[0].still_denied) for done in results.done
        ),
        **top,
    )


def _outcome(written: Written) -> dict[str, str]:
    denied = [subject.name for subject in written.still_denied]
    listed = ", ".join(denied[:_NAMED]) + (f" and {len(denied) - _NAMED} more" if len(denied) > _NAMED else "")
    first = [
        f"not written, {entry.subject.name} was {_became(entry)} meanwhile" for entry in written.overtaken[:_NAMED]
    ]
    others = len(written.overtaken) - _NAMED
    notes = [
        *first,
        f"and {others} more: --json names them" if others > 0 else "",
        "give the order again if it is still meant" if first else "",
        f"still denied: {listed} (--lift-denials)" if denied else "",
    ]
    return {
        "written": str(written.written),
        "unchanged": str(written.unchanged),
        "note": "; ".join(filter(None, notes)),
    }


def _still_active(stage: Stage, active: Sequence[str], fleet_option: str) -> list[str]:
    """The denied devices that are ACTIVE in a stage, as the order that ends them."""
    if not active:
        return []
    place = f"--account {stage.account.name} --region {stage.region}{fleet_option}"
    more = f"; and {len(active) - _NAMED} more: --json names them" if len(active) > _NAMED else ""
    return [f"{stage}: still ACTIVE: `jitrctl device revoke {' '.join(active[:_NAMED])} {place}`{more}"]


def _became(entry: Entry) -> str:
    """An entry of another operator, in words: denied by arn:…/ann 2026-11-26 10:00Z: stolen."""
    text = {EntryRule.ALLOW: "allowed", EntryRule.DENY: "denied", EntryRule.REMOVED: "removed"}[entry.rule]
    when = f" {at_(entry.at)}" if entry.at else ""
    return f"{text} by {entry.by or 'somebody'}{when}" + (f": {entry.note}" if entry.note else "")


def name_devices(subjects: Sequence[Subject]) -> str:
    """The devices of an order: the only one's name, or how many they are and the first ones' names."""
    if len(subjects) == 1:
        return f"{subjects[0]}"
    more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
    return f"{len(subjects)} devices ({', '.join(one.name for one in subjects[:_NAMED])}{more})"
