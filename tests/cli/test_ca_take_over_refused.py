"""When a take-over or its undoing is refused, and that the cures let it through."""

import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jitrctl.__main__ import main
from simulation.faults import Call, Died, Moment
from tests.support.cli.iam import under
from tests.support.cli.jitp_fleet import ROLE, RULE, JitpFleet, template
from tests.support.cli.orders import deny_calls, strike
from tests.support.cli.simulated import DEV, IDS
from tests.support.cli.taking_over import (
    HERE,
    KILLED_AFTER,
    ON,
    RULES,
    TAKE,
    UNDO,
    held_fleet,
    kept_config,
)


@pytest.fixture
def jitp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    return held_fleet(tmp_path, monkeypatch)


def test_a_device_that_became_pending_during_undo_comes_up_once_its_registration_is_deleted(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    leaf = jitp.fleet.issue("pump-5")

    def come(call: Call, moment: Moment) -> None:
        if call.name == "iot:DisableTopicRule" and moment == "after":
            jitp.fleet.place(DEV).connect(leaf, client_id="pump-5")

    with strike(jitp.fleet, come):
        jitp.adopt(*UNDO)
    assert jitp.fleet.status(DEV, leaf) == "PENDING_ACTIVATION"
    jitp.iot.delete_certificate(certificateId=leaf.certificate_id)
    assert jitp.accepts("pump-5", jitp.connect("pump-5", leaf))


def enable_rule(jitp: JitpFleet) -> None:
    jitp.iot.enable_topic_rule(ruleName=RULE)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda j: j.write_key(on=False), "the fleet file does not say that a template is on CA factory: write jitp"),
        (lambda j: j.fleet.place(DEV).iot.broker.rules.clear(), f"topic rule {RULE} is missing: write jitp = true"),
        (enable_rule, f"topic rule {RULE} is enabled while the template is on the CA, so jitr and JITP both act"),
        (lambda j: setattr(j.registered, "status", "INACTIVE"), "CA factory is INACTIVE here"),
        (lambda j: j.put(templateName="gone"), "names the provisioning template gone, which does not exist"),
    ],
)
def test_a_take_over_that_is_not_prepared_is_refused_with_the_cure(jitp: JitpFleet, spoil: Any, said: str) -> None:
    spoil(jitp)
    before = jitp.state() if jitp.fleet.place(DEV).iot.broker.rules else None
    assert said in jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    if before:
        assert jitp.state() == before


def test_the_cures_of_a_rule_that_is_on_and_of_a_ca_that_is_inactive_let_the_order_through(jitp: JitpFleet) -> None:
    enable_rule(jitp)
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert f"`aws iot disable-topic-rule --rule-name {RULE}`, then this again" in said
    jitp.iot.disable_topic_rule(ruleName=RULE)
    jitp.iot.update_ca_certificate(certificateId=jitp.ca.certificate_id, newStatus="INACTIVE")
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert f"update-ca-certificate --certificate-id {jitp.ca.certificate_id} --new-status ACTIVE" in said
    jitp.iot.update_ca_certificate(certificateId=jitp.ca.certificate_id, newStatus="ACTIVE")
    jitp.adopt(*TAKE)
    assert jitp.state() == (None, "ENABLE", True)


@pytest.mark.parametrize("status", ["INACTIVE", "ACTIVE"])
@pytest.mark.parametrize("words", [TAKE, UNDO])
def test_a_revoked_ca_is_refused_until_the_revocation_is_lifted(
    jitp: JitpFleet, words: tuple[str, ...], status: str
) -> None:
    if words is UNDO:
        jitp.adopt(*TAKE)
    jitp.fleet.say("ca", "revoke", "factory", "--yes")
    jitp.iot.update_ca_certificate(certificateId=jitp.ca.certificate_id, newStatus=status)
    before = jitp.state()
    said = jitp.fleet.say("ca", "adopt", *words, "--account", DEV, code=1)
    assert "`jitrctl ca revoke factory --lift` takes that back" in said
    assert "--new-status ACTIVE" not in said
    assert jitp.state() == before


def test_a_lifted_revocation_leaves_the_rule_disabled_under_a_template(jitp: JitpFleet) -> None:
    before = jitp.state()
    jitp.fleet.say("ca", "revoke", "factory", "--yes")
    jitp.fleet.say("ca", "revoke", "factory", "--lift", "--yes")
    assert jitp.state() == before
    jitp.adopt(*TAKE)
    jitp.fleet.say("ca", "revoke", "factory", "--yes")
    jitp.fleet.say("ca", "revoke", "factory", "--lift", "--yes")
    assert jitp.state() == (None, "ENABLE", True)


def test_the_cure_of_a_template_without_the_key_leads_to_a_take_over_that_keeps_it(jitp: JitpFleet) -> None:
    jitp.write_key(on=False)
    enable_rule(jitp)
    here = ("--account", DEV)
    assert "`jitrctl ca adopt factory` shows what it does" in jitp.fleet.say("ca", "plan", *here, code=1)
    assert "deploy the stack with jitp = true" in jitp.fleet.say("ca", "adopt", "factory", *here)
    jitp.hold(RULES)
    jitp.adopt(*TAKE)
    assert (jitp.state(), kept_config(jitp)) == ((None, "ENABLE", True), ON)


def test_the_key_is_to_be_taken_out_only_after_the_other_regions_of_the_account(jitp: JitpFleet) -> None:
    text = jitp.fleet.file.read_text()
    jitp.fleet.file.write_text(text.replace('["eu-central-1"]', '["eu-central-1", "us-east-1"]', 1))
    here = ("--account", DEV, "--region", "eu-central-1")
    shown = jitp.fleet.say("ca", "adopt", "factory", *here)
    assert f"`jitrctl ca adopt factory {' '.join(here)} --take-over" in shown
    said = jitp.fleet.say("ca", "adopt", *TAKE, *here)
    first, last = said.index("--account dev --region us-east-1 --take-over"), said.index("Only then take jitp = true")
    assert first < last
    assert "Next: take jitp" not in said


def test_a_function_that_was_deployed_without_the_key_is_a_refusal(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = jitp.fleet.deployments[DEV].rules
    old = replace(deployed, cas=tuple(replace(one, jitp=False) for one in deployed.cas))
    monkeypatch.setattr("jitrctl.jitp.take_over_plan.read_deployed_rules", lambda _: old)
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "the deployed function does not know that a template is on CA factory" in said
    assert jitp.state() == (ON, "ENABLE", False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda j: j.put(templateBody=template(), roleArn=f"{ROLE}2"), "another template was put on CA factory since"),
        (
            lambda j: j.iot.update_ca_certificate(
                certificateId=j.ca.certificate_id, newAutoRegistrationStatus="DISABLE"
            ),
            "auto-registration of CA factory was disabled since the take-over",
        ),
        (
            lambda j: (
                j.fleet.aws.clock.advance(60),
                j.iot.update_ca_certificate(certificateId=j.ca.certificate_id, newStatus="ACTIVE"),
            ),
            "after the take-over, and nothing was changed now",
        ),
        (lambda j: j.write_key(on=False), "the fleet file does not say that a template is on CA factory"),
    ],
)
def test_undo_is_refused_when_something_else_was_changed(jitp: JitpFleet, change: Any, said: str) -> None:
    jitp.adopt(*TAKE)
    change(jitp)
    before = jitp.state()
    assert said in jitp.fleet.say("ca", "adopt", *UNDO, "--account", DEV, code=1)
    assert jitp.state() == before
    # What the sentences name is there: the template as it was on the CA.
    if before[0] is None and before[1] == "ENABLE":
        assert jitp.adopt(*TAKE)["kept"]["config"] == ON


def test_the_commands_that_a_refused_undo_names_put_the_template_back_with_the_rule_disabled(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    jitp.write_key(on=False)
    jitp.fleet.aws.clock.advance(60)
    jitp.iot.update_ca_certificate(certificateId=jitp.ca.certificate_id, newStatus="ACTIVE")
    said = jitp.fleet.say("ca", "adopt", *UNDO, "--account", DEV, code=1)
    assert "if the template is still meant, deploy jitp = true in ca.factory of [account.dev], then" in said
    disable, put, kept = re.findall("`([^`]*)`", said)
    jitp.write_key(on=True)
    assert disable == f"aws iot disable-topic-rule --rule-name {RULE} --region eu-central-1"
    jitp.iot.disable_topic_rule(ruleName=RULE)
    command, _, file = kept.partition(" > ")
    assert f"file://{file}" in put
    screen = StringIO()
    with redirect_stdout(screen):
        assert main([*command.split()[1:], "--fleet", str(jitp.fleet.file)]) == 0
    jitp.put(**json.loads(screen.getvalue()))
    assert jitp.state() == (ON, "ENABLE", False)


def test_what_is_kept_is_shown_once_no_template_is_on_the_ca(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    found = jitp.adopt("factory")
    assert (found["kept"]["config"], found["kept"]["state"]) == (ON, "taken")
    said = jitp.fleet.say("ca", "adopt", "factory", "--account", DEV)
    assert f"`{HERE} --undo --fleet {jitp.fleet.file}` puts it back" in said
    jitp.adopt(*UNDO)
    assert "toml" in jitp.adopt("factory")


def test_another_mode_does_not_lose_the_template_with_the_registration(jitp: JitpFleet) -> None:
    jitp.registered.mode = "DEFAULT"
    jitp.fleet.place(DEV).iot.cas._place.default_cas[jitp.ca.certificate_id] = IDS[DEV]
    said = jitp.fleet.say("ca", "switch-mode", "--account", DEV, "--yes", code=1)
    assert "a provisioning template is on it, which would be lost with the registration" in said
    assert (jitp.registered.mode, jitp.registered.template) == ("DEFAULT", ON)
    jitp.adopt(*TAKE)
    jitp.fleet.say("ca", "switch-mode", "--account", DEV, "--yes")
    assert jitp.registered.mode == "SNI_ONLY"


def test_undo_without_a_take_over_is_refused(jitp: JitpFleet) -> None:
    assert "no template of CA factory is kept here" in jitp.fleet.say("ca", "adopt", *UNDO, "--account", DEV, code=1)


def test_the_cure_where_aws_keeps_the_template_lets_jitr_take_the_ca_over(jitp: JitpFleet) -> None:
    jitp.fleet.aws.undocumented.removal_takes_template = False
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "set it INACTIVE, delete its registration" in said
    jitp.iot.update_ca_certificate(certificateId=jitp.ca.certificate_id, newStatus="INACTIVE")
    jitp.iot.delete_ca_certificate(certificateId=jitp.ca.certificate_id)
    jitp.fleet.say("ca", "apply", "--account", DEV, "--without-denials", "--yes", code=1)
    jitp.fleet.aws.clock.advance(1000)
    told = jitp.adopt(*TAKE)
    assert (told["gap_seconds"], told["was_without_registration"]) == (None, True)
    assert jitp.state() == (None, "ENABLE", True)
    assert jitp.accepts("pump-9", jitp.connect("pump-9"))


@pytest.mark.parametrize("option", ["--take-over", "--undo"])
def test_killed_where_aws_keeps_the_template_ca_plan_names_both_ways_on(jitp: JitpFleet, option: str) -> None:
    undocumented = jitp.fleet.aws.undocumented
    undocumented.removal_takes_template, undocumented.removal_ends_registration = False, True

    def die(call: Call, moment: Moment) -> None:
        if call.name == "iot:UpdateCACertificate" and moment == "after":
            raise Died

    with strike(jitp.fleet, die):
        jitp.fleet.ask_any("ca", "adopt", *TAKE, "--account", DEV)
    assert jitp.state() == (ON, "DISABLE", False)
    said = jitp.fleet.say("ca", "plan", "--account", DEV, code=1)
    assert "auto-registration is off" in said
    assert f"`jitrctl ca adopt factory {option}`" in said
    undocumented.removal_takes_template = True
    jitp.fleet.aws.clock.advance(KILLED_AFTER)
    jitp.adopt("factory", option, "--yes")
    assert jitp.state() == ((ON, "ENABLE", False) if option == "--undo" else (None, "ENABLE", True))


def test_a_sweep_that_may_not_be_started_is_a_warning_and_the_rest_is_done(jitp: JitpFleet) -> None:
    with strike(jitp.fleet, deny_calls("lambda:Invoke")):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "the sweep could not be started" in said
    assert jitp.state() == (None, "ENABLE", True)
    assert jitp.adopt(*TAKE)["steps"] == []


def test_a_take_over_and_its_undoing_run_on_the_reading_policy_and_that_of_cas(jitp: JitpFleet) -> None:
    with strike(jitp.fleet, under("read")):
        jitp.adopt("factory")
        assert "is not allowed" in jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert jitp.state() == (ON, "ENABLE", False)
    with strike(jitp.fleet, under("read", "cas")):
        jitp.adopt(*TAKE)
    with strike(jitp.fleet, under("read")):
        assert jitp.adopt("factory")["kept"]["config"] == ON
    with strike(jitp.fleet, under("read", "cas")):
        jitp.adopt(*UNDO)
    assert jitp.state() == (ON, "ENABLE", False)
