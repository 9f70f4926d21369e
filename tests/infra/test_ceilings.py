"""AWS's ceilings: what fleets of a hundred CAs and of four hundred accounts come to, and which fleets are refused."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from jitr_cdk import alarms, registration
from jitr_cdk.asset import ROOT
from jitr_cdk.stage import AccountStacks
from jitr_cdk.target import AWS
from jitr_fleet import ceilings
from jitr_fleet.choices import RegisteredBy
from jitr_fleet.model import Fleet
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.least_privilege import arn_text, as_list
from tests.support.infra.synthesis import Synthesized, new_app

REGION = "eu-central-1"
TRUST = 2_048
WIDGET_ALARMS = 100
ORGANIZATION = 'organization = "o-a1b2c3d4e5"'


def with_cas(folder: Path, count: int, *, ca: str = "", more: str = "") -> Draft:
    """One account that holds so many CAs."""
    draft = Draft(folder, Issuer())
    parts = ['[fleet]\nname = "acme"']
    for number in range(count):
        draft.write(f"ca-{number}.pem", Issuer(f"CA {number}").certificate())
        parts.append(f'[ca.line-{number}]\ncertificate = "ca-{number}.pem"\ncommon_name = ".*"')
        parts.append(ca.replace("NUMBER", str(number)))
    parts.append(f'[account.dev]\nid = "111111111111"\nregions = ["{REGION}"]')
    parts += [f'ca.line-{number} = {{ mode = "SNI_ONLY" }}' for number in range(count)]
    draft.text = "\n".join([*parts, more])
    return draft


def with_accounts(folder: Path, count: int, *, hub: str) -> Draft:
    """So many accounts, the first of which has the hub."""
    draft = Draft(folder, Issuer())
    parts = ['[fleet]\nname = "acme"', '[ca.factory]\ncertificate = "factory.pem"\ncommon_name = ".*"']
    for number in range(count):
        parts.append(f'[account.a{number}]\nid = "{100_000_000_000 + number}"\nregions = ["{REGION}"]')
        parts.append('ca.factory = { mode = "SNI_ONLY" }')
    draft.text = "\n".join([*parts, f'[hub]\naccount = "a0"\n{hub}'])
    return draft


def sized_stacks(fleet: Fleet, accounts: Iterable[str]) -> dict[str, tuple[Synthesized, int]]:
    """The stacks of some accounts, with the sizes of their templates in bytes."""
    app = new_app()
    made = [AccountStacks(app, fleet=fleet, account=one, target=AWS) for one in fleet.accounts if one.name in accounts]
    assembly = Path(app.synth().directory)
    return {
        stack.node.path: (Synthesized(stack, assembly), (assembly / stack.template_file).stat().st_size)
        for account in made
        for stack in account.node.children
        if isinstance(stack, cdk.Stack)
    }


def compact(value: Any, template: dict[str, Any]) -> int:
    """How many characters a policy document has once every reference is filled in, without white space."""

    def filled(one: Any) -> Any:
        match one:
            case {"Ref": _} | {"Fn::Join": _} | {"Fn::GetAtt": _}:
                return arn_text(one, template)
            case dict():
                return {name: filled(value) for name, value in one.items()}
            case list():
                return [filled(value) for value in one]
        return one

    return len(json.dumps(filled(value), separators=(",", ":")))


def check(stack: Synthesized, size: int) -> dict[str, int]:
    """Hold a stack to every ceiling; what it comes to."""
    template = dict(stack.template.to_json())
    roles = [role["Properties"] for role in stack.of_type("AWS::IAM::Role")]
    found = {
        "bytes": size,
        "resources": len(template["Resources"]),
        "parameters": len(template["Parameters"]),
        "trust": max(compact(role["AssumeRolePolicyDocument"], template) for role in roles),
        "inline": max(
            sum(compact(one["PolicyDocument"], template) for one in role.get("Policies", ())) for role in roles
        ),
        "bus": max((compact(one["Properties"]["Statement"], template) for one in buses(stack)), default=0),
    }
    assert found["bytes"] <= ceilings.MOST_TEMPLATE_BYTES
    assert found["resources"] <= ceilings.MOST_RESOURCES
    assert found["parameters"] <= ceilings.MOST_PARAMETERS
    assert found["trust"] <= TRUST
    assert found["inline"] <= ceilings.MOST_INLINE_POLICY_CHARACTERS
    assert found["bus"] <= ceilings.MOST_BUS_POLICY_CHARACTERS
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard")
    body = arn_text(dashboard["Properties"]["DashboardBody"], template)
    widgets = json.loads(body)["widgets"]
    assert max(len(one["properties"].get("alarms", ())) for one in widgets) <= WIDGET_ALARMS
    assert sum(len(one["properties"].get("alarms", ())) for one in widgets) == len(
        stack.of_type("AWS::CloudWatch::Alarm")
    )
    return found


def buses(stack: Synthesized) -> list[Any]:
    return list(stack.of_type("AWS::Events::EventBusPolicy"))


SOURCE = """
registered.maker = {}
[registered.maker]
common_name = ".*"
thing_type = "made"
thing_groups = ["made"]
extra_groups = ["more"]
"""
GROUPED = """
thing_type = "type-NUMBER"
thing_groups = ["group-NUMBER"]
billing_group = "costs-NUMBER"
registered_by = "stack"
"""


@pytest.mark.parametrize(
    ("count", "ca", "more"),
    [
        (1, "", ""),
        (2, GROUPED, '[stack]\niot_logging = "warn"\nsnap_start = true'),
        (40, 'registered_by = "stack"', '[hub]\naccount = "dev"'),
        (41, "", ""),
        (1, "", SOURCE),
        (100, 'registered_by = "stack"', '[hub]\naccount = "dev"'),
    ],
)
def test_a_stage_of_so_many_cas_is_below_every_ceiling_as_counted(
    tmp_path: Path, count: int, ca: str, more: str
) -> None:
    fleet = with_cas(tmp_path, count, ca=ca, more=more).load()
    (account,) = fleet.accounts
    ((stack, size),) = sized_stacks(fleet, ["dev"]).values()
    found = check(stack, size)

    assert ceilings.count_resources(fleet, account, REGION) == found["resources"]
    assert ceilings.count_parameters(account) == found["parameters"]
    assert found["bytes"] <= ceilings.template_bytes(fleet, account, REGION) <= 1.35 * found["bytes"] + 50_000
    assert found["inline"] <= ceilings.register_policy_characters(account, REGION)


def test_a_fleet_of_four_hundred_accounts_with_a_hub_is_below_every_ceiling(tmp_path: Path) -> None:
    fleet = with_accounts(tmp_path, 400, hub=ORGANIZATION).load()
    stacks = sized_stacks(fleet, ["a0", "a399"])

    hub, forwarding = (check(*stacks[f"{name}/{REGION}"]) for name in ("a0", "a399"))
    assert 0 < hub["bus"] <= ceilings.bus_policy_characters(fleet)
    assert forwarding["bus"] == 0
    assert len(fleet.homes().accounts) == 400


def test_a_bus_that_would_name_too_many_accounts_is_refused_with_the_number(tmp_path: Path) -> None:
    most = 290
    fits = with_accounts(tmp_path, most, hub="").load()
    stack, size = sized_stacks(fits, ["a0"])[f"a0/{REGION}"]
    assert check(stack, size)["bus"] <= ceilings.bus_policy_characters(fits)

    _, problem = with_accounts(tmp_path, 400, hub="").problem()
    assert "hub would name 400 accounts in the policy of its bus, 13,700 characters of 10,240" in problem
    assert "organization" in problem


@pytest.mark.parametrize(
    ("count", "ca", "said"),
    [
        (
            100,
            'thing_groups = ["a-NUMBER", "b-NUMBER", "c-NUMBER"]',
            "needs 611 resources for dev/eu-central-1, and AWS allows 500",
        ),
        (
            60,
            f'existing = true\nthing_groups = ["{"g" * 100}-NUMBER"]',
            "characters in the policies of register's role",
        ),
    ],
)
def test_a_stage_that_cannot_fit_is_refused_with_the_number(tmp_path: Path, count: int, ca: str, said: str) -> None:
    assert any(said in message for _, message in with_cas(tmp_path, count, ca=ca).problems())


def first_refused(count: Callable[[int], int], most: int) -> int:
    """The smallest number for which so much is needed that it is refused."""
    return next(number for number in range(1, 1000) if count(number) > most)


def test_the_page_says_from_how_many_cas_and_accounts_on_a_fleet_is_refused(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    fleet = with_cas(tmp_path, 1, more='[hub]\naccount = "dev"').load()
    (one,) = fleet.accounts[0].cas
    without_hub = replace(fleet, hub=None)

    def resources(number: int, by: RegisteredBy, of: Fleet = without_hub) -> int:
        account = replace(fleet.accounts[0], cas=(replace(one, registered_by=by),) * number)
        return ceilings.count_resources(of, account, REGION)

    def accounts(number: int) -> int:
        return ceilings.bus_policy_characters(replace(fleet, accounts=fleet.accounts * number))

    cas = first_refused(lambda number: resources(number, RegisteredBy.JITRCTL), ceilings.MOST_RESOURCES)
    registered = first_refused(lambda number: resources(number, RegisteredBy.STACK), ceilings.MOST_RESOURCES)
    assert f"| {cas} CAs, or {registered} that the stack registers;" in page
    assert f"with a hub, are {resources(100, RegisteredBy.STACK, fleet)} |" in page
    assert f"| {first_refused(accounts, ceilings.MOST_BUS_POLICY_CHARACTERS)} accounts with a [hub]" in page


def test_the_figures_of_both_sides_are_the_same() -> None:
    assert ceilings.CAS_WITH_ALARMS_OF_THEIR_OWN == alarms.MOST_CAS_WITH_ALARMS_OF_THEIR_OWN


def test_beyond_forty_cas_an_alarm_watches_the_worst_of_ten_and_names_them(tmp_path: Path) -> None:
    fleet = with_cas(tmp_path, 41).load()
    ((stack, _),) = sized_stacks(fleet, ["dev"]).values()
    watched = [
        query["MetricStat"]["Metric"]
        for alarm in stack.of_type("AWS::CloudWatch::Alarm")
        for query in alarm["Properties"].get("Metrics", ())
        if "MetricStat" in query
    ]
    single = [alarm["Properties"] for alarm in stack.of_type("AWS::CloudWatch::Alarm")]
    own = [one for one in single if one["AlarmName"].endswith("--cas-5")]
    assert len(own) == 6, "the forty-first CA is alone in its group"
    assert all("Metrics" not in one for one in own)
    for metric in ("Failure", "ErrorActionFailure", "RuleMessageThrottled"):
        rules = [
            dimension["Value"]
            for one in watched
            if one["MetricName"] == metric
            for dimension in one["Dimensions"]
            if dimension["Name"] == "RuleName"
        ]
        assert len(set(rules)) == len(rules) == 40
    assert all(len(one["AlarmDescription"]) <= 1024 for one in single)


def test_a_role_names_each_ca_while_there_is_room(tmp_path: Path) -> None:
    for count in (registration.MOST_CAS_BY_ARN, registration.MOST_CAS_BY_ARN + 1):
        fleet = with_cas(tmp_path, count).load()
        ((stack, _),) = sized_stacks(fleet, ["dev"]).values()
        (statement,) = stack.statements("ReadCas")
        assert len(as_list(statement["Resource"])) == (count if count == registration.MOST_CAS_BY_ARN else 1)
