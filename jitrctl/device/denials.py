"""Copies denials from the stages that have them to another one: entries that deny, verdicts, and revoked CAs.

Each account has a registry and an enrollment list of its own. A new account starts with none, and a device that was
stolen in another one would be let in there. So denials are copied before a stage admits its first device. What is
copied says where it is from; what the stage has already, equal or stronger, stays, so a copy can be repeated.

What the stage says otherwise stays too, and is reported, for an operator to decide: what was allowed there, and a
certificate that is ACTIVE there, which may have been deactivated elsewhere only since its device moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from jitr.admission.enrollment import EntryRule
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store.revoked_cas import CaRevocations
from jitr.telemetry import VERDICT_DETAIL_TYPE
from jitr.verdicts import OperatorVerdict, VerdictConflict
from jitrctl.audit.events import publish_event, verdict_detail
from jitrctl.ca.revoked_elsewhere import RevokedElsewhere, copy_revocations, find_lacking, read_revocations
from jitrctl.clock import now
from jitrctl.device import denied_but_active, enrollment
from jitrctl.device.registry_scan import scan_denied
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jitr.admission.enrollment import Entry, Subject
    from jitrctl.session.stage import Stage

_BATCH = 100  # BatchGetItem's most
_LONGEST_NOTE = 1_000  # characters, as of every note (jitrctl/run/scope.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denials:
    """The denials of one stage."""

    entries: Mapping[Subject, Entry] = field(default_factory=dict)
    verdicts: Mapping[str, OperatorVerdict] = field(default_factory=dict)  # by certificate id
    cas: CaRevocations = field(default_factory=CaRevocations)

    def __bool__(self) -> bool:
        return bool(self.entries or self.verdicts or self.cas.revoked)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedEntry:
    """An entry to copy, and the stage that it is from."""

    entry: Entry
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedCertificate:
    """A verdict to copy, the stage that it is from, and the record that the target has of the certificate."""

    certificate_id: str
    verdict: OperatorVerdict
    source: str
    seen: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """What a stage lacks of the denials of others."""

    entries: tuple[DeniedEntry, ...] = ()
    certificates: tuple[DeniedCertificate, ...] = ()
    cas: tuple[RevokedElsewhere, ...] = ()
    unchanged: int = 0  # denials that the stage has, too
    allowed: tuple[str, ...] = ()  # what others deny, and is allowed or ACTIVE in the stage: left as it is

    def __bool__(self) -> bool:
        return bool(self.entries or self.certificates or self.cas)

    def lines(self) -> list[str]:
        """Each denial in words, with who gave it, where, when and why."""
        cas = [str(one) for one in self.cas]
        entries = [f"deny {one.entry.subject.kind} {one.entry.subject.name}, {_origin(one)}" for one in self.entries]
        return [*cas, *entries] + [
            f"{one.verdict.action} certificate {one.certificate_id}, {_why(one)}" for one in self.certificates
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy did in one stage."""

    entries: int = 0
    verdicts: int = 0
    cas: int = 0
    overtaken: tuple[str, ...] = ()  # what colleagues wrote meanwhile, and is not replaced
    still_active: tuple[str, ...] = ()  # ids of certificates that a copied denial is about, and that are ACTIVE


def read_denials(stage: Stage) -> Denials:
    """Read a stage's denials, both tables as a whole; none where there is no table.

    Raises AccessError, Unavailable, botocore's errors.
    """
    try:
        entries = {one.subject: one for one in stage.enrollment.scan_entries() if one.rule is EntryRule.DENY}
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        entries = {}
    verdicts = {certificate_id: record.verdict for certificate_id, record in scan_denied(stage) if record.verdict}
    return Denials(entries=entries, verdicts=verdicts, cas=read_revocations(stage) or CaRevocations())


def plan_copy(stage: Stage, sources: Mapping[str, Denials]) -> CopyPlan:
    """What a stage lacks of these denials; `sources` has those of each other stage, by its name.

    Of several verdicts on one certificate the strongest counts, of equal ones the earliest.

    Entries are looked at in AWS IoT, too: a claim that is under way is waited for, 90 seconds at most.

    Raises Unavailable, botocore's errors; ResourceNotFoundException of DynamoDB when the stage is not deployed.
    """
    wanted_entries = _merge_entries(sources)
    here = stage.enrollment.entries(wanted_entries)
    wanted_verdicts = _merge_verdicts(sources)
    records = _recall(stage, wanted_verdicts)
    candidates, certificates, allowed, unchanged = list[DeniedEntry](), list[DeniedCertificate](), list[str](), 0
    for subject, entry in sorted(wanted_entries.items()):
        found = here.get(subject)
        if found is None or found.rule is EntryRule.REMOVED:
            candidates.append(entry)
        elif found.rule is EntryRule.DENY:
            unchanged += 1
        else:
            allowed.append(f"{subject.kind} {subject.name}, which {found.by} allows here; {_origin(entry)}")
    active = _find_active(stage, [one.entry.subject for one in candidates])
    entries = [one for one in candidates if one.entry.subject not in active]
    allowed += [_is_active_here(one, active[one.entry.subject]) for one in candidates if one.entry.subject in active]
    for certificate_id, one in sorted(wanted_verdicts.items()):
        record = records[certificate_id]
        if record.decision and record.decision.status is Status.ACTIVE and not record.is_denied:
            allowed.append(f"certificate {certificate_id}, which is ACTIVE here; {_why(one)}")
        elif record.verdict is None or _is_stronger(one, record.verdict):
            certificates.append(replace(one, seen=record))
        elif record.verdict.action.allows_activation:
            allowed.append(f"certificate {certificate_id}, {record.verdict.description} here; {_why(one)}")
        else:
            unchanged += 1
    cas = find_lacking(stage, {name: denials.cas for name, denials in sources.items()})
    allowed += [f"CA {one.ca.name}, which has devices here or was admitted again; {one.why}" for one in cas.in_use]
    return CopyPlan(
        entries=tuple(entries),
        certificates=tuple(certificates),
        cas=cas.lacking,
        unchanged=unchanged + cas.unchanged,
        allowed=tuple(allowed),
    )


def copy(stage: Stage, plan: CopyPlan) -> Copied:
    """Write what a stage lacks, the CAs first, then entries; each on condition that it is as the plan saw it.

    Then look for what became ACTIVE meanwhile, or is by somebody's hand and not by a decision.

    Raises Refused, Unavailable, botocore's errors.
    """
    moment = now()
    cas = copy_revocations(stage, plan.cas)
    written = enrollment.write(
        stage.enrollment,
        [replace(one.entry, note=_note(_origin(one))) for one in plan.entries],
        by=stage.caller,
        at=moment,
        lift_denials=False,
    )
    overtaken = [f"{one.subject.kind} {one.subject.name}" for one in written.overtaken]
    denied: list[str] = []
    for one in plan.certificates:
        given = OperatorVerdict(action=one.verdict.action, by=stage.caller, at=moment, note=_note(_why(one)))
        try:
            stage.registry.give_verdict(one.certificate_id, given, seen=one.seen.verdict)
        except VerdictConflict:
            overtaken.append(f"certificate {one.certificate_id}")
            continue
        denied.append(one.certificate_id)
        detail = verdict_detail(stage, one.certificate_id, given, None)
        if why := publish_event(stage, VERDICT_DETAIL_TYPE, detail, moment):
            stage.warnings.append(f"the verdict on {one.certificate_id} is copied, and not announced ({why})")
    by_entry = _find_active(stage, [one.entry.subject for one in plan.entries])
    still_active = {*chain.from_iterable(by_entry.values()), *denied_but_active.select_active(stage, denied)}
    return Copied(
        entries=written.written,
        verdicts=len(denied),
        cas=cas,
        overtaken=tuple(overtaken),
        still_active=tuple(sorted(still_active)),
    )


def _find_active(stage: Stage, subjects: Sequence[Subject]) -> dict[Subject, list[str]]:
    """The subjects that are ACTIVE in a stage, with the ids of the ACTIVE certificates."""
    known = denied_but_active.select_known(stage, subjects)
    found = {subject: denied_but_active.list_still_active(stage, subject) for subject in known}
    return {subject: ids for subject, ids in found.items() if ids}


def _is_active_here(one: DeniedEntry, active: Sequence[str]) -> str:
    subject = one.entry.subject
    by = "" if list(active) == [subject.name] else f" with certificate {', '.join(active)}"
    return f"{subject.kind} {subject.name}, which is ACTIVE here{by}; {_origin(one)}"


def _merge_entries(sources: Mapping[str, Denials]) -> dict[Subject, DeniedEntry]:
    merged: dict[Subject, DeniedEntry] = {}
    for source, denials in sources.items():
        for subject, entry in denials.entries.items():
            merged.setdefault(subject, DeniedEntry(entry=entry, source=source))
    return merged


def _merge_verdicts(sources: Mapping[str, Denials]) -> dict[str, DeniedCertificate]:
    merged: dict[str, DeniedCertificate] = {}
    for source, denials in sources.items():
        for certificate_id, verdict in denials.verdicts.items():
            one = DeniedCertificate(certificate_id=certificate_id, verdict=verdict, source=source, seen=Record())
            before = merged.get(certificate_id)
            if before is None or _counts_before(verdict, before.verdict):
                merged[certificate_id] = one
    return merged


def _counts_before(one: OperatorVerdict, other: OperatorVerdict) -> bool:
    """Whether this of two denying verdicts is the one to copy: the stronger, of equal ones the earlier."""
    if one.action is other.action:
        return one.at < other.at
    return other.action.is_weaker_than(one.action)


def _is_stronger(one: DeniedCertificate, other: OperatorVerdict) -> bool:
    """Whether both verdicts deny, and the one to copy denies more."""
    return other.action.is_weaker_than(one.verdict.action)


def _recall(stage: Stage, certificate_ids: Iterable[str]) -> dict[str, Record]:
    ids, records = sorted(certificate_ids), dict[str, Record]()
    for start in range(0, len(ids), _BATCH):
        records |= stage.registry.recall(ids[start : start + _BATCH])
    return records


def _origin(one: DeniedEntry) -> str:
    """Who denied it in the source, when and why, or what a copy there says; also the note of the copy."""
    if one.entry.note.startswith("denied in "):
        return one.entry.note
    when = f" {at(one.entry.at)}" if one.entry.at else ""
    return f"denied in {one.source} by {one.entry.by}{when}" + (f": {one.entry.note}" if one.entry.note else "")


def _why(one: DeniedCertificate) -> str:
    verdict = one.verdict
    if verdict.note.startswith(f"{verdict.action} in "):
        return verdict.note
    said = f": {verdict.note}" if verdict.note else ""
    return f"{verdict.action} in {one.source} by {verdict.by} {at(verdict.at)}{said}"


def _note(text: str) -> str:
    return text[:_LONGEST_NOTE]
