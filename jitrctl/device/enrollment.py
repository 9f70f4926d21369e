"""Writes entries into the enrollment list of one stage: from a command or a list (enrollment_rows.py), checked first.

Equal entries are not written again, so an import can be repeated until every account has it. A list lifts no denial
unless that is requested.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.naming import THING_NAME
from jitr.admission.overrides import Additions
from jitr.errors import NotPermitted, Unavailable
from jitr.store.enrollment_table import MOST_ENTRIES, EntryChange, EntryChanged
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from jitr.rules import CaRules
    from jitr.store.enrollment_table import EnrollmentTable
    from jitr_fleet.model import Fleet

_TRIES = 6
_NOTHING = Additions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write did in one stage."""

    written: int = 0
    unchanged: int = 0
    still_denied: tuple[Subject, ...] = ()  # which the order would have allowed
    overtaken: tuple[Entry, ...] = ()  # written by others meanwhile, and not replaced


def write(
    table: EnrollmentTable,
    entries: Sequence[Entry],
    *,
    by: str,
    at: datetime,
    lift_denials: bool,
    seen: Mapping[Subject, Entry] | None = None,
    progress: Callable[[int], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Written:
    """Write these entries, one for each subject, where the list does not say the same already.

    A denied subject stays denied unless `lift_denials` is set. An entry that others have written since the operator saw
    the list (`seen`; without it, since it is first read here) is not replaced, and returned as `overtaken`. An
    interrupted call can be repeated. `progress` gets the number of entries done after each transaction.

    Raises Refused when the list keeps changing meanwhile; Unavailable.
    """
    written = unchanged = 0
    denied: list[Subject] = []
    overtaken: list[Entry] = []
    for start in range(0, len(entries), MOST_ENTRIES):
        some = [replace(entry, by=by, at=at) for entry in entries[start : start + MOST_ENTRIES]]
        one = _write_some(table, some, by=by, at=at, lift_denials=lift_denials, seen=seen, sleep=sleep)
        written += one.written
        unchanged += one.unchanged
        denied += one.still_denied
        overtaken += one.overtaken
        progress(start + len(some))
    return Written(written=written, unchanged=unchanged, still_denied=tuple(denied), overtaken=tuple(overtaken))


def _write_some(
    table: EnrollmentTable,
    entries: Sequence[Entry],
    *,
    by: str,
    at: datetime,
    lift_denials: bool,
    seen: Mapping[Subject, Entry] | None,
    sleep: Callable[[float], None],
) -> Written:
    for attempt in range(1, _TRIES + 1):
        try:
            present = table.entries(entry.subject for entry in entries)
            seen = present if seen is None else seen
            kept = [] if lift_denials else [e.subject for e in entries if _would_lift(e, present.get(e.subject))]
            differing = [e for e in entries if e.subject not in kept and _differs(e, present.get(e.subject))]
            changed = [e.subject for e in differing if present.get(e.subject) != seen.get(e.subject)]
            changes = [
                EntryChange(entry=e, replaces=present.get(e.subject)) for e in differing if e.subject not in changed
            ]
            if changes:
                table.change(changes, by=by, at=at)
        except EntryChanged as error:
            if attempt == _TRIES:
                raise Refused("others keep changing these entries: try again later") from error
        except Unavailable as error:
            if attempt == _TRIES or isinstance(error, NotPermitted):
                raise
            sleep(2**attempt / 10)
        else:
            return Written(
                written=len(changes),
                unchanged=len(entries) - len(differing) - len(kept),
                still_denied=tuple(kept),
                overtaken=tuple(present.get(one) or Entry(subject=one, rule=EntryRule.REMOVED) for one in changed),
            )
    raise AssertionError("the last attempt returns or raises")


def _differs(entry: Entry, seen: Entry | None) -> bool:
    if seen is None:
        return entry.rule is not EntryRule.REMOVED
    return seen.content != entry.content


def _would_lift(entry: Entry, seen: Entry | None) -> bool:
    return entry.rule is EntryRule.ALLOW and seen is not None and seen.rule is EntryRule.DENY


def entry_of(
    subject: Subject,
    *,
    fleet: Fleet,
    rule: str = "",
    accounts: Sequence[str] = (),
    thing_type: str = "",
    thing_groups: Sequence[str] = (),
    attributes: Mapping[str, str] | None = None,
    may_follow: bool = False,
    note: str = "",
    cas: Sequence[CaRules] | None = None,
) -> Entry:
    """Make an entry that this fleet can use; accounts are given by name or id.

    `cas` are `offering_cas(fleet)`, for a caller that makes many.

    Raises ValueError, saying what is wrong with it.
    """
    if rule.lower() not in ("", "allow", "deny"):
        raise ValueError(f"rule is {rule!r}; write allow or deny")
    gives = thing_type or thing_groups or attributes
    entry = Entry(
        subject=subject,
        rule=EntryRule(rule.lower() or "allow"),
        accounts=tuple(dict.fromkeys(_account_id(account, fleet) for account in accounts)),
        # One value for all entries that give nothing: an import has up to a million.
        additions=Additions(
            thing_type=thing_type or None, thing_groups=tuple(thing_groups), attributes=dict(attributes or {})
        )
        if gives
        else _NOTHING,
        may_follow=may_follow,
        note=note,
    )
    if entry.rule is EntryRule.DENY and replace(entry, rule=EntryRule.ALLOW, note="") != Entry(
        subject=subject, rule=EntryRule.ALLOW
    ):
        raise ValueError("an entry that denies does so everywhere and gives nothing: leave all else out")
    problems = [entry.additions.problem(ca) for ca in (offering_cas(fleet) if cas is None else cas)]
    if all(problems):
        raise ValueError(f"no CA of the fleet can give that: {problems[0]}")
    return entry


def offering_cas(fleet: Fleet) -> tuple[CaRules, ...]:
    """The rules of the fleet's CAs and sources in each account, which say what an entry may give a device."""
    return tuple(one for account in fleet.accounts for one in fleet.rules(account, account.regions[0]).origins)


def thing_subject(name: str) -> Subject:
    """The subject for a thing name; raises ValueError when it is no legal one."""
    if not THING_NAME.fullmatch(name):
        raise ValueError(f"thing name {name!a} is not 1 to 128 of the characters a-z A-Z 0-9 : _ -")
    return Subject(SubjectKind.THING, name)


def certificate_subject(certificate_id: str) -> Subject:
    """The subject for a certificate id; raises ValueError when it is none."""
    found = certificate_id_in(certificate_id)
    if found is None:
        raise ValueError(f"certificate_id {certificate_id!a} is not 64 hex digits, the SHA-256 of the certificate")
    return Subject(SubjectKind.CERTIFICATE, found)


def _account_id(written: str, fleet: Fleet) -> str:
    for account in fleet.accounts:
        if written in (account.name, account.id):
            return account.id
    raise ValueError(
        f"account {written!a} is none of the fleet's: {', '.join(account.name for account in fleet.accounts)}"
    )


def document(entry: Entry) -> dict[str, Any]:
    """An entry for --json, without its empty fields."""
    fields = {
        entry.subject.kind.value: entry.subject.name,
        "rule": entry.rule.value,
        "accounts": list(entry.accounts),
        "thing_type": entry.additions.thing_type,
        "thing_groups": list(entry.additions.thing_groups),
        "attributes": dict(entry.additions.attributes),
        "may_follow": entry.may_follow or None,
        "problem": entry.problem,
        "by": entry.by,
        "at": entry.at.isoformat(timespec="seconds") if entry.at else None,
        "note": entry.note,
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
