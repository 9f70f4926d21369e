"""The plan: the ordered steps that make an admitted certificate a working device.

`plan` is pure and only says what; `iot.py` and `registry.py` make each step so. Two rules hold for every plan:

- ACTIVE is the last step. AWS IoT caches policies for minutes, and an ACTIVE certificate without a policy cannot be
  told from a refused one by the device, so everything that an ACTIVE certificate needs is there before it is.
- Every step means "make it so". A plan can be run again from the start after any crash.
- A thing that exists is changed only after the claim: who loses a race for a name leaves the winner's thing as it was.
"""

from collections.abc import Iterable, Mapping

from jitr.admission.identity import Identity
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import OnReject

# One attribute of ours on every thing that jitr makes, the certificate's id. CreateThing succeeds for a thing that
# exists with the same attributes; with it, a thing of anybody else's conflicts, be it another tool's or, should the
# registry be lost, another certificate's.
OWNER_ATTRIBUTE = "jitr_certificate"


@value
class CreateThing:
    """The thing exists, of this type, with these attributes."""

    thing_name: str
    thing_type: str | None
    attributes: Mapping[str, str]
    certificate_arn: str  # whose thing it is, should one of that name exist already
    ca_certificate_id: str | None = None
    is_ours: bool = False  # the registry says that a thing of that name is this device's
    is_shared: bool = False  # certificates under one CA may have it together


@value
class UpdateThing:
    """The thing, which exists, is of this type and has these attributes beside its others."""

    thing_name: str
    thing_type: str | None
    attributes: Mapping[str, str]
    alone: bool = False  # these attributes and no others: the others are those of a certificate that did not come in


@value
class AddThingToThingGroup:
    """The thing is a member of the static group."""

    thing_name: str
    thing_group: str


@value
class AttachThingPrincipal:
    """The certificate is the thing's, exclusively: AWS then resolves thing policy variables whatever the client id."""

    thing_name: str
    certificate_arn: str


@value
class AttachPolicy:
    """The certificate is under the shared device policy."""

    policy: str
    certificate_arn: str


@value
class Claim:
    """No operator's verdict stands against what follows, and the thing's name is this certificate's."""

    thing_name: str


@value
class DetachPolicy:
    """The certificate is not under the policy."""

    policy: str
    certificate_arn: str


@value
class DetachThingPrincipal:
    """The certificate is not the thing's; AWS IoT does this asynchronously, within seconds."""

    thing_name: str
    certificate_arn: str


@value
class SetStatus:
    """The certificate has this status."""

    certificate_id: str
    status: Status


# What AWS IoT makes so; the claim is the registry's.
IotStep = (
    CreateThing
    | UpdateThing
    | AddThingToThingGroup
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
    """The steps that activate a device: five IoT calls, one more per thing group, and one claim.

    `is_ours` says that a thing of that name, should there be one, is this device's to bring in line; `is_shared`, that
    other certificates under the same CA may be attached to it. Should a thing of that name exist with another type or
    other attributes, UpdateThing comes right after the claim.
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
        ),
        AttachThingPrincipal(thing_name=identity.thing_name, certificate_arn=device.arn),
        AttachPolicy(policy=identity.policy, certificate_arn=device.arn),
        Claim(thing_name=identity.thing_name),
        *(AddThingToThingGroup(thing_name=identity.thing_name, thing_group=group) for group in identity.thing_groups),
        SetStatus(certificate_id=device.certificate_id, status=Status.ACTIVE),
    )


def plan_rejection(on_reject: OnReject, device: DeviceRegistration) -> tuple[SetStatus, ...]:
    """The steps after a final refusal; none when the rules leave the certificate as it is."""
    status = _ON_REJECT.get(on_reject)
    return (SetStatus(certificate_id=device.certificate_id, status=status),) if status else ()


def plan_retirement(thing_name: str, policy: str | None, device: DeviceRegistration) -> tuple[IotStep, ...]:
    """The steps that end a replaced certificate: INACTIVE first, since an ACTIVE one is never without its policy."""
    deactivate = (SetStatus(certificate_id=device.certificate_id, status=Status.INACTIVE),)
    return (
        *(deactivate if device.status is Status.ACTIVE else ()),
        *((DetachPolicy(policy=policy, certificate_arn=device.arn),) if policy else ()),
        DetachThingPrincipal(thing_name=thing_name, certificate_arn=device.arn),
    )


def plan_withdrawal(policy: str, thing_names: Iterable[str], device: DeviceRegistration) -> tuple[IotStep, ...]:
    """The steps that take back what a lost race for a thing name attached; the certificate is not ACTIVE."""
    return (
        DetachPolicy(policy=policy, certificate_arn=device.arn),
        *(DetachThingPrincipal(thing_name=one, certificate_arn=device.arn) for one in thing_names),
    )
