"""`jitrctl fleet survey` while AWS throttles or refuses, and what was deleted meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulation import Authority
from simulation.faults import Call, Fault, FaultHook, Moment, ServiceError
from tests.support.cli.old_fleet import OldFleet, add_five, found_in, old_fleet
from tests.support.cli.orders import deny_calls, strike
from tests.support.cli.simulated import DEV, PROD


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def test_an_account_that_fails_leaves_the_others_surveyed_and_is_finished_by_resume(
    old: OldFleet, tmp_path: Path
) -> None:
    add_five(old)
    file, place = tmp_path / "both.survey", old.fleet.place(PROD)

    def fault(call: Call, _: Moment) -> None:
        if call.account_id == place.id and call.operation == "ListThings":
            raise ServiceError("AccessDeniedException", "not authorized to perform: iot:ListThings", status=403)

    with strike(old.fleet, fault):
        found = old.fleet.ask("fleet", "survey", str(file), code=1)
    assert sum(one["number"] for one in found[DEV]["certificates"]) == 5
    assert "iot:ListThings is not allowed" in found[PROD]["error"]
    assert f"`jitrctl fleet survey {file} --resume --fleet" in found[PROD]["error"]
    calls = old.fleet.place(DEV).counts.copy()
    assert old.fleet.ask("fleet", "survey", str(file), "--resume")[PROD]["ok"]
    assert {name for name in old.fleet.place(DEV).counts - calls if name.startswith("iot:")} == set()


def test_a_survey_outlasts_an_hour_of_throttles_and_says_that_it_waits(old: OldFleet, tmp_path: Path) -> None:
    add_five(old)
    clock = old.fleet.aws.clock
    begun = clock.monotonic()

    def throttle(call: Call, _: Moment) -> Fault | None:
        is_long = clock.monotonic() - begun > 3600
        return None if is_long or call.service != "iot" else Fault.THROTTLED

    file = tmp_path / "dev.survey"
    with strike(old.fleet, throttle):
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV)
    assert told.count("dev/eu-central-1: AWS has throttled or failed ListCACertificates for") == 6
    assert "Ctrl-C ends the wait, and nothing is lost." in told
    assert "dev/eu-central-1: AWS answers ListCACertificates again, after 60 min." in told
    assert found_in(old.survey(file, "--resume")) == found_in(old.survey(tmp_path / "whole.survey"))


def test_a_survey_gives_up_after_two_hours_of_throttles_and_says_how_it_goes_on(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    file = tmp_path / "dev.survey"
    with strike(old.fleet, lambda call, _: Fault.THROTTLED if call.operation == "ListThings" else None):
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=1)
    assert "AWS has throttled or failed ListThings for 120 minutes" in told
    again = f"`jitrctl fleet survey {file} --resume --account dev --fleet {old.fleet.file}`"
    assert f"{again} goes on from there" in told
    assert old.survey(file, "--resume")["things"] == 1


@pytest.mark.parametrize(
    "operation",
    [
        "ListCACertificates", "DescribeCACertificate", "ListTopicRules", "ListProvisioningTemplates",
        "DescribeProvisioningTemplate", "ListCertificates", "ListCertificatesByCA", "ListThings", "ListPolicies",
        "ListThingPrincipals", "ListTargetsForPolicy", "ListThingsInThingGroup", "GetPolicy", "DescribeCertificate",
    ],
)  # fmt: skip
def test_a_call_that_is_not_allowed_is_named_and_the_survey_goes_on_when_it_is(
    old: OldFleet, tmp_path: Path, operation: str
) -> None:
    add_five(old)
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.attach_policy(policyName="old", target=old.fleet.place(DEV).iot.things.group_arn("site"))
    file = tmp_path / "dev.survey"
    with strike(old.fleet, deny_calls(f"iot:{operation}")):
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=1)
    assert f"iot:{operation} is not allowed: have it added to the permissions of who you are there" in told
    assert f"{file} --resume --account dev" in told
    assert sum(one["number"] for one in old.survey(file, "--resume")["certificates"]) == 5


def test_a_rule_that_may_not_be_read_is_told_and_read_when_it_may_be(old: OldFleet, tmp_path: Path) -> None:
    rule = {"actions": [{"sns": {"targetArn": "arn:aws:sns:eu-central-1:111111111111:theirs"}}]}
    old.fleet.place(DEV).iot.broker.others["theirs"] = (rule, "$aws/events/#")
    file = tmp_path / "dev.survey"
    with strike(old.fleet, deny_calls("iot:GetTopicRule")):
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV)
    assert "rule theirs is not this fleet's; handles $aws/events/#: (may not be read)" in told
    told = old.fleet.say("fleet", "survey", str(file), "--resume", "--account", DEV)
    assert "handles $aws/events/#: sns arn:aws:sns:eu-central-1:111111111111:theirs" in told


def deleting(before: str, delete: Callable[[], Any]) -> FaultHook:
    """Delete something before the first call of an operation, when the lists have it already."""
    is_done = False

    def fault(call: Call, moment: Moment) -> None:
        nonlocal is_done
        if call.operation == before and call.caller == "jitrctl" and moment == "before" and not is_done:
            is_done = True
            delete()

    return fault


@pytest.mark.parametrize("before", ["ListTargetsForPolicy", "GetPolicy"])
def test_a_policy_deleted_meanwhile_is_not_counted(old: OldFleet, tmp_path: Path, before: str) -> None:
    old.add("sensor-0001")
    old.iot.create_policy(policyName="short-lived", policyDocument='{"Statement": []}')
    with strike(old.fleet, deleting(before, lambda: old.iot.delete_policy(policyName="short-lived"))):
        found = old.survey(tmp_path / "dev.survey")
    assert (found["policies"], found["policies_of_no_target"]) == (4, 3)
    assert found == {**old.survey(tmp_path / "after.survey"), "calls": found["calls"]}


def test_a_policy_that_ended_under_its_certificate_leaves_it_without_one(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")

    def delete() -> None:
        old.iot.detach_policy(policyName="old", target=old.arn(leaf))
        old.iot.delete_policy(policyName="old")

    with strike(old.fleet, deleting("GetPolicy", delete)):
        found = old.survey(tmp_path / "dev.survey")
    assert found["certificates_without_policy"] == 1
    assert "old" not in [one["policy"] for one in found["policy_findings"]]


def test_a_certificate_deleted_meanwhile_is_not_counted(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    old.add("gone-0002", ca=Authority.new("Maker"))
    place = old.fleet.place(DEV)

    def delete() -> None:
        (one,) = [one for one in place.iot.certificates.by_id.values() if one.ca_certificate_id is None]
        place.iot.policies.forget(one.arn)
        del place.iot.things.by_name["gone-0002"]
        del place.iot.certificates.by_id[one.certificate_id]
        one.deleted = True

    with strike(old.fleet, deleting("DescribeCertificate", delete)):
        found = old.survey(tmp_path / "dev.survey")
    assert [one["number"] for one in found["certificates"]] == [1]
    assert found["certificates_on_no_thing"] == 0


def test_a_thing_deleted_meanwhile_is_not_counted(old: OldFleet, tmp_path: Path) -> None:
    old.iot.create_thing(thingName="alone")
    delete = deleting("ListThingPrincipals", lambda: old.iot.delete_thing(thingName="alone"))
    with strike(old.fleet, delete):
        assert old.survey(tmp_path / "dev.survey")["things"] == 0


def test_a_ca_a_template_and_a_rule_deleted_meanwhile_end_no_survey(old: OldFleet, tmp_path: Path) -> None:
    place = old.fleet.place(DEV).iot
    place.broker.others["theirs"] = ({"actions": []}, "$aws/events/#")

    def delete_ca() -> None:
        place.cas.by_id.clear()

    for number, fault in enumerate(
        [
            deleting("DescribeCACertificate", delete_ca),
            deleting("DescribeProvisioningTemplate", place.provisioning_templates.by_name.clear),
            deleting("GetTopicRule", place.broker.others.clear),
        ]
    ):
        with strike(old.fleet, fault):
            found = old.survey(tmp_path / f"{number}.survey")
    assert (found["cas"], found["provisioning_templates"]) == ([], [])


def test_a_group_deleted_meanwhile_ends_no_survey(old: OldFleet, tmp_path: Path) -> None:
    things = old.fleet.place(DEV).iot.things
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.attach_policy(policyName="old", target=things.group_arn("site"))
    with strike(old.fleet, deleting("ListThingsInThingGroup", things.groups.clear)):
        found = old.survey(tmp_path / "dev.survey")
    assert found["group_policies"] == [{"thing_group": "site", "policy": "old", "things": 0}]


@pytest.mark.parametrize("operation", ["ListThings", "ListThingsInThingGroup"])
def test_a_marker_that_has_expired_begins_the_list_anew(old: OldFleet, tmp_path: Path, operation: str) -> None:
    things = old.fleet.place(DEV).iot.things
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.attach_policy(policyName="old", target=things.group_arn("site"))
    for number in range(260):
        things.create_thing({"thingName": f"thing-{number}"})
        things.add_thing_to_thing_group({"thingName": f"thing-{number}", "thingGroupName": "site"})
    is_refused = False

    def refuse(call: Call, moment: Moment) -> None:
        nonlocal is_refused
        if call.operation == operation and "nextToken" in call.parameters and moment == "before" and not is_refused:
            is_refused = True
            raise ServiceError("InvalidRequestException", "nextToken has expired")

    with strike(old.fleet, refuse):
        found = old.survey(tmp_path / "dev.survey")
    assert (found["things"], found["group_policies"][0]["things"], is_refused) == (260, 260, True)


def test_a_marker_that_aws_refuses_each_time_ends_the_survey_with_how_it_goes_on(old: OldFleet, tmp_path: Path) -> None:
    things = old.fleet.place(DEV).iot.things
    for number in range(260):
        things.create_thing({"thingName": f"thing-{number}"})
    refused = 0

    def refuse(call: Call, moment: Moment) -> None:
        nonlocal refused
        if call.operation == "ListThings" and "nextToken" in call.parameters and moment == "before":
            refused += 1
            assert refused < 10, "the list has no end"
            raise ServiceError("InvalidRequestException", "nextToken has expired")

    file = tmp_path / "dev.survey"
    with strike(old.fleet, refuse):
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=1)
    assert "AWS refuses the marker of ListThings, also after the list was begun anew" in told
    assert f"`jitrctl fleet survey {file} --resume --account dev --fleet {old.fleet.file}` goes on from there" in told
    assert old.survey(file, "--resume")["things"] == 260


def test_an_account_without_a_stack_is_surveyed(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    old.fleet.place(DEV).dynamodb.tables.clear()
    found = old.survey(tmp_path / "dev.survey")
    assert [(one["origin"], one["number"]) for one in found["certificates"]] == [("JITP", 1)]
