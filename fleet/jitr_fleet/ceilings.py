"""Checks that each stage's stack fits into the quotas of CloudFormation, IAM and EventBridge, before a deployment.

It counts from the fleet file alone, without the CDK, what each CA and account adds to a template;
tests/infra/test_ceilings.py compares the counts with synthesized templates. Sources: CloudFormation guide, "Understand
CloudFormation quotas"; IAM guide, "IAM and AWS STS quotas"; EventBridge guide, "EventBridge quotas".
"""

from jitr.rules import CertificateMode
from jitr_fleet.choices import RegisteredBy
from jitr_fleet.model import Account, Fleet
from jitr_fleet.names import partition_of
from jitr_fleet.problems import KeyPosition

MOST_RESOURCES = 500
MOST_PARAMETERS = 200
MOST_TEMPLATE_BYTES = 1_000_000
MOST_INLINE_POLICY_CHARACTERS = 10_240  # of one role, all inline policies together
MOST_BUS_POLICY_CHARACTERS = 10_240

# The same figures are in infra/jitr_cdk/alarms.py and registration.py, which this package may not import.
CAS_WITH_ALARMS_OF_THEIR_OWN = 40
_CAS_IN_AN_ALARM = 10
_ALARMS_OF_A_CA = 6

_BASE, _FORWARDING, _HUB, _IOT_LOGGING, _SNAP_START = 51, 4, 17, 2, 2


def check_ceilings(fleet: Fleet, root: KeyPosition) -> None:
    """Report every stage that exceeds a quota, with the number and the quota."""
    _check_bus(fleet, root)
    for account in fleet.accounts:
        for region in account.regions:
            place = root.at("account", account.name)
            stage = f"{account.name}/{region}"
            split = "remove CAs, thing groups or types (with existing = true the stack creates none of a CA's)"
            for what, needed, most, cure in (
                ("resources", count_resources(fleet, account, region), MOST_RESOURCES, split),
                ("parameters", count_parameters(account), MOST_PARAMETERS, "register CAs by jitrctl (registered_by)"),
                ("bytes in its template", template_bytes(fleet, account, region), MOST_TEMPLATE_BYTES, split),
                (
                    "characters in the policies of register's role",
                    register_policy_characters(account, region),
                    MOST_INLINE_POLICY_CHARACTERS,
                    "have the account's CAs share hooks and thing groups",
                ),
            ):
                if needed > most:
                    place.problem(f"needs {needed:,} {what} for {stage}, and AWS allows {most:,}", cure)


def count_resources(fleet: Fleet, account: Account, region: str) -> int:
    """The resources in a stage's template."""
    new = [one for one in account.origins if not one.existing]
    types = {name for ca in new for name in (ca.thing_type, *ca.extra_types) if name}
    groups = {name for ca in new for name in (*ca.thing_groups, *ca.extra_groups)}
    snap_start = fleet.stack.snap_start if account.snap_start is None else account.snap_start
    return (
        _BASE
        + 2 * len(account.cas)  # a rule and a policy
        + len(account.sources)  # a policy
        + sum(one.registered_by is RegisteredBy.STACK for one in account.cas)
        + _alarms(len(account.cas))
        + len(types)
        + len(groups)
        + len({ca.billing_group for ca in new if ca.billing_group})
        + (_FORWARDING if fleet.hub else 0)
        + (_HUB if _is_hub(fleet, account, region) else 0)
        + (_IOT_LOGGING if fleet.stack.iot_logging else 0)
        + (_SNAP_START if snap_start and partition_of(region) == "aws" else 0)
    )


def count_parameters(account: Account) -> int:
    """The parameters of a stage's template: mode and verification certificate of each CA that the stack registers."""
    by_stack = [one for one in account.cas if one.registered_by is RegisteredBy.STACK]
    return 1 + len(by_stack) + sum(one.mode is CertificateMode.DEFAULT for one in by_stack)


def template_bytes(fleet: Fleet, account: Account, region: str) -> int:
    """The size of a stage's template: an upper bound, close to the real size."""
    total = 60_000 + 700 * count_resources(fleet, account, region)
    for one in account.cas:
        total += 3_300
        if one.ca.policy:
            total += 2 * len(one.ca.policy.read_bytes())
        if one.registered_by is RegisteredBy.STACK:
            total += len(one.ca.certificate_pem) + len(one.verification_certificate_pem or "")
    for source in account.sources:
        total += 1_500 + (2 * len(source.policy.read_bytes()) if source.policy else 0)
    return total


def register_policy_characters(account: Account, region: str) -> int:
    """The size of the inline policies of `register`'s role: an upper bound, close to the real size."""
    groups = {name for one in account.origins for name in (*one.thing_groups, *one.extra_groups)}
    hooks = {hook for one in account.origins if (hook := one.hook_in(account, region))}
    billing_groups = {one.billing_group for one in account.origins if one.billing_group}
    # A statement each: for the billing groups, and for shadows.
    extras = 300 * bool(billing_groups) + 250 * any(one.shadow for one in account.origins)
    # "arn:aws-us-gov:iot:us-gov-east-1:111111111111:thinggroup/", two quotes and a comma; "billinggroup/"
    named = sum(60 + len(name) for name in groups) + sum(62 + len(name) for name in billing_groups)
    return 7_500 + extras + named + sum(3 + len(hook) for hook in hooks)


def bus_policy_characters(fleet: Fleet) -> int:
    """The size of the policy of the hub's bus."""
    if fleet.hub is None or fleet.hub.organization:
        return 500
    partition = partition_of(fleet.hub.region) or "aws"
    return 500 + len(fleet.accounts) * len(f'"arn:{partition}:iam::111111111111:root",')


def _check_bus(fleet: Fleet, root: KeyPosition) -> None:
    needed = bus_policy_characters(fleet)
    if needed > MOST_BUS_POLICY_CHARACTERS:
        root.at("hub").problem(
            f"would name {len(fleet.accounts)} accounts in the policy of its bus, {needed:,} characters of "
            f"{MOST_BUS_POLICY_CHARACTERS:,}",
            'add organization = "o-…", which admits the accounts of your organization',
        )


def _alarms(cas: int) -> int:
    if cas <= CAS_WITH_ALARMS_OF_THEIR_OWN:
        return _ALARMS_OF_A_CA * cas
    return _ALARMS_OF_A_CA * -(-cas // _CAS_IN_AN_ALARM)


def _is_hub(fleet: Fleet, account: Account, region: str) -> bool:
    return fleet.hub is not None and (fleet.hub.account_id, fleet.hub.region) == (account.id, region)
