"""A take-over or its undoing that is broken off at each call, and two engineers who give these orders."""

import re
from pathlib import Path
from typing import Any

import pytest

from simulation.faults import Call, Died, Fault, Moment
from tests.support.cli.jitp_fleet import ROLE, JitpFleet, jitp_fleet, template
from tests.support.cli.orders import deny_calls, strike
from tests.support.cli.simulated import DEV
from tests.support.cli.taking_over import (
    CHANGING,
    HERE,
    KILLED_AFTER,
    ON,
    READS,
    RULES,
    TAKE,
    UNDO,
    as_bob,
    calls_of,
    held_fleet,
    kept_config,
    strike_one,
)


@pytest.fixture
def jitp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    return held_fleet(tmp_path, monkeypatch)


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
