"""Finds a device's certificates and things in all stages, and reads what each stage knows of them.

A device can have several certificates: a rotation gives it a new one, and a stage that it has not connected to since
still knows the old one. So the search is repeated: every stage names the certificates and things that are related to
the known ones, until no stage names a new one. Only then does each stage read all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jitr.admission.applicant import Applicant
from jitr.admission.issuers import find_issuer, with_recorded_ca
from jitr.admission.naming import THING_NAME
from jitr.aws.calls import calling
from jitr.errors import Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.x509.certificate import Certificate
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.certificate_files import first_certificate_id, names_file
from jitrctl.device.held import find_held
from jitrctl.device.registry_scan import MOST_SERIALS, find_by_serial, is_marked_serial, parse_serial
from jitrctl.errors import Refused, Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitr.owners import Owner
    from jitr.record import Record
    from jitrctl.audit.log import AuditEntry
    from jitrctl.device.live_connection import LiveConnection
    from jitrctl.run.parallel import Failed, Results
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

# A certificate is related to its predecessor and its successor: so many steps of that in one stage.
_MOST_STEPS = 50


@dataclass(frozen=True, slots=True)
class SearchKeys:
    """What to search for: certificate ids and thing names."""

    certificates: frozenset[str] = frozenset()
    things: frozenset[str] = frozenset()

    def __or__(self, other: SearchKeys) -> SearchKeys:
        return SearchKeys(self.certificates | other.certificates, self.things | other.things)

    def __bool__(self) -> bool:
        return bool(self.certificates or self.things)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCertificate:
    """A certificate as it is registered with AWS IoT in one stage."""

    device: DeviceRegistration
    mode: str  # DEFAULT or SNI_ONLY
    things: tuple[str, ...]  # attached
    policies: tuple[str, ...]  # attached
    certificate: Certificate | None  # None when it cannot be read
    asks_for: str | None  # the thing name that the rules derive from it

    @property
    def status(self) -> Status:
        return self.device.status


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCertificate:
    """A certificate as one stage knows it."""

    certificate_id: str
    registered: RegisteredCertificate | None  # None: not registered there
    record: Record

    @property
    def is_known(self) -> bool:
        return self.registered is not None or self.record.decision is not None or self.record.verdict is not None

    def thing_names(self) -> set[str]:
        """The thing names that it has, had or requests."""
        names = set(self.registered.things if self.registered else ())
        if self.registered and self.registered.asks_for:
            names.add(self.registered.asks_for)
        for decision in (self.record.decision, self.record.intent):
            if decision and decision.thing_name:
                names.add(decision.thing_name)
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """What one stage knows of a device."""

    certificates: dict[str, StageCertificate] = field(default_factory=dict)  # by certificate id
    owners: dict[str, Owner] = field(default_factory=dict)  # by thing name
    # By certificate id, where they were read: the last order, its thing's connection, and what it lacks (missing.py).
    orders: dict[str, AuditEntry] = field(default_factory=dict)
    connections: dict[str, LiveConnection] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, stage: Stage, known: SearchKeys) -> Self:
        """Read these certificates and things in one stage: three IoT calls for each registered certificate.

        Raises AccessError, Unavailable, botocore's errors.
        """
        records = stage.registry.recall(known.certificates) if known.certificates else {}
        owners = {thing: stage.registry.owner(thing) for thing in known.things}
        return cls(
            certificates={
                one: StageCertificate(
                    certificate_id=one, registered=_describe_registered(stage, one, records[one]), record=records[one]
                )
                for one in sorted(known.certificates)
            },
            owners={thing: owner for thing, owner in owners.items() if owner},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What was found of several devices."""

    known: Mapping[str, SearchKeys]  # by what the operator gave
    stages: tuple[Stage, ...]  # that answered
    failed: tuple[Failed, ...]
    # What was searched for as serial numbers, too, and the certificates that have them.
    by_serial: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unasked: Stage | None = None  # because of it, no serial number was searched for

    def not_known(self, given: str, word: str) -> str:
        """That no stage knows a thing, and what else was searched for; `given` is its key in `known`."""
        if self.unasked and parse_serial(word):
            return (
                f"no account that can be asked knows a thing {word} with a certificate, and serial numbers are not "
                f"searched for while one cannot be asked, which is {self.unasked}: give the certificate"
            )
        said = f"no account knows a thing {word} with a certificate"
        if given in self.by_serial:
            said += f", and none a certificate with serial number {word}"
        elif is_marked_serial(word):
            said += f", and of so many serial numbers (over {MOST_SERIALS}) none was searched for"
        elif parse_serial(word):
            return f"{said}: correct the name, or give the certificate; if it is a serial number, write 0x{word}"
        return f"{said}: correct the name, or give the certificate"


def parse_device(word: str, called: str = "") -> SearchKeys:
    """What an argument names: a certificate's id, a fingerprint with colons, a certificate's file, or a thing.

    A serial number reads like a thing's name; `trace` tells them apart. `called` stands for the word in the message,
    where that must not repeat it.

    Raises Unusable.
    """
    if certificate_id := certificate_id_in(word):
        return SearchKeys(certificates=frozenset({certificate_id}))
    if names_file(word):
        return SearchKeys(certificates=frozenset({first_certificate_id(Path(word))}))
    if THING_NAME.fullmatch(word):
        return SearchKeys(things=frozenset({word}))
    raise Unusable(
        f"{called or word} is no file, no certificate id (64 hex digits) and no thing name: give one of these"
    )


def search(scope: Scope, start: SearchKeys) -> tuple[Results[DeviceView], tuple[Failed, ...], SearchKeys]:
    """Find all that is related to a certificate or thing in any stage, and read it in every stage.

    Returns the views, the stages that failed during the search, and what was found.

    Raises Refused when no stage knows it.
    """
    known, stages, failed = trace(scope, start, scope.stages, held=True)
    views = scope.across(lambda stage: DeviceView.of(stage, known), doing="reading", stages=stages)
    return views, failed, known


def trace(
    scope: Scope, start: SearchKeys, stages: Sequence[Stage], *, held: bool = False
) -> tuple[SearchKeys, tuple[Stage, ...], tuple[Failed, ...]]:
    """Find all that is related to one certificate or thing: what was found, the stages that answered, and the others.

    A thing name that no stage knows is searched for as a serial number, unless a stage cannot be asked.

    Raises Refused when no stage knows it.
    """
    traced = trace_each(scope, {"": start}, stages, held=held, bare_serials=True)
    known = traced.known[""]
    if not known.certificates and traced.stages:
        (thing,) = start.things
        raise Refused(traced.not_known("", thing))
    return known, traced.stages, traced.failed


def trace_each(
    scope: Scope,
    starts: Mapping[str, SearchKeys],
    stages: Sequence[Stage],
    *,
    held: bool = False,
    bare_serials: bool = False,
) -> Traced:
    """Find all that is related to each of these certificates or things in any stage.

    With `held` also held certificates that request the name of the thing: a device that was never admitted, or a
    second one under its name.

    A thing name that no stage of the scope knows is searched for as a serial number: one that is marked as such (0x42,
    00:42), with `bare_serials` any that can be one. Orders do not have that, since a misspelled name such as 0042
    would be another device's serial number.
    """
    known = dict(starts)
    failed: list[Failed] = []
    if held and (things := {thing for start in starts.values() for thing in start.things}):
        asked = scope.across(lambda stage: find_held(stage, things), doing="reading held devices", stages=stages)
        failed += asked.failed
        stages = tuple(done.stage for done in asked.done)
        for done in asked.done:
            known = {
                given: keys | SearchKeys(frozenset(one for thing in keys.things for one in done.value.get(thing, ())))
                for given, keys in known.items()
            }
    changed = known
    while changed:
        traced = scope.across(
            lambda stage, changed=changed: {given: _trace(stage, keys) for given, keys in changed.items()},  # type: ignore[misc]
            doing="searching",
            stages=stages,
        )
        failed += traced.failed
        stages = tuple(done.stage for done in traced.done)
        before = known
        for answer in traced.done:
            known = known | {given: known[given] | found for given, found in answer.value.items()}
        changed = {given: keys for given, keys in known.items() if keys != before[given]}
    traced_here = Traced(known=known, stages=tuple(stages), failed=tuple(failed))
    return _with_serials(scope, traced_here, bare=bare_serials)


def _with_serials(scope: Scope, traced: Traced, *, bare: bool) -> Traced:
    """Add the certificates whose serial numbers were taken for names of things that no stage knows.

    A stage that was not asked may know such a thing, or another certificate with the number: then none is searched for.
    """
    unknown = {given: next(iter(keys.things)) for given, keys in traced.known.items() if not keys.certificates}
    serials = {
        given: serial
        for given, word in unknown.items()
        if (serial := parse_serial(word)) and (bare or is_marked_serial(word))
    }
    unasked = next((stage for stage in scope.stages if stage not in traced.stages), None)
    if unasked and serials:
        return replace(traced, unasked=unasked)
    wanted = frozenset(serials.values())
    if not wanted or len(wanted) > MOST_SERIALS:
        return traced
    asked = scope.across(
        lambda stage: find_by_serial(stage, wanted),
        doing="searching all records for a serial number",
        stages=traced.stages,
    )
    by_serial = {
        given: frozenset(one for done in asked.done for one in done.value[serial]) for given, serial in serials.items()
    }
    found = {given: SearchKeys(certificates=ids) for given, ids in by_serial.items() if ids}
    numbered = trace_each(scope, found, tuple(done.stage for done in asked.done))
    return Traced(
        known={**traced.known, **numbered.known},
        stages=numbered.stages,
        failed=(*traced.failed, *asked.failed, *numbered.failed),
        by_serial=by_serial,
    )


def _trace(stage: Stage, known: SearchKeys) -> SearchKeys:
    """All that one stage knows to be related to these, directly or over further certificates and things."""
    found, fresh = known, known
    for _ in range(_MOST_STEPS):
        if not fresh:
            break
        certificates, things = set[str](), set[str]()
        for record in stage.registry.recall(fresh.certificates).values() if fresh.certificates else ():
            certificates |= {record.replaced_by} - {None}  # type: ignore[arg-type]
            for decision in (record.decision, record.intent):
                if decision:
                    certificates |= {one for one in (decision.replaces, decision.replaced_by) if one}
                    things |= {decision.thing_name} if decision.thing_name else set()
        for thing in fresh.things:
            owner = stage.registry.owner(thing)
            certificates |= {owner.certificate_id} if owner else set()
            certificates |= list_attached(stage, thing)
        everything = found | SearchKeys(frozenset(certificates), frozenset(things))
        fresh = SearchKeys(everything.certificates - found.certificates, everything.things - found.things)
        found = everything
    return found


def list_attached(stage: Stage, thing: str) -> set[str]:
    """The ids of the certificates attached to a thing; none when there is no such thing."""
    try:
        arns = _list(stage, "list_thing_principals", "principals", thingName=thing)
    except stage.iot.exceptions.ResourceNotFoundException:
        return set()
    return {arn.rpartition("/")[2] for arn in arns if ":cert/" in arn}


def _describe_registered(stage: Stage, certificate_id: str, record: Record) -> RegisteredCertificate | None:
    try:
        with calling("DescribeCertificate"):
            described = stage.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    except stage.iot.exceptions.ResourceNotFoundException:
        return None
    device = DeviceRegistration(
        certificate_id=certificate_id,
        arn=described["certificateArn"],
        status=Status(described["status"]),
        pem=described["certificatePem"],
        ca_certificate_id=described.get("caCertificateId"),
        created_at=described["creationDate"],
    )
    device = with_recorded_ca(find_issuer(device, stage.rules), record)
    policies = _list(stage, "list_attached_policies", "policies", target=device.arn)
    return RegisteredCertificate(
        device=device,
        mode=described.get("certificateMode", "DEFAULT"),
        things=tuple(sorted(_list(stage, "list_principal_things", "things", principal=device.arn))),
        policies=tuple(sorted(policy["policyName"] for policy in policies)),
        certificate=_read(device.pem),
        asks_for=Applicant.of(device, stage.rules).thing_name,
    )


def _read(pem: str) -> Certificate | None:
    try:
        return Certificate.from_pem(pem)
    except Rejected:
        return None


def _list(stage: Stage, operation: str, items: str, **arguments: str) -> list[Any]:
    """The items of all pages of an AWS IoT list operation."""
    pages = stage.iot.get_paginator(operation).paginate(**arguments)
    return [item for page in pages for item in page[items]]
