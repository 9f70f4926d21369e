"""`jitrctl fleet survey`: origins with their evidence, what hangs together, and a survey that was broken off."""

import json
import re
from pathlib import Path

import pytest

from jitrctl.localaws.workspace import CHECKOUT
from tests.support.cli.old_fleet import OldFleet, add_five, old_fleet
from tests.support.cli.simulated import DEV


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def origins(found: dict) -> dict[str, int]:  # type: ignore[type-arg]
    counts: dict[str, int] = {}
    for one in found["certificates"]:
        counts[one["origin"]] = counts.get(one["origin"], 0) + one["number"]
    return counts


def test_a_survey_names_the_origin_of_each_certificate_and_the_evidence(old: OldFleet, tmp_path: Path) -> None:
    add_five(old)
    before = old.facts()
    found = old.survey(tmp_path / "dev.survey")
    assert origins(found) == {
        "JITR": 1, "JITP": 1, "without a CA": 1, "issued by AWS": 1, "fleet provisioning": 1,
    }  # fmt: skip
    assert {"origin": "JITR", "evidence": "record of jitr", "number": 1} in found["evidence"]
    assert {"origin": "JITP", "evidence": "its CA has a provisioning template", "number": 1} in found["evidence"]
    assert old.facts() == before


def test_a_survey_says_what_hangs_together_wrongly(old: OldFleet, tmp_path: Path) -> None:
    first, second = old.add("sensor-0001"), old.add("sensor-0002")
    old.iot.attach_thing_principal(thingName="sensor-0001", principal=old.arn(second))
    old.iot.create_thing(thingName="alone")
    found = old.survey(tmp_path / "dev.survey")
    assert (found["things"], found["things_without_certificate"], found["things_with_several"]) == (3, 1, 1)
    assert (found["certificates_on_several_things"], found["certificates_on_no_thing"]) == (1, 0)
    assert any(one["policy"] == "old" for one in found["policy_findings"])
    assert found["provisioning_templates"] == [
        {"template": "claims", "type": "FLEET_PROVISIONING", "enabled": True, "policies": ["provisioned"], "hook": None}
    ]
    assert "jitp" in [one["template"] for one in found["cas"]]
    assert first.certificate_id in old.facts()


@pytest.mark.parametrize("hard", [False, True])
def test_the_calls_that_are_announced_are_those_that_are_made(old: OldFleet, tmp_path: Path, *, hard: bool) -> None:
    add_five(old)
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.add_thing_to_thing_group(thingName="thing-0004", thingGroupName="site")
    if hard:
        old.fleet.aws.undocumented.hide_sni_only_cas()
        old.iot.attach_policy(policyName="old", target=old.fleet.place(DEV).iot.things.group_arn("site"))
    told, made = announced(old, tmp_path / "one.survey")
    assert told == {
        "ListThingPrincipals": 5, "ListTargetsForPolicy": 4, "GetPolicy": 4,
        "DescribeCertificate": 5 if hard else 3, "BatchGetItem": 2, "ListThingsInThingGroup": 250,
    }  # fmt: skip
    # What is said of these is "at most" (jitr has a record of one), and one for 250 things of a group with a policy.
    assert made.pop("DescribeCertificate") == (4 if hard else 3)
    assert made.pop("ListThingsInThingGroup", 0) == hard
    assert made == {name: number for name, number in told.items() if name in made}


def test_calls_that_an_earlier_run_made_are_not_announced_again(old: OldFleet, tmp_path: Path) -> None:
    add_five(old)
    old.survey(tmp_path / "one.survey")
    told, made = announced(old, tmp_path / "one.survey", "--resume")
    assert (told, made) == ({}, {})


def announced(old: OldFleet, file: Path, *words: str) -> tuple[dict[str, int], dict[str, int]]:
    """The calls that a survey announces after its lists, and those that it makes then."""
    counts = old.fleet.place(DEV).counts
    before = counts.copy()
    said = old.fleet.say("fleet", "survey", str(file), "--account", DEV, *words)
    made = {name.partition(":")[2]: number for name, number in (counts - before).items()}
    # Of DynamoDB's, these two are turns of the schedule.
    listing = {"GetTopicRule", "DescribeCACertificate", "DescribeProvisioningTemplate", "GetItem", "UpdateItem"}
    lists = {one for one in made if one.startswith("List") and one not in EACH} | listing
    sentence = said.partition("calls to make: ")[2].partition("; about")[0]
    told = {name: int(number.replace(",", "")) for number, name in re.findall(r"([\d,]+) ([A-Z]\w+)", sentence)}
    told |= {"ListThingsInThingGroup": 250} if "one ListThingsInThingGroup for each 250 things" in sentence else {}
    return told, {name: number for name, number in made.items() if name not in lists}


EACH = {"ListThingPrincipals", "ListTargetsForPolicy", "ListThingsInThingGroup"}


def test_a_survey_never_overwrites_a_file(old: OldFleet, tmp_path: Path) -> None:
    file = tmp_path / "dev.survey"
    file.write_text("mine")
    assert "name another file" in old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=2)
    assert file.read_text() == "mine"
    assert "no survey file" in old.fleet.say("fleet", "survey", str(file), "--resume", "--account", DEV, code=2)
    other = tmp_path / "other.survey"
    old.survey(other)
    before = other.read_bytes()
    assert "--resume" in old.fleet.say("fleet", "survey", str(other), "--account", DEV, code=2)
    assert other.read_bytes() == before


def test_calls_stay_below_the_quotas(old: OldFleet, tmp_path: Path) -> None:
    for number in range(40):
        old.add(f"sensor-{number:04}")
    old.fleet.place(DEV).limit(burst=0.1)
    old.survey(tmp_path / "dev.survey")
    assert not old.fleet.place(DEV).throttled


def test_policies_of_thing_groups_count_for_the_things_in_them(old: OldFleet, tmp_path: Path) -> None:
    bare, other = old.add("sensor-0001"), old.add("sensor-0002")
    for leaf in (bare, other):
        old.iot.detach_policy(policyName="old", target=old.arn(leaf))
    assert old.survey(tmp_path / "before.survey")["certificates_without_policy"] == 2
    document = '{"Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": "%s"}]}'
    topic = "arn:aws:iot:eu-central-1:111111111111:topic/$aws/provisioning-templates/claims/provision/json"
    old.iot.create_policy(policyName="claiming", policyDocument=document % topic)
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.attach_policy(policyName="claiming", target=old.fleet.place(DEV).iot.things.group_arn("site"))
    old.iot.add_thing_to_thing_group(thingName="sensor-0001", thingGroupName="site")
    found = old.survey(tmp_path / "after.survey")
    assert found["certificates_without_policy"] == 1
    assert found["group_policies"] == [{"thing_group": "site", "policy": "claiming", "things": 1}]
    assert found["claim_policies"] == [
        {"policy": "claiming", "active_certificates": 1, "certificate_ids": [bare.certificate_id]}
    ]


@pytest.mark.parametrize(
    ("pattern", "is_named"),
    [
        ("$aws/events/certificates/registered/+", True),
        ("$aws/events/certificates/registered/0a1b", True),
        ("$aws/events/certificates/registered/#", True),
        ("$aws/events/certificates/#", True),
        ("$aws/events/+/registered/+", True),
        ("$aws/#", True),
        ("$aws/events/certificates/registered", False),
        ("$aws/events/certificates/registered/+/more", False),
        ("$aws/events/presence/+/+", False),
        ("#", False),
        ("+/events/certificates/registered/+", False),
    ],
)
def test_a_handler_of_registrations_is_named_with_what_it_does(
    old: OldFleet, tmp_path: Path, pattern: str, *, is_named: bool
) -> None:
    function = "arn:aws:lambda:eu-central-1:111111111111:function:theirs"
    rule = {"ruleDisabled": True, "actions": [{"lambda": {"functionArn": function}}]}
    old.fleet.place(DEV).iot.broker.others["theirs"] = (rule, pattern)
    found = old.survey(tmp_path / "dev.survey")["handlers"]
    theirs = {
        "rule": "theirs", "topic": pattern, "enabled": False, "is_jitr": False, "actions": [f"lambda {function}"],
    }  # fmt: skip
    assert [one for one in found if not one["is_jitr"]] == [theirs] * is_named
    assert [one["rule"] for one in found if one["is_jitr"]] == ["jitr_acme__factory", "jitr_acme__factory_2"]


def test_policies_of_many_targets_and_wildcards_are_told(old: OldFleet, tmp_path: Path) -> None:
    for number in range(3):
        old.add(f"sensor-{number:04}")
    told = old.fleet.say("fleet", "survey", str(tmp_path / "dev.survey"), "--account", DEV)
    assert "policies of the most targets: old (3)" in told
    assert "; allows every action on every resource" in told


@pytest.mark.parametrize("columns", [80, 100, None])
def test_the_report_fits_its_width_and_a_pipe_gets_whole_lines(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    add_five(old)
    if columns:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("COLUMNS", str(columns))
    lines = old.fleet.lines("fleet", "survey", str(tmp_path / "dev.survey"), "--account", DEV)
    if columns:
        assert max(map(len, lines)) <= columns
    head = next(line for line in lines if line.split())
    assert head.split()[0] == "stage"
    assert any("issued by AWS" in line and "ACTIVE" in line for line in lines)
    if not columns:
        assert any(line.endswith("its policy is fleet provisioning template claims's; AWS issued it") for line in lines)


def test_a_survey_calls_what_the_reading_policy_allows_and_changes_nothing(old: OldFleet, tmp_path: Path) -> None:
    add_five(old)
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.attach_policy(policyName="old", target=old.fleet.place(DEV).iot.things.group_arn("site"))
    before, seen = old.facts(), len(old.fleet.aws.calls)
    old.survey(tmp_path / "dev.survey")
    policy = json.loads((CHECKOUT / "policies/operators/read.json").read_text(encoding="utf-8"))
    allowed = {action for one in policy["Statement"] for action in one["Action"]}
    called = {call.name for call in old.fleet.aws.calls[seen:] if call.caller == "jitrctl"}
    assert len(called) == 18
    assert called <= allowed
    assert old.facts() == before


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ({"http": {"url": "https://user:SECRET@hooks.example:8443/SECRET?token=SECRET#SECRET"}}, "http https://hooks.example:8443"),
        ({"http": {"url": "https://hooks.example?token=SECRET@x"}}, "http https://hooks.example"),
        ({"http": {"url": "https://user:SECRET/SECRET@hooks.example/"}}, "http a URL"),
        ({"http": {"url": "user:SECRET@hooks.example"}}, "http a URL"),
        ({"salesforce": {"token": "SECRET", "url": "https://a.my.salesforce.com/SECRET"}}, "salesforce https://a.my.salesforce.com"),
        ({"sqs": {"queueUrl": "https://u:SECRET@sqs.eu-central-1.amazonaws.com/1/theirs?x=SECRET"}}, "sqs https://sqs.eu-central-1.amazonaws.com/1/theirs"),
    ],
)  # fmt: skip
def test_a_handlers_url_is_kept_and_told_without_what_may_be_a_secret(
    old: OldFleet, tmp_path: Path, action: dict[str, dict[str, str]], told: str
) -> None:
    old.fleet.place(DEV).iot.broker.others["theirs"] = ({"actions": [action]}, "$aws/events/#")
    found = old.survey(tmp_path / "dev.survey")
    assert [one["actions"] for one in found["handlers"] if one["rule"] == "theirs"] == [[told]]
    assert b"SECRET" not in (tmp_path / "dev.survey").read_bytes()


def test_the_owner_alone_may_read_a_survey_and_its_plan(old: OldFleet, tmp_path: Path) -> None:
    plan = old.plan(tmp_path)
    assert [oct(file.stat().st_mode & 0o777) for file in (tmp_path / "dev.survey", plan)] == ["0o600", "0o600"]


def test_a_template_that_is_nested_too_deeply_ends_no_survey(old: OldFleet, tmp_path: Path) -> None:
    deep = '{"Resources": {"x": ' + "[" * 3_000 + "]" * 3_000 + "}}"
    place = old.fleet.place(DEV).iot
    place.cas.by_id[old.jitp.certificate_id].template = {"templateBody": deep}
    found = old.survey(tmp_path / "dev.survey")
    assert [one["template"] for one in found["cas"]] == ["(a body)"]


def test_what_a_terminal_would_obey_is_escaped_in_a_survey(old: OldFleet, tmp_path: Path) -> None:
    old.fleet.place(DEV).iot.broker.others["theirs"] = (
        {"actions": [{"republish": {"topic": "\x9b2J"}}]},
        "$aws/events/certificates/registered/\x1b[2J\ud800",
    )
    told = old.fleet.say("fleet", "survey", str(tmp_path / "dev.survey"), "--account", DEV)
    assert r"handles $aws/events/certificates/registered/\u001b[2J\ud800: republish \u009b2J" in told
    assert all(line.isprintable() for line in told.splitlines())
