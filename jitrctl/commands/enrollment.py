"""`jitrctl enrollment …`: the commands on the list of expected and denied devices, in all accounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.admission.enrollment import Entry, EntryRule, digest
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.certificate_files import first_certificate_id
from jitrctl.clock import now
from jitrctl.device import denied_but_active, enrollment
from jitrctl.errors import Unusable
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.terminal import at as at_
from jitrctl.terminal import out, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitr.admission.enrollment import Subject
    from jitrctl.device.enrollment import Written
    from jitrctl.run.parallel import Failed
    from jitrctl.session.stage import Stage

_NAMED = 5  # names shown in a note; --json has all


_Subject = Annotated[
    str, typer.Argument(metavar="DEVICE", help="A thing name, a certificate's id, or its file.", show_default=False)
]
_Thing = Annotated[bool, typer.Option("--thing", help="Take DEVICE as a thing name in any case.")]


@over_stages
def allow(
    scope: Scope,
    device: _Subject,
    belongs_to: Annotated[
        list[str] | None, typer.Option("--belongs-to", metavar="ACCOUNT", help="Only in this account; may be repeated.")
    ] = None,
    thing_type: Annotated[str, typer.Option(help="A thing type for this device.", metavar="TYPE")] = "",
    group: Annotated[list[str] | None, typer.Option(help="One more thing group; may be repeated.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An attribute for this device; may be repeated.")
    ] = None,
    note: Note = "",
    *,
    may_follow: Annotated[bool, typer.Option("--may-follow", help="A new certificate may follow at any time.")] = False,
    lift_denials: Annotated[
        bool, typer.Option("--lift-denials", help="Also where it is denied; needed for that with --yes.")
    ] = False,
    thing: _Thing = False,
    yes: Yes = False,
) -> None:
    """Allow a device; if it is held because it is not listed, it is activated by itself.

    If the same DEVICE is denied, the plan shows by whom and why, and confirming the plan lifts the denial. With --yes
    alone it stays denied, and the exit code is 1.

    Example: jitrctl enrollment allow sensor-0001 --belongs-to prod --note "order 4711"
    """
    try:
        entry = enrollment.entry_of(
            subject_of(device, thing=thing),
            fleet=scope.fleet,
            accounts=belongs_to or (),
            thing_type=thing_type,
            thing_groups=group or (),
            attributes=dict(_pair(written) for written in attribute or ()),
            may_follow=may_follow,
            note=note,
        )
    except ValueError as error:
        raise Unusable(f"{error}") from error
    _allow(scope, entry, yes=yes, lift_denials=lift_denials)


@over_stages
def deny(scope: Scope, device: _Subject, note: Note = "", *, thing: _Thing = False, yes: Yes = False) -> None:
    """Deny a device for good, wherever it is not ACTIVE yet; reports where it is.

    Example: jitrctl enrollment deny sensor-0001 --note "stolen on 2026-11-20"
    """
    entry = Entry(subject=subject_of(device, thing=thing), rule=EntryRule.DENY, note=note)
    write_entries(scope, [entry], f"deny {entry.subject}", yes=yes, lift_denials=True)


@over_stages
def remove(scope: Scope, device: _Subject, note: Note = "", *, thing: _Thing = False, yes: Yes = False) -> None:
    """Remove an entry from the list: the CA's rule decides again. ACTIVE devices stay ACTIVE.

    Example: jitrctl enrollment remove sensor-0001 --note "scrapped"
    """
    entry = Entry(subject=subject_of(device, thing=thing), rule=EntryRule.REMOVED, note=note)
    write_entries(scope, [entry], f"remove the entry of {entry.subject}", yes=yes, lift_denials=True)


@over_stages
def show(scope: Scope, device: _Subject, *, thing: _Thing = False) -> None:
    """Show a device's entry in every account: what it says, who wrote it, when and why.

    Example: jitrctl enrollment show sensor-0001
    """
    subject = subject_of(device, thing=thing)
    results = scope.across(lambda stage: stage.enrollment.entries([subject]).get(subject), doing="reading the entry")
    scope.report(
        results,
        rows=lambda _, entry: [_row(entry)] if entry else [_row(Entry(subject=subject, rule=EntryRule.REMOVED))],
        fields=lambda entry: {"entry": enrollment.document(entry) if entry else None},
        subject={subject.kind.value: subject.name},
    )


@over_stages
def list_(
    scope: Scope,
    *,
    denied: Annotated[bool, typer.Option("--denied", help="Only entries that deny.")] = False,
) -> None:
    """List every entry of each account, with a digest: equal digests mean equal lists.

    Example: jitrctl enrollment list --account prod --denied
    """

    def read(stage: Stage) -> tuple[str, list[Entry]]:
        everything = list(stage.enrollment.scan_entries())
        wanted = {EntryRule.DENY} if denied else {EntryRule.ALLOW, EntryRule.DENY}
        return digest(everything), sorted((e for e in everything if e.rule in wanted), key=lambda entry: entry.subject)

    results = scope.across(read, doing="reading the list")
    scope.report(
        results,
        rows=lambda _, found: [{"device": entry.subject.name, **_row(entry)} for entry in found[1]],
        fields=lambda found: {"digest": found[0], "entries": [enrollment.document(entry) for entry in found[1]]},
    )


def _allow(scope: Scope, entry: Entry, *, yes: bool, lift_denials: bool) -> None:
    """Allow a device, and lift only the denials that the plan has shown."""
    stages, failed = scope.open_stages()
    seen = scope.across(
        lambda stage: stage.enrollment.entries([entry.subject]).get(entry.subject), doing="reading", stages=stages
    )
    denied = {done.stage for done in seen.done if done.value and done.value.rule is EntryRule.DENY}
    lifting = lift_denials or not yes
    where = [f"  {done.stage} as {done.stage.caller}{_denial(done.value, lifting=lifting)}" for done in seen.done]
    if where:
        scope.confirm([f"allow {entry.subject}, in", *where], yes=yes)
    _write_confirmed(
        scope,
        [entry],
        f"allow {entry.subject}",
        [done.stage for done in seen.done],
        (*failed, *seen.failed),
        lift_in=denied if lifting else set(),
        seen_in={done.stage: {entry.subject: done.value} if done.value else {} for done in seen.done},
        denied_is_failure=True,
    )


def _denial(seen: Entry | None, *, lifting: bool) -> str:
    """What the plan says of an existing denial."""
    if seen is None or seen.rule is not EntryRule.DENY:
        return ""
    why = f": {seen.note}" if seen.note else ""
    since = f" {seen.at:%Y-%m-%d %H:%M}Z" if seen.at else ""
    text = f", where it was denied{since} by {seen.by}{why}"
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


def _row(entry: Entry) -> dict[str, str]:
    additions = entry.additions
    says = [
        *(f"only in {account}" for account in entry.accounts),
        *([f"type {additions.thing_type}"] if additions.thing_type else []),
        *(f"group {group}" for group in additions.thing_groups),
        *(f"{name}={value}" for name, value in additions.attributes.items()),
        *(["may follow"] if entry.may_follow else []),
        *([f"unusable: {entry.problem}"] if entry.problem else []),
    ]
    return {
        "entry": entry.rule.value if entry.at or entry.rule is not EntryRule.REMOVED else "none",
        "says": ", ".join(says),
        "since": f"{entry.at:%Y-%m-%d %H:%M}Z" if entry.at else "",
        "by": entry.by.rpartition(":")[2].partition("/")[2],  # the user, or the role and its session
        "note": entry.note,
    }


def subject_of(written: str, *, thing: bool = False) -> Subject:
    """What an argument means: a certificate id, a certificate's file, or a thing name.

    Raises Unusable.
    """
    try:
        if thing:
            return enrollment.thing_subject(written)
        if certificate_id_in(written):
            return enrollment.certificate_subject(written)
        path = Path(written)
        if path.is_file():
            return enrollment.certificate_subject(first_certificate_id(path))
        return enrollment.thing_subject(written)
    except (ValueError, OSError) as error:
        raise Unusable(f"{written} is no thing name, no certificate id and no file: {error}") from error


def _pair(written: str) -> tuple[str, str]:
    name, separator, value = written.partition("=")
    if not separator:
        raise ValueError(f"attribute {written!a} is not NAME=VALUE")
    return name, value
