"""Finds what an ACTIVE certificate lacks of what the rules give it: its thing, policy, groups and billing group.

A device with such a gap is refused, or not allowed what it needs, although AWS IoT calls it ACTIVE. `jitrctl device
reconcile` fills every gap that is found here. What a hook or an enrollment entry gives is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.iot_models import Status

if TYPE_CHECKING:
    from jitrctl.device.search import StageCertificate
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ThingState:
    """A thing in one stage."""

    name: str
    exists: bool
    groups: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()  # ids, attached
    billing_group: str | None = None  # read only where the fleet has one


def read_thing(stage: Stage, name: str) -> ThingState:
    """Read a thing with its groups and its certificates: up to three calls, four where the fleet has billing groups.

    Raises botocore's errors.
    """
    iot: Any = stage.iot
    try:
        pages = iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=name)
        groups = tuple(sorted(one["groupName"] for page in pages for one in page["thingGroups"]))
        pages = iot.get_paginator("list_thing_principals").paginate(thingName=name)
        arns = [arn for page in pages for arn in page["principals"]]
        has_billing_groups = any(one.billing_group for one in stage.rules.origins)
        described = iot.describe_thing(thingName=name) if has_billing_groups else {}
    except iot.exceptions.ResourceNotFoundException:
        return ThingState(name=name, exists=False)
    ids = tuple(sorted(arn.rpartition("/")[2] for arn in arns if ":cert/" in arn))
    return ThingState(
        name=name, exists=True, groups=groups, certificates=ids, billing_group=described.get("billingGroupName")
    )


def expected_thing(found: StageCertificate) -> str | None:
    """The name of the thing that a certificate should have: the decision's, else the one that the rules make of it."""
    decision, registered = found.record.decision, found.registered
    recorded = decision.thing_name if decision else None
    return recorded or (registered.asks_for if registered else None)


def expected_policy(stage: Stage, found: StageCertificate) -> str | None:
    """The policy that the rules of the certificate's CA give it; None if the CA is none of the stage's."""
    rules = _rules(stage, found)
    return rules.policy if rules else None


def missing_groups(stage: Stage, found: StageCertificate, thing: ThingState) -> tuple[str, ...]:
    """The groups of the rules that the thing is not in."""
    rules = _rules(stage, found)
    return tuple(one for one in rules.thing_groups if one not in thing.groups) if rules else ()


def missing_billing_group(stage: Stage, found: StageCertificate, thing: ThingState) -> str | None:
    """The billing group of the rules, if the thing is not in it."""
    rules = _rules(stage, found)
    wanted = rules.billing_group if rules else None
    return None if wanted == thing.billing_group else wanted


def list_missing(stage: Stage, found: StageCertificate) -> tuple[str, ...]:
    """What an ACTIVE certificate of the fleet lacks, in words; empty for all others.

    Where a CA's entry says `jitp`, what jitr neither activated nor adopted has what the provisioning template gave it.

    Raises botocore's errors.
    """
    registered, rules = found.registered, _rules(stage, found)
    if registered is None or registered.status is not Status.ACTIVE or rules is None:
        return ()
    decision = found.record.decision
    if rules.jitp and (decision is None or decision.thing_name is None):
        return ()
    missing, name = list[str](), expected_thing(found)
    if name and name not in registered.things:
        thing = read_thing(stage, name)
        missing.append(f"it is not attached to thing {name}" if thing.exists else f"there is no thing {name}")
    elif name:
        thing = read_thing(stage, name)
        missing += [f"thing {name} is not in group {group}" for group in missing_groups(stage, found, thing)]
        if billing_group := missing_billing_group(stage, found, thing):
            missing.append(f"thing {name} is in {_named(thing.billing_group)}, not in {billing_group}")
    policy = expected_policy(stage, found)
    if policy and policy not in registered.policies:
        missing.append(f"policy {policy} is not attached to it")
    return tuple(missing)


def _named(billing_group: str | None) -> str:
    return f"billing group {billing_group}" if billing_group else "no billing group"


def reconcile_command(stage: Stage, certificate_id: str) -> str:
    """The command that fills the gaps in one stage."""
    return f"jitrctl device reconcile {certificate_id} --account {stage.account.name} --region {stage.region}"


def _rules(stage: Stage, found: StageCertificate) -> Any:
    registered = found.registered
    return stage.rules.ca(registered.device.ca_certificate_id or "") if registered else None
