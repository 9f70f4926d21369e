"""The brake's items: counted by whoever decides, read by everyone, and never in an activation's way."""

from dataclasses import replace
from datetime import timedelta
from secrets import token_hex

import pytest

from jitr.brake import Acceptance, Brake, Counters, Engagement, Tally
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Unavailable
from jitr.iot_models import Status
from jitr.record import Record
from jitr.rules import CaRules
from jitr.store.brake_items import brake_key, to_brake
from jitr.store.brakes import Brakes
from jitr.store.dynamodb import deserialize, serialize
from tests.support.cloud import TABLE, Cloud
from tests.support.examples import ID, LEAST, OTHER_ID

DAY = timedelta(days=1)
ACCEPTED = Acceptance(rules="", by="ann", at=LEAST.decided_at, note="not ours")


@pytest.fixture
def rules(cloud: Cloud) -> CaRules:
    return cloud.rules.cas[0]


def environment(cloud: Cloud) -> Brakes:
    return Brakes(cloud.dynamodb, TABLE, clock=cloud.clock)


def brake_of(cloud: Cloud, rules: CaRules) -> Brake:
    return environment(cloud).read([rules.certificate_id])[rules.certificate_id]


def engaged_in(cloud: Cloud, rules: CaRules) -> Engagement:
    known = brake_of(cloud, rules)
    engaged = known.engagement(rules.digest, cloud.now, reason="COMMON_NAME_REFUSED", example="no sensor")
    assert environment(cloud).engage(rules, engaged, acceptances=known.acceptances)
    return engaged


def decided(outcome: Outcome, reason: Reason | None = None) -> Decision:
    return Decision(
        certificate_id="ab" * 32,
        outcome=outcome,
        status=Status.PENDING_ACTIVATION,
        registered_at=LEAST.registered_at,
        decided_at=LEAST.decided_at,
        rules_digest="x",
        reason=reason,
    )


def refuse_another(brakes: Brakes, rules: CaRules) -> Brake:
    """Count the refusal of a certificate that was never refused before."""
    return brakes.count_refusal(rules, token_hex(32))


def write_after_a_minute(cloud: Cloud, brakes: Brakes) -> None:
    brakes.write()
    cloud.now += timedelta(minutes=1)
    brakes.write()


def test_a_refusal_is_counted_by_two_writes_the_last_of_which_answers_the_state(cloud: Cloud, rules: CaRules) -> None:
    one, another = environment(cloud), environment(cloud)
    cloud.wire.forget()
    for brakes, number in ((one, 1), (another, 2), (one, 3)):
        brake = refuse_another(brakes, rules)
        assert brake.counters[rules.digest].last_hour(cloud.now) == Tally(refused=number)
    assert cloud.wire.operations("dynamodb") == ["UpdateItem"] * 6
    assert brake_of(cloud, rules) == brake


def refused_in_last_hour(cloud: Cloud, rules: CaRules) -> int:
    return brake_of(cloud, rules).counters.get(rules.digest, Counters()).last_hour(cloud.now).refused


def test_a_certificate_counts_once_in_an_hour_whoever_counts_it(cloud: Cloud, rules: CaRules) -> None:
    for _ in range(230):
        environment(cloud).count_refusal(rules, ID, has_begun=True)
        assert refused_in_last_hour(cloud, rules) == 1
        cloud.now += timedelta(seconds=30)
    assert environment(cloud).count_refusal(rules, OTHER_ID).counters[rules.digest].last_hour(cloud.now).refused == 2


def test_while_another_attempt_may_be_counting_nothing_is_carried_out(cloud: Cloud, rules: CaRules) -> None:
    environment(cloud).count_refusal(rules, ID)
    for seconds in (0, 30, 60):
        cloud.now += timedelta(seconds=seconds)
        with pytest.raises(Overtaken):
            environment(cloud).count_refusal(rules, ID)
        environment(cloud).count_refusal(rules, ID, has_begun=True)
    cloud.now += timedelta(seconds=1)
    with pytest.raises(Unavailable):  # it is held
        environment(cloud).count_refusal(rules, ID)
    assert refused_in_last_hour(cloud, rules) == 1


def test_a_certificate_counts_again_under_other_rules(cloud: Cloud, rules: CaRules) -> None:
    other = replace(rules, common_name="other-[0-9]+")
    for one in (rules, other):
        environment(cloud).count_refusal(one, ID)
        assert refused_in_last_hour(cloud, one) == 1


def test_what_was_marked_and_could_not_be_counted_is_counted_once_at_the_next_look(
    cloud: Cloud, rules: CaRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(*_: object) -> Brake:
        raise Unavailable("UpdateItem: ThrottlingException")

    monkeypatch.setattr(Brakes, "_count", throttled)
    with pytest.raises(Unavailable):
        environment(cloud).count_refusal(rules, ID)
    held_at = cloud.now
    monkeypatch.undo()
    for look in range(3):
        cloud.now += timedelta(minutes=5)
        environment(cloud).count_refusal(rules, ID, has_begun=look > 0, uncounted_at=held_at)
    assert refused_in_last_hour(cloud, rules) == 1


def test_other_decisions_are_summed_up_and_written_once_a_minute(cloud: Cloud, rules: CaRules) -> None:
    brakes = environment(cloud)
    cloud.wire.forget()
    brakes.write()
    assert not cloud.wire.calls
    for _ in range(120):
        brakes.note(rules, decided(Outcome.ACTIVATED))
        brakes.note(rules, decided(Outcome.REJECTED, Reason.EXPIRED))
        brakes.write()
        cloud.now += timedelta(seconds=1)
    brakes.write()
    assert cloud.wire.operations("dynamodb") == ["UpdateItem"] * 2
    assert brake_of(cloud, rules).counters[rules.digest].last_hour(cloud.now) == Tally(others=240)


@pytest.mark.parametrize(
    "decision",
    [
        decided(Outcome.REJECTED, Reason.COMMON_NAME_REFUSED),  # counted before it was carried out
        decided(Outcome.HELD, Reason.CA_INACTIVE),
        decided(Outcome.FOUND),
    ],
)
def test_what_is_counted_elsewhere_or_is_no_decision_is_not_summed_up(
    cloud: Cloud, rules: CaRules, decision: Decision
) -> None:
    brakes = environment(cloud)
    brakes.note(rules, decision)
    cloud.wire.forget()
    write_after_a_minute(cloud, brakes)
    assert not cloud.wire.calls


def test_what_could_not_be_written_is_written_with_the_next(cloud: Cloud, rules: CaRules) -> None:
    brakes = environment(cloud)
    brakes.note(rules, decided(Outcome.ACTIVATED))
    cloud.wire.fail("UpdateItem", "ProvisionedThroughputExceededException")
    with pytest.raises(Unavailable):
        write_after_a_minute(cloud, brakes)
    cloud.wire.fail("UpdateItem", "ProvisionedThroughputExceededException")
    with pytest.raises(Unavailable):
        refuse_another(brakes, rules)
    brake = refuse_another(brakes, rules)
    assert brake.counters[rules.digest].last_hour(cloud.now) == Tally(refused=1, others=1)


def test_one_of_two_engages_and_an_acceptance_in_between_prevents_it(cloud: Cloud, rules: CaRules) -> None:
    refuse_another(environment(cloud), rules)
    engaged = engaged_in(cloud, rules)
    assert not environment(cloud).engage(rules, engaged, acceptances=0)
    assert brake_of(cloud, rules).engaged == engaged
    assert environment(cloud).accept(rules.certificate_id, engaged, ACCEPTED)
    assert not environment(cloud).accept(rules.certificate_id, engaged, ACCEPTED)
    brake = brake_of(cloud, rules)
    assert (brake.engaged, brake.acceptances, brake.accepted) == (None, 1, ACCEPTED)
    assert not environment(cloud).engage(rules, engaged, acceptances=0)
    assert environment(cloud).engage(rules, engaged, acceptances=1)


def test_only_the_brake_that_was_seen_ends(cloud: Cloud, rules: CaRules) -> None:
    refuse_another(environment(cloud), rules)
    engaged = engaged_in(cloud, rules)
    assert environment(cloud).disengage(rules.certificate_id, engaged)
    cloud.now += timedelta(seconds=1)
    again = engaged_in(cloud, rules)
    assert not environment(cloud).disengage(rules.certificate_id, engaged)
    environment(cloud).note_announced(rules.certificate_id, engaged)
    assert brake_of(cloud, rules).engaged == again
    environment(cloud).note_announced(rules.certificate_id, again)
    now_engaged = brake_of(cloud, rules).engaged
    assert now_engaged
    assert now_engaged.announced


def test_old_counters_are_removed_and_those_that_count_stay(cloud: Cloud, rules: CaRules) -> None:
    brakes = environment(cloud)
    for _ in range(99):
        refuse_another(brakes, rules)
        cloud.now += timedelta(minutes=90)
    refuse_another(brakes, rules)
    cloud.now += timedelta(minutes=30)
    brake = refuse_another(brakes, rules)
    counters = brake.counters[rules.digest]
    assert counters.last_hour(cloud.now) == Tally(refused=2)
    assert counters.last_days(cloud.now).refused == 99
    assert len(cloud.items()[brake_key(rules.certificate_id)]) < 80


def test_what_the_brake_holds_is_looked_at_when_rejections_are_accepted(cloud: Cloud, rules: CaRules) -> None:
    held = Record(
        decision=Decision(
            **{
                **{name: getattr(LEAST, name) for name in LEAST.__dataclass_fields__},
                "outcome": Outcome.HELD,
                "ca_certificate_id": rules.certificate_id,
                "brake": 0,
            }
        )
    )
    brakes = environment(cloud)
    refuse_another(environment(cloud), rules)
    engaged = engaged_in(cloud, rules)
    assert brakes.find_accepted({"a": held, "b": Record()}) == set()
    assert environment(cloud).accept(rules.certificate_id, engaged, ACCEPTED)
    cloud.wire.forget()
    assert brakes.find_accepted({"a": held}) == set()  # it relies on what it read for a minute
    assert not cloud.wire.calls
    cloud.now += timedelta(minutes=1)
    cloud.wire.fail("BatchGetItem", "ProvisionedThroughputExceededException")
    assert brakes.find_accepted({"a": held}) == set()
    assert brakes.find_accepted({"a": held}) == {"a"}


def test_an_acceptance_is_read_anew_once_for_what_the_sweep_sends(cloud: Cloud, rules: CaRules) -> None:
    held = Record(decision=replace(LEAST, outcome=Outcome.HELD, ca_certificate_id=rules.certificate_id, brake=0))
    brakes = environment(cloud)
    refuse_another(environment(cloud), rules)
    engaged = engaged_in(cloud, rules)
    assert brakes.find_accepted({"a": held}) == set()
    assert environment(cloud).accept(rules.certificate_id, engaged, ACCEPTED)
    sent_at = cloud.now = cloud.now + timedelta(seconds=1)
    cloud.now += timedelta(seconds=1)
    cloud.wire.forget()
    assert brakes.find_accepted({"b": held}, {"a": sent_at}) == set()
    assert brakes.find_accepted({"a": held, "b": held}, {"a": sent_at}) == {"a", "b"}
    assert brakes.find_accepted({"b": held}, {"b": sent_at}) == {"b"}
    assert [operation for _, operation, _ in cloud.wire.calls] == ["BatchGetItem"]


def test_a_storm_of_good_devices_reads_no_brake(cloud: Cloud) -> None:
    cloud.wire.forget()
    environment(cloud).find_accepted({str(number): Record(decision=LEAST) for number in range(10)})
    assert not cloud.wire.calls


def test_items_that_a_later_version_wrote_are_read_as_far_as_they_are_known(rules: CaRules) -> None:
    fields = deserialize(
        serialize(
            {
                "id": brake_key(rules.certificate_id),
                "schema": 9,
                f"{rules.digest}.r.m1": 3,
                f"{rules.digest}.r.y1": 3,
                f"{rules.digest}.x.m1": 3,
                "news": {"a": 1},
                "engaged": {"rules": rules.digest, "news": 1},
            }
        )
    )
    brake = to_brake(fields)
    assert brake.counters[rules.digest].slots == {1: Tally(refused=3)}
    assert brake.is_engaged(rules.digest)
    assert to_brake({}) == Brake()


def test_a_refusal_that_could_not_be_counted_leaves_nothing_to_write(cloud: Cloud, rules: CaRules) -> None:
    brakes = environment(cloud)
    cloud.wire.answer("UpdateItem", {})  # it is marked as counted
    cloud.wire.fail("UpdateItem", "ProvisionedThroughputExceededException")
    with pytest.raises(Unavailable):
        refuse_another(brakes, rules)
    cloud.wire.forget()
    write_after_a_minute(cloud, brakes)
    assert not cloud.wire.calls
