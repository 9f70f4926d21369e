"""A CRL meets one that is not finished: a run that died or had no time, an older CRL, one that is not in force yet."""

from dataclasses import replace
from typing import Any

import pytest

from jitr.aws.crl_bucket import object_key
from jitr.crl_progress import REFUSED, WAITS, ApprovedCrl, CrlState, Refusal, WaitingCrl
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.handlers.revoke import _DEADLINE
from jitr.revocation import application, candidates, judgement
from jitr.rules import CheckMode
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import OrderContext
from simulation import Call, Died, Fault, Leaf, Moment
from tests.support.cases.issuing import NOW
from tests.support.survival.revoking import CA, FOR_GOOD, HOLD, Revoking
from tests.support.survival.scenario_world import DAY
from tests.support.survival.scenarios import OPERATOR

_ATTEMPTS = 3  # of one call


def suspend_and_die(world: Revoking, device: Leaf) -> None:
    """The CRL suspends the device; the function dies before it records that, and before its message comes again."""
    world.aws.fault = _dying_at("UpdateCertificate")
    world.publish({device: HOLD})
    world.revoke.poll()
    world.aws.fault = None
    assert world.status(device) == "INACTIVE"
    decision = world.decision(device)
    assert decision
    assert decision.outcome is Outcome.ACTIVATED, "the suspension is not recorded"


def _dying_at(operation: str, when: Moment = "after") -> Any:
    def die(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("revoke", operation, when):
            raise Died

    return die


def test_a_suspension_that_was_not_recorded_is_lifted_by_the_next_crl() -> None:
    world = Revoking()
    device, other = world.come("sensor", 2)
    suspend_and_die(world, device)

    world.apply()
    world.sweep_and_decide(2)

    assert world.statuses([device, other]) == ["ACTIVE", "ACTIVE"]
    decision = world.decision(device)
    assert decision
    assert (decision.outcome, decision.thing_name) == (Outcome.ACTIVATED, "sensor-0001")
    announced = [one.detail.get("reason") for one in world.account.events.put if "reason" in one.detail]
    assert announced.count("SUSPENDED_BY_CA") == 1
    world.check_promises()


@pytest.mark.parametrize("by", ["operator", "console"])
def test_a_suspension_that_was_not_recorded_is_not_lifted_against_another_party(by: str) -> None:
    world = Revoking()
    (device,) = world.come("sensor", 1)
    suspend_and_die(world, device)
    world.aws.clock.advance(120)
    if by == "operator":
        world.operator.take_away(device.certificate_id, OperatorAction.DEACTIVATED, OrderContext(by=OPERATOR))
    else:
        world.admin.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")

    world.apply()
    world.sweep_and_decide(3)

    assert world.status(device) == "INACTIVE"


def test_a_suspension_that_was_begun_and_not_carried_out_is_none() -> None:
    world = Revoking()
    (device,) = world.come("sensor", 1)
    failures = [1]

    def fail(call: Call, _moment: Moment) -> None:
        if (call.caller, call.operation) == ("revoke", "UpdateCertificate") and failures:
            failures.pop()
            raise Died

    world.aws.fault = fail
    world.publish({device: HOLD})
    world.revoke.poll()
    world.aws.fault = None
    world.apply()
    world.sweep_and_decide(2)
    assert (failures, world.status(device)) == ([], "ACTIVE")
    decision = world.decision(device)
    assert decision
    assert decision.outcome is Outcome.ACTIVATED


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_revocation_that_was_begun_on_a_hold_and_is_in_no_crl_is_settled(moment: Moment) -> None:
    """A key compromise was withdrawn: before the function died it has been carried out, or the hold is lifted."""
    world = Revoking()
    (device,) = world.come("sensor", 1)
    world.apply({device: HOLD})
    world.aws.fault = _dying_at("UpdateCertificate", moment)
    world.publish({device: FOR_GOOD})
    world.revoke.poll()
    world.aws.fault = None
    world.apply()
    world.sweep_and_decide(2)
    assert world.state.work is None, "the CRL is applied"
    assert world.state.applied
    assert world.state.applied.number == world.number
    decision = world.decision(device)
    assert decision
    expected = "ACTIVE" if moment == "before" else "REVOKED"
    assert (world.status(device), decision.status) == (expected, expected)
    world.check_promises()


@pytest.mark.parametrize("reason", [FOR_GOOD, HOLD], ids=["for good", "hold"])
def test_what_the_daily_pass_finds_of_a_run_that_died_is_recorded(reason: Any) -> None:
    """No CRL comes again; a certificate that is deleted and registered again is refused by its record."""
    world = Revoking()
    (device,) = world.come("sensor", 1)
    world.aws.clock.advance(60)
    world.aws.fault = _dying_at("UpdateCertificate")
    world.publish({device: reason})
    world.revoke.poll()
    world.aws.fault = None
    world.deployment.crl_arrivals.messages.clear()
    world.aws.clock.advance(2 * DAY)
    world.sweep_and_decide(2)
    decision = world.decision(device)
    assert decision
    assert decision.reason is (Reason.REVOKED_BY_CA if reason is FOR_GOOD else Reason.SUSPENDED_BY_CA)


def test_a_crl_that_is_older_than_the_one_under_way_is_refused() -> None:
    world = Revoking()
    (device,) = world.come("sensor", 1)
    world.apply(number=3)
    world.publish({device: HOLD}, number=5)
    world.revoke.drain(within=30)
    assert world.status(device) == "INACTIVE"
    assert world.state.work

    world.apply({}, number=4)
    world.sweep_and_decide(2)

    assert world.status(device) == "INACTIVE"
    assert world.state.refused
    assert world.state.refused.why == "number 4 is older: number 5 is being applied"


def test_the_crl_that_was_applied_may_not_follow_the_one_under_way() -> None:
    """The same object as before is published again."""
    world = Revoking()
    (device,) = world.come("sensor", 1)
    before = world.account.s3.buckets[world.deployment.settings.crl_bucket][object_key(CA)].body
    world.publish({device: HOLD})
    world.revoke.drain(within=30)
    assert world.state.work
    world.aws.clock.advance(60)
    world.deployment.publish_crl(CA, before)
    world.revoke.drain(within=DAY)
    world.sweep_and_decide(2)
    assert world.status(device) == "INACTIVE"
    assert world.state.refused
    assert "is being applied" in world.state.refused.why


def test_a_yes_to_an_older_crl_is_none_to_the_number_of_devices_that_it_takes_out() -> None:
    world = Revoking()
    devices = world.come("sensor", 30)
    world.apply(number=7)
    world.apply(dict.fromkeys(devices[:21], FOR_GOOD), number=6, age=60)
    assert world.state.refused
    assert world.state.refused.cause == Refusal.OLDER

    assert world.approve()
    world.sweep_and_decide(2)
    world.revoke.drain(within=DAY)

    assert world.statuses(devices) == ["ACTIVE"] * 30
    assert world.state.refused is None
    assert world.state.waits
    assert world.state.waits.ended == 21

    assert world.approve()
    assert world.statuses(devices) == ["REVOKED"] * 21 + ["ACTIVE"] * 9


@pytest.mark.parametrize("seen", [WAITS, REFUSED])
def test_a_yes_to_a_crl_ends_when_another_one_follows(monkeypatch: pytest.MonkeyPatch, seen: str) -> None:
    """The same object is published again, and would lift the newer CRL's holds."""
    monkeypatch.setattr(application, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(judgement, "MOST_AT_ONCE", 0)
    world = Revoking()
    devices = world.come("sensor", 2)
    approved = world.crl({} if seen == REFUSED else {devices[0]: HOLD}, number=10)
    world.aws.clock.advance(3600)
    if seen == REFUSED:
        world.apply(number=11)
    world.deployment.publish_crl(CA, approved)
    world.revoke.drain(within=DAY)
    assert world.approve()
    assert (world.state.approved and world.state.approved.of) == seen
    monkeypatch.setattr(judgement, "MOST_AT_ONCE", 20)
    world.aws.clock.advance(3600)
    world.apply(dict.fromkeys(devices, HOLD), number=12)
    assert world.statuses(devices) == ["INACTIVE", "INACTIVE"]

    world.deployment.publish_crl(CA, approved)
    world.revoke.drain(within=DAY)
    world.sweep_and_decide(2)

    assert world.statuses(devices) == ["INACTIVE", "INACTIVE"]
    assert world.state.refused


def test_a_yes_to_a_number_of_devices_lets_no_crl_follow_a_newer_one() -> None:
    yes = ApprovedCrl(version="10", by=OPERATOR, at=NOW, of=WAITS)
    waits = WaitingCrl(version="10", ended=30, devices=30, at=NOW)
    assert CrlState(approved=yes, waits=waits).is_approved("10"), "it follows already, or was let"
    assert not CrlState(approved=yes, waits=replace(waits, version="11")).is_approved("10")
    assert not CrlState(approved=yes).is_approved("10")
    assert CrlState(approved=replace(yes, of="")).is_approved("10"), "an earlier version's yes was for both"


def test_a_crl_that_is_not_in_force_yet_is_applied_when_it_is() -> None:
    world = Revoking()
    (device,) = world.come("sensor", 1)
    world.publish({device: FOR_GOOD}, age=-6 * 3600)
    world.revoke.drain(within=60)
    world.aws.clock.advance(5 * 3600)
    world.sweep_and_decide(2)
    world.revoke.drain(within=60)
    assert world.status(device) == "ACTIVE"
    assert not world.deployment.crl_arrivals.size, "no message waits for it"
    assert world.state.refused
    assert world.state.refused.until

    world.aws.clock.advance(3600)
    world.deployment.sweep()
    world.revoke.drain(within=DAY)

    assert world.status(device) == "REVOKED"
    assert world.state.refused is None


def test_what_a_version_before_activated_after_a_rollback_is_found_by_the_next_daily_pass() -> None:
    """That version does not write serial numbers, so a CRL that is applied meanwhile does not find the device."""
    world = Revoking()
    world.sweep_and_decide()
    world.apply()
    assert world.state.is_whole
    device, other = world.come("sensor", 2)
    for leaf in (device, other):
        item = world.deployment.registry.items[f"certificate#{leaf.certificate_id}",]
        del item["issued_as"]
    world.apply({device: FOR_GOOD})
    assert world.statuses([device, other]) == ["ACTIVE", "ACTIVE"]

    world.aws.clock.advance(DAY)
    for _ in range(3):
        world.aws.clock.advance(900)
        world.sweep_and_decide()
        world.revoke.drain(within=DAY)

    assert world.statuses([device, other]) == ["REVOKED", "ACTIVE"]


@pytest.mark.parametrize("mode", [CheckMode.ENFORCE, CheckMode.OBSERVE])
@pytest.mark.parametrize("is_by_serial", [False, True], ids=["by record", "by serial number"])
def test_runs_that_have_no_time_go_on_where_the_one_before_was(
    monkeypatch: pytest.MonkeyPatch, mode: CheckMode, *, is_by_serial: bool
) -> None:
    """Each run has time for one page of the walk; together they read each record few times, and miss none."""
    monkeypatch.setattr(candidates, "_AT_ONCE", 4)
    world = Revoking(revocation_of_active=mode)
    if is_by_serial:
        world.sweep_and_decide()
        world.apply()
    devices = world.come("sensor", 18)
    read: list[str] = []

    def note(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation, moment) == ("revoke", "BatchGetItem", "before"):
            for request in call.parameters["RequestItems"].values():
                read.extend(key["id"]["S"] for key in request["Keys"] if key["id"]["S"].startswith("certificate#"))

    world.aws.fault = note
    world.aws.latency = lambda call: 2.0 if call.operation == "BatchGetItem" else 0.01
    world.revoke = world.deployment.revoke_mapping(timeout=_DEADLINE + 6)
    world.publish(dict.fromkeys(devices[::2], HOLD))
    runs = 0
    while world.deployment.crl_arrivals.size and runs < 30:
        runs += world.revoke.poll() is not None
        world.aws.clock.advance(world.deployment.crl_arrivals.next_visible_in() or 0)
    assert 1 < runs < 30
    ended = ["INACTIVE", "ACTIVE"] if mode is CheckMode.ENFORCE else ["ACTIVE", "ACTIVE"]
    assert world.statuses(devices) == ended * 9
    assert world.state.applied
    assert world.state.applied.ended == 9
    assert max(read.count(one) for one in read) <= 6


def test_certificates_that_are_not_there_any_more_do_not_keep_a_walk_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They stay candidates, and no run has turns for all of them."""
    monkeypatch.setattr(candidates, "_AT_ONCE", 2)
    world = Revoking()
    deleted = world.come("sensor", 19)
    (last,) = world.come("sensor", 1, first=20)
    for leaf in deleted:
        del world.account.iot.certificates.by_id[leaf.certificate_id]
    world.revoke = world.deployment.revoke_mapping(timeout=_DEADLINE + 1.2)
    world.publish(dict.fromkeys([*deleted, last], FOR_GOOD))
    for _ in range(20):
        world.revoke.poll()
        world.aws.clock.advance(min(world.deployment.crl_arrivals.next_visible_in() or 0, 60))
    assert world.state.walk is None, "it came to the end"
    assert world.status(last) == "REVOKED"
    world.revoke.drain(within=DAY)
    assert world.state.work is None
    assert world.state.applied
    assert world.state.applied.ended == 1


def test_a_crl_that_says_nothing_new_is_applied_in_one_run_and_a_second_look() -> None:
    """By serial numbers there is no page to read at all."""
    world = Revoking()
    world.sweep_and_decide()
    world.apply()
    world.publish()
    runs = [world.revoke.poll() for _ in range(3)]
    assert runs[1:] == [None, None], "it comes again in ten minutes"
    assert len(world.revoke.drain(within=DAY)) == 1
    assert world.state.work is None


def test_a_lease_of_which_no_answer_came_holds_up_no_crl() -> None:
    world = Revoking()
    (device,) = world.come("sensor", 1)
    lost: list[Call] = []

    def lose(call: Call, moment: Moment) -> Fault | None:
        is_taken = call.operation == "UpdateItem" and call.parameters["Key"]["id"]["S"].startswith("lease#")
        if (call.caller, moment) != ("revoke", "after") or not is_taken or len(lost) == _ATTEMPTS:
            return None
        lost.append(call)
        return Fault.SERVER_ERROR

    world.aws.fault = lose
    world.publish({device: FOR_GOOD})
    world.revoke.drain(within=60)
    assert (len(lost), world.status(device)) == (_ATTEMPTS, "REVOKED")
