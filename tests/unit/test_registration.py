"""The seven steps: in which order, what each failure leaves behind, and that nothing is done that was not decided."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import ANY, Mock, call, create_autospec

import pytest

from jitr.admission.enrollment import NO_ENTRIES
from jitr.aws.crl_bucket import Crls, PublishedCrl
from jitr.aws.hook import Hook
from jitr.aws.iot import AwsIot
from jitr.brake import Brake
from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, Overtaken, Reason, Rejected, Unavailable
from jitr.events import RegistrationEvent
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import NameRollback, Owner
from jitr.pacing.schedule import PACE, Need
from jitr.pacing.turns import Turns
from jitr.provisioning import (
    AddThingToThingGroup,
    AttachPolicy,
    AttachThingPrincipal,
    CreateThing,
    DetachPolicy,
    IotStep,
    SetStatus,
    plan,
    plan_withdrawal,
)
from jitr.record import Record, Standing
from jitr.registration.procedure import Registration
from jitr.rules import CheckMode, OnReject, OnReplacement
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.telemetry import CONTRADICTIONS, Announcer
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import ACCOUNT, DAY, NOW, SECOND, Application, applying, factory, named
from tests.support.examples import OWNER
from tests.unit.test_settings import SETTINGS

IOT_STEPS = [CreateThing, AddThingToThingGroup, AttachThingPrincipal, AttachPolicy, SetStatus]


@dataclass
class World:
    """One certificate in AWS, and all that a Registration can do to it, written down in order."""

    application: Application
    now: datetime = NOW
    calls: Mock = field(default_factory=Mock)
    calls_left: int = 1000  # before the deadline

    def __post_init__(self) -> None:
        self.iot = create_autospec(AwsIot, instance=True)
        self.registry = create_autospec(Registry, instance=True)
        self.announcer = create_autospec(Announcer, instance=True)
        self.enrollment = create_autospec(EnrollmentTable, instance=True)
        self.enrollment.entries.side_effect = lambda _: {
            one.subject: one for one in self.application.enrollment.entries
        }
        self.enrollment.find_changed.return_value = set()
        self.crls = create_autospec(Crls, instance=True)
        self.crls.of.side_effect = lambda *_: PublishedCrl(version='"1"', revocations=self.application.revocations)
        self.crls.changed_since.return_value = set()
        self.hook = create_autospec(Hook, instance=True)
        self.brakes = create_autospec(Brakes, instance=True)
        self.brakes.find_accepted.return_value = set()
        self.brakes.count_refusal.return_value = Brake()
        for name in ("iot", "registry", "crls", "enrollment", "hook", "announcer"):
            self.calls.attach_mock(getattr(self, name), name)
        self.iot.describe.side_effect = lambda _: self.application.device
        self.iot.describe_ca.side_effect = lambda _: self.application.ca
        self.iot.create_thing.return_value = None  # the thing is new, or as it should be
        self.registry.recall_standing.return_value = Standing()
        self.registry.recall.return_value = defaultdict(Record)  # nothing is known of any other certificate
        self.registry.record_found.return_value = True
        self.turns = create_autospec(Turns, instance=True)

    @property
    def event(self) -> RegistrationEvent:
        device = self.application.device
        assert device.ca_certificate_id
        return RegistrationEvent(
            certificate_id=device.certificate_id, ca_certificate_id=device.ca_certificate_id, account_id=ACCOUNT
        )

    def registration(self) -> Registration:
        return Registration(
            settings=replace(SETTINGS, account_id=ACCOUNT),
            rules=self.application.rules,
            iot=self.iot,
            registry=self.registry,
            crls=self.crls,
            enrollment=self.enrollment,
            hook=self.hook,
            brakes=self.brakes,
            announcer=self.announcer,
            turns=self.turns,
            clock=lambda: self.now,
        )

    def decide(self, record: Record | None = None, event: RegistrationEvent | None = None) -> Decision:
        outcome, decision = self.outcome(record, event)
        assert decision
        assert outcome is decision.outcome
        return decision

    def outcome(
        self, record: Record | None = None, event: RegistrationEvent | None = None
    ) -> tuple[Outcome, Decision | None]:
        return self.registration().decide(
            event or self.event, record or Record(), sent_at=self.now, time_is_left=self.time_is_left
        )

    def seconds(self) -> float:
        return self.now.timestamp()

    def time_is_left(self) -> bool:
        self.calls_left -= 1
        return self.calls_left >= 0

    @property
    def names(self) -> list[str]:
        """The calls made, each step by its kind."""
        return [
            f"apply {type(one.args[0]).__name__}" if one[0] == "iot.apply" else one[0] for one in self.calls.mock_calls
        ]

    @property
    def statuses_set(self) -> list[Status]:
        steps = [one.args[0] for one in self.iot.apply.call_args_list]
        return [step.status for step in steps if isinstance(step, SetStatus)]

    def recorded(self, **changes: Any) -> Decision:
        """A decision on this registration, as the registry could hold it."""
        device = self.application.device
        decision = Decision(
            certificate_id=device.certificate_id,
            outcome=Outcome.ACTIVATED,
            status=Status.ACTIVE,
            registered_at=device.created_at,
            decided_at=self.now,
            rules_digest=self.application.rules.digest,
        )
        return replace(decision, **changes)

    def fails_at(self, kind: type[IotStep], error: Exception) -> None:
        """Let the step of this kind fail."""
        if kind is CreateThing:
            self.iot.create_thing.side_effect = error

        def apply(step: IotStep) -> None:
            if isinstance(step, kind):
                raise error

        self.iot.apply.side_effect = apply


@pytest.fixture
def world() -> World:
    return World(applying())


@pytest.fixture
def refused() -> World:
    """A certificate that is refused for a final reason."""
    return World(applying(factory().leaf(named("gateway-0001"))))


@pytest.fixture
def held() -> World:
    """A certificate that is refused for a curable reason."""
    return World(applying().with_ca(active=False))


def test_a_new_device_is_observed_provisioned_claimed_activated_announced_and_recorded_in_this_order(
    world: World,
) -> None:
    decision = world.decide()
    assert world.names == [
        "iot.describe",
        "iot.describe_ca",
        "crls.of",
        "enrollment.entries",
        "registry.recall_standing",
        "iot.create_thing",
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
        requested_name="sensor-0001",
        crl='"1"',
        enrollment=NO_ENTRIES.digest,
        verdict_seen=0,
    )
    assert decision.serial
    assert decision.twin_id


def test_the_plan_is_carried_out_as_it_is(world: World) -> None:
    world.decide()
    create, *steps = plan(world.application.admit(), world.application.device)
    world.iot.create_thing.assert_called_once_with(create)
    assert world.iot.apply.call_args_list == [call(step) for step in steps if isinstance(step, IotStep)]
    world.registry.recall_standing.assert_called_once_with("sensor-0001", ANY)


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


def said(word: OperatorAction, at: datetime = NOW) -> OperatorVerdict:
    return OperatorVerdict(action=word, by="arn:aws:iam::111111111111:user/ann", at=at)


def test_an_operators_verdict_stands_against_the_activation(world: World) -> None:
    decision = world.decide(Record(verdict=said(OperatorAction.DENIED)))
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.OPERATOR_VERDICT)
    assert world.statuses_set == []


@pytest.mark.parametrize("word", [OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
def test_a_certificate_that_an_operator_took_away_and_comes_back_is_refused_for_good(
    world: World, word: OperatorAction
) -> None:
    decision = world.decide(Record(verdict=said(word, NOW - 9 * DAY)))
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.WAS_REVOKED)
    assert world.statuses_set == [Status.INACTIVE]


def test_a_certificate_that_somebody_deactivated_by_hand_and_comes_back_is_refused_for_good(world: World) -> None:
    found = world.recorded(
        outcome=Outcome.FOUND, status=Status.INACTIVE, registered_at=NOW - 9 * DAY, decided_at=NOW - 8 * DAY
    )
    assert world.decide(Record(decision=found)).reason is Reason.WAS_REVOKED


def test_a_certificate_that_we_deactivated_and_that_comes_back_is_judged_anew(world: World) -> None:
    rejected = world.recorded(
        outcome=Outcome.REJECTED,
        status=Status.INACTIVE,
        reason=Reason.COMMON_NAME_REFUSED,
        registered_at=NOW - 9 * DAY,
        decided_at=NOW - 8 * DAY,
    )
    assert world.decide(Record(decision=rejected)).outcome is Outcome.ACTIVATED


@pytest.mark.parametrize("word", [OperatorAction.APPROVED, OperatorAction.RELEASED])
def test_a_held_device_is_looked_at_at_once_after_an_operators_word(world: World, word: OperatorAction) -> None:
    held = world.recorded(outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, reason=Reason.OPERATOR_VERDICT)
    world.now += SECOND
    assert world.decide(Record(decision=held, verdict=said(word, world.now))).outcome is Outcome.ACTIVATED


def test_an_operators_verdict_that_comes_while_we_work_stands_against_the_activation(world: World) -> None:
    world.registry.claim.side_effect = Rejected(Reason.OPERATOR_VERDICT, "denied")
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.OPERATOR_VERDICT)
    assert world.statuses_set == []


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FOUND])
def test_a_certificate_that_was_revoked_and_comes_back_is_refused_for_good(world: World, outcome: Outcome) -> None:
    revoked = world.recorded(
        outcome=outcome, status=Status.REVOKED, registered_at=NOW - 9 * DAY, decided_at=NOW - 8 * DAY
    )
    decision = world.decide(Record(decision=revoked))
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.WAS_REVOKED)
    assert world.statuses_set == [Status.INACTIVE]


def test_a_certificate_that_was_revoked_and_comes_back_under_a_ca_without_rules_is_left(world: World) -> None:
    event, revoked = (
        world.event,
        world.recorded(status=Status.REVOKED, registered_at=NOW - 9 * DAY, decided_at=NOW - DAY),
    )
    world.application = world.application.with_device(ca_certificate_id="f" * 64)
    decision = world.decide(Record(decision=revoked), event)
    assert (decision.outcome, decision.reason, decision.status) == (
        Outcome.REJECTED,
        Reason.WAS_REVOKED,
        Status.PENDING_ACTIVATION,
    )
    assert world.statuses_set == []


@pytest.mark.parametrize("on_reject", OnReject)
def test_a_certificate_that_was_revoked_is_refused_however_often_it_comes_back(
    world: World, on_reject: OnReject
) -> None:
    world.application = world.application.with_rules(on_reject=on_reject)
    known = world.recorded(status=Status.REVOKED, registered_at=NOW - 9 * DAY, decided_at=NOW - 8 * DAY)
    for days in range(1, 4):
        world.now = NOW + days * DAY
        world.application = world.application.with_device(created_at=world.now)
        known = world.decide(Record(decision=known))
        assert known.reason is Reason.WAS_REVOKED


def owner(**changes: Any) -> Owner:
    """Another certificate of the same thing, which may be followed by the one that every test begins with."""
    another = Owner(
        certificate_id="f" * 64,
        ca_certificate_id=factory().certificate_id,
        serial="0a",
        issued_at=NOW - 360 * DAY,
        ends_at=NOW + 5 * DAY,
        registered_at=NOW - 360 * DAY,
    )
    return replace(another, **changes)


NO_ROTATION = {"ends_at": NOW + 300 * DAY}


def test_a_thing_name_that_another_certificate_owns_is_not_given_away(world: World) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert world.statuses_set == []
    world.registry.claim.assert_not_called()


def test_a_thing_name_that_is_claimed_while_we_work_is_lost_and_what_was_attached_is_taken_back(world: World) -> None:
    world.registry.claim.side_effect = Rejected(Reason.NOT_A_ROTATION, "taken")
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert world.statuses_set == []
    assert world.names[-5:] == [
        "registry.intend",  # the lock: another run may be about to activate what is detached
        "apply DetachPolicy",
        "apply DetachThingPrincipal",
        "announcer.announce",
        "registry.record",
    ]
    withdrawn = plan_withdrawal("jitr-acme-factory", ["sensor-0001"], world.application.device)
    assert [one.args[0] for one in world.iot.apply.call_args_list[-2:]] == list(withdrawn)


def test_what_was_taken_back_once_is_not_taken_back_at_every_look(world: World) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    first = world.decide()
    world.now += DAY
    calls = world.iot.apply.call_count
    again = world.decide(Record(decision=first))
    assert again.attempts == 2
    assert world.iot.apply.call_count == calls


def test_a_withdrawal_that_fails_leaves_no_decision_behind(world: World) -> None:
    world.registry.claim.side_effect = Rejected(Reason.NOT_A_ROTATION, "taken")
    world.fails_at(DetachPolicy, Unavailable("throttled"))
    with pytest.raises(Unavailable):
        world.decide()
    world.registry.record.assert_not_called()


def test_a_thing_name_that_this_certificate_owns_is_its_own(world: World) -> None:
    device_id = world.application.device.certificate_id
    world.registry.recall_standing.return_value = Standing(owner=owner(certificate_id=device_id, **NO_ROTATION))
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, None)
    assert world.registry.claim.call_args.kwargs["earlier"].certificate_id == device_id


@pytest.mark.parametrize(("owned", "is_ours"), [(None, False), (owner(), True)])
def test_a_thing_is_brought_in_line_only_when_the_registry_says_that_it_is_this_devices(
    world: World, owned: Owner | None, *, is_ours: bool
) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owned)
    world.decide()
    assert world.iot.create_thing.call_args.args[0].is_ours is is_ours


@pytest.mark.parametrize("overlap", [0, 604_800])
def test_a_rotation_replaces_the_old_certificate_and_says_when_it_ends(world: World, overlap: int) -> None:
    world.application = world.application.with_rules(overlap=overlap)
    world.registry.recall_standing.return_value = Standing(owner=owner())
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, "f" * 64)
    claim = world.registry.claim.call_args
    assert claim.args[0] == decision
    said = {name: claim.kwargs[name] for name in ("share", "earlier", "retire_at")}
    assert said == {"share": False, "earlier": owner(), "retire_at": NOW + overlap * SECOND}
    assert world.iot.describe.call_count == 1  # the old one is asked for only when it stands in the way


def test_a_shared_thing_keeps_its_first_owner_and_nothing_is_replaced(world: World) -> None:
    world.application = world.application.with_rules(on_replacement=OnReplacement.SHARE)
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, None)
    assert world.registry.claim.call_args.kwargs["share"] is True


def test_a_second_certificate_can_be_refused_for_good(world: World) -> None:
    world.application = world.application.with_rules(on_replacement=OnReplacement.REJECT)
    world.registry.recall_standing.return_value = Standing(owner=owner())
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.REPLACEMENT_REFUSED)
    assert world.statuses_set == [Status.INACTIVE]
    assert world.names[5:] == [
        "iot.describe",  # is the owner still there?
        "registry.recall",  # and has it ever come in?
        "registry.intend",
        "apply DetachPolicy",
        "apply DetachThingPrincipal",
        "iot.take_turn",
        "apply SetStatus",
        "announcer.announce",
        "registry.record",
    ]


def gone(world: World, certificate_id: str) -> None:
    """Let a certificate be deleted."""

    def describe(asked: str) -> DeviceRegistration:
        if asked == certificate_id:
            raise CertificateUnknown(asked)
        return world.application.device

    world.iot.describe.side_effect = describe


@pytest.mark.parametrize("on_replacement", [OnReplacement.ROTATE, OnReplacement.REJECT])
def test_the_name_of_a_certificate_that_is_gone_is_taken_over(world: World, on_replacement: OnReplacement) -> None:
    world.application = world.application.with_rules(on_replacement=on_replacement)
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    gone(world, "f" * 64)
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, None)
    assert world.registry.claim.call_args.kwargs["earlier"].certificate_id == "f" * 64


def test_an_owner_that_cannot_be_described_is_not_gone(world: World) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))

    def describe(asked: str) -> DeviceRegistration:
        if asked == "f" * 64:
            raise Unavailable("DescribeCertificate: ThrottlingException")
        return world.application.device

    world.iot.describe.side_effect = describe
    with pytest.raises(Unavailable):
        world.decide()
    world.registry.claim.assert_not_called()


@pytest.mark.parametrize("kind", [AttachThingPrincipal, AttachPolicy])
def test_a_certificate_that_is_deleted_while_it_is_provisioned_is_unknown_and_no_decision_is_left(
    world: World, kind: type[IotStep]
) -> None:
    def apply(step: IotStep) -> None:
        if isinstance(step, kind):
            gone(world, world.application.device.certificate_id)
            raise Rejected(Reason.TARGET_MISSING, "it is missing, or the certificate is")

    world.iot.apply.side_effect = apply
    with pytest.raises(CertificateUnknown):
        world.decide()
    assert "announcer.announce" not in world.names
    assert not any(name in world.names for name in ("registry.claim", "registry.record", "registry.intend"))


@pytest.mark.parametrize("calls_left", range(6))
def test_the_deadline_stops_the_work_between_two_calls(world: World, calls_left: int) -> None:
    world.calls_left = calls_left
    with pytest.raises(Unavailable, match="deadline"):
        world.decide()
    made = [name for name in world.names if name.startswith("apply") or name in ("iot.create_thing", "registry.claim")]
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


@pytest.mark.parametrize("world", ["refused", "held"])
def test_a_refusal_gives_up_the_name_that_an_earlier_attempt_claimed(
    world: str, request: pytest.FixtureRequest
) -> None:
    it: World = request.getfixturevalue(world)
    claimed = it.recorded(thing_name="sensor-0001")
    it.registry.owners.return_value = {"sensor-0001": replace(OWNER, certificate_id=claimed.certificate_id)}
    it.decide(Record(intent=claimed))
    it.registry.give_back.assert_called_once_with(
        NameRollback(thing_name="sensor-0001", by=claimed.certificate_id, to=None)
    )
    assert it.names.index("registry.intend") < it.names.index("registry.give_back") < it.names.index("registry.record")


def test_a_refusal_gives_up_no_name_that_has_become_anothers(refused: World) -> None:
    refused.registry.owners.return_value = {"sensor-0001": OWNER}
    refused.decide(Record(intent=refused.recorded(thing_name="sensor-0001")))
    refused.registry.give_back.assert_not_called()


def test_a_refusal_without_an_earlier_claim_gives_up_nothing(refused: World) -> None:
    refused.decide()
    refused.decide(Record(intent=refused.recorded(outcome=Outcome.REJECTED)))
    refused.registry.give_back.assert_not_called()


@pytest.mark.parametrize("kind", IOT_STEPS)
@pytest.mark.parametrize(
    "reason", [Reason.TARGET_MISSING, Reason.LIMIT_EXCEEDED, Reason.REQUEST_REFUSED, Reason.THING_TAKEN]
)
def test_a_step_that_aws_refuses_holds_the_device_before_it_is_active(
    world: World, kind: type[IotStep], reason: Reason
) -> None:
    world.fails_at(kind, Rejected(reason, "no"))
    decision = world.decide()
    assert (decision.outcome, decision.reason, decision.status) == (Outcome.HELD, reason, Status.PENDING_ACTIVATION)
    assert world.names[-2:] == ["announcer.announce", "registry.record"]
    if kind is not SetStatus:
        assert world.statuses_set == []


@pytest.mark.parametrize("kind", IOT_STEPS)
@pytest.mark.parametrize(
    "error", [Unavailable("throttled"), CertificateUnknown("ab"), Overtaken("revoked"), KeyError()]
)
def test_a_step_that_fails_leaves_no_decision_behind(world: World, kind: type[IotStep], error: Exception) -> None:
    world.fails_at(kind, error)
    with pytest.raises(type(error)):
        world.decide()
    assert "announcer.announce" not in world.names
    assert "registry.record" not in world.names


@pytest.mark.parametrize(
    "where",
    ["iot.describe", "iot.describe_ca", "crls.of", "enrollment.entries", "registry.recall_standing", "registry.claim"],
)
def test_a_question_that_fails_leaves_no_decision_and_no_status_behind(world: World, where: str) -> None:
    part, method = where.split(".")
    getattr(getattr(world, part), method).side_effect = Unavailable("throttled")
    with pytest.raises(Unavailable):
        world.decide()
    assert world.statuses_set == []
    assert "registry.record" not in world.names


def test_a_decision_that_cannot_be_announced_is_not_recorded(world: World) -> None:
    world.announcer.announce.side_effect = Unavailable("events")
    with pytest.raises(Unavailable):
        world.decide()
    world.registry.record.assert_not_called()


def test_a_refusal_that_cannot_be_written_down_is_not_carried_out(refused: World) -> None:
    refused.registry.intend.side_effect = Unavailable("throttled")
    with pytest.raises(Unavailable):
        refused.decide()
    assert refused.statuses_set == []


@pytest.mark.parametrize("reason", [Reason.LIMIT_EXCEEDED, Reason.REQUEST_REFUSED])
def test_a_refusal_that_aws_refuses_to_carry_out_is_held_for_the_refusals_reason(
    refused: World, reason: Reason
) -> None:
    refused.fails_at(SetStatus, Rejected(reason, "AWS said no"))
    decision = refused.decide()
    assert (decision.outcome, decision.status) == (Outcome.HELD, Status.PENDING_ACTIVATION)
    assert decision.reason is Reason.COMMON_NAME_REFUSED
    assert decision.detail
    assert decision.detail.endswith("it stays pending, since AWS said no")
    assert refused.names[-2:] == ["announcer.announce", "registry.record"]


def slow(world: World, took: timedelta, then: Callable[[], None] = lambda: None) -> None:
    """Let the policy's attachment take its time, and something happen meanwhile."""

    def apply(step: IotStep) -> None:
        if isinstance(step, AttachPolicy):
            world.now += took
            then()

    world.iot.apply.side_effect = apply


def test_a_look_of_five_seconds_ago_is_fresh(world: World) -> None:
    slow(world, 5 * SECOND)
    assert world.decide().outcome is Outcome.ACTIVATED
    assert world.iot.describe.call_count == 1


def test_an_older_look_is_made_again_right_before_the_status_is_set(world: World) -> None:
    slow(world, 5 * SECOND + timedelta(milliseconds=1))
    decision = world.decide()
    assert decision.outcome is Outcome.ACTIVATED
    assert decision.decided_at == world.now
    assert world.names[-6:] == [
        "apply AddThingToThingGroup",
        "iot.take_turn",
        "iot.describe",
        "apply SetStatus",
        "announcer.announce",
        "registry.record",
    ]


@pytest.mark.parametrize(
    "change",
    [{"status": Status.REVOKED}, {"status": Status.INACTIVE}, {"status": Status.ACTIVE}, {"created_at": NOW + DAY}],
)
def test_somebody_who_acted_while_we_were_slow_is_not_overruled(world: World, change: dict[str, Any]) -> None:
    def act() -> None:
        world.application = world.application.with_device(**change)

    slow(world, 6 * SECOND, act)
    with pytest.raises(Overtaken):
        world.decide()
    assert world.statuses_set == []
    assert "registry.record" not in world.names


def test_a_slow_refusal_looks_again_too(refused: World) -> None:
    def intend(_decision: Decision, _record: Record, *, run: str, takes_back: Any) -> None:  # noqa: ARG001 -- as Registry.intend
        refused.now += 6 * SECOND
        refused.application = refused.application.with_device(status=Status.ACTIVE)

    refused.registry.intend.side_effect = intend
    with pytest.raises(Overtaken):
        refused.decide()
    assert refused.statuses_set == []


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
    world.registry.recall_with_item.return_value = {"a": Record()}, {"next_at": 1}
    assert world.registration().recall({"a", "b"}) == {"a": Record()}
    world.registry.recall_with_item.assert_called_once_with({"a", "b"}, PACE)
    world.turns.see.assert_called_once_with({"next_at": 1})
