"""Calls the AWS IoT control plane; only this module and things.py do.

Each method makes one call, and more only to resolve a conflict. It waits for the call's turn, and sorts its errors
(iot_calls.py); CertificateUnknown and Overtaken say what an answer means for the certificate.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import try_once
from jitr.aws.iot_calls import IotCalls
from jitr.aws.rate_limit import Pace
from jitr.aws.things import Things
from jitr.errors import CertificateUnknown, Overtaken
from jitr.iot_models import CaRegistration, DeviceRegistration, Status
from jitr.provisioning import (
    AddThingToBillingGroup,
    AddThingToThingGroup,
    AttachPolicy,
    AttachThingPrincipal,
    CreateThing,
    DetachPolicy,
    DetachThingPrincipal,
    IotStep,
    SetStatus,
    UpdateThing,
    WriteFirstShadow,
)
from jitr.rules import Rules

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from jitr.aws.certificate_pages import Page
    from jitr.aws.shadows import Shadows

_CA_CACHE = timedelta(seconds=60)


class AwsIot:
    """AWS IoT in one account and Region; safe for threads."""

    def __init__(
        self,
        client: "IoTClient",
        pacer: Pace,
        *,
        clock: Callable[[], datetime],
        rules: Rules | None = None,
        shadows: "Callable[[], Shadows] | None" = None,
    ) -> None:
        """`rules` hold the CAs among which an issuer is searched if AWS names none.

        `shadows` makes the client of the data plane at its first use; None: where no plan writes a shadow.
        """
        self._client = client
        self._calls = IotCalls(pacer)
        self.things = Things(client, self._calls, certificate=self.describe)
        self._clock = clock
        self._rules = rules
        self._shadows = shadows
        self._cas: dict[str, tuple[datetime, CaRegistration | None]] = {}
        self._being_fetched: set[str] = set()  # CAs that a thread is fetching
        try_once(client, "UpdateCertificate")

    def describe(self, certificate_id: str) -> DeviceRegistration:
        """A device certificate as it is registered now; if AWS does not name its CA, issuers.py searches it.

        Raises CertificateUnknown, Unavailable.
        """
        with self._calls.make("DescribeCertificate"):
            try:
                answer = self._client.describe_certificate(certificateId=certificate_id)
                self._calls.note(answer)
            except self._client.exceptions.ResourceNotFoundException as error:
                raise CertificateUnknown(certificate_id) from error
        description = answer["certificateDescription"]
        device = DeviceRegistration(
            certificate_id=description["certificateId"],
            arn=description["certificateArn"],
            status=Status(description["status"]),
            pem=description["certificatePem"],
            ca_certificate_id=description.get("caCertificateId"),
            created_at=description["creationDate"],
            modified_at=description.get("lastModifiedDate"),
        )
        if device.ca_certificate_id is not None or self._rules is None:
            return device
        from jitr.admission.issuers import find_issuer  # noqa: PLC0415 -- not needed where AWS names the CA

        return find_issuer(device, self._rules)

    def describe_ca(self, certificate_id: str) -> CaRegistration | None:
        """A CA as it was registered at most 60 seconds ago; None when it is not registered.

        Raises Unavailable.
        """
        now = self._clock()
        kept = self._cas.get(certificate_id)
        if kept and (now - kept[0] < _CA_CACHE or certificate_id in self._being_fetched):
            return kept[1]  # while another thread fetches it, the old answer is used
        self._being_fetched.add(certificate_id)
        try:
            ca = self._fetch_ca(certificate_id)
        finally:
            self._being_fetched.discard(certificate_id)
        self._cas[certificate_id] = (now, ca)
        return ca

    def _fetch_ca(self, certificate_id: str) -> CaRegistration | None:
        with self._calls.make("DescribeCACertificate"):
            try:
                answer = self._client.describe_ca_certificate(certificateId=certificate_id)
            except self._client.exceptions.ResourceNotFoundException:
                return None
        description, config = answer["certificateDescription"], answer.get("registrationConfig") or {}
        return CaRegistration(
            certificate_id=description["certificateId"],
            pem=description["certificatePem"],
            active=description["status"] == "ACTIVE",
            # Absent for CAs from before modes existed, which are DEFAULT.
            mode=description.get("certificateMode", "DEFAULT"),
            has_template=bool(config.get("templateBody") or config.get("templateName")),
            modified_at=description.get("lastModifiedDate"),
        )

    def take_turn(self, step: SetStatus) -> None:  # noqa: ARG002 -- every SetStatus is the same API
        """Wait for the turn of the step's call, so that `apply` makes it at once.

        Raises Unavailable.
        """
        self._calls.take_turn("UpdateCertificate")

    def apply(self, step: IotStep) -> None:
        """Carry out one step of a plan; a step that is already done succeeds.

        Raises Rejected (THING_TAKEN, TARGET_MISSING, LIMIT_EXCEEDED, REQUEST_REFUSED), CertificateUnknown, Overtaken,
        Unavailable.
        """
        match step:
            case CreateThing():
                for difference in self.things.create(step):
                    self.apply(difference)
            case UpdateThing():
                self.things.update(step)
            case WriteFirstShadow(thing_name=thing, document=document):
                assert self._shadows is not None  # noqa: S101 -- whoever plans a shadow gives it
                self._shadows().write_first(thing, document)
            case AddThingToThingGroup() | AddThingToBillingGroup():
                self._join(step)
            case AttachThingPrincipal(thing_name=thing, certificate_arn=arn):
                with self._calls.make_step("AttachThingPrincipal", missing=f"thing {thing}"):
                    self._client.attach_thing_principal(
                        thingName=thing, principal=arn, thingPrincipalType="EXCLUSIVE_THING"
                    )
            case AttachPolicy(policy=policy, certificate_arn=arn):
                with self._calls.make_step("AttachPolicy", missing=f"policy {policy}"):
                    self._client.attach_policy(policyName=policy, target=arn)
            case DetachPolicy() | DetachThingPrincipal():
                self._detach(step)
            case SetStatus(certificate_id=certificate_id, status=status):
                self._set_status(certificate_id, status)

    def _join(self, step: AddThingToThingGroup | AddThingToBillingGroup) -> None:
        match step:
            case AddThingToThingGroup(thing_name=thing, thing_group=group):
                with self._calls.make_step("AddThingToThingGroup", missing=f"thing group {group}"):
                    self._client.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
            case AddThingToBillingGroup(thing_name=thing, billing_group=group):
                with self._calls.make_step("AddThingToBillingGroup", missing=f"billing group {group}"):
                    self._client.add_thing_to_billing_group(thingName=thing, billingGroupName=group)

    def _detach(self, step: DetachPolicy | DetachThingPrincipal) -> None:
        not_attached = self._client.exceptions.ResourceNotFoundException
        match step:
            case DetachPolicy(policy=policy, certificate_arn=arn):
                with self._calls.make_step("DetachPolicy"), suppress(not_attached):
                    self._client.detach_policy(policyName=policy, target=arn)
            case DetachThingPrincipal(thing_name=thing, certificate_arn=arn):
                with self._calls.make_step("DetachThingPrincipal"), suppress(not_attached):
                    self._client.detach_thing_principal(thingName=thing, principal=arn)

    def things_of(self, device: DeviceRegistration) -> tuple[str, ...]:
        """The names of the things that the certificate is attached to.

        Raises Rejected, CertificateUnknown, Unavailable.
        """
        with self._calls.make_step("ListPrincipalThings", missing="the certificate"):
            pages = self._client.get_paginator("list_principal_things").paginate(principal=device.arn)
            return tuple(thing for page in pages for thing in page["things"])

    def policies_of(self, device: DeviceRegistration) -> tuple[str, ...]:
        """The names of the policies that are attached to the certificate.

        Raises Rejected, CertificateUnknown, Unavailable.
        """
        with self._calls.make_step("ListAttachedPolicies", missing="the certificate"):
            pages = self._client.get_paginator("list_attached_policies").paginate(target=device.arn)
            return tuple(policy["policyName"] for page in pages for policy in page["policies"])

    def find_missing(self, device: DeviceRegistration, *, thing_name: str | None = None) -> tuple[str, ...]:
        """What a certificate needs to work and lacks: `thing` (this one, or any), `policy` (any).

        Raises Rejected, CertificateUnknown, Unavailable.
        """
        things = self.things_of(device)
        has_thing = thing_name in things if thing_name else bool(things)
        has = {"thing": has_thing, "policy": bool(self.policies_of(device))}
        return tuple(what for what, there in has.items() if not there)

    def _set_status(self, certificate_id: str, status: Status) -> None:
        # Not retried (try_once). The service may have carried out the first attempt although no answer came, and a
        # retry without a new observation could overrule someone who acted in between.
        with self._calls.make_step("UpdateCertificate"):
            try:
                answer = self._client.update_certificate(certificateId=certificate_id, newStatus=status.value)
                self._calls.note(answer)
            except self._client.exceptions.ResourceNotFoundException as error:
                raise CertificateUnknown(certificate_id) from error
            except self._client.exceptions.CertificateStateException as error:
                raise Overtaken(f"UpdateCertificate to {status} is refused in the certificate's state") from error

    def certificates_of(self, ca_certificate_id: str, marker: str | None = None) -> "Iterator[Page]":
        """The certificates that AWS lists for a CA, newest first, page by page from a marker on.

        One call per page. AWS may list none of those in SNI_ONLY mode.

        Raises StaleMarker, Unavailable.
        """
        from jitr.aws.certificate_pages import MOST_ON_PAGE, pages  # noqa: PLC0415 -- not needed in `register`

        def list_page(**more: Any) -> Any:
            with self._calls.make("ListCertificatesByCA"):
                return self._client.list_certificates_by_ca(
                    caCertificateId=ca_certificate_id, pageSize=MOST_ON_PAGE, ascendingOrder=False, **more
                )

        return pages(list_page, marker)

    def certificates(self, marker: str | None = None) -> "Iterator[Page]":
        """All certificates of the account, also those of other CAs, newest first, page by page from a marker on.

        Raises StaleMarker, Unavailable.
        """
        from jitr.aws.certificate_pages import MOST_ON_PAGE, pages  # noqa: PLC0415 -- not needed in `register`

        def list_page(**more: Any) -> Any:
            with self._calls.make("ListCertificates"):
                return self._client.list_certificates(pageSize=MOST_ON_PAGE, ascendingOrder=False, **more)

        return pages(list_page, marker)
