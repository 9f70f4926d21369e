"""Adopts a thing made without jitr into a stage's registry, so that its next certificate can be a rotation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.verdicts import VerdictConflict
from jitrctl.device.operations import OvertakenByColleague
from jitrctl.errors import OperatingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jitr.aws.iot import AwsIot
    from jitr.iot_models import DeviceRegistration
    from jitr.record import Record
    from jitr.store.registry import Registry
    from jitr.x509.certificate import Certificate

    Refusal = Callable[[DeviceRegistration, Certificate, Record], None]

UNKNOWN_CA = (
    "which CA issued its certificate is not known here, so that its next one is held (NOT_A_ROTATION), unless an entry "
    "lets it follow: `jitrctl enrollment allow THING --may-follow`"
)
FOREIGN_CA = (
    "its CA is not one that the fleet file gives this account, so that its next certificate is held (CA_UNKNOWN): add "
    "the CA, and deploy"
)
INACTIVE_CA = (
    "its CA is not registered, or not ACTIVE, here now: `jitrctl ca apply`, or its next certificate does not come"
)
UNFINISHED = (Outcome.HELD, Outcome.FOUND)  # decisions that leave something to adopt, unless they name the thing
_OF_A_FLEET = re.compile(r"jitr-(.+?)--")  # policies of jitr's stacks (Fleet.policy_name)


class NoSuchThing(OperatingError):
    """The account has no thing of that name."""


def foreign_policies(policies: Iterable[str], fleet: str) -> tuple[str, ...]:
    """Those of the policies that are attached to a certificate which are not jitr's own of this fleet."""
    return tuple(name for name in policies if not name.startswith(f"jitr-{fleet}--"))


def is_recorded(record: Record, thing_name: str) -> bool:
    """Whether a decision on the certificate is recorded which needs no adoption: jitr's own, or one with the thing."""
    decision = record.decision
    if decision is None:
        return False
    return decision.outcome not in UNFINISHED or decision.thing_name == thing_name


def another_fleets(policies: Iterable[str], fleet: str) -> tuple[str, str] | None:
    """The policy among these by which another fleet of jitr runs a device, and that fleet; None if none does."""
    found = ((name, match[1]) for name in policies if (match := _OF_A_FLEET.match(name)))
    return next(((name, other) for name, other in found if other != fleet), None)


def refuse_another_fleets(policies: Iterable[str], fleet: str) -> None:
    """Refuse a certificate that another fleet of jitr runs, as its policies tell.

    Raises OperatingError.
    """
    if found := another_fleets(policies, fleet):
        policy, other = found
        raise OperatingError(
            f"its policy {policy} is that of jitr's fleet {other}, which runs this device: take it out of that fleet, "
            "detach the policy, and adopt the thing then"
        )


class Adoption:
    """The adoption of one thing, in one account and Region."""

    def __init__(
        self,
        thing_name: str,
        *,
        client: Any,
        iot: AwsIot,
        registry: Registry,
        certificate_id: str | None = None,
        principals: int = 1,
        origin: str | None = None,
    ) -> None:
        """`certificate_id` is the one that a reviewed plan names, of a thing that has so many `principals`.

        `origin` says how it was registered, and is kept in its record.
        """
        self._thing_name, self._origin = thing_name, origin
        self._chosen, self._principals = certificate_id, principals
        self._client = client  # boto3's, for what only operators call
        self._iot = iot
        self._registry = registry
        self._seen: Record | None = None  # what `inspect` found
        self.other_principals: tuple[str, ...] = ()  # of the thing, set as `arn`; a certificate by its id
        self.arn = ""  # the certificate's, set by `inspect` and `carry_out`
        # Set by `inspect` and `carry_out`: AWS names no CA, and not exactly one of the fleet's signed it.
        self.is_without_ca = False
        self.ca_certificate_id: str | None = None  # set by `carry_out`

    def inspect(self) -> tuple[str, bool]:
        """The id of the thing's certificate, and whether there is anything to adopt.

        `carry_out` then demands that the certificate's record is still the one read here.

        Raises OperatingError when the thing is unknown (NoSuchThing), has no certificate or several, or the name
        belongs to another certificate; Unavailable.
        """
        device = self._describe_attached()
        self.arn = device.arn
        owner = self._registry.owner(self._thing_name)
        if owner and owner.certificate_id != device.certificate_id:
            raise self._of_another()
        self._seen = self._registry.recall([device.certificate_id])[device.certificate_id]
        self.is_without_ca = not (device.ca_certificate_id or self._seen.ca_certificate_id)
        is_complete = is_recorded(self._seen, self._thing_name) or device.status is Status.PENDING_ACTIVATION
        return device.certificate_id, owner is None or not is_complete

    def carry_out(self, refuse: Refusal = lambda _device, _certificate, _record: None) -> str:
        """Record the certificate as found and as the owner of the thing name; returns its id.

        `refuse` gets the device, its certificate and its record before anything is written, and may raise
        OperatingError; `arn` is set by then.

        Raises what `inspect` raises; OperatingError when, since `inspect`, a colleague has given a verdict on the
        certificate, or a function has recorded another decision; Rejected when the certificate cannot be read.
        """
        from jitr.admission.issuers import with_recorded_ca  # noqa: PLC0415 -- the same
        from jitr.admission.rotation import owner_of  # noqa: PLC0415 -- the same
        from jitr.x509.certificate import Certificate  # noqa: PLC0415 -- cryptography's weight, for this order alone

        device = self._describe_attached()
        certificate = Certificate.from_pem(device.pem)
        self.arn = device.arn
        record = self._registry.recall([device.certificate_id])[device.certificate_id]
        device = with_recorded_ca(device, record)
        refuse(device, certificate, record)
        self.ca_certificate_id = device.ca_certificate_id
        self.is_without_ca = device.ca_certificate_id is None
        seen = self._seen or record
        if record.verdict_number != seen.verdict_number:
            raise OvertakenByColleague(VerdictConflict(device.certificate_id, record.verdict))
        if not self._registry.adopt(self._thing_name, owner_of(device, certificate)):
            raise self._of_another()
        may_be_recorded = record.decision is None or record.decision.outcome in (Outcome.HELD, Outcome.FOUND)
        is_evaluated = device.status is Status.PENDING_ACTIVATION  # by the functions, as any other
        if (
            may_be_recorded
            and not is_evaluated
            and not self._registry.record_found(
                self._to_decision(device, certificate, record), record, origin=self._origin
            )
        ):
            current = self._registry.recall([device.certificate_id])[device.certificate_id]
            if current.verdict_number != record.verdict_number:
                raise OvertakenByColleague(
                    VerdictConflict(device.certificate_id, current.verdict),
                    f"the name {self._thing_name} is the certificate's, and nothing was recorded of it",
                )
            raise OperatingError("a function has just recorded something else of the certificate: try again")
        return device.certificate_id

    def _to_decision(self, device: DeviceRegistration, certificate: Certificate, record: Record) -> Decision:
        return Decision(
            certificate_id=device.certificate_id,
            outcome=Outcome.FOUND,
            status=device.status,
            registered_at=device.created_at,
            # AWS's time: this field decides which events are settled, and the operator's clock is not the functions'.
            decided_at=device.created_at,
            rules_digest="",
            ca_certificate_id=device.ca_certificate_id,
            thing_name=self._thing_name,
            serial=certificate.serial,
            issuer=certificate.issuer,
            subject=certificate.subject,
            after=record.decided_at,
            verdict_seen=record.verdict_number,
        )

    def _describe_attached(self) -> DeviceRegistration:
        """The one certificate of the thing.

        Raises OperatingError, Unavailable.
        """
        try:
            pages = list(self._client.get_paginator("list_thing_principals").paginate(thingName=self._thing_name))
        except self._client.exceptions.ResourceNotFoundException as error:
            raise NoSuchThing(f"there is no thing {self._thing_name} here") from error
        principals = [principal for page in pages for principal in page["principals"]]
        arns = [principal for principal in principals if ":cert/" in principal]
        if self._chosen:
            return self._iot.describe(self._chosen_of(principals))
        if len(arns) != 1:
            raise OperatingError(f"thing {self._thing_name} has {len(arns)} certificates: leave one attached to it")
        return self._iot.describe(arns[0].rpartition("/")[2])

    def _chosen_of(self, principals: list[str]) -> str:
        """The id of the plan's certificate, while the thing has it, and as many principals as when it was surveyed."""
        if len(principals) != self._principals or not any(one.endswith(f":cert/{self._chosen}") for one in principals):
            raise OperatingError(
                f"thing {self._thing_name} has changed since the survey: it has {len(principals)} principals, and the "
                f"plan names certificate {self._chosen} of {self._principals}; survey again"
            )
        others = (one for one in principals if not one.endswith(f":cert/{self._chosen}"))
        self.other_principals = tuple(one.rpartition(":cert/")[2] for one in others)
        return str(self._chosen)

    def _of_another(self) -> OperatingError:
        return OperatingError(f"thing name {self._thing_name} belongs to another certificate in the registry")
