"""An order to take certificates away that the functions carry out: the sweep finds it, `register` sets the status."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction, OperatorVerdict
from simulation import Call, Died, Leaf, Moment
from tests.support.cli.simulated import DEV, Simulated, simulated

REVOKED, DEACTIVATED = OperatorAction.REVOKED, OperatorAction.DEACTIVATED


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


def join(fleet: Simulated, name: str) -> Leaf:
    leaf = fleet.issue(name)
    assert fleet.knock(DEV, leaf, name) == "accepted"
    return leaf


def order(fleet: Simulated, leaf: Leaf, action: OperatorAction = REVOKED) -> OperatorVerdict:
    stage = fleet.stage(DEV)
    verdict = OperatorVerdict(action=action, by=stage.caller, at=fleet.aws.clock.now(), note="stolen")
    given = stage.registry.order_take_away(leaf.certificate_id, verdict, seen=fleet.record(DEV, leaf))
    assert given is not None
    return given


def due(fleet: Simulated) -> list[str]:
    return fleet.stage(DEV).registry.list_due(Due.TAKE_AWAY, fleet.aws.clock.now(), most=10)


def is_connected(fleet: Simulated, name: str) -> bool:
    try:
        return bool(fleet.place(DEV).client("iot-data").get_connection(clientId=name)["connected"])
    except fleet.place(DEV).client("iot-data").exceptions.ResourceNotFoundException:
        return False


@pytest.mark.parametrize(("action", "status"), [(REVOKED, "REVOKED"), (DEACTIVATED, "INACTIVE")])
def test_an_ordered_certificate_gets_its_status_and_loses_its_session(
    fleet: Simulated, action: OperatorAction, status: str
) -> None:
    leaf, other = join(fleet, "sensor-0001"), join(fleet, "sensor-0002")
    order(fleet, leaf, action)
    assert (fleet.status(DEV, leaf), due(fleet)) == ("ACTIVE", [leaf.certificate_id])
    fleet.sweep(DEV)
    assert (fleet.status(DEV, leaf), fleet.status(DEV, other)) == (status, "ACTIVE")
    assert (is_connected(fleet, "sensor-0001"), is_connected(fleet, "sensor-0002")) == (False, True)
    record = fleet.record(DEV, leaf)
    assert (due(fleet), record.ordered, record.intent) == ([], None, None)
    assert record.decision is not None
    assert (record.decision.status, record.decision.thing_name) == (status, "sensor-0001")


def test_an_order_is_announced_with_its_operator_and_the_status(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    order(fleet, leaf)
    fleet.sweep(DEV)
    (event,) = [one for one in fleet.place(DEV).events.put if one.detail_type == "Operator Verdict"]
    assert (event.detail["verdict"], event.detail["status"], event.detail["note"]) == ("revoked", "REVOKED", "stolen")


def test_no_claim_succeeds_from_the_order_on_and_a_pending_device_is_revoked(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    fleet.place(DEV).connect(leaf, client_id="sensor-0001")
    order(fleet, leaf)
    fleet.deployments[DEV].mapping().drain()  # by its own event, before any sweep
    assert (fleet.status(DEV, leaf), fleet.record(DEV, leaf).ordered) == ("REVOKED", None)
    fleet.sweep(DEV)
    assert due(fleet) == []


def test_an_order_on_a_certificate_that_is_not_here_is_a_denial(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    order(fleet, leaf)
    fleet.sweep(DEV)
    assert (due(fleet), fleet.record(DEV, leaf).ordered) == ([], None)
    fleet.sweep(DEV)
    assert due(fleet) == []
    fleet.knock(DEV, leaf, "sensor-0001")
    assert fleet.status(DEV, leaf) == "INACTIVE"


def test_an_order_whose_verdict_was_replaced_is_void(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    given = order(fleet, leaf, DEACTIVATED)
    released = OperatorVerdict(action=OperatorAction.RELEASED, by="bob", at=fleet.aws.clock.now())
    fleet.stage(DEV).registry.give_verdict(leaf.certificate_id, released, seen=given)
    fleet.sweep(DEV)
    assert (fleet.status(DEV, leaf), due(fleet)) == ("ACTIVE", [])


def test_an_order_that_a_verdict_of_the_same_kind_replaced_is_void(fleet: Simulated) -> None:
    """Its operator carries that one out; what somebody does after that is left alone."""
    leaf = join(fleet, "sensor-0001")
    given = order(fleet, leaf, DEACTIVATED)
    later = OperatorVerdict(action=DEACTIVATED, by="bob", at=fleet.aws.clock.now())
    fleet.stage(DEV).registry.give_verdict(leaf.certificate_id, later, seen=given)
    for status in ("INACTIVE", "ACTIVE"):
        fleet.iot(DEV).update_certificate(certificateId=leaf.certificate_id, newStatus=status)
    fleet.sweep(DEV, after=7200)
    assert (fleet.status(DEV, leaf), due(fleet)) == ("ACTIVE", [])


def test_a_second_order_waits_for_nothing_and_the_first_ones_end_does_not_end_it(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    order(fleet, leaf, DEACTIVATED)
    before = fleet.record(DEV, leaf)
    order(fleet, leaf, REVOKED)
    fleet.stage(DEV).registry.end_take_away(leaf.certificate_id, before)
    assert due(fleet) == [leaf.certificate_id]
    fleet.sweep(DEV)
    assert fleet.status(DEV, leaf) == "REVOKED"


def test_an_order_is_not_given_over_a_verdict_that_came_meanwhile(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    seen = fleet.record(DEV, leaf)
    order(fleet, leaf, REVOKED)
    stage = fleet.stage(DEV)
    verdict = OperatorVerdict(action=DEACTIVATED, by="bob", at=fleet.aws.clock.now() + timedelta(seconds=1))
    assert stage.registry.order_take_away(leaf.certificate_id, verdict, seen=seen) is None


def test_a_device_that_somebody_activates_again_after_the_order_is_left_alone(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    order(fleet, leaf, DEACTIVATED)
    fleet.sweep(DEV)
    fleet.iot(DEV).update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    fleet.sweep(DEV, after=7200)
    assert fleet.status(DEV, leaf) == "ACTIVE"


def test_an_order_is_carried_out_though_the_queue_is_behind(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    fleet.place(DEV).connect(fleet.issue("sensor-0002"), client_id="sensor-0002")
    fleet.aws.clock.advance(3601)
    order(fleet, leaf)
    result = fleet.deployments[DEV].sweep()
    assert (result.queue_is_behind, result.sent) == (True, 1)
    fleet.aws.clock.advance(901)
    fleet.deployments[DEV].mapping().drain()
    assert fleet.status(DEV, leaf) == "REVOKED"


def test_the_successor_of_a_rotation_keeps_its_session(fleet: Simulated) -> None:
    old = fleet.issue("sensor-0001", begins=-330)
    assert fleet.knock(DEV, old, "sensor-0001") == "accepted"
    fleet.aws.clock.advance(3600)
    new = fleet.issue("sensor-0001", begins=0.01)
    assert fleet.knock(DEV, new, "sensor-0001") == "accepted"
    order(fleet, old)
    fleet.sweep(DEV)
    assert (fleet.status(DEV, old), fleet.status(DEV, new)) == ("REVOKED", "ACTIVE")
    assert is_connected(fleet, "sensor-0001")


def calls_of_an_order(fleet: Simulated, leaf: Leaf) -> list[Call]:
    """Every call that the functions make for an order."""
    fleet.aws.calls.clear()
    order(fleet, leaf)
    fleet.sweep(DEV)
    return [one for one in fleet.aws.calls if one.caller in ("sweep", "register")]


# Before a call is after the one before it, but for the first.
@pytest.mark.parametrize("moment", [pytest.param("before", marks=pytest.mark.deep), "after"])
def test_the_functions_may_die_at_every_call_and_the_order_is_carried_out(fleet: Simulated, moment: Moment) -> None:
    number = len(calls_of_an_order(fleet, join(fleet, "sensor-0000")))
    assert number > 20
    for place in range(number):
        leaf = join(fleet, f"sensor-{place + 1:04}")
        neighbour = join(fleet, f"sensor-{place + 5001:04}")
        order(fleet, leaf)
        count = iter(range(10_000))

        def die(call: Call, now: Moment, count: Iterator[int] = count, place: int = place) -> None:
            if call.caller in ("sweep", "register") and now == moment and next(count) == place:
                raise Died

        fleet.aws.fault = die
        try:
            fleet.sweep(DEV)
        except Died:
            fleet.deployments[DEV].mapping().drain()
        fleet.aws.fault = None
        for _ in range(3):
            fleet.sweep(DEV, after=3600)
        assert (fleet.status(DEV, leaf), fleet.status(DEV, neighbour)) == ("REVOKED", "ACTIVE"), place
        record = fleet.record(DEV, leaf)
        assert (due(fleet), record.ordered, record.intent) == ([], None, None), place


def send_order(fleet: Simulated, leaf: Leaf) -> None:
    """Order a certificate away, and let the sweep send it; `register` has not seen it yet."""
    order(fleet, leaf)
    fleet.deployments[DEV].sweep()


def reconnect(fleet: Simulated, leaf: Leaf, name: str, *, times: int) -> None:
    """As long as not all of AWS IoT knows the status, the device connects again whenever its session is ended."""
    left = [times]

    def strike(call: Call, moment: Moment) -> None:
        if call.operation == "DeleteConnection" and moment == "after" and left[0] > 0:
            left[0] -= 1
            fleet.place(DEV).iot.connections.begin(name, leaf.certificate_id, clean=True)

    fleet.aws.fault = strike


def test_a_device_that_connects_again_is_ended_by_a_second_look_ten_seconds_later(fleet: Simulated) -> None:
    leaf, other = join(fleet, "sensor-0001"), join(fleet, "sensor-0002")
    send_order(fleet, leaf)
    reconnect(fleet, leaf, "sensor-0001", times=1)
    mapping, begun = fleet.deployments[DEV].mapping(), fleet.aws.clock.monotonic()
    mapping.poll()
    assert (fleet.status(DEV, leaf), is_connected(fleet, "sensor-0001")) == ("REVOKED", True)
    assert due(fleet) == [leaf.certificate_id]
    assert fleet.aws.clock.monotonic() - begun < 2, "the function does not wait"
    mapping.drain(within=20)
    assert 10 <= fleet.aws.clock.monotonic() - begun < 20
    assert (is_connected(fleet, "sensor-0001"), is_connected(fleet, "sensor-0002")) == (False, True)
    assert (due(fleet), fleet.record(DEV, leaf).ordered, fleet.record(DEV, leaf).second_look) == ([], None, None)
    assert fleet.status(DEV, other) == "ACTIVE"


def test_a_second_look_at_a_device_that_stays_out_is_one_call_of_aws_iot(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    send_order(fleet, leaf)
    mapping = fleet.deployments[DEV].mapping()
    mapping.poll()
    fleet.aws.calls.clear()
    mapping.drain(within=20)
    assert [one.operation for one in fleet.aws.calls if one.service in ("iot", "iot-data")] == ["GetConnection"]
    assert due(fleet) == []


def test_a_second_look_leaves_a_device_that_somebody_activated_again(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    order(fleet, leaf, DEACTIVATED)
    fleet.deployments[DEV].sweep()
    mapping = fleet.deployments[DEV].mapping()
    mapping.poll()
    fleet.iot(DEV).update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"
    mapping.drain(within=20)
    assert (is_connected(fleet, "sensor-0001"), due(fleet)) == (True, [])


def test_a_second_look_whose_message_is_lost_is_made_up_by_the_sweep(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    send_order(fleet, leaf)
    reconnect(fleet, leaf, "sensor-0001", times=1)
    fleet.deployments[DEV].mapping().poll()
    fleet.deployments[DEV].registrations.messages.clear()
    fleet.sweep(DEV, after=3601)
    assert (is_connected(fleet, "sensor-0001"), due(fleet)) == (False, [])


def test_a_new_order_between_the_two_looks_is_carried_out_as_a_whole(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001")
    order(fleet, leaf, DEACTIVATED)
    fleet.deployments[DEV].sweep()
    fleet.deployments[DEV].mapping().poll()
    assert fleet.record(DEV, leaf).second_look is not None
    order(fleet, leaf, REVOKED)
    assert fleet.record(DEV, leaf).second_look is None
    fleet.sweep(DEV)
    assert (fleet.status(DEV, leaf), due(fleet)) == ("REVOKED", [])
