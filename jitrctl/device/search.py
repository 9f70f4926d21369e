"""Finds a device's certificates and things in all stages, and reads what each stage knows of them.

A device can have several certificates: a rotation gives it a new one, and a stage that it has not connected to since
still knows the old one. So the search is repeated: every stage names the certificates and things that are related to
the known ones, until no stage names a new one. Only then does each stage read all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from jitrctl.certificate_files import first_certificate_id
from jitrctl.device.held import find_held
from jitrctl.device.registry_scan import find_by_serial, parse_serial
from jitrctl.errors import Refused, Unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def parse_device(word: str) -> SearchKeys:
    """What an argument names: a certificate's id, a fingerprint with colons, a certificate's file, or a thing.

    A serial number reads like a thing's name; `trace` tells them apart.

    Raises Unusable.
    """
    if certificate_id := certificate_id_in(word):
        return SearchKeys(certificates=frozenset({certificate_id}))
    if Path(word).exists():
        return SearchKeys(certificates=frozenset({first_certificate_id(Path(word))}))
    if THING_NAME.fullmatch(word):
        return SearchKeys(things=frozenset({word}))
    raise Unusable(f"{word} is no file, no certificate id (64 hex digits) and no thing name: give one of these")


def search(scope: Scope, start: SearchKeys) -> tuple[Results[DeviceView], tuple[Failed, ...], SearchKeys]:
    """Find all that is related to a certificate or thing in any stage, and read it in every stage.

    Returns the views, the stages that failed during the search, and what was found.

    Raises Refused when no stage knows it.
    """
    known, stages, failed = trace(scope, start, scope.stages, held=True)
    views = scope.across(lambda stage: DeviceView.of(stage, known), doing="reading", stages=stages)
    return views, failed, known


def only_certificate(scope: Scope, start: SearchKeys, stages: Sequence[Stage], *, held: bool = False) -> str:
    """Resolve to one certificate: the one given, or the only one that a thing ever had in any of these stages.

    With `held`, a held certificate that requests the thing's name counts, too.

    Raises Refused when a thing has several, or none; or when a stage cannot be asked.
    """
    if start.certificates:
        return next(iter(start.certificates))
    known, _, failed = trace(scope, start, stages, held=held)
    return _require_one(start, known.certificates, failed)


def waiting_certificate(scope: Scope, start: SearchKeys, stages: Sequence[Stage]) -> str:
    """Resolve to the certificate to approve: the one given, else the held one that requests the thing's name.

    Raises Refused when there are several, or none; or when a stage cannot be asked.
    """
    if start.certificates:
        return next(iter(start.certificates))
    (thing,) = start.things
    asked = scope.across(lambda stage: find_held(stage, thing), doing="reading held devices", stages=stages)
    waiting = frozenset(one for done in asked.done for one in done.value)
    return _require_one(start, waiting, asked.failed) if waiting else only_certificate(scope, start, stages)


def _require_one(start: SearchKeys, certificates: frozenset[str], failed: Sequence[Failed]) -> str:
    (thing,) = start.things
    if failed:
        raise Refused(f"{failed[0].stage} cannot be asked which certificates {thing} has ({failed[0].error})")
    if len(certificates) > 1:
        raise Refused(f"{thing} has {len(certificates)} certificates, say which: {', '.join(sorted(certificates))}")
    return next(iter(certificates))


def trace(
    scope: Scope, start: SearchKeys, stages: Sequence[Stage], *, held: bool = False
) -> tuple[SearchKeys, tuple[Stage, ...], tuple[Failed, ...]]:
    """Find all that is related to a certificate or a thing in any stage.

    Returns what was found, the stages that answered, and those that failed.

    With `held` also held certificates that request the name of the thing: a device that was never admitted, or a
    second one under its name.

    A thing name that no stage knows is searched for as a serial number.

    Raises Refused when no stage knows it.
    """
    known = start
    serial = parse_serial(next(iter(start.things))) if start.things else None
    failed: list[Failed] = []
    for thing in start.things if held else ():
        asked = scope.across(lambda stage, thing=thing: find_held(stage, thing), doing="searching", stages=stages)  # type: ignore[misc]
        failed += asked.failed
        stages = tuple(done.stage for done in asked.done)
        known |= SearchKeys(certificates=frozenset(one for done in asked.done for one in done.value))
    while True:
        traced = scope.across(lambda stage, known=known: _trace(stage, known), doing="searching", stages=stages)  # type: ignore[misc]
        failed += traced.failed
        stages = tuple(done.stage for done in traced.done)
        found = known
        for done in traced.done:
            found |= done.value
        if found == known:
            if known.certificates or serial is None:
                break
            found, serial = _of_serial(scope, serial, stages), None
        known = found or known
    if not known.certificates and stages:
        (thing,) = known.things
        numbered = f", and none a certificate with serial number {thing}" if parse_serial(thing) else ""
        raise Refused(
            f"no account knows a thing {thing} with a certificate{numbered}: correct the name, or give the certificate"
        )
    return known, tuple(stages), tuple(failed)


def _of_serial(scope: Scope, serial: str, stages: Sequence[Stage]) -> SearchKeys:
    """The certificates with a serial number, in place of the thing name that the number was taken for.

    A stage that cannot be asked is asked again by what follows, which reports it.
    """
    asked = scope.across(
        lambda stage: find_by_serial(stage, serial), doing="searching all records for a serial number", stages=stages
    )
    return SearchKeys(certificates=frozenset(one for done in asked.done for one in done.value))


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
