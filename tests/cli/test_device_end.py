"""What an operator ends or brings in line: an old certificate, a whole device, a device under changed rules."""

from pathlib import Path

import pytest

from jitr.verdicts import OperatorAction
from simulation import Leaf
from simulation.faults import Call, Fault, Moment
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

NAME = "sensor-0001"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch, RULES + 'thing_groups = ["line-1"]\n')


@pytest.fixture
def rotated(fleet: Simulated) -> tuple[Leaf, Leaf]:
    """A device that is in both accounts, and has shown its new certificate in dev alone."""
    old, new = fleet.issue(NAME, begins=-330), fleet.issue(NAME)
    for name in (DEV, PROD):
        assert fleet.knock(name, old, NAME) == "accepted"
    assert fleet.knock(DEV, new, NAME) == "accepted"
    return old, new


def attached(fleet: Simulated, name: str, leaf: Leaf) -> tuple[list[str], list[str]]:
    iot = fleet.iot(name)
    arn = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]["certificateArn"]
    policies = iot.list_attached_policies(target=arn)["policies"]
    return iot.list_principal_things(principal=arn)["things"], [one["policyName"] for one in policies]


def test_an_old_certificate_that_is_followed_elsewhere_is_retired_at_once(
    fleet: Simulated, rotated: tuple[Leaf, Leaf]
) -> None:
    old, new = rotated
    order = f"jitrctl device retire {old.certificate_id} --account prod"
    assert order in fleet.say("device", "show", NAME)
    assert "say --yes" in fleet.say("device", "retire", old.certificate_id, "--account", PROD, code=2)
    assert fleet.status(PROD, old) == "ACTIVE"

    fleet.say("device", "retire", old.certificate_id, "--account", PROD, "--note", "moved", "--yes")
    fleet.aws.clock.advance(30)  # detaching takes a while

    assert fleet.status(PROD, old) == "INACTIVE"
    assert attached(fleet, PROD, old) == ([], [])
    verdict = fleet.verdict(PROD, old)
    assert verdict
    assert (verdict.action, verdict.note, verdict.by) == (
        OperatorAction.DEACTIVATED,
        "moved",
        "arn:aws:sts::222222222222:assumed-role/operator/ann",
    )
    assert fleet.place(PROD).events.put[-1].detail["verdict"] == "deactivated"
    assert fleet.status(DEV, old) == fleet.status(DEV, new) == "ACTIVE"  # not meant
    assert fleet.knock(PROD, new, NAME) == "accepted"


def test_a_devices_present_certificate_is_not_retired(fleet: Simulated, rotated: tuple[Leaf, Leaf]) -> None:
    _, new = rotated
    said = fleet.say("device", "retire", new.certificate_id, "--yes", code=1)
    assert "`jitrctl device deactivate` ends it" in said
    assert fleet.status(DEV, new) == "ACTIVE"


def test_an_old_certificate_is_not_retired_while_its_follower_is_not_active(
    fleet: Simulated, rotated: tuple[Leaf, Leaf]
) -> None:
    old, new = rotated
    fleet.iot(DEV).update_certificate(certificateId=new.certificate_id, newStatus="INACTIVE")
    said = fleet.say("device", "retire", old.certificate_id, "--yes", code=1)
    assert "follows it in dev/eu-central-1, and is INACTIVE there" in said
    assert fleet.status(PROD, old) == "ACTIVE"


def gone(fleet: Simulated, name: str, *leaves: Leaf) -> bool:
    """Whether nothing works or is named any more that belonged to the device."""
    iot = fleet.place(name).iot
    stage = fleet.stage(name)
    return (
        NAME not in iot.things.by_name
        and stage.registry.owner(NAME) is None
        and not any(fleet.status(name, leaf) for leaf in leaves)
        and not any(fleet.record(name, leaf).decision for leaf in leaves)
        and not any(key.startswith("retirement#") for key in ids(fleet, name))
    )


def ids(fleet: Simulated, name: str) -> list[str]:
    return [str(key) for key in fleet.deployments[name].registry.items]


def test_a_device_is_removed_with_all_its_certificates_its_thing_and_its_name(
    fleet: Simulated, rotated: tuple[Leaf, Leaf]
) -> None:
    old, new = rotated
    other = fleet.issue("sensor-0002")
    fleet.knock(DEV, other, "sensor-0002")
    plan = fleet.say("device", "remove", NAME, code=2)
    assert f"prod/eu-central-1 certificate {old.certificate_id} ACTIVE" in plan
    assert f"dev/eu-central-1 thing {NAME}" in plan
    assert fleet.status(DEV, new) == "ACTIVE"

    fleet.say("device", "remove", NAME, "--note", "scrapped", "--yes")

    assert gone(fleet, DEV, old, new)
    assert gone(fleet, PROD, old, new)
    assert fleet.status(DEV, other) == "ACTIVE"
    assert {one.detail["verdict"] for one in fleet.place(PROD).events.put if "verdict" in one.detail} == {"deactivated"}
    # What was removed stays out, and says why.
    assert fleet.knock(PROD, old, NAME) == "refused"
    verdict = fleet.verdict(PROD, old)
    assert verdict
    assert verdict.note == "scrapped"


def test_a_device_that_is_forgotten_is_new_when_it_comes_again(fleet: Simulated, rotated: tuple[Leaf, Leaf]) -> None:
    old, new = rotated
    fleet.say("device", "remove", new.certificate_id, "--forget", "--yes")
    assert gone(fleet, DEV, old, new)
    assert fleet.verdict(DEV, new) is None
    assert fleet.knock(DEV, new, NAME) == "accepted"


def test_what_was_revoked_stays_revoked_when_it_is_removed(fleet: Simulated, rotated: tuple[Leaf, Leaf]) -> None:
    _, new = rotated
    fleet.say("device", "revoke", new.certificate_id, "--yes")
    fleet.say("device", "remove", NAME, "--yes")
    verdict = fleet.verdict(DEV, new)
    assert verdict
    assert verdict.action is OperatorAction.REVOKED


REMOVING = [
    "UpdateItem",
    "UpdateCertificate",
    "DetachPolicy",
    "DetachThingPrincipal",
    "DeleteCertificate",
    "PutEvents",
    "DeleteThing",
    "DeleteItem",
]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", REMOVING)
def test_a_removal_that_breaks_off_anywhere_is_completed_by_the_same_command(
    fleet: Simulated, rotated: tuple[Leaf, Leaf], operation: str, moment: Moment
) -> None:
    old, new = rotated
    struck: list[Call] = []

    def strike(call: Call, when: Moment) -> Fault | None:
        if call.operation == operation and when == moment and call.account_id == "111111111111" and len(struck) < 5:
            struck.append(call)  # as often as jitrctl's client tries
            return Fault.SERVER_ERROR
        return None

    fleet.aws.fault = strike
    # UpdateCertificate is tried once, and the look that follows a failure sees what AWS has carried out.
    is_seen = (operation, moment) == ("UpdateCertificate", "after")
    said = fleet.say("device", "remove", NAME, "--yes", code=0 if is_seen else 1)
    assert "dev/eu-central-1" in said
    assert struck
    assert gone(fleet, PROD, old, new)
    fleet.aws.fault = None

    if not is_seen:
        fleet.say("device", "remove", NAME, "--yes")

    assert gone(fleet, DEV, old, new)
    assert fleet.verdict(DEV, new)


def test_an_active_device_is_brought_in_line_with_changed_rules_and_nobody_elses_things_are_touched(
    fleet: Simulated,
) -> None:
    device = fleet.issue(NAME)
    fleet.knock(DEV, device, NAME)
    iot = fleet.iot(DEV)
    iot.update_thing(thingName=NAME, attributePayload={"attributes": {"site": "north"}, "merge": True})
    assert "nothing to do" in fleet.say("device", "reconcile", NAME)
    rules = RULES.replace('"sensor"', '"sensor-mk2"')
    fleet.write(rules + 'thing_groups = ["line-2"]\nextra_groups = ["line-1"]\nattributes = { cn = "{common_name}" }\n')
    fleet.deploy()

    plan = fleet.say("device", "reconcile", NAME, code=2)
    assert "thing type sensor-mk2 instead of sensor" in plan
    assert "join group line-2" in plan
    assert iot.describe_thing(thingName=NAME)["thingTypeName"] == "sensor"
    changes = fleet.ask("device", "reconcile", NAME, "--yes")

    assert changes[PROD]["changes"] == []
    thing = iot.describe_thing(thingName=NAME)
    assert thing["thingTypeName"] == "sensor-mk2"
    assert thing["attributes"] == {"site": "north", "cn": NAME, "jitr_certificate": device.certificate_id}
    groups = iot.list_thing_groups_for_thing(thingName=NAME)["thingGroups"]
    assert [one["groupName"] for one in groups] == ["line-2"]
    assert fleet.status(DEV, device) == "ACTIVE"
    assert fleet.ask("device", "reconcile", NAME)[DEV]["changes"] == []


def test_a_device_is_brought_to_the_rules_billing_group_and_gets_the_first_shadow_it_lacks(fleet: Simulated) -> None:
    device = fleet.issue(NAME)
    fleet.knock(DEV, device, NAME)
    (fleet.directory / "shadow.json").write_text('{"state": {"desired": {"name": "{thing_name}"}}}', encoding="utf-8")
    rules = RULES + 'billing_group = "costs"\nshadow = "shadow.json"\n'
    fleet.write(rules)
    fleet.deploy()
    shown = fleet.ask("device", "show", NAME)[DEV]["certificates"][0]
    assert shown["missing"] == [f"thing {NAME} is in no billing group, not in costs"]

    changes = fleet.ask("device", "reconcile", NAME, "--yes")[DEV]["changes"]

    assert changes == ["join billing group costs", f"write the first shadow of thing {NAME}"]
    assert fleet.iot(DEV).describe_thing(thingName=NAME)["billingGroupName"] == "costs"
    assert fleet.place(DEV).iot.shadows.by_thing[NAME].state == {"desired": {"name": NAME}}
    assert fleet.ask("device", "reconcile", NAME)[DEV]["changes"] == []

    fleet.write(rules.replace("costs", "others"))
    fleet.deploy()
    changes = fleet.ask("device", "reconcile", NAME, "--yes")[DEV]["changes"]
    assert changes == ["leave billing group costs", "join billing group others"]
    assert fleet.iot(DEV).describe_thing(thingName=NAME)["billingGroupName"] == "others"
    assert len(fleet.place(DEV).iot.shadows.requests) == 1


def test_what_is_missing_or_not_the_rules_is_mended_with_a_policy_there_all_the_while(fleet: Simulated) -> None:
    device = fleet.issue(NAME)
    fleet.knock(DEV, device, NAME)
    iot = fleet.iot(DEV)
    arn = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]["certificateArn"]
    iot.create_policy(policyName="jitr-acme--before", policyDocument="{}")
    iot.attach_policy(policyName="jitr-acme--before", target=arn)
    iot.detach_policy(policyName="jitr-acme--factory", target=arn)
    fleet.aws.calls.clear()

    fleet.say("device", "reconcile", NAME, "--yes")

    assert attached(fleet, DEV, device) == ([NAME], ["jitr-acme--factory"])
    made = [one for one in fleet.aws.list_operations(caller="jitrctl") if one in ("AttachPolicy", "DetachPolicy")]
    assert made == ["AttachPolicy", "DetachPolicy"]


def test_a_device_that_todays_rules_would_refuse_is_told_and_stays_active(fleet: Simulated) -> None:
    device = fleet.issue(NAME)
    fleet.knock(DEV, device, NAME)
    fleet.write(RULES + 'thing_groups = ["line-1"]\nminimum_remaining_life = "500d"\n')
    said = fleet.say("device", "reconcile", NAME)
    assert "The present rules would refuse it; it stays ACTIVE. dev/eu-central-1: EXPIRES_TOO_SOON" in said
    assert fleet.status(DEV, device) == "ACTIVE"


def test_a_devices_name_is_not_changed(fleet: Simulated) -> None:
    device = fleet.issue(NAME)
    fleet.knock(DEV, device, NAME)
    fleet.write(RULES + 'thing_groups = ["line-1"]\nthing_name = "x-{common_name}"\n')
    said = fleet.say("device", "reconcile", device.certificate_id, "--yes", code=1)
    assert "it is thing sensor-0001, and the rules make x-sensor-0001 of it: a name does not change" in said


def is_connected(fleet: Simulated, place: str, client_id: str = NAME) -> bool:
    try:
        return bool(fleet.place(place).client("iot-data").get_connection(clientId=client_id)["connected"])
    except fleet.place(place).client("iot-data").exceptions.ResourceNotFoundException:
        return False


def test_a_removed_device_loses_its_session_and_no_other_one_does(fleet: Simulated, rotated: tuple[Leaf, Leaf]) -> None:
    other = fleet.issue("sensor-0002")
    assert fleet.knock(DEV, other, "sensor-0002") == "accepted"
    assert [is_connected(fleet, place) for place in (DEV, PROD)] == [True, True]
    told = fleet.ask("device", "remove", rotated[1].certificate_id, "--yes")
    for place in (DEV, PROD):
        (session,) = told[place]["devices"][0]["sessions"]
        assert (session["client_id"], session["state"]) == (NAME, "ended")
        assert not is_connected(fleet, place)
    assert is_connected(fleet, DEV, "sensor-0002")


def test_a_removed_device_whose_session_could_not_be_ended_says_so(fleet: Simulated) -> None:
    leaf = fleet.issue(NAME)
    assert fleet.knock(DEV, leaf, NAME) == "accepted"

    def fail(call: Call, moment: Moment) -> Fault | None:
        return Fault.SERVER_ERROR if (call.operation, moment) == ("DeleteConnection", "before") else None

    fleet.aws.fault = fail
    said = fleet.say("device", "remove", NAME, "--account", DEV, "--yes", code=1)
    assert f"{NAME} not ended" in said
    assert fleet.status(DEV, leaf) is None


def test_a_retired_certificate_loses_its_session_where_nothing_else_has_the_thing(
    fleet: Simulated, rotated: tuple[Leaf, Leaf]
) -> None:
    old, new = rotated
    told = fleet.ask("device", "retire", old.certificate_id, "--yes")
    (here,), (there,) = (told[place]["sessions"] for place in (DEV, PROD))
    assert (here["state"], there["state"]) == ("left", "ended")
    assert f"certificate {new.certificate_id[:16]} of thing {NAME} is ACTIVE" in here["why"]
    assert (is_connected(fleet, DEV), is_connected(fleet, PROD)) == (True, False)
    fleet.aws.clock.advance(30)
    assert attached(fleet, PROD, old) == ([], [])
