"""A CRL ends certificates that are registered, in virtual time, and nothing else is touched."""

from typing import Any

import pytest
from cryptography.x509 import ReasonFlags

from jitr.aws.crl_bucket import object_key
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import CheckMode
from simulation import Authority, Call, Died, Leaf, Moment
from tests.support.survival.revoking import CA, ENFORCED, FOR_GOOD, HOLD, Revoking, make_revoking
from tests.support.survival.scenario_world import DAY


@pytest.fixture(params=[False, True], ids=["by record", "by serial number"])
def world(request: pytest.FixtureRequest) -> Revoking:
    return make_revoking(is_complete=request.param)


def test_listed_devices_are_revoked_and_no_other_one_is_touched(world: Revoking) -> None:
    devices = world.come("sensor", 5)
    world.aws.fault = world.watch

    world.apply({devices[1]: FOR_GOOD, devices[3]: FOR_GOOD})

    assert world.statuses(devices) == ["ACTIVE", "REVOKED", "ACTIVE", "REVOKED", "ACTIVE"]
    decision = world.decision(devices[1])
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.FOUND, Reason.REVOKED_BY_CA)
    assert decision.thing_name == "sensor-0002"
    assert decision.detail
    assert decision.detail.endswith("lists the certificate: keyCompromise")
    assert world.connect(devices[1]) == "refused"
    assert world.state.applied
    assert (world.state.applied.ended, world.state.work) == (2, None)


def test_an_older_crl_lifts_nothing_and_is_refused(world: Revoking) -> None:
    (device,) = world.come("sensor", 1)
    world.apply({device: HOLD})
    world.apply({}, number=1, age=600)
    world.sweep_and_decide(2)
    assert world.status(device) == "INACTIVE"
    assert world.state.refused
    assert "is older" in world.state.refused.why
    assert world.approve()
    world.sweep_and_decide()
    assert world.status(device) == "ACTIVE"
    assert world.state.refused is None


def test_too_many_devices_at_once_wait_for_a_yes(world: Revoking) -> None:
    devices = world.come("sensor", 30)
    entries = dict.fromkeys(devices[:21], FOR_GOOD)
    world.apply(entries)
    assert world.statuses(devices) == ["ACTIVE"] * 30
    waits = world.state.waits
    assert waits
    assert (waits.ended, waits.devices) == (21, 30)

    assert world.approve()

    assert world.statuses(devices) == ["REVOKED"] * 21 + ["ACTIVE"] * 9
    assert world.state.waits is None


def test_twenty_devices_do_not_wait(world: Revoking) -> None:
    devices = world.come("sensor", 22)
    world.apply(dict.fromkeys(devices[:20], FOR_GOOD))
    assert world.statuses(devices) == ["REVOKED"] * 20 + ["ACTIVE"] * 2


def test_where_it_is_only_observed_no_status_changes() -> None:
    world = Revoking(revocation_of_active=CheckMode.OBSERVE)
    devices = world.come("sensor", 3)
    world.apply({devices[0]: FOR_GOOD, devices[1]: HOLD})
    assert world.statuses(devices) == ["ACTIVE"] * 3
    assert world.state.applied
    assert (world.state.applied.mode, world.state.applied.ended) == ("observe", 2)
    assert world.deployment.journal.metrics["ListedActive"] == 2

    world.deploy(**ENFORCED)
    world.revoke = world.deployment.revoke_mapping()
    world.publish({devices[0]: FOR_GOOD, devices[1]: HOLD})
    world.revoke.drain(within=DAY)
    assert world.statuses(devices) == ["REVOKED", "INACTIVE", "ACTIVE"]


def test_a_device_that_comes_up_with_the_crl_before_is_found_ten_minutes_later(world: Revoking) -> None:
    """The claim is written while `revoke` looks for it; the activation follows."""
    device = world.issue("sensor-0009")
    world.connect(device)
    published: list[bool] = []

    def publish(call: Call, moment: Moment) -> None:
        if call.operation == "TransactWriteItems" and moment == "before" and not published:
            published.append(True)
            world.publish({device: FOR_GOOD})
            world.revoke.poll()

    world.aws.fault = publish
    world.mapping.drain(within=60)
    assert published
    assert world.status(device) == "ACTIVE"
    world.aws.fault = None
    world.revoke.drain(within=DAY)
    assert world.status(device) == "REVOKED"


def strikes(world: Revoking, run: Any) -> list[tuple[str, str]]:
    """The calls of `revoke` in a run without faults."""
    seen: list[tuple[str, str]] = []

    def note(call: Call, moment: Moment) -> None:
        if call.caller == "revoke":
            seen.append((call.name, moment))

    world.aws.fault = note
    run()
    return seen


@pytest.mark.parametrize("reason", [HOLD, FOR_GOOD], ids=["hold", "for good"])
def test_a_run_that_dies_at_any_call_is_finished_by_the_next(reason: ReasonFlags) -> None:
    def prepare() -> tuple[Revoking, list[Leaf]]:
        world = Revoking()
        return world, world.come("sensor", 2)

    world, (device, _) = prepare()
    number = len(strikes(world, lambda: world.apply({device: reason})))
    assert number > 20
    for strike in range(number):
        world, (device, other) = prepare()
        left = [strike]

        def die(call: Call, _moment: Moment, left: list[int] = left) -> None:
            if call.caller == "revoke":
                left[0] -= 1
                if left[0] == -1:
                    raise Died

        world.aws.fault = die
        world.apply({device: reason})
        assert world.statuses([device, other]) == ["REVOKED" if reason is FOR_GOOD else "INACTIVE", "ACTIVE"], strike
        decision = world.decision(device)
        assert decision
        assert decision.reason is (Reason.REVOKED_BY_CA if reason is FOR_GOOD else Reason.SUSPENDED_BY_CA), strike
        assert decision.thing_name == "sensor-0001", strike
        if reason is HOLD:
            world.aws.fault = None
            world.apply()
            world.sweep_and_decide()
            assert world.statuses([device, other]) == ["ACTIVE", "ACTIVE"], strike


def registered_before_jitr(world: Revoking, leaf: Leaf, *, ca: str | None = CA) -> None:
    world.account.iot.certificates.register(leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=ca)


@pytest.mark.parametrize("is_named", [True, False], ids=["AWS names its CA", "AWS names none"])
def test_a_certificate_from_before_jitr_is_found_after_the_daily_pass(*, is_named: bool) -> None:
    world = Revoking(unnamed=not is_named)
    listed, other = world.issue("sensor-0007"), world.issue("sensor-0008")
    for leaf in (listed, other):
        registered_before_jitr(world, leaf)
    world.apply({listed: FOR_GOOD})
    assert world.statuses([listed, other]) == ["ACTIVE", "ACTIVE"], "jitr does not know it yet"

    for _ in range(3):
        world.sweep_and_decide()
        world.revoke.drain(within=DAY)

    assert world.statuses([listed, other]) == ["REVOKED", "ACTIVE"]
    world.aws.clock.advance(2 * DAY)
    world.deployment.sweep()
    described = [call for call in world.aws.calls if (call.operation, call.caller) == ("DescribeCertificate", "sweep")]
    assert len(described) == 2, "each of them once, for good"


def test_another_fleets_certificate_is_described_once_and_never_touched() -> None:
    world = Revoking()
    stranger = Authority.new("Another CA").issue("sensor-0007")
    world.account.iot.certificates.register(stranger, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=None)
    world.apply({stranger: FOR_GOOD})
    for _ in range(3):
        world.aws.clock.advance(DAY)
        world.sweep_and_decide()
        world.revoke.drain(within=DAY)
    assert world.status(stranger) == "ACTIVE"
    described = [call for call in world.aws.calls if call.operation == "DescribeCertificate"]
    assert [call.caller for call in described] == ["sweep"]


def test_what_the_sweep_asks_for_is_applied_although_the_event_was_lost(world: Revoking) -> None:
    (device,) = world.come("sensor", 1)
    world.number += 1
    key = object_key(CA)
    crl = world.crl({device: FOR_GOOD}, number=world.number)
    world.account.s3.put(world.deployment.settings.crl_bucket, key, crl)
    world.revoke.drain(within=DAY)
    assert world.status(device) == "ACTIVE"
    world.sweep_and_decide()
    world.revoke.drain(within=DAY)
    assert world.status(device) == "REVOKED"
    asked = world.deployment.crl_arrivals.size
    world.sweep_and_decide(2)
    assert world.deployment.crl_arrivals.size == asked == 0, "it is applied, and nobody asks again"


def test_two_runs_at_once_do_it_once(world: Revoking) -> None:
    devices = world.come("sensor", 3)
    other = world.deployment.revoke_mapping(caller="revoke-2")
    begun: list[bool] = []

    def second(call: Call, moment: Moment) -> None:
        if call.operation == "UpdateCertificate" and call.caller == "revoke" and moment == "before" and not begun:
            begun.append(True)
            world.publish(dict.fromkeys(devices[:2], FOR_GOOD))
            other.poll()

    world.aws.fault = second
    world.apply(dict.fromkeys(devices[:2], FOR_GOOD))
    world.aws.fault = None
    other.drain(within=DAY)
    assert begun
    assert world.statuses(devices) == ["REVOKED", "REVOKED", "ACTIVE"]
    updates = [call for call in world.aws.calls if call.operation == "UpdateCertificate" and "revoke" in call.caller]
    assert len(updates) == 2


def test_a_crl_that_cannot_be_used_ends_nothing_and_is_refused(world: Revoking) -> None:
    (device,) = world.come("sensor", 1)
    world.apply({device: HOLD})
    world.deployment.publish_crl(CA, b"<html>")
    world.revoke.drain(within=DAY)
    world.sweep_and_decide(2)
    assert world.status(device) == "INACTIVE"
    assert world.state.refused
    assert "neither DER nor a PEM" in world.state.refused.why


def test_sessions_of_revoked_devices_are_ended_and_no_other_ones(world: Revoking) -> None:
    stolen, other = world.come("sensor", 2)
    for leaf, name in ((stolen, "sensor-0001"), (other, "sensor-0002")):
        assert world.account.connect(leaf, client_id=name) == "accepted"
    world.apply({stolen: FOR_GOOD})
    ended = [call.parameters["clientId"] for call in world.aws.calls if call.operation == "DeleteConnection"]
    assert ended == ["sensor-0001"]


def test_a_certificate_that_a_wrong_record_ascribes_to_the_ca_is_not_touched(world: Revoking) -> None:
    """What the index says is a hint; the certificate's own bytes decide."""
    listed, other = world.come("sensor", 2)
    key = (f"certificate#{other.certificate_id}",)
    item = dict(world.deployment.registry.items[key])
    theirs = world.deployment.registry.items[(f"certificate#{listed.certificate_id}",)]
    item["issued_as"] = theirs["issued_as"]
    item["decision"] = {"M": {**item["decision"]["M"], "serial": theirs["decision"]["M"]["serial"]}}
    world.deployment.registry.put(key, item)
    world.apply({listed: FOR_GOOD})
    assert world.statuses([listed, other]) == ["REVOKED", "ACTIVE"]
