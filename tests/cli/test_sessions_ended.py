"""`device revoke`, `deactivate` and `deny` end the device's sessions in every account, and no other device's."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jitrctl.commands.device import order
from jitrctl.device.sessions import SECONDS_UNTIL_LOOK, DeviceSessions
from simulation import Call, Fault, Leaf, Moment
from simulation.faults import denied
from tests.support.cases.twins import twin_of
from tests.support.cli.simulated import DEV, IDS, PROD, Simulated, simulated

if TYPE_CHECKING:
    from pathlib import Path

SENSOR, OTHER = "sensor-0001", "sensor-0002"
ORDERS = {"revoke": "REVOKED", "deactivate": "INACTIVE", "deny": "INACTIVE"}


@pytest.fixture
def fleet(tmp_path: "Path", monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


@pytest.fixture
def leaf(fleet: Simulated) -> Leaf:
    """A device that is connected in both accounts."""
    return connected(fleet, fleet.issue(SENSOR))


def connected(fleet: Simulated, leaf: Leaf, name: str = SENSOR, *places: str) -> Leaf:
    for place in places or IDS:
        assert fleet.knock(place, leaf, name) == "accepted"
    return leaf


def connection(fleet: Simulated, place: str, client_id: str = SENSOR) -> tuple[bool, str | None]:
    """Whether the client is connected, and why not."""
    found = fleet.place(place).client("iot-data").get_connection(clientId=client_id)
    return found["connected"], found.get("disconnectReason")


ENDED, CONNECTED = (False, "API_INITIATED_DISCONNECT"), (True, None)


def asked(fleet: Simulated, operation: str) -> list[dict[str, Any]]:
    return [call.parameters for call in fleet.aws.calls if call.operation == operation]


@pytest.mark.parametrize(("word", "status"), ORDERS.items())
def test_a_device_is_out_of_both_accounts_and_another_one_stays(
    fleet: Simulated, leaf: Leaf, word: str, status: str
) -> None:
    connected(fleet, fleet.issue(OTHER), OTHER)
    said = fleet.say("device", word, leaf.certificate_id, "--yes")
    assert said.count(f"{SENSOR} ended after 0.0 s") == 2
    for place in IDS:
        assert fleet.status(place, leaf) == status
        assert connection(fleet, place) == ENDED
        assert connection(fleet, place, OTHER) == CONNECTED
        assert fleet.knock(place, leaf, SENSOR) == "refused"
    assert asked(fleet, "DeleteConnection") == [{"clientId": SENSOR, "cleanSession": word == "revoke"}] * 2


def test_the_verdict_and_the_status_come_before_the_session(fleet: Simulated, leaf: Leaf) -> None:
    fleet.aws.calls.clear()
    fleet.say("device", "revoke", leaf.certificate_id, "--account", DEV, "--yes")
    writes = {"UpdateItem", "UpdateCertificate", "DeleteConnection", "PutEvents"}
    assert [one for one in fleet.aws.list_operations(caller="jitrctl") if one in writes] == [
        "UpdateItem",
        "UpdateCertificate",
        "DeleteConnection",
        "PutEvents",
    ]


def test_the_successor_of_a_rotated_certificate_keeps_its_session(fleet: Simulated) -> None:
    old = connected(fleet, fleet.issue(SENSOR, begins=-340, days=365))
    connected(fleet, fleet.issue(SENSOR))
    said = fleet.say("device", "revoke", old.certificate_id, "--yes")
    assert "is ACTIVE: AWS ends it within minutes" in said
    for place in IDS:
        assert fleet.status(place, old) == "REVOKED"
        assert connection(fleet, place) == CONNECTED
    assert not asked(fleet, "DeleteConnection")


def test_the_wait_before_the_second_look_is_shared_by_devices_and_accounts(fleet: Simulated, leaf: Leaf) -> None:
    other = connected(fleet, fleet.issue(OTHER), OTHER)
    before = fleet.aws.clock.monotonic()
    fleet.say("device", "revoke", leaf.certificate_id, other.certificate_id, "--yes")
    assert fleet.aws.clock.monotonic() - before == SECONDS_UNTIL_LOOK


def test_nothing_is_waited_for_when_the_device_was_never_active(fleet: Simulated) -> None:
    leaf = fleet.issue(SENSOR)
    fleet.place(DEV).connect(leaf, client_id=SENSOR)
    before = fleet.aws.clock.monotonic()
    said = fleet.say("device", "revoke", leaf.certificate_id, "--yes")
    assert "not connected" in said
    assert "not registered here; refused when it comes none" in said
    assert fleet.aws.clock.monotonic() == before


def comes_back(fleet: Simulated, leaf: Leaf, *, times: int) -> Callable[[Call, Moment], None]:
    """As long as not all of AWS IoT knows the status, the device connects again whenever its session is ended."""
    left = [times]

    def strike(call: Call, moment: Moment) -> None:
        if call.operation == "DeleteConnection" and moment == "after" and left[0] > 0:
            left[0] -= 1
            fleet.place(DEV).iot.connections.begin(SENSOR, leaf.certificate_id, clean=True)

    return strike


@pytest.mark.parametrize(("times", "seconds"), [(1, "0.0"), (2, "10.0")])
def test_a_device_that_comes_back_is_ended_again_at_once_and_ten_seconds_later(
    fleet: Simulated, leaf: Leaf, times: int, seconds: str
) -> None:
    fleet.aws.fault = comes_back(fleet, leaf, times=times)
    said = fleet.say("device", "revoke", leaf.certificate_id, "--account", DEV, "--yes")
    assert f"{SENSOR} ended after {seconds} s, came back and was ended again" in said
    assert connection(fleet, DEV) == ENDED


def test_a_device_that_comes_back_again_and_again_is_a_failure(fleet: Simulated, leaf: Leaf) -> None:
    fleet.aws.fault = comes_back(fleet, leaf, times=3)
    told = fleet.ask("device", "revoke", leaf.certificate_id, "--account", DEV, "--yes", code=1)
    (session,) = told[DEV]["sessions"]
    assert (session["state"], session["came_back"]) == ("failed", True)
    assert "the same command ends it again" in session["why"]


def test_a_certificate_of_the_thing_that_became_active_since_is_left(fleet: Simulated, leaf: Leaf) -> None:
    other = fleet.issue(SENSOR)
    place = fleet.place(DEV)

    def strike(call: Call, moment: Moment) -> None:
        if call.operation == "DeleteConnection" and moment == "after":
            arn = place.iot.certificates.register(other, status="ACTIVE", mode="SNI_ONLY").arn
            fleet.iot(DEV).attach_thing_principal(thingName=SENSOR, principal=arn)
            place.iot.connections.begin(SENSOR, other.certificate_id, clean=True)

    fleet.aws.fault = strike
    said = fleet.say("device", "revoke", leaf.certificate_id, "--account", DEV, "--yes")
    assert f"{SENSOR} ended after 0.0 s" in said
    assert connection(fleet, DEV) == CONNECTED


def refusing(operation: str, account: str = PROD) -> Callable[[Call, Moment], Fault | None]:
    def strike(call: Call, moment: Moment) -> Fault | None:
        if call.operation == operation and moment == "before" and call.account_id == IDS[account]:
            raise denied(call)
        return None

    return strike


def test_a_missing_permission_is_said_and_undoes_nothing(fleet: Simulated, leaf: Leaf) -> None:
    fleet.aws.fault = refusing("DeleteConnection")
    said = fleet.say("device", "revoke", leaf.certificate_id, "--yes", code=1)
    assert f"{SENSOR} not ended: DeleteConnection is not allowed" in said
    assert "AWS ends it within minutes" in said
    assert [fleet.status(place, leaf) for place in IDS] == ["REVOKED", "REVOKED"]
    assert [connection(fleet, place) for place in IDS] == [ENDED, CONNECTED]


def test_the_same_command_ends_the_session_that_was_left_for_a_permission(fleet: Simulated, leaf: Leaf) -> None:
    fleet.aws.fault = refusing("DeleteConnection")
    fleet.say("device", "revoke", leaf.certificate_id, "--yes", code=1)
    fleet.aws.fault = None
    fleet.say("device", "revoke", leaf.certificate_id, "--yes")
    assert [connection(fleet, place) for place in IDS] == [ENDED, ENDED]


def test_where_connections_may_not_be_read_the_session_is_ended_all_the_same(fleet: Simulated, leaf: Leaf) -> None:
    fleet.aws.fault = refusing("GetConnection")
    fleet.say("device", "revoke", leaf.certificate_id, "--yes")
    fleet.aws.fault = None
    assert [connection(fleet, place) for place in IDS] == [ENDED, ENDED]


def test_json_says_of_each_account_what_became_of_the_session(fleet: Simulated) -> None:
    leaf = connected(fleet, fleet.issue(SENSOR), SENSOR, DEV)
    told = fleet.ask("device", "revoke", leaf.certificate_id, "--yes")
    assert told[DEV]["sessions"] == [
        {"client_id": SENSOR, "state": "ended", "seconds": 0.0, "came_back": False, "why": None}
    ]
    assert told[PROD]["sessions"] == []


def test_that_revoked_is_final_is_said_before_it_is_done(fleet: Simulated, leaf: Leaf) -> None:
    assert "REVOKED is final on AWS IoT" in fleet.say("device", "revoke", leaf.certificate_id, code=2)
    assert "is final" not in fleet.say("device", "deactivate", leaf.certificate_id, code=2)
    assert fleet.status(DEV, leaf) == "ACTIVE"


@pytest.mark.parametrize(("word", "flags"), [("deactivate", ["--revoked"]), ("deny", [])])
def test_a_hold_is_taken_back_by_release(fleet: Simulated, leaf: Leaf, word: str, flags: list[str]) -> None:
    fleet.say("device", word, leaf.certificate_id, "--yes")
    fleet.say("device", "release", leaf.certificate_id, *flags, "--yes")
    for place in IDS:
        assert fleet.knock(place, leaf, SENSOR) == "accepted"
        assert connection(fleet, place) == CONNECTED


def test_ctrl_c_during_the_wait_reports_what_was_done(
    fleet: Simulated, leaf: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(order, "DeviceSessions", partial(DeviceSessions, sleep=interrupt))
    said = fleet.say("device", "revoke", leaf.certificate_id, "--yes", code=130)
    assert said.count(f"{SENSOR} ended after") == 2
    assert "whether a device has connected again was not looked at: the same command does" in said


@pytest.mark.parametrize("operation", ["BatchGetItem", "UpdateItem"])
def test_an_account_that_cannot_be_reached_is_named_and_the_others_are_done(
    fleet: Simulated, leaf: Leaf, operation: str
) -> None:
    fleet.aws.fault = refusing(operation)
    said = fleet.say("device", "revoke", leaf.certificate_id, "--yes", code=1)
    assert f"{PROD}/eu-central-1" in said
    assert "the same command does the rest" in said
    assert [fleet.status(place, leaf) for place in IDS] == ["REVOKED", "ACTIVE"]
    assert connection(fleet, DEV) == ENDED


def test_a_device_denied_in_the_list_while_active_is_offered_the_order_to_paste(fleet: Simulated, leaf: Leaf) -> None:
    said = fleet.say("enrollment", "deny", SENSOR, "--yes")
    offered = said.partition("dev/eu-central-1: still ACTIVE: `")[2].partition("`")[0]
    assert offered.startswith(f"jitrctl device revoke {leaf.certificate_id} --account dev --region eu-central-1")
    words = offered.partition("--fleet")[0].split()[1:]
    fleet.say(*words, "--yes")
    assert connection(fleet, DEV) == ENDED


def test_the_session_of_the_certificates_twin_is_ended_with_it(fleet: Simulated) -> None:
    """The same certificate with its signature written differently, under which the device is ACTIVE and connected."""
    leaf, place = fleet.issue(SENSOR), fleet.place(DEV)
    twin = twin_of(leaf.pem)
    for answer in ("refused", "accepted"):
        assert place.connect(twin, client_id=SENSOR) == answer
        fleet.deployments[DEV].mapping().drain()
    assert fleet.knock(DEV, leaf, SENSOR) == "refused"
    fleet.say("device", "revoke", leaf.certificate_id, "--account", DEV, "--yes")
    assert fleet.status(DEV, leaf) == "REVOKED"
    assert connection(fleet, DEV) == ENDED
    assert place.connect(twin, client_id=SENSOR) == "refused"


# AWS IoT's log, where it logs connects


def rotated(fleet: Simulated, *, last: str) -> tuple[Leaf, Leaf]:
    """An old certificate and its successor, both ACTIVE; this one of them connected last, with the thing's name."""
    fleet.place(DEV).logs.iot_logs = True
    old = connected(fleet, fleet.issue(SENSOR, begins=-340, days=365), SENSOR, DEV)
    fleet.aws.clock.advance(5)
    new = connected(fleet, fleet.issue(SENSOR), SENSOR, DEV)
    fleet.aws.clock.advance(5)
    if last == "old":
        assert fleet.place(DEV).connect(old, client_id=SENSOR) == "accepted"
    return old, new


@pytest.mark.parametrize("last", ["old", "new"])
def test_the_log_tells_whose_session_it_is_where_two_certificates_share_a_thing(fleet: Simulated, last: str) -> None:
    old, _ = rotated(fleet, last=last)
    said = fleet.say("device", "revoke", old.certificate_id, "--account", DEV, "--yes")
    assert connection(fleet, DEV) == (ENDED if last == "old" else CONNECTED)
    assert (f"{SENSOR} ended after" in said) is (last == "old")
    assert ("is ACTIVE: AWS ends it within minutes" in said) is (last == "new")
    assert [one.get("cleanSession") for one in asked(fleet, "DeleteConnection")] == [False] * (last == "old")


def test_a_successor_that_connects_after_the_order_is_not_ended_at_the_second_look(fleet: Simulated) -> None:
    old, new = rotated(fleet, last="old")

    def strike(call: Call, moment: Moment) -> None:
        if call.operation == "DeleteConnection" and moment == "after":
            fleet.aws.clock.advance(1)
            assert fleet.place(DEV).connect(new, client_id=SENSOR) == "accepted"

    fleet.aws.fault = strike
    fleet.say("device", "revoke", old.certificate_id, "--account", DEV, "--yes")
    assert connection(fleet, DEV) == CONNECTED


def test_where_the_log_may_not_be_read_the_session_is_left(fleet: Simulated) -> None:
    old, _ = rotated(fleet, last="old")
    fleet.aws.fault = refusing("FilterLogEvents", DEV)
    said = fleet.say("device", "revoke", old.certificate_id, "--account", DEV, "--yes")
    assert "is ACTIVE: AWS ends it within minutes" in said
    assert connection(fleet, DEV) == CONNECTED
