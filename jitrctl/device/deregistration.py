"""Deletes registrations of certificates, and things, in one stage; detaches them first, as AWS IoT requires."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jitr.errors import CertificateUnknown
from jitrctl.errors import OperatingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitr.aws.iot import AwsIot

_POLL = 0.5  # seconds
# DetachThingPrincipal is asynchronous: "it can take several seconds to propagate" (IoT API reference).
_SECONDS_TO_DETACH = 60.0


class Deregistration:
    """What only operators call of AWS IoT in one stage: detaching and deleting."""

    def __init__(
        self,
        client: Any,
        iot: AwsIot,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`client` is boto3's `iot`."""
        self._client = client
        self._iot = iot
        self._monotonic = monotonic
        self._sleep = sleep

    def detach(self, arn: str) -> None:
        """Detach all policies and things from a certificate."""
        for policy in self._client.list_attached_policies(target=arn)["policies"]:
            self._client.detach_policy(policyName=policy["policyName"], target=arn)
        for thing in self._client.list_principal_things(principal=arn)["things"]:
            self._client.detach_thing_principal(thingName=thing, principal=arn)

    def delete(self, certificate_id: str, arn: str) -> None:
        """Detach and delete a certificate that is not ACTIVE.

        Raises OperatingError.
        """
        self.detach(arn)
        self._once_detached(
            lambda: self._client.delete_certificate(certificateId=certificate_id),
            self._client.exceptions.DeleteConflictException,
        )

    def delete_thing(self, thing_name: str) -> bool:
        """Delete a thing that has no principal any more; whether there was one.

        Raises OperatingError when another principal is attached.
        """
        try:
            principals = self._client.list_thing_principals(thingName=thing_name)["principals"]
        except self._client.exceptions.ResourceNotFoundException:
            return False
        for arn in principals:
            if ":cert/" not in arn or self._is_registered(arn.rpartition("/")[2]):
                raise OperatingError(f"thing {thing_name} stays: {arn} is attached to it, too")
        self._once_detached(
            lambda: self._client.delete_thing(thingName=thing_name),
            self._client.exceptions.InvalidRequestException,
        )
        return True

    def _once_detached(self, delete: Callable[[], object], conflict: type[Exception]) -> None:
        """Delete something once AWS IoT has propagated its detachment; if it does not exist, do nothing.

        Raises OperatingError when that takes too long.
        """
        deadline = self._monotonic() + _SECONDS_TO_DETACH
        while True:
            try:
                delete()
            except self._client.exceptions.ResourceNotFoundException:
                return
            except conflict as error:
                if self._monotonic() > deadline:
                    raise OperatingError(
                        "AWS IoT still shows the certificate attached to a thing: try again"
                    ) from error
                self._sleep(_POLL)
            else:
                return

    def _is_registered(self, certificate_id: str) -> bool:
        try:
            self._iot.describe(certificate_id)
        except CertificateUnknown:
            return False
        return True
