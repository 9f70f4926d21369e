"""Plans the steps that make an admitted certificate a working device, or take one back.

A plan is pure data; `iot.py` and `registry.py` carry out its steps. Three rules hold:

- ACTIVE is the last step. AWS IoT caches policies for minutes, and a device cannot distinguish an ACTIVE certificate
  without a policy from a refused one. So everything that an ACTIVE certificate needs exists before.
- Every step is idempotent. A plan can be run again from the start after any crash.
- An existing thing is changed only after the claim: an attempt that loses a race for a name leaves the thing as it is.
"""

from collections.abc import Iterable, Mapping

from jitr.admission.identity import Identity
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import OnReject

# An attribute of every thing that jitr makes: the certificate's id. CreateThing succeeds for an existing thing with the
# same attributes. With this one, a thing of another tool conflicts, and if the registry is lost, so does a thing of
# another certificate.
OWNER_ATTRIBUTE = "jitr_certificate"


@value
class CreateThing:
    """The thing exists, of this type, with these attributes."""

    thing_name: str
    thing_type: str | None
    attributes: Mapping[str, str]
    certificate_arn: str  # of the device, for the case that the thing already exists
    ca_certificate_id: str | None = None
    is_ours: bool = False  # by the registry, the name is this device's
    is_shared: bool = False  # certificates under one CA may share it
    billing_group: str | None = None


@value
class UpdateThing:
    """The existing thing is of this type, and has these attributes besides its others."""

    thing_name: str
    thing_type: str | None
    attributes: Mapping[str, str]
    alone: bool = False  # only these attributes: the others are of a certificate that was not activated


@value
class AddThingToBillingGroup:
    """The existing thing, which is in no billing group, is a member of this one."""

    thing_name: str
    billing_group: str


@value
class WriteFirstShadow:
    """The thing has a classic shadow; if it has none yet, this one.

    `document` is the request of UpdateThingShadow, as JSON.
    """

    thing_name: str
    document: str


@value
class AddThingToThingGroup:
    """The thing is a member of the static group."""

    thing_name: str
    thing_group: str


@value
class AttachThingPrincipal:
    """The thing is attached exclusively: AWS then resolves thing policy variables for any client id."""

    thing_name: str
    certificate_arn: str


@value
class AttachPolicy:
    """The device policy is attached to the certificate."""

    policy: str
    certificate_arn: str


@value
class Claim:
    """No operator's verdict prevents the next steps, and the thing name belongs to this certificate."""

    thing_name: str


@value
class DetachPolicy:
    """The policy is not attached to the certificate."""

    policy: str
    certificate_arn: str


@value
class DetachThingPrincipal:
    """The thing is not attached to the certificate; AWS IoT does this asynchronously, within seconds."""

    thing_name: str
    certificate_arn: str


@value
class SetStatus:
    """The certificate has this status."""

    certificate_id: str
    status: Status


# Steps in AWS IoT; the claim is a step in the registry.
IotStep = (
    CreateThing
    | UpdateThing
    | AddThingToBillingGroup
    | AddThingToThingGroup
    | WriteFirstShadow
    | AttachThingPrincipal
    | AttachPolicy
    | SetStatus
    | DetachPolicy
    | DetachThingPrincipal
)
Step = IotStep | Claim

_ON_REJECT = {OnReject.DEACTIVATE: Status.INACTIVE, OnReject.REVOKE: Status.REVOKED}


def plan(
    identity: Identity, device: DeviceRegistration, *, is_ours: bool = False, is_shared: bool = False
) -> tuple[Step, ...]:
    """The steps that activate a device: five IoT calls, one more per thing group, two for a shadow, and one claim.

    `is_ours`: an existing thing of this name is this device's and may be updated. `is_shared`: other certificates under
    the same CA may be attached to it. If the thing exists with another type or other attributes, UpdateThing follows
    right after the claim, and AddThingToBillingGroup if it is in no billing group. The shadow comes after the claim,
    too: a certificate that loses a race for the name leaves no shadow.
    """
    return (
        CreateThing(
            thing_name=identity.thing_name,
            thing_type=identity.thing_type,
            attributes={**identity.attributes, OWNER_ATTRIBUTE: device.certificate_id},
            certificate_arn=device.arn,
            ca_certificate_id=device.ca_certificate_id,
            is_ours=is_ours,
            is_shared=is_shared,
            billing_group=identity.billing_group,
        ),
        AttachThingPrincipal(thing_name=identity.thing_name, certificate_arn=device.arn),
        AttachPolicy(policy=identity.policy, certificate_arn=device.arn),
        Claim(thing_name=identity.thing_name),
        *(AddThingToThingGroup(thing_name=identity.thing_name, thing_group=group) for group in identity.thing_groups),
        *(
            (WriteFirstShadow(thing_name=identity.thing_name, document=identity.shadow),)
            if identity.shadow is not None
            else ()
        ),
        SetStatus(certificate_id=device.certificate_id, status=Status.ACTIVE),
    )


def plan_rejection(on_reject: OnReject, device: DeviceRegistration) -> tuple[SetStatus, ...]:
    """The steps after a final refusal; none if the rules leave the certificate as it is."""
    status = _ON_REJECT.get(on_reject)
    return (SetStatus(certificate_id=device.certificate_id, status=status),) if status else ()


def plan_retirement(thing_name: str, policy: str | None, device: DeviceRegistration) -> tuple[IotStep, ...]:
    """The steps that end a replaced certificate: INACTIVE first, since an ACTIVE one must have its policy."""
    deactivate = (SetStatus(certificate_id=device.certificate_id, status=Status.INACTIVE),)
    return (
        *(deactivate if device.status is Status.ACTIVE else ()),
        *((DetachPolicy(policy=policy, certificate_arn=device.arn),) if policy else ()),
        DetachThingPrincipal(thing_name=thing_name, certificate_arn=device.arn),
    )


def plan_withdrawal(policy: str, thing_names: Iterable[str], device: DeviceRegistration) -> tuple[IotStep, ...]:
    """The steps that detach what an unsuccessful attempt attached; the certificate is not ACTIVE."""
    return (
        DetachPolicy(policy=policy, certificate_arn=device.arn),
        *(DetachThingPrincipal(thing_name=one, certificate_arn=device.arn) for one in thing_names),
    )
