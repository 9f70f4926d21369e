"""Brings a provisioned device in line with the present rules: compares, and applies what removes the differences.

`register` acts on new devices only, so a changed thing type, group, attribute or policy reaches ACTIVE devices only
this way. Attributes and groups that no CA of the fleet gives were added by others and are kept, as is the certificate's
status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jitr.admission.applicant import Applicant
from jitr.admission.check_list import CHECK_NAMES
from jitr.admission.issuers import with_recorded_ca
from jitr.admission.procedure import CheckStatus
from jitr.aws.hook import Hook
from jitr.errors import CertificateUnknown
from jitr.iot_models import Status
from jitr.provisioning import (
    OWNER_ATTRIBUTE,
    AddThingToBillingGroup,
    AddThingToThingGroup,
    AttachPolicy,
    AttachThingPrincipal,
    CreateThing,
    DetachPolicy,
    IotStep,
    WriteFirstShadow,
)
from jitr.registration.evidence import Examiner
from jitr.rules import CheckMode
from jitr.verdicts import VerdictConflict
from jitrctl.clock import now
from jitrctl.device.operations import OvertakenByColleague
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from jitr.admission.identity import Identity
    from jitr.errors import Rejected
    from jitr.iot_models import DeviceRegistration
    from jitr.rules import CaRules, Rules
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True)
class LeaveGroup:
    """Remove the thing from a group that the rules no longer give it."""

    thing_name: str
    thing_group: str


@dataclass(frozen=True, slots=True)
class DropType:
    """Remove the thing's type."""

    thing_name: str


@dataclass(frozen=True, slots=True)
class LeaveBillingGroup:
    """Remove the thing from a billing group, so that it can join the one of the rules."""

    thing_name: str
    billing_group: str


Step = IotStep | LeaveGroup | DropType | LeaveBillingGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileChange:
    """One difference, in words, and the step that removes it."""

    text: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """How a device in one stage differs from the present rules."""

    thing_name: str
    policy: str  # that the rules give it
    changes: tuple[ReconcileChange, ...]
    refusals: tuple[Rejected, ...]  # by which the present rules would refuse it
    verdict_number: int  # of the operator's verdict when it was compared; 0: none

    @property
    def would_refuse(self) -> tuple[str, ...]:
        """The refusals in words."""
        return tuple(f"{one.reason}: {one.detail}" for one in self.refusals)


def compare(stage: Stage, certificate_id: str) -> Reconciliation | None:
    """Compare a device with the rules; None when it is not ACTIVE, and so not provisioned.

    Raises Refused when the present rules give it another thing name; Unavailable, botocore's errors.
    """
    try:
        device = stage.aws_iot.describe(certificate_id)
    except CertificateUnknown:
        return None
    if device.status is not Status.ACTIVE:
        return None
    record = stage.registry.recall([certificate_id])[certificate_id]
    device, verdict_number = with_recorded_ca(device, record), record.verdict_number
    identity, refusals = _identity(stage, device)
    found = _Found.of(stage, device, identity.thing_name)
    others = [name for name in found.things if name != identity.thing_name]
    if others:
        raise Refused(
            f"it is thing {others[0]}, and the rules make {identity.thing_name} of it: a name does not change; "
            "`jitrctl device remove --forget`, and let it come again"
        )
    owner = stage.registry.owner(identity.thing_name)
    if owner and owner.certificate_id != certificate_id and not _shares(stage, device):
        raise Refused(f"thing {identity.thing_name} is {owner.certificate_id}'s now: reconcile that one")
    ca = _ca(stage, device)
    return Reconciliation(
        thing_name=identity.thing_name,
        policy=identity.policy,
        changes=(*_thing_changes(device, identity, found, ca), *_other_changes(stage, device, identity, found, ca)),
        refusals=refusals,
        verdict_number=verdict_number,
    )


def refuse_another_verdict(stage: Stage, certificate_id: str, seen: Reconciliation) -> None:
    """Refuse when a colleague has given a verdict on the certificate since it was compared.

    Raises OvertakenByColleague, Unavailable.
    """
    record = stage.registry.recall([certificate_id])[certificate_id]
    if record.verdict_number != seen.verdict_number:
        raise OvertakenByColleague(VerdictConflict(certificate_id, record.verdict))


def apply(stage: Stage, change: ReconcileChange) -> None:
    """Apply one change; a change that is applied already has no effect.

    Raises Rejected, CertificateUnknown, Unavailable, botocore's errors.
    """
    match change.step:
        case LeaveGroup(thing_name=thing, thing_group=group):
            stage.iot.remove_thing_from_thing_group(thingName=thing, thingGroupName=group)
        case LeaveBillingGroup(thing_name=thing, billing_group=group):
            stage.iot.remove_thing_from_billing_group(thingName=thing, billingGroupName=group)
        case DropType(thing_name=thing):
            stage.iot.update_thing(thingName=thing, removeThingType=True)
        case step:
            stage.aws_iot.apply(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A device as AWS IoT has it."""

    things: tuple[str, ...]  # attached
    exists: bool
    thing_type: str | None
    attributes: dict[str, str]
    groups: tuple[str, ...]
    policies: tuple[str, ...]
    billing_group: str | None

    @classmethod
    def of(cls, stage: Stage, device: DeviceRegistration, thing_name: str) -> _Found:
        iot, thing = stage.iot, dict[str, Any]()
        groups: list[str] = []
        try:
            thing = iot.describe_thing(thingName=thing_name)
            pages = iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing_name)
            groups = [group["groupName"] for page in pages for group in page["thingGroups"]]
        except iot.exceptions.ResourceNotFoundException:
            pass
        return cls(
            things=tuple(iot.list_principal_things(principal=device.arn)["things"]),
            exists=bool(thing),
            thing_type=thing.get("thingTypeName"),
            attributes=thing.get("attributes", {}),
            groups=tuple(groups),
            policies=tuple(one["policyName"] for one in iot.list_attached_policies(target=device.arn)["policies"]),
            billing_group=thing.get("billingGroupName"),
        )


def _identity(stage: Stage, device: DeviceRegistration) -> tuple[Identity, tuple[Rejected, ...]]:
    """The identity that the rules give a device, even if they would now refuse it, and why they would."""
    record = stage.registry.recall([device.certificate_id])[device.certificate_id]

    def examine(rules: Rules) -> Any:
        return (
            Examiner(
                account_id=stage.account.id,
                iot=stage.aws_iot,
                crls=stage.crls,
                enrollment=stage.enrollment,
                hook=Hook(lambda _: stage.lambda_),  # never asked
                clock=now,
            )
            .examine(Applicant.of(device, rules), record)
            .examination
        )

    outcomes = examine(stage.rules).outcomes
    observed = examine(_observe_all(stage.rules))
    if observed.refusal:
        raise Refused(f"the rules of today make no thing of it: {observed.refusal}")
    refusals = (one.refusal for one in outcomes if one.status is CheckStatus.REJECT and one.refusal)
    return observed.identity, tuple(refusals)


def _observe_all(rules: Rules) -> Rules:
    """The same rules with every enforced check only observed, so that they give an identity to refused devices, too."""
    return replace(
        rules,
        cas=tuple(
            replace(
                ca,
                checks={
                    name: CheckMode.OBSERVE if ca.mode_of(name) is CheckMode.ENFORCE else ca.mode_of(name)
                    for name in CHECK_NAMES
                },
            )
            for ca in rules.cas
        ),
    )


def _thing_changes(device: DeviceRegistration, identity: Identity, found: _Found, ca: CaRules) -> list[ReconcileChange]:
    name = identity.thing_name
    wanted = {**identity.attributes, OWNER_ATTRIBUTE: device.certificate_id}
    differing = {key: value for key, value in wanted.items() if found.attributes.get(key) != value}
    # The hook may have given it another type, which is not recorded.
    retype = identity.thing_type != found.thing_type and not (ca.asks_hook and found.thing_type)
    make = CreateThing(
        thing_name=name,
        thing_type=identity.thing_type if retype else found.thing_type,
        attributes=wanted,
        certificate_arn=device.arn,
        ca_certificate_id=device.ca_certificate_id,
        is_ours=True,
        billing_group=found.billing_group if found.exists else identity.billing_group,
    )
    if not found.exists:
        return [ReconcileChange(text=f"create thing {name}", step=make)]
    texts = [f"{key} = {value} instead of {found.attributes.get(key, 'none')}" for key, value in differing.items()]
    if retype and identity.thing_type:
        texts.append(f"thing type {identity.thing_type} instead of {found.thing_type or 'none'}")
    changes = [ReconcileChange(text=f"thing {name}: {', '.join(texts)}", step=make)] if texts else []
    if retype and not identity.thing_type:
        changes.append(
            ReconcileChange(text=f"thing {name}: no thing type, not {found.thing_type}", step=DropType(name))
        )
    return changes


def _other_changes(
    stage: Stage, device: DeviceRegistration, identity: Identity, found: _Found, ca: CaRules
) -> list[ReconcileChange]:
    name, ours = identity.thing_name, f"jitr-{stage.fleet.name}--"
    fleets = {group for one in stage.rules.cas for group in (*one.thing_groups, *one.extra_groups)}
    no_longer = fleets - set(identity.thing_groups) if not ca.asks_hook else set()
    return [
        *(
            ReconcileChange(text=f"join group {group}", step=AddThingToThingGroup(thing_name=name, thing_group=group))
            for group in identity.thing_groups
            if group not in found.groups
        ),
        *(
            ReconcileChange(text=f"leave group {group}", step=LeaveGroup(name, group))
            for group in found.groups
            if group in no_longer
        ),
        *_billing_changes(identity, found),
        *_shadow_changes(stage, identity),
        *(
            [
                ReconcileChange(
                    text=f"attach it to {name}", step=AttachThingPrincipal(thing_name=name, certificate_arn=device.arn)
                )
            ]
            if name not in found.things
            else []
        ),
        # Attach the new policy before the old one is detached: an ACTIVE certificate always has one.
        *(
            [ReconcileChange(text=f"attach policy {identity.policy}", step=_attach(identity.policy, device))]
            if identity.policy not in found.policies
            else []
        ),
        *(
            ReconcileChange(
                text=f"detach policy {policy}", step=DetachPolicy(policy=policy, certificate_arn=device.arn)
            )
            for policy in found.policies
            if policy.startswith(ours) and policy != identity.policy
        ),
    ]


def _billing_changes(identity: Identity, found: _Found) -> list[ReconcileChange]:
    """Join the billing group of the rules; an operator's order, so the thing also leaves the one that it is in."""
    name, wanted = identity.thing_name, identity.billing_group
    if wanted in (None, found.billing_group) or not found.exists:
        return []
    join = ReconcileChange(
        text=f"join billing group {wanted}", step=AddThingToBillingGroup(thing_name=name, billing_group=str(wanted))
    )
    if found.billing_group is None:
        return [join]
    leave = LeaveBillingGroup(name, found.billing_group)
    return [ReconcileChange(text=f"leave billing group {found.billing_group}", step=leave), join]


def _shadow_changes(stage: Stage, identity: Identity) -> list[ReconcileChange]:
    """Write the first shadow, if the thing has none; one that exists is the device's and the applications'."""
    if identity.shadow is None or stage.shadows.exists(identity.thing_name):
        return []
    step = WriteFirstShadow(thing_name=identity.thing_name, document=identity.shadow)
    return [ReconcileChange(text=f"write the first shadow of thing {identity.thing_name}", step=step)]


def _attach(policy: str, device: DeviceRegistration) -> AttachPolicy:
    return AttachPolicy(policy=policy, certificate_arn=device.arn)


def _ca(stage: Stage, device: DeviceRegistration) -> CaRules:
    ca = stage.rules.ca(device.ca_certificate_id or "")
    assert ca is not None  # noqa: S101 -- the examination would have refused it
    return ca


def _shares(stage: Stage, device: DeviceRegistration) -> bool:
    return _ca(stage, device).on_replacement.value == "share"
