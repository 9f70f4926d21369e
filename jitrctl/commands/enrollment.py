"""`jitrctl enrollment …`: the commands on the list of expected and denied devices, in all accounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.admission.enrollment import Entry, EntryRule, digest
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.certificate_files import first_certificate_id
from jitrctl.commands.enrollment_orders import allow_entries, name_devices, write_entries
from jitrctl.device import enrollment
from jitrctl.device.targets import read_devices
from jitrctl.errors import Unusable
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.terminal import err

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr.admission.enrollment import Subject
    from jitrctl.session.stage import Stage

_Subject = Annotated[
    str, typer.Argument(metavar="DEVICE", help="A thing name, a certificate's id, or its file.", show_default=False)
]
_Subjects = Annotated[
    list[str],
    typer.Argument(
        metavar="DEVICE",
        help="A thing name, a certificate's id, or its file; several; or - for a list on standard input, one a line.",
        show_default=False,
    ),
]
_Thing = Annotated[bool, typer.Option("--thing", help="Take DEVICE as a thing name in any case.")]


@over_stages
def allow(
    scope: Scope,
    devices: _Subjects,
    belongs_to: Annotated[
        list[str] | None, typer.Option("--belongs-to", metavar="ACCOUNT", help="Only in this account; may be repeated.")
    ] = None,
    thing_type: Annotated[str, typer.Option(help="A thing type for this device.", metavar="TYPE")] = "",
    group: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="One more thing group; may be repeated.")
    ] = None,
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
    """Allow devices; one that is held because it is not listed is activated by itself.

    If the same DEVICE is denied, the plan shows by whom and why, and confirming the plan lifts the denial. With --yes
    alone it stays denied, and the exit code is 1.

    Example: jitrctl enrollment allow sensor-0001 --belongs-to prod --note "order 4711"
    """
    subjects = _subjects_of(devices, thing=thing)
    try:
        entries = [
            enrollment.entry_of(
                subject,
                fleet=scope.fleet,
                accounts=belongs_to or (),
                thing_type=thing_type,
                thing_groups=group or (),
                attributes=dict(_pair(written) for written in attribute or ()),
                may_follow=may_follow,
                note=note,
            )
            for subject in subjects
        ]
    except ValueError as error:
        raise Unusable(f"{error}") from error
    allow_entries(scope, entries, yes=yes, lift_denials=lift_denials)


@over_stages
def deny(scope: Scope, devices: _Subjects, note: Note = "", *, thing: _Thing = False, yes: Yes = False) -> None:
    """Deny devices for good, wherever they are not ACTIVE yet; reports where they are.

    Example: jitrctl enrollment deny sensor-0001 sensor-0002 --note "stolen on 2026-11-20"
    """
    subjects = _subjects_of(devices, thing=thing)
    entries = [Entry(subject=subject, rule=EntryRule.DENY, note=note) for subject in subjects]
    write_entries(scope, entries, f"deny {name_devices(subjects)}", yes=yes, lift_denials=True)


@over_stages
def remove(scope: Scope, devices: _Subjects, note: Note = "", *, thing: _Thing = False, yes: Yes = False) -> None:
    """Remove entries from the list: the CA's rule decides again. ACTIVE devices stay ACTIVE.

    Example: jitrctl enrollment remove sensor-0001 --note "scrapped"
    """
    subjects = _subjects_of(devices, thing=thing)
    entries = [Entry(subject=subject, rule=EntryRule.REMOVED, note=note) for subject in subjects]
    what = "remove the entry of" if len(subjects) == 1 else "remove the entries of"
    write_entries(scope, entries, f"{what} {name_devices(subjects)}", yes=yes, lift_denials=True)


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
    for done in () if scope.as_json else results.done:
        if not done.value[1]:
            err.print(f"{done.stage}: no entry{' denies' if denied else ''}.", markup=False)


def _row(entry: Entry) -> dict[str, str]:
    additions, who = entry.additions, entry.by.rpartition(":")[2]
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
        "by": who.partition("/")[2] or who,  # the user, the role and its session, or root
        "note": entry.note,
    }


def _subjects_of(devices: Sequence[str], *, thing: bool) -> list[Subject]:
    """What each DEVICE of an order means, each once.

    Raises Unusable.
    """
    return [*dict.fromkeys(subject_of(device, thing=thing) for device in read_devices(devices))]


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
