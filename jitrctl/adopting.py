"""A thing that was made without jitr is taken into one account's registry, so that its next certificate can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitr.decisions import Decision, Outcome
from jitr.registrations import Status
from jitrctl.operating import OperatingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jitr.iot import AwsIot
    from jitr.registrations import DeviceRegistration
    from jitr.registry import Registry


class NoSuchThing(OperatingError):
    """The account has no thing of that name."""


class Adoption:
    """The adoption of one thing, in one account and Region."""

    def __init__(
        self, thing_name: str, *, client: Any, iot: AwsIot, registry: Registry, clock: Callable[[], datetime]
    ) -> None:
        self._thing_name = thing_name
        self._client = client  # boto3's, for what only operators call
        self._iot = iot
        self._registry = registry
        self._clock = clock

    def look(self) -> tuple[str, bool]:
        """The id of the certificate that would be taken with the thing, and whether there is anything to take.

        Raises OperatingError when the thing is unknown (NoSuchThing), has no certificate or several, or the name is
        another's; Unavailable.
        """
        device = self._attached()
        owner = self._registry.owner(self._thing_name)
        if owner and owner.certificate_id != device.certificate_id:
            raise self._of_another()
        decision = self._registry.recall([device.certificate_id])[device.certificate_id].decision
        is_recorded = decision is not None or device.status is Status.PENDING_ACTIVATION
        return device.certificate_id, owner is None or not is_recorded

    def carry_out(self) -> str:
        """Take the thing and its certificate into the registry; the certificate's id.

        Raises what `look` raises; Rejected when the certificate cannot be read.
        """
        from jitr.certificates import Certificate  # noqa: PLC0415 -- cryptography's weight, for this order alone
        from jitr.replacement import owner_of  # noqa: PLC0415 -- the same

        device = self._attached()
        certificate = Certificate.from_pem(device.pem)
        if not self._registry.adopt(self._thing_name, owner_of(device, certificate)):
            raise self._of_another()
        if device.status is not Status.PENDING_ACTIVATION:  # else it is judged, like any other
            record = self._registry.recall([device.certificate_id])[device.certificate_id]
            self._registry.record(
                Decision(
                    certificate_id=device.certificate_id,
                    outcome=Outcome.FOUND,
                    status=device.status,
                    registered_at=device.created_at,
                    decided_at=self._clock(),
                    rules_digest="",
                    ca_certificate_id=device.ca_certificate_id,
                    thing_name=self._thing_name,
                    serial=certificate.serial,
                    issuer=certificate.issuer,
                    subject=certificate.subject,
                    verdict_seen=record.verdict_number,
                )
            )
        return device.certificate_id

    def _attached(self) -> DeviceRegistration:
        """The one certificate of the thing.

        Raises OperatingError, Unavailable.
        """
        try:
            pages = list(self._client.get_paginator("list_thing_principals").paginate(thingName=self._thing_name))
        except self._client.exceptions.ResourceNotFoundException as error:
            raise NoSuchThing(f"there is no thing {self._thing_name} here") from error
        arns = [principal for page in pages for principal in page["principals"] if ":cert/" in principal]
        if len(arns) != 1:
            raise OperatingError(f"thing {self._thing_name} has {len(arns)} certificates: leave one attached to it")
        return self._iot.describe(arns[0].rpartition("/")[2])

    def _of_another(self) -> OperatingError:
        return OperatingError(f"thing name {self._thing_name} belongs to another certificate in the registry")
