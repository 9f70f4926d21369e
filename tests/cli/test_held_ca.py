"""A CA under a provisioning template that the fleet file knows (`jitp = true`) is held, and not called broken."""

from dataclasses import replace
from pathlib import Path

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.store.revoked_cas import CaRevocation
from jitrctl.ca import registry
from jitrctl.ca.plan import CaState, EnableAutoRegistration, RuleState, differences, held_text, plan
from jitrctl.status import ca_problems
from simulation import Leaf
from tests.support.cli.doctored import Doctored, doctored
from tests.support.cli.simulated import BOTH, DEV
from tests.support.jitp.fleet import put_template

SENSOR, RULE = "sensor-0001", "jitr_acme__factory"
KEY = BOTH.replace(" }", ", jitp = true }")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctored:
    return doctored(tmp_path, monkeypatch)


def deploy(made: Doctored, *, key: bool) -> None:
    """Write the key into dev's entry of the CA, or not, and deploy."""
    made.fleet.write()
    if key:
        text = made.fleet.file.read_text(encoding="utf-8")
        made.fleet.file.write_text(text.replace(f"ca.factory = {BOTH}", f"ca.factory = {KEY}", 1), encoding="utf-8")
    made.fleet.deploy()
    ca = made.fleet.old.certificate_id
    made.fleet.place(DEV).iot.broker.rules[ca][0].enabled = not key
    made.disabled_rules = {RULE} if key else set()


@pytest.fixture
def held(made: Doctored) -> Doctored:
    put_template(made.fleet.place(DEV), made.fleet.old.certificate_id)
    deploy(made, key=True)
    return made


def take_off(made: Doctored) -> None:
    made.fleet.iot(DEV).update_ca_certificate(certificateId=made.fleet.old.certificate_id, removeAutoRegistration=True)


def state(made: Doctored) -> CaState:
    stage = made.fleet.stage(DEV)
    (found,) = (one for one in registry.inspect_cas(stage, stage.account.cas) if one.name == "factory")
    return found


def left_pending(made: Doctored) -> Leaf:
    """A device that JITP left pending, and that the sweep has sent."""
    leaf = made.fleet.issue(SENSOR)
    made.fleet.place(DEV).connect(leaf, client_id=SENSOR)
    made.fleet.sweep(DEV, after=1000)
    return leaf


def test_doctor_says_held_of_the_template_and_of_the_disabled_rule(held: Doctored) -> None:
    _, printed = held.ask_doctor(held.file(held.fleet.issue(SENSOR)))
    assert "provisioning template note held: a provisioning template is on this CA" in " ".join(printed.split())
    assert "rule enabled note held: it is disabled as deployed" in " ".join(printed.split())
    assert "provisioning template is broken" not in printed
    assert "rule enabled is broken" not in printed


def test_doctor_says_why_a_pending_device_is_held_and_by_what(held: Doctored) -> None:
    leaf = left_pending(held)
    decision = held.fleet.record(DEV, leaf).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_HAS_TEMPLATE)
    _, printed = held.ask_doctor(held.file(leaf))
    assert "decision is broken" in printed
    assert "CA_HAS_TEMPLATE" in printed
    assert "find out why AWS IoT left it pending" in printed


def test_show_and_doctor_say_that_a_held_device_waits_for_the_template_to_go(held: Doctored) -> None:
    leaf = left_pending(held)
    shown = held.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "evaluated again once no provisioning template is on its CA" in shown
    assert "evaluated again at" not in shown
    _, printed = held.ask_doctor(held.file(leaf))
    assert "evaluated again once no provisioning template is on its CA" in " ".join(printed.split())


def test_show_says_of_a_held_device_that_is_active_who_activated_it_and_offers_no_reconcile(held: Doctored) -> None:
    leaf = left_pending(held)
    held.fleet.iot(DEV).update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    shown = held.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "AWS IoT or an operator has activated it since" in shown
    assert "reconcile" not in shown
    for _ in range(2):
        held.fleet.sweep(DEV, after=90_000)
    shown = held.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "CA_HAS_TEMPLATE" not in shown
    assert "reconcile" not in shown


def test_a_pending_device_without_a_decision_is_not_sent_to_the_sweep_by_doctor(held: Doctored) -> None:
    leaf = held.fleet.issue(SENSOR)
    held.fleet.place(DEV).connect(leaf, client_id=SENSOR)
    _, printed = held.ask_doctor(held.file(leaf))
    assert "decision is broken: none: held" in printed
    assert "jitrctl sweep" not in printed


def test_after_the_template_is_off_the_key_is_to_be_taken_out_and_that_lets_devices_in(held: Doctored) -> None:
    leaf = left_pending(held)
    take_off(held)
    held.fleet.aws.clock.advance(120)
    _, printed = held.ask_doctor(held.file(held.fleet.issue("sensor-0002")))
    assert "no provisioning template is on this CA any more: remove jitp = true" in printed
    assert "rule enabled is broken" in printed

    deploy(held, key=False)  # what the cure says first
    held.follow(printed)
    held.fleet.sweep(DEV, after=1000)
    assert held.connect(leaf, SENSOR) == "accepted"
    assert held.ask_doctor(held.file(leaf))[0] == 0
    assert "held" not in held.read("ca", "status", "--account", DEV)[1]


def test_a_held_ca_is_no_difference_and_ca_apply_leaves_it_alone(held: Doctored) -> None:
    found = state(held)
    assert (found.rule, found.is_held, found.is_freed) == (RuleState.DISABLED, True, False)
    assert differences(found) == ()
    to_do = plan(found)
    assert to_do.steps == ()
    (obstacle,) = to_do.obstacles
    assert obstacle.startswith("held: a provisioning template is on this CA")


def test_a_missing_rule_of_a_held_ca_is_still_a_difference(held: Doctored) -> None:
    assert differences(replace(state(held), rule=RuleState.MISSING)) == ("its topic rule is missing: deploy the stack",)


@pytest.mark.parametrize(("rule", "what"), [("disabled", "wait for the sweep"), ("enabled", "would disable it again")])
def test_a_freed_ca_says_what_its_rule_does_and_how_it_ends(held: Doctored, rule: str, what: str) -> None:
    take_off(held)
    if rule == "enabled":
        held.disabled_rules.clear()
    (text,) = differences(state(held))
    assert "remove jitp = true from its entry, and deploy" in text
    assert what in text


def test_a_template_without_the_key_is_diagnosed_as_before(made: Doctored) -> None:
    put_template(made.fleet.place(DEV), made.fleet.old.certificate_id)
    deploy(made, key=False)
    found = state(made)
    assert (found.is_held, found.is_freed) == (False, False)
    assert differences(found) == (
        "a provisioning template is set: AWS IoT provisions devices itself, and publishes no event",
    )
    assert "provisioning template is broken" in made.ask_doctor(made.file(made.fleet.issue(SENSOR)))[1]


def test_ca_apply_enables_no_registration_while_the_rule_is_disabled(held: Doctored) -> None:
    take_off(held)
    held.fleet.iot(DEV).update_ca_certificate(
        certificateId=held.fleet.old.certificate_id, newAutoRegistrationStatus="DISABLE"
    )
    to_do = plan(state(held))
    assert EnableAutoRegistration() not in to_do.steps
    assert any("remove jitp = true" in text for text in to_do.waiting)


@pytest.mark.parametrize("active", [True, False])
def test_nobody_is_told_to_bring_in_the_devices_of_a_revoked_ca_under_a_template(
    held: Doctored, *, active: bool
) -> None:
    found = state(held)
    assert found.found
    revocation = CaRevocation(at=held.fleet.aws.clock.now(), by="arn:ann", note="key leaked")
    revoked = replace(found, revocation=revocation, found=replace(found.found, active=active))
    text = held_text(revoked)
    assert "jitrctl ca revoke factory --lift" in text
    assert "--take-over" not in text
    assert "ACTIVE (`aws" not in text


def test_no_command_enables_the_rule_beside_a_template(held: Doctored) -> None:
    found = state(held)
    without_key = replace(found, declared=replace(found.declared, jitp=False), rule=RuleState.DISABLED)
    assert not without_key.is_held
    cures = list(ca_problems._cures(held.fleet.stage(DEV), without_key))
    assert not any("enable-topic-rule" in one for one in cures)
    assert any("jitrctl ca adopt factory" in one for one in cures)
