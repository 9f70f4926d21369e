"""The seven steps: in which order, what each failure leaves behind, and that nothing is done that was not decided."""

from dataclasses import replace
from typing import Any
from unittest.mock import ANY, call

import pytest

from jitr.admission.enrollment import NO_ENTRIES
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Unavailable
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.pacing.schedule import PACE, Need
from jitr.provisioning import IotStep, plan
from jitr.record import Record
from jitr.rules import CheckMode, OnReject
from jitr.store.revoked_cas import REVOKED_CAS
from jitr.telemetry import CONTRADICTIONS
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import DAY, NOW, SECOND, factory
from tests.support.unit.registration_world import World


def test_a_new_device_is_observed_provisioned_claimed_activated_announced_and_recorded_in_this_order(
    world: World,
) -> None:
    decision = world.decide()
    assert world.names == [
        "iot.describe",
        "iot.describe_ca",
        "crls.of",
        "enrollment.entries_and_standing",
        "iot.things.create",
        "apply AttachThingPrincipal",
        "apply AttachPolicy",
        "enrollment.require_unchanged",  # what the claim rests on, besides
        "registry.claim",
        "apply AddThingToThingGroup",
        "iot.take_turn",
        "apply SetStatus",
        "announcer.announce",
        "registry.record",
    ]
    assert world.statuses_set == [Status.ACTIVE]
    world.announcer.announce.assert_called_once_with(decision)
    run = world.registry.claim.call_args.kwargs["run"]
    world.registry.record.assert_called_once_with(decision, Record(), run=run, tried="sensor-0001", taken_back=())


def test_a_decision_says_what_was_decided_on_what(world: World) -> None:
    device = world.application.device
    decision = world.decide()
    assert decision == Decision(
        certificate_id=device.certificate_id,
        outcome=Outcome.ACTIVATED,
        status=Status.ACTIVE,
        registered_at=device.created_at,
        decided_at=NOW,
        rules_digest=world.application.rules.digest,
        ca_certificate_id=factory().certificate_id,
        ca="factory",
        thing_name="sensor-0001",
        serial=decision.serial,
        twin_id=decision.twin_id,
        issuer="CN=Acme factory CA,O=Acme",
        subject="CN=sensor-0001,OU=Mark-2,O=Acme",
        not_before=decision.not_before,
        not_after=decision.not_after,
        requested_name="sensor-0001",
        crl='"1"',
        enrollment=NO_ENTRIES.digest,
        verdict_seen=0,
    )
    assert decision.serial
    assert decision.twin_id
    assert decision.not_before
    assert decision.not_after


def test_the_plan_is_carried_out_as_it_is(world: World) -> None:
    world.decide()
    create, *steps = plan(world.application.admit(), world.application.device)
    world.iot.things.create.assert_called_once_with(create)
    assert world.iot.apply.call_args_list == [call(step) for step in steps if isinstance(step, IotStep)]
    world.enrollment.entries_and_standing.assert_called_once_with(ANY, world.registry, "sensor-0001", ANY)


def test_what_is_claimed_is_what_is_about_to_be_decided(world: World) -> None:
    decision = world.decide()
    device = world.application.device
    assert world.registry.claim.call_args == call(
        decision,
        Record(),
        Owner(
            certificate_id=device.certificate_id,
            ca_certificate_id=factory().certificate_id,
            serial=decision.serial or "",
            issued_at=NOW - DAY,
            ends_at=NOW + 365 * DAY,
            registered_at=device.created_at,
        ),
        run=ANY,
        share=False,
        earlier=None,
        retire_at=NOW + 7 * DAY,
        twin=Record(),
        back=None,
        entries=world.enrollment.require_unchanged.return_value,
    )


@pytest.mark.parametrize("outcome", [Outcome.ACTIVATED, Outcome.REJECTED, Outcome.FOUND, Outcome.HELD])
def test_a_settled_event_costs_no_call(world: World, outcome: Outcome) -> None:
    record = Record(decision=world.recorded(outcome=outcome))
    assert world.outcome(record) == (Outcome.DUPLICATE, None)
    assert world.names == []


def test_a_decision_on_an_earlier_registration_settles_nothing(world: World) -> None:
    earlier = world.recorded(registered_at=NOW - 2 * DAY, decided_at=NOW - 2 * DAY)
    assert world.decide(Record(decision=earlier)).outcome is Outcome.ACTIVATED


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING_ACTIVATION])
def test_a_certificate_that_is_not_pending_is_never_touched(world: World, status: Status) -> None:
    world.application = world.application.with_device(status=status)
    decision = world.decide()
    assert (decision.outcome, decision.status, decision.reason) == (Outcome.FOUND, status, None)
    assert world.names == ["iot.describe", "registry.record_found"]


@pytest.mark.parametrize("status", [Status.INACTIVE, Status.REVOKED])
@pytest.mark.parametrize("days", [0, 2])
def test_what_somebody_else_took_away_is_recorded_over_what_we_did(world: World, status: Status, days: int) -> None:
    world.application = world.application.with_device(status=status)
    registered_at = world.application.device.created_at - days * DAY
    ours = world.recorded(registered_at=registered_at, decided_at=NOW - 2 * DAY, thing_name="sensor-0001", serial="0a")
    found = world.decide(Record(decision=ours), replace(world.event, registered_at=NOW + DAY))
    assert (found.outcome, found.status, found.thing_name, found.serial) == (
        Outcome.FOUND,
        status,
        "sensor-0001",
        "0a",
    )
    assert world.names == ["iot.describe", "registry.record_found"]


def test_what_was_found_on_a_record_that_changed_is_looked_at_again(world: World) -> None:
    world.application = world.application.with_device(status=Status.REVOKED)
    world.registry.record_found.return_value = False
    with pytest.raises(Overtaken):
        world.decide()


def test_active_is_not_recorded_over_what_we_activated(world: World) -> None:
    world.application = world.application.with_device(status=Status.ACTIVE)
    ours = world.recorded(registered_at=NOW - 2 * DAY, decided_at=NOW - 2 * DAY)
    assert world.decide(Record(decision=ours)).outcome is Outcome.FOUND
    assert world.names == ["iot.describe"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.ACTIVATED, Status.ACTIVE), (Outcome.REJECTED, Status.INACTIVE), (Outcome.REJECTED, Status.REVOKED)],
)
def test_a_status_that_we_set_before_we_died_is_announced_and_recorded_as_ours(
    world: World, outcome: Outcome, status: Status
) -> None:
    world.application = world.application.with_device(status=status)
    intent = world.recorded(outcome=outcome, status=status)
    record = Record(intent=intent)
    assert world.decide(record) == intent
    assert world.calls.mock_calls[1:] == [call.announcer.announce(intent), call.registry.record(intent, record)]


@pytest.mark.parametrize("change", [{"status": Status.INACTIVE}, {"registered_at": NOW - DAY}])
def test_a_status_that_we_did_not_set_is_not_ours(world: World, change: dict[str, Any]) -> None:
    world.application = world.application.with_device(status=Status.ACTIVE)
    assert world.decide(Record(intent=world.recorded(**change))).outcome is Outcome.FOUND
    assert "announcer.announce" not in world.names


def test_an_intent_that_was_not_carried_out_is_carried_out(world: World) -> None:
    assert world.decide(Record(intent=world.recorded())).outcome is Outcome.ACTIVATED
    assert world.statuses_set == [Status.ACTIVE]


@pytest.mark.parametrize(
    ("on_reject", "status"), [(OnReject.DEACTIVATE, Status.INACTIVE), (OnReject.REVOKE, Status.REVOKED)]
)
def test_a_final_refusal_is_written_down_then_carried_out_then_announced_and_recorded(
    refused: World, on_reject: OnReject, status: Status
) -> None:
    refused.application = refused.application.with_rules(on_reject=on_reject)
    decision = refused.decide()
    assert (decision.outcome, decision.status, decision.reason) == (
        Outcome.REJECTED,
        status,
        Reason.COMMON_NAME_REFUSED,
    )
    assert decision.detail
    assert "gateway-0001" in decision.detail
    carried_out = ["registry.intend", "iot.take_turn", "apply SetStatus", "announcer.announce", "registry.record"]
    assert refused.names[4:] == carried_out
    assert refused.statuses_set == [status]
    refused.registry.intend.assert_called_once_with(decision, Record(), run=ANY, takes_back=())


def test_a_final_refusal_can_leave_the_certificate_as_it_is(refused: World) -> None:
    refused.application = refused.application.with_rules(on_reject=OnReject.LEAVE)
    decision = refused.decide()
    assert (decision.outcome, decision.status) == (Outcome.REJECTED, Status.PENDING_ACTIVATION)
    assert refused.names[4:] == ["announcer.announce", "registry.record"]


def test_a_curable_refusal_changes_nothing_in_aws(held: World) -> None:
    decision = held.decide()
    assert (decision.outcome, decision.status, decision.reason) == (
        Outcome.HELD,
        Status.PENDING_ACTIVATION,
        Reason.CA_INACTIVE,
    )
    assert held.names[4:] == ["announcer.announce", "registry.record"]


def test_a_device_that_is_held_again_is_recorded_again_but_not_announced_again(held: World) -> None:
    for attempt in range(1, 5):
        decision = held.decide(Record(decision=held.registry.record.call_args.args[0]) if attempt > 1 else None)
        assert decision.attempts == attempt
        held.now += 2 * DAY
    assert held.announcer.announce.call_count == 1
    assert held.registry.record.call_count == 4


def test_a_device_that_is_held_for_another_reason_is_announced_again(held: World) -> None:
    earlier = held.recorded(outcome=Outcome.HELD, reason=Reason.CA_WRONG_MODE, attempts=7, decided_at=NOW - 2 * DAY)
    assert held.decide(Record(decision=earlier)).attempts == 1
    held.announcer.announce.assert_called_once()


def test_a_held_device_comes_up_by_itself_when_the_cause_is_gone(world: World) -> None:
    earlier = world.recorded(outcome=Outcome.HELD, reason=Reason.CA_INACTIVE, decided_at=NOW - 300 * SECOND)
    assert world.decide(Record(decision=earlier)).outcome is Outcome.ACTIVATED


def test_a_certificate_without_a_ca_is_held_and_no_ca_is_asked_for(world: World) -> None:
    event = world.event
    world.application = world.application.with_device(ca_certificate_id=None)
    decision = world.decide(event=event)
    assert (decision.outcome, decision.reason, decision.ca) == (Outcome.HELD, Reason.CA_UNKNOWN, None)
    world.iot.describe_ca.assert_not_called()


def test_a_certificate_of_a_ca_without_rules_is_left_whatever_is_wrong_with_it(refused: World) -> None:
    refused.application = refused.application.with_device(ca_certificate_id="f" * 64)
    assert refused.decide(event=refused.event).outcome is Outcome.HELD
    assert refused.statuses_set == []


def test_what_checks_only_observe_is_recorded(refused: World) -> None:
    refused.application = refused.application.with_rules(checks={"subject": CheckMode.OBSERVE})
    decision = refused.decide()
    assert (decision.outcome, decision.would_reject) == (Outcome.ACTIVATED, (Reason.COMMON_NAME_REFUSED,))


@pytest.mark.parametrize("calls_left", range(6))
def test_the_deadline_stops_the_work_between_two_calls(world: World, calls_left: int) -> None:
    world.calls_left = calls_left
    with pytest.raises(Unavailable, match="deadline"):
        world.decide()
    made = [name for name in world.names if name.startswith("apply") or name in ("iot.things.create", "registry.claim")]
    assert len(made) == calls_left
    assert world.statuses_set == []
    assert "registry.record" not in world.names


def test_the_deadline_stops_a_refusal_too(refused: World) -> None:
    refused.calls_left = 0
    with pytest.raises(Unavailable, match="deadline"):
        refused.decide()
    assert refused.statuses_set == []
    assert "registry.record" not in refused.names


def test_who_waits_and_who_was_spoken_of_say_as_what_they_need_a_turn(held: World) -> None:
    waits = Record(decision=held.recorded(outcome=Outcome.HELD, decided_at=NOW - 2 * DAY))
    approved = replace(waits, verdict=OperatorVerdict(action=OperatorAction.APPROVED, by="ann", at=NOW - DAY))
    needs = {
        Need.NEW: (Record(),),
        Need.HELD: (waits, replace(waits, crl_changed=True)),
        Need.ORDERED: (approved, replace(waits, entries_changed=True)),
        None: (Record(decision=held.recorded(outcome=Outcome.ACTIVATED)),),
    }
    for need, records in needs.items():
        for record in records:
            assert held.registration().needs(held.event, record, sent_at=NOW) is need


@pytest.mark.parametrize(
    ("said", "warned"),
    [
        ({}, None),
        ({"account_id": None}, None),
        ({"certificate_status": "ACTIVE", "published_at": NOW - 365 * DAY}, None),
        ({"account_id": "222222222222"}, {"account": "222222222222"}),
        ({"ca_certificate_id": "f" * 64}, {"ca_certificate_id": "f" * 64}),
        (
            {"account_id": "2", "ca_certificate_id": "f" * 64},
            {"account": "2", "ca_certificate_id": "f" * 64},
        ),
    ],
)
def test_an_event_that_contradicts_the_certificate_is_counted_and_the_certificate_decides(
    world: World, said: dict[str, Any], warned: dict[str, str] | None
) -> None:
    decision = world.decide(event=replace(world.event, **said))
    assert (decision.outcome, decision.ca_certificate_id) == (Outcome.ACTIVATED, factory().certificate_id)
    if warned is None:
        world.announcer.warn.assert_not_called()
    else:
        world.announcer.warn.assert_called_once()
        assert world.announcer.warn.call_args.args[1] == CONTRADICTIONS
        assert world.announcer.warn.call_args.kwargs["said"] == warned


def test_nothing_is_recalled_for_nobody(world: World) -> None:
    assert world.registration().recall(set()) == {}
    assert world.names == []


def test_a_batch_is_recalled_at_once(world: World) -> None:
    world.registry.recall_with_items.return_value = {"a": Record()}, [{"next_at": 1}, {}]
    assert world.registration().recall({"a", "b"}) == {"a": Record()}
    world.registry.recall_with_items.assert_called_once_with({"a", "b"}, PACE, REVOKED_CAS)
    world.turns.see.assert_called_once_with({"next_at": 1})
