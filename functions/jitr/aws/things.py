"""Calls AWS IoT about things: one method a call, and more only to resolve a conflict."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jitr.aws.iot_calls import IotCalls
from jitr.errors import CertificateUnknown, Reason, Rejected
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.provisioning import OWNER_ATTRIBUTE, AddThingToBillingGroup, CreateThing, UpdateThing

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.type_defs import AttributePayloadTypeDef


@value
class Thing:
    """A thing in AWS IoT."""

    attributes: Mapping[str, str]
    version: int  # 1 at its creation; every change increments it
    billing_group: str | None = None


class Things:
    """The things of one account and Region; safe for threads."""

    def __init__(
        self, client: "IoTClient", calls: IotCalls, *, certificate: Callable[[str], DeviceRegistration]
    ) -> None:
        """`certificate` describes a device certificate; it raises CertificateUnknown, Unavailable."""
        self._client = client
        self._calls = calls
        self._certificate = certificate

    def create(self, step: CreateThing) -> tuple[UpdateThing | AddThingToBillingGroup, ...]:
        """Create the thing; if it exists with another configuration, return the steps that it needs.

        A thing that is in another billing group stays there: its costs were assigned by someone else.

        Raises Rejected (THING_TAKEN, TARGET_MISSING, LIMIT_EXCEEDED, REQUEST_REFUSED), CertificateUnknown, Unavailable.
        """
        named = {"thingTypeName": step.thing_type, "billingGroupName": step.billing_group}
        given: dict[str, Any] = {parameter: name for parameter, name in named.items() if name is not None}
        attributes: AttributePayloadTypeDef = {"attributes": dict(step.attributes)}
        billing = f" or billing group {step.billing_group}" if step.billing_group else ""
        with self._calls.make_step("CreateThing", missing=f"thing type {step.thing_type}{billing}"):
            try:
                self._client.create_thing(thingName=step.thing_name, attributePayload=attributes, **given)
            except self._client.exceptions.ResourceAlreadyExistsException:
                pass
            else:
                return ()
        # Another tool made it, or jitr did under other rules.
        if not step.is_ours:
            self._refuse_another_owner(step)
        thing = self.describe(step.thing_name) if step.billing_group or not step.is_ours else None
        alone = False
        if not step.is_ours:
            made_for = thing.attributes.get(OWNER_ATTRIBUTE) if thing else None
            alone = made_for not in (None, step.attributes.get(OWNER_ATTRIBUTE))
        update = UpdateThing(
            thing_name=step.thing_name, thing_type=step.thing_type, attributes=step.attributes, alone=alone
        )
        if step.billing_group is None or (thing and thing.billing_group):
            return (update,)
        return update, AddThingToBillingGroup(thing_name=step.thing_name, billing_group=step.billing_group)

    def describe(self, thing_name: str) -> Thing | None:
        """A thing as it is now; None when it does not exist.

        Raises Rejected, Unavailable.
        """
        with self._calls.make_step("DescribeThing"):
            try:
                answer = self._client.describe_thing(thingName=thing_name)
            except self._client.exceptions.ResourceNotFoundException:
                return None
        return Thing(
            attributes=answer.get("attributes", {}),
            version=answer["version"],
            billing_group=answer.get("billingGroupName"),
        )

    def is_made_by_jitr(self, thing_name: str) -> bool:
        """Whether jitr created the thing, or took it over for a certificate.

        Raises Rejected, Unavailable.
        """
        thing = self.describe(thing_name)
        return thing is not None and OWNER_ATTRIBUTE in thing.attributes

    def delete(self, thing_name: str, *, version: int) -> bool:
        """Delete a thing in this version; return False when it has changed, or a principal is attached.

        Raises Rejected, Unavailable.
        """
        with self._calls.make_step("DeleteThing"):
            try:
                self._client.delete_thing(thingName=thing_name, expectedVersion=version)
            except (
                self._client.exceptions.VersionConflictException,
                self._client.exceptions.InvalidRequestException,
            ):
                return False
        return True

    def update(self, step: UpdateThing) -> None:
        attributes: AttributePayloadTypeDef = {"attributes": dict(step.attributes), "merge": not step.alone}
        with self._calls.make_step("UpdateThing", missing=f"thing type {step.thing_type}"):
            if step.thing_type is None:
                self._client.update_thing(thingName=step.thing_name, attributePayload=attributes)
            else:
                self._client.update_thing(
                    thingName=step.thing_name, thingTypeName=step.thing_type, attributePayload=attributes
                )

    def principals_of(self, thing_name: str) -> frozenset[str]:
        """The ARNs of the principals that are attached to a thing.

        Raises Rejected, Unavailable.
        """
        with self._calls.make_step("ListThingPrincipals", missing=f"thing {thing_name}"):
            pages = self._client.get_paginator("list_thing_principals").paginate(thingName=thing_name)
            return frozenset(arn for page in pages for arn in page["principals"])

    def _refuse_another_owner(self, step: CreateThing) -> None:
        """Refuse the thing if another principal is attached that may not stay.

        Raises Rejected(THING_TAKEN).
        """
        others = self.principals_of(step.thing_name) - {step.certificate_arn}
        if not all(self._may_stay(arn, step) for arn in others):
            raise Rejected(
                Reason.THING_TAKEN, f"thing {step.thing_name} exists, and another principal is attached to it"
            )

    def _may_stay(self, arn: str, step: CreateThing) -> bool:
        """Whether a principal is a certificate of the same CA that shares the thing, or is not ACTIVE."""
        if ":cert/" not in arn:
            return False
        try:
            other = self._certificate(arn.rpartition("/")[2])
        except CertificateUnknown:
            return False
        may_stay = step.is_shared or other.status is not Status.ACTIVE
        return may_stay and other.ca_certificate_id == step.ca_certificate_id
