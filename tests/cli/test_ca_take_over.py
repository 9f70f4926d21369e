"""`jitrctl ca adopt --take-over | --undo`: from JITP to JITR and back, broken off at each call, by two engineers."""

import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jitr.errors import Reason
from jitrctl.__main__ import main
from jitrctl.audit import log
from jitrctl.clock import now
from jitrctl.jitp import take_over as orders
from jitrctl.jitp.kept_template import KeptTemplates
from jitrctl.session import stage as stages
from simulation.faults import Call, Died, Fault, Moment
from tests.support.cli.iam import under
from tests.support.cli.jitp_fleet import ROLE, RULE, JitpFleet, jitp_fleet, template
from tests.support.cli.orders import announced_orders, deny_calls, strike
from tests.support.cli.simulated import DEV, IDS, Access

RULES = 'common_name = "pump-[0-9]+"\nthing_type = "pump"\nthing_groups = ["hall-1"]\nexisting = true\n'
ON = {"templateBody": template(), "roleArn": ROLE}
TAKE, UNDO = ("factory", "--take-over", "--yes"), ("factory", "--undo", "--yes")
READS = ("Describe", "Get", "List")
HERE = "jitrctl ca adopt factory --account dev --region eu-central-1"
KILLED_AFTER = 241  # seconds, after which an order that has not ended counts as killed
CHANGING = ("iot:UpdateCACertificate", "iot:EnableTopicRule", "iot:DisableTopicRule")


@pytest.fixture
def jitp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    fleet = jitp_fleet(tmp_path, monkeypatch)
    fleet.hold(RULES)
    return fleet


def test_devices_are_jitps_before_and_jitrs_after_and_none_loses_its_session(jitp: JitpFleet) -> None:
    first = jitp.connect("pump-1")
    assert jitp.accepts("pump-1", first)
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV)
    assert "the template is off CA factory, and jitr decides on its devices" in said
    assert "take jitp = true in ca.factory of [account.dev] out, and deploy" in said
    assert jitp.state() == (None, "ENABLE", True)
    assert jitp.accepts("pump-1", first)
    second = jitp.connect("pump-2")
    assert jitp.accepts("pump-2", second)
    policies = jitp.fleet.place(DEV).iot.policies
    arn = jitp.fleet.place(DEV).iot.certificates.arn(second.certificate_id)
    assert [one.name for one in policies.of_target(arn)] == ["jitr-acme--factory"]


@pytest.mark.parametrize("ends_registration", [False, True])
def test_the_gap_is_measured_whatever_aws_does_with_auto_registration(
    jitp: JitpFleet, *, ends_registration: bool
) -> None:
    jitp.fleet.aws.undocumented.removal_ends_registration = ends_registration
    took = 3.0

    def late(call: Call, moment: Moment) -> None:
        if call.name == "iot:EnableTopicRule" and moment == "before":
            jitp.fleet.aws.clock.advance(took)

    with strike(jitp.fleet, late):
        told = jitp.adopt(*TAKE)
    assert told["gap_seconds"] >= took
    assert (told["without_registration_seconds"] is not None) is ends_registration
    assert jitp.state() == (None, "ENABLE", True)


def test_a_device_that_came_while_neither_was_on_comes_up_by_the_sweep(jitp: JitpFleet) -> None:
    leaf = jitp.fleet.issue("pump-7")

    def come(call: Call, moment: Moment) -> None:
        if call.name == "iot:EnableTopicRule" and moment == "before":
            jitp.fleet.place(DEV).connect(leaf, client_id="pump-7")

    with strike(jitp.fleet, come):
        jitp.adopt(*TAKE)
    assert jitp.fleet.status(DEV, leaf) == "PENDING_ACTIVATION"
    jitp.fleet.sweep(DEV, after=3600)
    assert jitp.fleet.status(DEV, leaf) == "ACTIVE"


def test_a_template_that_aws_keeps_is_a_refusal_and_jitp_goes_on(jitp: JitpFleet) -> None:
    undocumented = jitp.fleet.aws.undocumented
    undocumented.removal_takes_template, undocumented.removal_ends_registration = False, True
    said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "AWS IoT has kept the template on CA factory, so JITP goes on; auto-registration is on, as before" in said
    assert jitp.state() == (ON, "ENABLE", False)
    assert jitp.accepts("pump-1", jitp.connect("pump-1"))


def test_undo_puts_the_very_template_back_and_devices_keep_what_they_have(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    second = jitp.connect("pump-2")
    told = jitp.adopt(*UNDO)
    assert told["kept"]["config"] == ON
    assert jitp.state() == (ON, "ENABLE", False)
    assert jitp.accepts("pump-2", second)
    third = jitp.connect("pump-3")
    assert jitp.accepts("pump-3", third)
    assert jitp.adopt(*UNDO)["steps"] == []


def test_a_template_by_name_is_put_back_by_name(jitp: JitpFleet) -> None:
    jitp.iot.create_provisioning_template(
        templateName="pumps", templateBody=template(), provisioningRoleArn=ROLE, enabled=True, type="JITP"
    )
    jitp.put(templateName="pumps")
    told = jitp.adopt(*TAKE)
    assert (told["kept"]["config"], json.loads(told["kept"]["body"])) == (
        {"templateName": "pumps"},
        json.loads(template()),
    )
    jitp.adopt(*UNDO)
    assert jitp.state() == ({"templateName": "pumps"}, "ENABLE", False)


def test_both_orders_are_kept_and_announced_and_nothing_is_said_to_do_twice(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE, "--note", "last line of JITP")
    assert jitp.adopt(*TAKE)["steps"] == []
    jitp.adopt(*UNDO)
    orders = [one["order"] for one in announced_orders(jitp.fleet)]
    assert orders == ["ca adopt --take-over", "ca adopt --undo"]
    kept = log.read_all(jitp.fleet.stage(DEV), jitp.ca.certificate_id)
    assert [(one.order, one.completed, one.note) for one in kept] == [
        ("ca adopt --take-over", True, "last line of JITP"),
        ("ca adopt --undo", True, ""),
    ]


def test_without_yes_nothing_is_changed(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "factory", "--take-over", "--account", DEV, code=2)
    assert "take the provisioning template off the CA" in said
    assert jitp.state() == (ON, "ENABLE", False)


def test_the_question_says_how_many_devices_jitr_would_make_otherwise(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    said = jitp.fleet.say("ca", "adopt", "factory", "--take-over", "--account", DEV, code=2)
    assert "1 of 1 devices would be made in another way" in said


def calls_of(jitp: JitpFleet, *words: str) -> list[str]:
    """The operator's calls in an order, by name."""
    made: list[str] = []

    def hear(call: Call, moment: Moment) -> None:
        if call.caller == "jitrctl" and moment == "before":
            made.append(call.name)

    with strike(jitp.fleet, hear):
        jitp.adopt(*words)
    return made


def strike_one(jitp: JitpFleet, number: int, at: Moment, fault: Fault | None, *words: str) -> None:
    """Give an order in whose call of that number jitrctl dies; or from which on all calls fail."""
    calls = -1

    def hook(call: Call, moment: Moment) -> Fault | None:
        nonlocal calls
        if call.caller != "jitrctl":
            return None
        calls += moment == "before"
        if calls == number and moment == at and fault is None:
            raise Died
        return fault if calls >= number and moment == at else None

    with strike(jitp.fleet, hook):
        jitp.fleet.ask_any("ca", "adopt", *words, "--account", DEV)


def kept_config(jitp: JitpFleet) -> dict[str, str]:
    stage = jitp.fleet.stage(DEV)
    kept = KeptTemplates(stage.dynamodb, stage.names.registry_table, jitp.ca.certificate_id, "ann", now).read()
    assert kept is not None
    return dict(kept.config)


def break_off(directory: Path, monkeypatch: pytest.MonkeyPatch, order: str, *, at_reads: bool) -> None:
    """End an order at each of its calls in turn; both never act at once, and the next run does the rest."""
    words = TAKE if order == "take-over" else UNDO
    end = (None, "ENABLE", True) if order == "take-over" else (ON, "ENABLE", False)

    def prepare(name: str) -> JitpFleet:
        (directory / name).mkdir()
        one = jitp_fleet(directory / name, monkeypatch)
        one.fleet.aws.undocumented.removal_ends_registration = True
        one.hold(RULES)
        if order == "undo":
            one.adopt(*TAKE)
        return one

    made = calls_of(prepare("whole"), *words)
    assert set(CHANGING) & set(made)
    struck = [number for number, name in enumerate(made) if at_reads or not name.split(":")[1].startswith(READS)]
    for number in struck:
        for moment in ("before", "after"):
            for fault in (None, Fault.SERVER_ERROR) if at_reads else (None,):
                jitp = prepare(f"{number}-{moment}-{fault and fault.name}")
                strike_one(jitp, number, moment, fault, *words)
                template, _, rule_is_on = jitp.state()
                assert not (template and rule_is_on), f"{made[number]} {moment}: both act"
                jitp.fleet.aws.clock.advance(KILLED_AFTER)
                jitp.adopt(*words)
                assert jitp.state() == end, f"{made[number]} {moment} {fault}"
                if order == "take-over":
                    assert kept_config(jitp) == ON, f"{made[number]} {moment} {fault}: the template is lost"


@pytest.mark.parametrize("order", ["take-over", "undo"])
def test_an_order_that_dies_at_any_change_is_done_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    break_off(tmp_path, monkeypatch, order, at_reads=False)


@pytest.mark.deep
@pytest.mark.parametrize("order", ["take-over", "undo"])
def test_an_order_that_ends_at_any_call_by_any_fault_is_done_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    break_off(tmp_path, monkeypatch, order, at_reads=True)


@pytest.mark.parametrize(
    ("words", "last"), [(TAKE, "iot:EnableTopicRule"), (UNDO, "iot:UpdateCACertificate")], ids=["take-over", "undo"]
)
def test_the_gap_is_measured_across_runs(jitp: JitpFleet, words: tuple[str, ...], last: str) -> None:
    if words is UNDO:
        jitp.adopt(*TAKE)

    def die(call: Call, moment: Moment) -> None:
        if call.name == last and moment == "before":
            raise Died

    with strike(jitp.fleet, die):
        assert jitp.fleet.ask_any("ca", "adopt", *words, "--account", DEV) is None
    jitp.fleet.aws.clock.advance(KILLED_AFTER)
    assert jitp.adopt(*words)["gap_seconds"] >= KILLED_AFTER


def as_bob(jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = "arn:aws:sts::111111111111:assumed-role/operator/bob"
    monkeypatch.setattr(stages, "open_access", lambda account, *_: Access(jitp.fleet.place(account.name), bob))


@pytest.mark.parametrize("words", [TAKE, UNDO])
def test_a_second_engineer_is_told_until_the_first_ones_order_counts_as_broken_off(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    if words is UNDO:
        jitp.adopt(*TAKE)

    def die(call: Call, moment: Moment) -> None:
        if call.name in CHANGING and moment == "before":
            raise Died

    with strike(jitp.fleet, die):
        assert jitp.fleet.ask_any("ca", "adopt", *words, "--account", DEV) is None
    before = jitp.state()
    as_bob(jitp, monkeypatch)
    said = jitp.fleet.say("ca", "adopt", *words, "--account", DEV, code=1)
    assert f"assumed-role/operator/ann began {words[1]} of this CA" in said
    assert jitp.state() == before
    jitp.fleet.aws.clock.advance(KILLED_AFTER)
    jitp.adopt(*words)


@pytest.mark.parametrize("words", [TAKE, UNDO])
def test_a_killed_order_is_repeated_by_its_caller_when_the_time_that_is_said_is_over(
    jitp: JitpFleet, words: tuple[str, ...]
) -> None:
    """The same ARN may be two engineers, who share a role and the name of its session."""
    if words is UNDO:
        jitp.adopt(*TAKE)

    def die(call: Call, moment: Moment) -> None:
        if call.name in CHANGING and moment == "after":
            raise Died

    with strike(jitp.fleet, die):
        jitp.fleet.ask_any("ca", "adopt", *words, "--account", DEV)
    said = jitp.fleet.say("ca", "adopt", *words, "--account", DEV, code=1)
    (until,) = re.findall(r"If it was killed, wait until (\d\d:\d\d:\d\d)Z", said)
    now_on = jitp.fleet.aws.clock.now()
    hour, minute, second = map(int, until.split(":"))
    wait = now_on.replace(hour=hour, minute=minute, second=second) - now_on
    jitp.fleet.aws.clock.advance(wait.total_seconds() % 86_400 + 1)
    (command,) = re.findall(r"`jitrctl (ca adopt factory [^`]*)` does the rest", said)
    jitp.fleet.say(*command.split(), "--yes")
    assert jitp.state() == ((None, "ENABLE", True) if words is TAKE else (ON, "ENABLE", False))


def interrupt(call: Call, moment: Moment) -> None:
    if call.name == "iot:UpdateCACertificate" and moment == "after":
        raise KeyboardInterrupt


@pytest.mark.parametrize("hook", [deny_calls("iot:UpdateCACertificate"), interrupt], ids=["denied", "Ctrl-C"])
@pytest.mark.parametrize("words", [TAKE, UNDO])
def test_what_ends_by_an_error_or_ctrl_c_can_be_repeated_or_reversed_at_once(
    jitp: JitpFleet, words: tuple[str, ...], hook: Any
) -> None:
    if words is UNDO:
        jitp.adopt(*TAKE)
    with strike(jitp.fleet, hook):
        jitp.fleet.ask_any("ca", "adopt", *words, "--account", DEV)
    jitp.adopt(*words)
    assert jitp.state() == ((None, "ENABLE", True) if words is TAKE else (ON, "ENABLE", False))


def test_a_failed_undo_says_what_is_on_and_which_commands_and_permission_go_on(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    with strike(jitp.fleet, deny_calls("iot:UpdateCACertificate")):
        said = jitp.fleet.say("ca", "adopt", *UNDO, "--account", DEV, code=1)
    assert f"putting the template back needs iam:PassRole on {ROLE}, too" in said
    assert "now the template is off the CA, auto-registration is on, and jitr's topic rule is disabled" in said
    assert f"`{HERE} --undo` does the rest, `{HERE} --take-over` goes back" in said
    jitp.fleet.say(*HERE.split()[1:], "--take-over", "--yes")
    assert jitp.state() == (None, "ENABLE", True)


def test_a_failed_take_over_says_what_is_on_and_which_commands_go_on(jitp: JitpFleet) -> None:
    with strike(jitp.fleet, deny_calls("iot:EnableTopicRule")):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "now the template is off the CA, auto-registration is on, and jitr's topic rule is disabled" in said
    assert f"`{HERE} --take-over` does the rest, `{HERE} --undo` goes back" in said
    assert "iam:PassRole" not in said.partition("now the template")[0].partition("ERROR")[2]
    jitp.fleet.say(*HERE.split()[1:], "--undo", "--yes")
    assert jitp.state() == (ON, "ENABLE", False)


def test_an_order_that_ends_as_aws_fails_says_that_the_next_one_has_to_wait(jitp: JitpFleet) -> None:
    has_begun = False

    def fail(call: Call, moment: Moment) -> Fault | None:
        nonlocal has_begun
        has_begun = has_begun or call.name == "iot:EnableTopicRule"
        return Fault.SERVER_ERROR if has_begun and moment == "before" else None

    with strike(jitp.fleet, fail):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "what is on now could not be read" in said
    assert "either only in four minutes, since the registry could not be told that this one ended" in said
    jitp.fleet.aws.clock.advance(KILLED_AFTER)
    jitp.adopt(*TAKE)
    assert jitp.state() == (None, "ENABLE", True)


@pytest.mark.parametrize("last", ["iot:EnableTopicRule", "iot:UpdateCACertificate"])
def test_a_call_that_hangs_until_a_colleague_has_reversed_the_order_leaves_not_both_on(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """A call is repeated for minutes, and the colleague may begin after four."""
    mine, theirs = (TAKE, UNDO) if last == "iot:EnableTopicRule" else (UNDO, TAKE)
    if mine is UNDO:
        jitp.adopt(*TAKE)

    def hang(call: Call, moment: Moment) -> None:
        if call.name == last and moment == "before":
            jitp.fleet.aws.fault = None
            jitp.fleet.aws.clock.advance(KILLED_AFTER)
            with monkeypatch.context() as patch:
                as_bob(jitp, patch)
                jitp.adopt(*theirs)

    with strike(jitp.fleet, hang):
        said = jitp.fleet.say("ca", "adopt", *mine, "--account", DEV, code=1)
    assert f"operator/bob began {theirs[1]} of this CA" in said
    assert jitp.state() == (ON, "ENABLE", False)


def test_who_is_overtaken_by_the_same_order_leaves_the_rule_to_it(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(call: Call, moment: Moment) -> None:
        if call.name == "iot:EnableTopicRule" and moment == "before":
            jitp.fleet.aws.fault = None
            jitp.fleet.aws.clock.advance(KILLED_AFTER)
            with monkeypatch.context() as patch:
                as_bob(jitp, patch)
                jitp.adopt(*TAKE)

    with strike(jitp.fleet, hang):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "that order has ended" in said
    assert jitp.state() == (None, "ENABLE", True)


def test_a_template_that_is_put_on_as_the_rule_is_enabled_has_it_disabled_again(jitp: JitpFleet) -> None:
    def put(call: Call, moment: Moment) -> None:
        if call.name == "iot:EnableTopicRule" and moment == "after":
            jitp.fleet.aws.fault = None
            jitp.put(**ON)

    with strike(jitp.fleet, put):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "a template was put on CA factory meanwhile, so its topic rule was disabled again" in said
    assert jitp.state() == (ON, "ENABLE", False)
    jitp.adopt(*TAKE)
    assert jitp.state() == (None, "ENABLE", True)


def test_a_template_that_is_put_on_while_undo_is_open_stays_and_is_no_success(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    other = {"templateBody": template(Mappings={}), "roleArn": ROLE}

    def put(call: Call, moment: Moment) -> None:
        if call.name == "iot:DisableTopicRule" and moment == "after":
            jitp.fleet.aws.fault = None
            jitp.put(**other)

    with strike(jitp.fleet, put):
        said = jitp.fleet.say("ca", "adopt", *UNDO, "--account", DEV, code=1)
    assert "another template than the kept one was put on CA factory meanwhile" in said
    assert (jitp.state(), kept_config(jitp)) == ((other, "ENABLE", False), ON)


def test_an_order_that_another_engineer_has_overtaken_stops_before_its_next_step(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's computer slept for longer than an order takes, and the second one began."""

    def sleep(call: Call, moment: Moment) -> None:
        if call.name == "iot:UpdateCACertificate" and moment == "after":
            jitp.fleet.aws.fault = None
            jitp.fleet.aws.clock.advance(600)
            with monkeypatch.context() as patch:
                as_bob(jitp, patch)
                jitp.adopt(*TAKE)
                jitp.adopt(*UNDO)

    with strike(jitp.fleet, sleep):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "operator/bob began --undo of this CA" in said
    assert jitp.state() == (ON, "ENABLE", False)


def test_a_template_that_is_replaced_while_the_question_is_open_is_not_taken_off(jitp: JitpFleet) -> None:
    other = {"templateBody": template(Mappings={}), "roleArn": ROLE}

    def put(call: Call, moment: Moment) -> None:
        if call.name == "dynamodb:UpdateItem" and moment == "before" and jitp.registered.template == ON:
            jitp.put(**other)

    with strike(jitp.fleet, put):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV, code=1)
    assert "another template was put on CA factory since the plan was shown" in said
    assert jitp.state() == (other, "ENABLE", False)
    jitp.adopt(*TAKE)
    assert (kept_config(jitp), jitp.state()) == (other, (None, "ENABLE", True))


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


def test_a_second_template_that_is_taken_off_does_not_lose_the_first(jitp: JitpFleet) -> None:
    jitp.adopt(*TAKE)
    other = {"templateBody": template(Mappings={}), "roleArn": ROLE}
    jitp.iot.disable_topic_rule(ruleName=RULE)
    jitp.put(**other)
    jitp.adopt(*TAKE)
    stage = jitp.fleet.stage(DEV)
    kept = KeptTemplates(stage.dynamodb, stage.names.registry_table, jitp.ca.certificate_id, "ann", now).read()
    assert kept is not None
    assert (dict(kept.config), [dict(one) for one in kept.earlier]) == (other, [ON])


def test_the_sweep_that_the_order_starts_brings_in_who_was_held_under_the_template(
    jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until JITP has ended what it began: before, the sweep leaves the CA's devices out."""
    types = jitp.fleet.place(DEV).iot.things.types
    types.remove("pump")
    leaf = jitp.connect("pump-1")
    types.add("pump")
    jitp.fleet.sweep(DEV, after=1000)
    decision = jitp.fleet.record(DEV, leaf).decision
    assert decision
    assert decision.reason is Reason.CA_HAS_TEMPLATE
    shown = jitp.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "evaluated again once no provisioning template is on its CA" in shown
    assert "evaluated again at" not in shown

    def start_sweep(_: object) -> bool:
        jitp.fleet.sweep(DEV)
        return True

    monkeypatch.setattr(orders, "start_sweep", start_sweep)
    jitp.adopt(*TAKE)

    assert jitp.accepts("pump-1", leaf)


def test_a_device_that_jitp_left_half_made_is_held_until_its_registration_is_released(jitp: JitpFleet) -> None:
    """Its thing and the first of two policies are attached; the second one does not exist."""
    body = json.loads(template())
    body["Resources"]["second"] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "missing"}}
    jitp.put(templateBody=json.dumps(body), roleArn=ROLE)
    leaf = jitp.connect("pump-8")
    jitp.adopt(*TAKE)
    for _ in range(2):
        jitp.fleet.sweep(DEV, after=1200)
        decision = jitp.fleet.record(DEV, leaf).decision
        assert decision
        assert decision.reason is Reason.REQUEST_REFUSED
        assert "NON_EXCLUSIVE_THING" in str(decision.detail)
    shown = jitp.fleet.say("device", "show", leaf.certificate_id, "--account", DEV)
    assert "REQUEST_REFUSED" in shown
    jitp.fleet.say("device", "release", leaf.certificate_id, "--account", DEV, "--yes")
    assert jitp.accepts("pump-8", jitp.connect("pump-8", leaf))
    arn = jitp.fleet.place(DEV).iot.certificates.arn(leaf.certificate_id)
    assert [one.name for one in jitp.fleet.place(DEV).iot.policies.of_target(arn)] == ["jitr-acme--factory"]


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


def test_the_role_that_undo_hands_back_is_named_before_the_question(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "factory", "--take-over", "--account", DEV, code=2)
    assert f"it is kept for --undo, which needs iam:PassRole on {ROLE}" in said


@pytest.mark.parametrize("call", ["iot:GetPolicy", "iot:ListCertificatesByCA", "iot:ListAttachedPolicies"])
def test_a_take_over_whose_sample_may_not_be_read_says_so_and_goes_on(jitp: JitpFleet, call: str) -> None:
    jitp.connect("pump-1")
    with strike(jitp.fleet, deny_calls(call)):
        said = jitp.fleet.say("ca", "adopt", *TAKE, "--account", DEV)
    assert f"No device was compared: {call} is not allowed" in said
    assert jitp.state() == (None, "ENABLE", True)


def test_a_take_over_whose_sample_fails_says_so_in_json_and_goes_on(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    with strike(jitp.fleet, lambda call, _: Fault.SERVER_ERROR if call.name == "iot:ListAttachedPolicies" else None):
        assert jitp.adopt(*TAKE)["order"] == "ca adopt --take-over"


def test_a_template_with_half_of_a_surrogate_pair_is_taken_off(jitp: JitpFleet) -> None:
    jitp.put(templateBody=template(thing={"ThingName": "x", "ThingTypeName": "\ud800"}), roleArn=ROLE)
    jitp.adopt(*TAKE)
    assert jitp.state() == (None, "ENABLE", True)


def test_what_comes_next_does_not_order_a_deployment_that_was_made(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "factory", "--account", DEV)
    assert "Next: once the stack is deployed with jitp = true, `jitrctl ca adopt factory --account dev" in said
