"""While a provisioning template is on a CA, jitr leaves its pending devices alone; afterwards it takes all of them."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.sweep import due_evaluations, template_holds
from simulation import Authority, Fault, Leaf
from simulation.clock import START
from simulation.deployment import ca_rules, rules
from tests.support.jitp.fleet import DAY, RULE, JitpFleet, NotTakenOff, put_template

COUNTRY = [x509.NameAttribute(NameOID.COUNTRY_NAME, "CH")]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.new("Factory CA")


@pytest.fixture
def fleet(authority: Authority) -> JitpFleet:
    return JitpFleet.make(authority)


def pending(fleet: JitpFleet, name: str = "sensor-1", **validity: Any) -> Leaf:
    """A device that JITP left pending, ten minutes ago."""
    leaf = fleet.authority.issue(name, **validity)
    fleet.connect(leaf, name)
    fleet.aws.clock.advance(700)
    assert fleet.status(leaf) == "PENDING_ACTIVATION"
    return leaf


def hold(fleet: JitpFleet, name: str = "sensor-1") -> Leaf:
    """The same, and the sweep has sent it, once."""
    leaf = pending(fleet, name)
    fleet.deployment.sweep()
    fleet.deliver()
    return leaf


def test_jitp_provisions_and_jitr_sees_nothing_of_it(fleet: JitpFleet) -> None:
    leaf = fleet.authority.issue("sensor-1", subject=COUNTRY)
    fleet.connect(leaf)
    fleet.aws.clock.advance(5)
    assert fleet.connect(leaf) == "accepted"
    fleet.deployment.sweep()
    fleet.deliver()
    assert fleet.decision(leaf) is None
    assert fleet.calls_of("register") == {}


def test_a_pending_device_is_held_with_its_reason_and_stays_as_it_is(fleet: JitpFleet) -> None:
    leaf = hold(fleet)
    decision = fleet.decision(leaf)
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_HAS_TEMPLATE)
    assert fleet.status(leaf) == "PENDING_ACTIVATION"
    assert fleet.account.iot.things.by_name == {}
    assert set(fleet.calls_of("register")) == {"DescribeCertificate", "DescribeCACertificate"}


@pytest.mark.parametrize(
    ("ca", "validity"),
    [
        ({"common_name": "other-[0-9]+"}, {}),
        ({}, {"not_after": START + timedelta(minutes=5)}),
        ({"common_name": "other-[0-9]+", "on_reject": "revoke"}, {}),
    ],
    ids=["by its name", "by its end", "to be revoked"],
)
def test_what_would_be_rejected_for_good_is_held_as_well(
    authority: Authority, ca: dict[str, Any], validity: dict[str, Any]
) -> None:
    fleet = JitpFleet.make(authority, **ca)
    leaf = pending(fleet, **validity)
    fleet.deployment.sweep()
    fleet.deliver()
    decision = fleet.decision(leaf)
    assert decision
    assert decision.reason is Reason.CA_HAS_TEMPLATE
    assert fleet.status(leaf) == "PENDING_ACTIVATION"


def test_a_certificate_that_was_revoked_stays_known_as_such_and_is_refused_later(fleet: JitpFleet) -> None:
    leaf = hold(fleet)
    certificate = {"certificateId": leaf.certificate_id}
    fleet.iot.update_certificate(**certificate, newStatus="REVOKED")
    fleet.aws.clock.advance(DAY)
    fleet.deployment.sweep()
    fleet.iot.delete_certificate(**certificate)
    assert hold_again(fleet, leaf).reason is Reason.WAS_REVOKED
    assert fleet.status(leaf) == "PENDING_ACTIVATION", "jitr decided under the template"

    fleet.take_over()
    for _ in range(2):
        fleet.aws.clock.advance(DAY)
        fleet.deployment.sweep()
        fleet.deliver()
    assert fleet.status(leaf) == "INACTIVE"
    assert fleet.connect(leaf) == "refused"


def hold_again(fleet: JitpFleet, leaf: Leaf) -> Decision:
    fleet.connect(leaf)
    fleet.aws.clock.advance(4000)
    fleet.deployment.sweep()
    fleet.deliver()
    decision = fleet.decision(leaf)
    assert decision
    assert decision.outcome is Outcome.HELD
    return decision


def test_a_held_device_that_becomes_active_under_the_template_is_recorded_as_found(fleet: JitpFleet) -> None:
    """JITP, a retry or an operator activates it; the template may stay for months."""
    leaf = hold(fleet)
    fleet.iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    for _ in range(2):
        fleet.aws.clock.advance(DAY)
        fleet.deployment.sweep()
    found = fleet.decision(leaf)
    assert found
    assert (found.outcome, found.status, found.reason) == (Outcome.FOUND, "ACTIVE", None)
    assert found.thing_name is None, "it owns no name in the registry"

    # Nothing is due with it any more, and the end of the template changes nothing.
    fleet.aws.clock.advance(DAY)
    fleet.deployment.sweep()
    looked = fleet.calls_of("register")
    fleet.take_over()
    fleet.aws.clock.advance(DAY)
    assert fleet.deployment.sweep().sent == 0
    fleet.deliver()
    assert fleet.calls_of("register") == looked
    assert fleet.record(leaf).due_at is None
    assert fleet.status(leaf) == "ACTIVE"


def test_what_an_operator_revokes_after_it_was_found_active_stays_refused(fleet: JitpFleet) -> None:
    leaf = hold(fleet)
    for status in ("ACTIVE", "REVOKED"):
        fleet.iot.update_certificate(certificateId=leaf.certificate_id, newStatus=status)
        fleet.aws.clock.advance(DAY)
        fleet.deployment.sweep()
    found = fleet.decision(leaf)
    assert found
    assert (found.outcome, found.status) == (Outcome.FOUND, "REVOKED")


def test_the_sweep_sends_no_held_device_again_while_the_template_is_there(fleet: JitpFleet) -> None:
    leaves = [pending(fleet, f"sensor-{number}") for number in range(12)]
    fleet.deployment.sweep()
    fleet.deliver()
    looked = fleet.calls_of("register")["DescribeCertificate"]
    assert looked == len(leaves)
    for _ in range(30):
        fleet.aws.clock.advance(DAY / 4)
        assert fleet.deployment.sweep().sent == 0
    fleet.deployment.rules = fleet.deployment.rules.from_json(
        fleet.deployment.rules.to_json().replace('"minimum_remaining_life": 0', '"minimum_remaining_life": 60')
    )
    assert fleet.deployment.sweep().sent == 0, "other rules send them"
    fleet.deliver()
    assert fleet.calls_of("register")["DescribeCertificate"] == looked
    # Nobody is lost by that.
    fleet.take_over()
    fleet.aws.clock.advance(120)
    fleet.deployment.sweep()
    fleet.deliver()
    assert [fleet.status(leaf) for leaf in leaves] == ["ACTIVE"] * len(leaves)


def test_devices_of_other_cas_do_not_wait_behind_those_that_are_held(
    fleet: JitpFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Authority.new("Line CA")
    ca = {"caCertificate": line.pem, "certificateMode": "SNI_ONLY", "setAsActive": True, "allowAutoRegistration": True}
    fleet.account.iot.cas.register_ca_certificate(ca)
    fleet.deployment.rules = rules(ca_rules(fleet.authority, jitp=True), ca_rules(line, name="line"))
    held = [pending(fleet, f"sensor-{number}") for number in range(7)]
    fleet.deployment.sweep()
    fleet.deliver()
    first, second = line.issue("sensor-9"), line.issue("sensor-9")
    for leaf in (first, second):
        fleet.connect(leaf, "sensor-9")
        fleet.aws.clock.advance(700)
        fleet.deployment.sweep()
        fleet.deliver()
    waits = fleet.record(second)
    assert waits.decision
    assert (waits.decision.outcome, waits.decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)

    # All are due, the held ones first.
    for leaf in held:
        fleet.registry.postpone_evaluation(leaf.certificate_id, fleet.record(leaf), START)
    fleet.aws.clock.advance(4000)
    assert waits.due_at
    assert waits.due_at < fleet.aws.clock.now()
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", 2)
    monkeypatch.setattr(template_holds, "_MOST_POSTPONED", 5)
    assert fleet.deployment.sweep().sent == 1
    due_at = [fleet.record(leaf).due_at or START for leaf in held]
    postponed = [one for one in due_at if one > fleet.aws.clock.now()]
    assert len(set(postponed)) == 5, "as many as one sweep postpones, each to a time of its own"


@pytest.mark.parametrize("key_first", [True, False])
def test_the_next_sweep_brings_in_who_was_held_with_the_key_there_or_not(fleet: JitpFleet, *, key_first: bool) -> None:
    leaf = hold(fleet)
    if key_first:
        fleet.take_over()
        fleet.remove_key()
    else:
        fleet.take_over()
    fleet.aws.clock.advance(120)
    fleet.deployment.sweep()
    fleet.deliver()
    assert fleet.status(leaf) == "ACTIVE"
    assert fleet.connect(leaf) == "accepted"


def test_a_held_device_comes_in_at_its_next_connect_after_the_template_is_off(fleet: JitpFleet) -> None:
    leaf = hold(fleet)
    fleet.take_over()
    fleet.aws.clock.advance(70)
    fleet.connect(leaf)
    fleet.deliver()
    assert fleet.connect(leaf) == "accepted"


def test_a_new_device_comes_in_at_once_after_the_template_is_off(fleet: JitpFleet) -> None:
    fleet.take_over()
    fleet.aws.clock.advance(1)
    leaf = fleet.authority.issue("sensor-1")
    fleet.aws.clock.advance(2)
    fleet.connect(leaf)
    fleet.deliver()
    assert fleet.connect(leaf) == "accepted"


def test_what_jitp_has_in_hand_when_the_template_is_taken_off_is_not_judged(fleet: JitpFleet) -> None:
    """It connects again while JITP is at it, and the rule is enabled: the event comes to `register`."""
    fleet.aws.undocumented.jitp_seconds = 40
    leaf = fleet.authority.issue("sensor-1", subject=COUNTRY)
    fleet.connect(leaf)
    fleet.aws.clock.advance(1)
    fleet.take_over()
    fleet.connect(leaf)
    assert fleet.deployment.registrations.size == 1
    fleet.deployment.mapping().drain(within=30)
    decision = fleet.decision(leaf)
    assert decision
    assert decision.reason is Reason.CA_HAS_TEMPLATE
    assert set(fleet.calls_of("register")) == {"DescribeCertificate", "DescribeCACertificate"}

    fleet.aws.clock.advance(30)
    assert fleet.connect(leaf) == "accepted"
    fleet.aws.clock.advance(4000)
    fleet.deployment.sweep()
    fleet.deliver()
    found = fleet.decision(leaf)
    assert found
    assert found.outcome is Outcome.FOUND


def test_an_event_of_a_ca_under_a_template_is_held_where_aws_publishes_it(fleet: JitpFleet) -> None:
    fleet.aws.undocumented.publishes_with_template = True
    fleet.iot.enable_topic_rule(ruleName=RULE)
    leaf = fleet.authority.issue("sensor-1", subject=COUNTRY)
    fleet.connect(leaf)
    fleet.deployment.mapping().poll()
    assert fleet.status(leaf) == "PENDING_ACTIVATION"
    fleet.aws.clock.advance(5)
    assert fleet.connect(leaf) == "accepted"
    assert [
        one.name
        for one in fleet.account.iot.policies.of_target(fleet.account.iot.certificates.arn(leaf.certificate_id))
    ] == ["old"]


def test_without_the_key_a_template_changes_no_decision(authority: Authority) -> None:
    fleet = JitpFleet.make(authority, jitp=False)
    leaf = pending(fleet)
    fleet.deployment.sweep()
    fleet.deliver()
    assert fleet.status(leaf) == "ACTIVE"


def test_the_sweep_asks_of_no_ca_without_the_key(authority: Authority) -> None:
    fleet = JitpFleet.make(authority, jitp=False)
    fleet.deployment.sweep()
    assert "DescribeCACertificate" not in fleet.calls_of("sweep")


def test_where_aws_does_not_answer_the_sweep_sends_none_of_the_held_ones(fleet: JitpFleet) -> None:
    hold(fleet)
    fleet.take_over()
    fleet.aws.clock.advance(4000)

    def refused(call: Any, moment: str) -> Any:
        return Fault.SERVER_ERROR if (call.operation, moment) == ("DescribeCACertificate", "before") else None

    fleet.aws.fault = refused
    swept = fleet.deployment.sweep()
    assert (swept.sent, swept.failed) == (0, ["provisioning templates"])
    fleet.aws.fault = None
    assert fleet.deployment.sweep().sent == 1


@pytest.mark.parametrize("ends", [True, False])
def test_a_template_that_cannot_be_taken_off_stays_and_jitp_goes_on(fleet: JitpFleet, *, ends: bool) -> None:
    fleet.aws.undocumented.removal_takes_template = False
    fleet.aws.undocumented.removal_ends_registration = ends
    held = hold(fleet, "sensor-2")
    with pytest.raises(NotTakenOff):
        fleet.take_over()
    leaf = fleet.authority.issue("sensor-1", subject=COUNTRY)
    fleet.connect(leaf)
    fleet.aws.clock.advance(5)
    assert fleet.connect(leaf) == "accepted"
    fleet.aws.clock.advance(4000)
    assert fleet.deployment.sweep().sent == 0
    assert fleet.status(held) == "PENDING_ACTIVATION"


def test_a_pending_device_that_jitp_will_not_provision_registers_anew_when_it_is_deleted(fleet: JitpFleet) -> None:
    """It registered while the template was off; JITP may never look at a certificate that is pending already."""
    fleet.take_over()
    fleet.aws.clock.advance(5)
    leaf = fleet.authority.issue("sensor-1", subject=COUNTRY)
    fleet.connect(leaf)
    fleet.iot.disable_topic_rule(ruleName=RULE)
    put_template(fleet.account, fleet.authority.certificate_id)
    fleet.deliver()
    fleet.connect(leaf)
    fleet.aws.clock.advance(5)
    assert fleet.status(leaf) == "PENDING_ACTIVATION"

    fleet.iot.delete_certificate(certificateId=leaf.certificate_id)
    fleet.connect(leaf)
    fleet.aws.clock.advance(5)
    assert fleet.connect(leaf) == "accepted"
    # And that does not keep it out, should jitr take over later.
    fleet.take_over()
    fleet.aws.clock.advance(4000)
    fleet.deployment.sweep()
    fleet.deliver()
    assert fleet.connect(leaf) == "accepted"


def test_a_device_that_jitp_left_half_made_is_held_for_its_attachment_and_in_once_that_is_detached(
    fleet: JitpFleet,
) -> None:
    """JITP attaches a thing not exclusively; that another kind of attachment is refused is a guess (aws-facts)."""
    del fleet.account.iot.policies.by_name["old"]
    leaf = fleet.authority.issue("sensor-1", subject=COUNTRY)
    fleet.connect(leaf)
    fleet.aws.clock.advance(5)
    assert fleet.status(leaf) == "PENDING_ACTIVATION"
    assert "sensor-1" in fleet.account.iot.things.by_name
    fleet.take_over()
    fleet.aws.clock.advance(1000)
    fleet.deployment.sweep()
    fleet.deliver()
    decision = fleet.decision(leaf)
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.REQUEST_REFUSED)

    arn = fleet.account.iot.certificates.arn(leaf.certificate_id)
    fleet.iot.detach_thing_principal(thingName="sensor-1", principal=arn)
    fleet.aws.clock.advance(4000)
    fleet.connect(leaf)
    fleet.deliver()
    assert fleet.connect(leaf) == "accepted"
