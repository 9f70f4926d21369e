"""The plan: the ordered steps that make an admitted certificate a working device.

`plan` is pure and only says what; `iot.py` and `registry.py` make each step so. Two rules hold for every plan:

- ACTIVE is the last step. AWS IoT caches policies for minutes, and an ACTIVE certificate without a policy cannot be
  told from a refused one by the device, so everything that an ACTIVE certificate needs is there before it is.
- Every step means "make it so". A plan can be run again from the start after any crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jitr.admission import Identity
from jitr.registrations import DeviceRegistration, Status
from jitr.rules import OnReject

# One attribute of ours on every thing that jitr makes: CreateThing succeeds for a thing that exists with the same
# attributes, so without it a thing that somebody else made would pass for ours.
OWNER_ATTRIBUTE = "jitr_fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateThing:
    """The thing exists, of this type, with these attributes."""

    thing_name: str
    thing_type: str | None
    attributes: Mapping[str, str]
    certificate_arn: str  # whose thing it is, should one of that name exist already


@dataclass(frozen=True, slots=True, kw_only=True)
class AddThingToThingGroup:
    """The thing is a member of the static group."""

    thing_name: str
    thing_group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachThingPrincipal:
    """The certificate is the thing's, exclusively: AWS then resolves thing policy variables whatever the client id."""

    thing_name: str
    certificate_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachPolicy:
    """The certificate is under the shared device policy."""

    policy: str
    certificate_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """No operator's verdict stands against what follows, and the thing's name is this certificate's."""

    thing_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatus:
    """The certificate has this status."""

    certificate_id: str
    status: Status


# What AWS IoT makes so; the claim is the registry's.
IotStep = CreateThing | AddThingToThingGroup | AttachThingPrincipal | AttachPolicy | SetStatus
Step = IotStep | Claim

_ON_REJECT = {OnReject.DEACTIVATE: Status.INACTIVE, OnReject.REVOKE: Status.REVOKED}


def plan(identity: Identity, device: DeviceRegistration, *, fleet: str) -> tuple[Step, ...]:
    """The steps that activate a device: five IoT calls, one more per thing group, and one claim."""
    return (
        CreateThing(
            thing_name=identity.thing_name,
            thing_type=identity.thing_type,
            attributes={**identity.attributes, OWNER_ATTRIBUTE: fleet},
            certificate_arn=device.arn,
        ),
        *(AddThingToThingGroup(thing_name=identity.thing_name, thing_group=group) for group in identity.thing_groups),
        AttachThingPrincipal(thing_name=identity.thing_name, certificate_arn=device.arn),
        AttachPolicy(policy=identity.policy, certificate_arn=device.arn),
        Claim(thing_name=identity.thing_name),
        SetStatus(certificate_id=device.certificate_id, status=Status.ACTIVE),
    )


def plan_rejection(on_reject: OnReject, device: DeviceRegistration) -> tuple[SetStatus, ...]:
    """The steps after a final refusal; none when the rules leave the certificate as it is."""
    status = _ON_REJECT.get(on_reject)
    return (SetStatus(certificate_id=device.certificate_id, status=status),) if status else ()
