"""`jitrctl doctor` on the policies that are attached to a device: which statement lets it connect, or keeps it out."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from jitr_fleet.policy import BUILT_IN_POLICY
from jitrctl.doctor import device_policies, provisioned
from jitrctl.doctor.context import DeviceContext
from jitrctl.doctor.finding import LinkFinding, State
from tests.support.cli.simulated import DEV, IDS, REGION, RULES, Simulated, simulated

if TYPE_CHECKING:
    from simulation import Call

SENSOR = "sensor-0001"
POLICY = "jitr-acme--factory"
ARN = f"arn:aws:iot:{REGION}:{IDS[DEV]}:"
OWN = f"{ARN}client/${{iot:Connection.Thing.ThingName}}"


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


CONNECT = {"Sid": "Connect", **allow("iot:Connect", OWN)}
TALK = [
    allow(["iot:Publish", "iot:Receive"], f"{ARN}topic/a/*"),
    allow("iot:Subscribe", f"{ARN}topicfilter/a/*"),
]
DENY = {"Sid": "No", "Effect": "Deny", "Action": "iot:*", "Resource": "*"}


class Device:
    """A device that was let in, and its policies."""

    def __init__(self, fleet: Simulated) -> None:
        self.fleet = fleet
        self.leaf = fleet.issue(SENSOR)
        assert fleet.knock(DEV, self.leaf, SENSOR) == "accepted"
        self.iot = fleet.iot(DEV)
        described = self.iot.describe_certificate(certificateId=self.leaf.certificate_id)
        self.arn = described["certificateDescription"]["certificateArn"]

    def attach(self, name: str, *statements: dict[str, Any], target: str | None = None) -> None:
        """Make a policy of these statements, and attach it to the certificate or another target."""
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=1)
        self.iot.create_policy(policyName=name, policyDocument=document)
        self.iot.attach_policy(policyName=name, target=target or self.arn)

    def replace(self, *statements: dict[str, Any]) -> None:
        """Have the CA's own policy hold these statements."""
        self.iot.detach_policy(policyName=POLICY, target=self.arn)
        self.iot.delete_policy(policyName=POLICY)
        self.attach(POLICY, *statements)

    def look(self, client_id: str | None = None) -> LinkFinding:
        path = self.fleet.directory / "device.pem"
        path.write_text(self.leaf.pem)
        case = DeviceContext(
            stage=self.fleet.stage(DEV),
            file=path,
            certificates=(self.leaf.pem,),
            client_id=client_id,
            now=self.fleet.aws.clock.now(),
        )
        return provisioned.check_policy_allows(case)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    fleet = simulated(tmp_path, monkeypatch, RULES + 'thing_groups = ["line-1"]\n')
    return Device(fleet)


def test_the_statement_that_lets_it_connect_is_named_and_what_it_may_do(device: Device) -> None:
    device.replace(CONNECT, *TALK)

    found = device.look()
    assert found.state is State.GOOD
    assert found.text == (
        "iot:Connect as client id sensor-0001, by statement 1 (Connect) of jitr-acme--factory, line 4; "
        "it may publish to a/x, subscribe to a/x and receive there"
    )


def test_of_a_policy_as_the_fleet_file_has_it_the_line_there_is_named(device: Device) -> None:
    written = json.loads(BUILT_IN_POLICY.read_text())
    text = json.dumps(written).replace("<partition>", "aws").replace("<region>", REGION).replace("<account>", IDS[DEV])
    device.replace(*json.loads(text)["Statement"])

    assert f"by statement 1 (ConnectAsItself) of jitr-acme--factory ({BUILT_IN_POLICY}:4); it may" in device.look().text


def test_a_denial_of_the_cas_own_policy_is_named_with_its_line(device: Device) -> None:
    device.replace(CONNECT, DENY)

    found = device.look()
    assert found.state is State.BROKEN
    assert found.text == ("statement 2 (No) of jitr-acme--factory, line 10 denies iot:Connect as client id sensor-0001")
    deploy = f"node_modules/.bin/cdk deploy {DEV}/{REGION} -c fleet={device.fleet.file} --revert-drift"
    assert found.cure == f"a Deny wins over every Allow: correct the policy's file, and deploy it: `{deploy}`"


def test_a_denial_of_another_policy_is_taken_away_by_a_command(device: Device) -> None:
    device.replace(CONNECT, *TALK)
    device.attach("lock-down", DENY)

    found = device.look()
    assert "statement 1 (No) of lock-down, line 4 denies iot:Connect" in found.text
    command = found.cure.partition("`")[2].partition("`")[0]
    assert command == f"aws iot detach-policy --policy-name lock-down --target {device.arn} --region {REGION}"
    device.iot.detach_policy(policyName="lock-down", target=device.arn)
    assert device.look().state is State.GOOD


def test_a_denial_of_a_thing_groups_policy_is_found(device: Device) -> None:
    device.replace(CONNECT, *TALK)
    device.attach("lock-down", DENY, target=f"{ARN}thinggroup/line-1")

    found = device.look()
    assert found.state is State.BROKEN
    assert "statement 1 (No) of lock-down, line 4 of thing group line-1 denies iot:Connect" in found.text
    assert f"--target {ARN}thinggroup/line-1" in found.cure


def test_a_thing_groups_policy_lets_a_device_connect(device: Device) -> None:
    device.replace(*TALK)
    assert device.look().state is State.BROKEN
    device.attach("of-the-group", CONNECT, target=f"{ARN}thinggroup/line-1")

    assert "by statement 1 (Connect) of of-the-group, line 4 of thing group line-1" in device.look().text


def test_another_client_id_is_compared_with_what_the_policy_allows(device: Device) -> None:
    device.replace(CONNECT, *TALK)

    found = device.look("my-sensor")
    assert found.state is State.BROKEN
    assert found.text == (
        "iot:Connect as client id my-sensor is not allowed by jitr-acme--factory: statement 1 (Connect) "
        "of jitr-acme--factory, line 4 allows it for client/sensor-0001"
    )


def test_a_policy_without_connect_is_said_to_have_none(device: Device) -> None:
    device.replace(*TALK)
    assert device.look().text.endswith("not allowed by jitr-acme--factory: no statement allows iot:Connect")


def test_a_condition_that_does_not_hold_is_named(device: Device) -> None:
    device.replace({**CONNECT, "Condition": {"StringEquals": {"iot:Connection.Thing.ThingTypeName": "gateway"}}})
    assert "the Condition of statement 1 (Connect) of jitr-acme--factory, line 4 does not hold" in device.look().text


def test_what_cannot_be_decided_is_a_note_with_what_it_depends_on(device: Device) -> None:
    device.replace({**CONNECT, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}})

    found = device.look()
    assert found.state is State.NOTE
    assert "depends on aws:SourceIp, in statement 1 (Connect) of jitr-acme--factory" in found.text


def test_a_device_that_may_only_connect_is_noted(device: Device) -> None:
    device.replace(CONNECT)

    found = device.look()
    assert found.state is State.NOTE
    assert found.text.endswith("; it may publish nothing and subscribe to nothing")


def test_policies_of_the_groups_above_a_thing_group_are_asked_for(device: Device) -> None:
    calls: list[Call] = []
    device.fleet.aws.fault = lambda call, _: calls.append(call)
    device.look()

    asked = [one.parameters for one in calls if "thinggroup" in str(one.parameters.get("target"))]
    assert asked
    assert all(parameters["recursive"] is True for parameters in asked)


def test_of_several_things_the_one_of_the_client_id_counts(device: Device) -> None:
    device.replace(CONNECT, *TALK)
    device.iot.detach_thing_principal(thingName=SENSOR, principal=device.arn)
    device.fleet.aws.clock.advance(60)  # detaching takes effect later
    device.iot.create_thing(thingName="sensor-0002")
    for thing in (SENSOR, "sensor-0002"):
        device.iot.attach_thing_principal(thingName=thing, principal=device.arn)

    assert "iot:Connect as client id sensor-0002, by statement 1" in device.look("sensor-0002").text
    found = device.look("other")
    assert found.state is State.BROKEN
    assert found.text.endswith("allows it for client/…")


def test_without_its_thing_the_simulated_broker_refuses_as_doctor_says(device: Device) -> None:
    device.replace(CONNECT, *TALK)
    place = device.fleet.place(DEV)
    assert place.connect(device.leaf, client_id=SENSOR) == "accepted"
    assert device.look().state is State.GOOD

    device.iot.detach_thing_principal(thingName=SENSOR, principal=device.arn)
    device.fleet.aws.clock.advance(60)
    assert place.connect(device.leaf, client_id=SENSOR) == "refused"
    assert f"{SENSOR} is not allowed by {POLICY}" in device.look().text


def test_a_certificates_value_with_a_wildcard_fills_no_variable() -> None:
    fields = {"organization": ("A*", "B"), "country": ("DE",)}
    case: Any = SimpleNamespace(
        certificate=SimpleNamespace(subject_fields=fields),
        certificate_id="0" * 64,
        connects_as=SENSOR,
        stage_certificate=SimpleNamespace(registered=None),
        thing=None,
    )
    context = device_policies._make_context(case)

    assert context["iot:Certificate.Subject.Organization"] is None
    assert context["iot:Certificate.Subject.Organization.1"] == "B"
    assert context["iot:Certificate.Subject.Organization.List"] == ("B",)
    assert context["iot:Certificate.Subject.Organization.2"] is None
    assert context["iot:Certificate.Subject.Country"] == "DE"
    assert context["iot:Certificate.Subject.CommonName"] is None


def test_without_the_permission_to_list_groups_the_own_policies_are_evaluated(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.replace(CONNECT, *TALK)

    def denied(*_: Any) -> None:
        error: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
        raise ClientError(error, "ListThingGroupsForThing")

    monkeypatch.setattr("jitrctl.doctor.device_policies._read_group_policies", denied)
    found = device.look()
    assert found.state is State.NOTE
    assert "policies of its thing groups are not evaluated: " in found.text
    assert "iot:Connect as client id sensor-0001, by statement 1" in found.text
