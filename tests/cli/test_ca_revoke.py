"""`jitrctl ca revoke`: a lost CA is out of every account, and stays out until that is lifted."""

from dataclasses import replace
from pathlib import Path

import pytest

from jitr.rules import CertificateMode
from jitrctl.audit import log
from jitrctl.ca import revocation
from jitrctl.ca.mode_switch import plan_switches
from jitrctl.ca.plan import differences
from jitrctl.ca.registry import inspect_cas
from jitrctl.device import bulk_take_away
from simulation import Call, Fault, Leaf, Moment
from tests.support.cli.simulated import DEV, PROD, REGION, RULES, Simulated, simulated

ON, OFF = ("ACTIVE", "ENABLE", True), ("INACTIVE", "DISABLE", False)
REFUSE, DEACTIVATE, DISABLE = (
    "refuse its devices",
    "disable auto-registration, set it INACTIVE",
    "disable its topic rule",
)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(revocation, "now", fleet.aws.clock.now)
    monkeypatch.setattr(bulk_take_away, "now", fleet.aws.clock.now)
    return fleet


def state(fleet: Simulated, place: str) -> tuple[str, str, bool]:
    """The old CA's status and auto-registration, and whether its rule is enabled."""
    described = fleet.iot(place).describe_ca_certificate(certificateId=fleet.old.certificate_id)
    (rule,) = fleet.place(place).iot.broker.rules[fleet.old.certificate_id]
    one = described["certificateDescription"]
    return one["status"], one["autoRegistrationStatus"], rule.enabled


def activate_by_hand(fleet: Simulated, place: str) -> None:
    """What a deployment that changes the CA's resource and its rule does."""
    fleet.iot(place).update_ca_certificate(
        certificateId=fleet.old.certificate_id, newStatus="ACTIVE", newAutoRegistrationStatus="ENABLE"
    )
    fleet.iot(place).enable_topic_rule(ruleName=fleet.stage(place).names.rule("factory"))


def connect(fleet: Simulated, place: str, name: str) -> Leaf:
    leaf = fleet.issue(name)
    fleet.knock(place, leaf, name)
    return leaf


def test_a_revoked_ca_is_inactive_and_its_rule_disabled_in_every_account(fleet: Simulated) -> None:
    told = fleet.ask("ca", "revoke", "factory", "--note", "key leaked", "--yes")
    assert [told[place]["steps"] for place in (DEV, PROD)] == [[REFUSE, DEACTIVATE, DISABLE]] * 2
    assert [state(fleet, place) for place in (DEV, PROD)] == [OFF, OFF]
    order = log.read_last(fleet.stage(DEV), fleet.old.certificate_id)
    assert order is not None
    assert (order.order, order.note, order.completed) == ("ca revoke", "key leaked", True)
    assert fleet.ask("ca", "revoke", "factory", "--yes")[DEV]["steps"] == []


def test_a_dry_run_changes_nothing(fleet: Simulated) -> None:
    told = fleet.ask("ca", "revoke", "factory", "--dry-run")
    assert (told[DEV]["steps"], told[DEV]["dry_run"]) == ([REFUSE, DEACTIVATE, DISABLE], True)
    assert (state(fleet, DEV), fleet.stage(DEV).revoked_cas.read()) == (ON, {})


def test_apply_and_the_successors_commands_leave_a_revoked_ca_as_it_is(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--note", "key leaked", "--yes")
    told = fleet.ask("ca", "apply", "--ca", "factory", "--yes", code=1)
    assert told[DEV]["cas"][0]["steps"] == []
    assert "key leaked" in told[DEV]["cas"][0]["obstacles"][0]
    assert "--lift" in told[DEV]["cas"][0]["obstacles"][0]
    assert state(fleet, DEV) == OFF
    rotated = fleet.ask("ca", "rotate", "--ca", "factory", "--yes")  # the successor, beside the revoked CA
    assert rotated[DEV]["successions"][0]["steps"] == ["register it, with auto-registration"]
    assert state(fleet, DEV) == OFF


def test_a_revoked_ca_is_not_switched_to_another_mode(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--yes")
    stage = fleet.stage(DEV)
    (one,) = inspect_cas(stage, stage.account.cas[:1])
    other = replace(one, declared=replace(one.declared, mode=CertificateMode.DEFAULT))
    (switch,) = plan_switches({stage: (other,)}, frozenset({stage}))
    assert "--lift" in str(switch.obstacle)


def test_a_ca_that_a_deployment_activates_admits_no_device_and_the_sweep_undoes_it(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--yes", "--note", "key leaked")
    activate_by_hand(fleet, DEV)
    leaf = connect(fleet, DEV, "sensor-0001")
    record = fleet.record(DEV, leaf)
    assert fleet.status(DEV, leaf) == "PENDING_ACTIVATION"
    assert record.is_held
    assert record.decision is not None
    assert record.decision.reason is not None
    assert (record.decision.reason.name, "key leaked" in str(record.decision.detail)) == ("CA_INACTIVE", True)
    stage = fleet.stage(DEV)
    assert "has activated it since" in "; ".join(differences(inspect_cas(stage, stage.account.cas[:1])[0]))
    fleet.sweep(DEV)
    assert state(fleet, DEV)[:2] == OFF[:2]
    assert any("against an operator's order" in line[1] for line in fleet.deployments[DEV].journal.lines)
    assert fleet.deployments[DEV].journal.metrics["Disagreements"] == 1


def test_no_mode_of_a_check_admits_a_device_of_a_revoked_ca(fleet: Simulated) -> None:
    off = "".join(f'{check} = "off"\n' for check in ("issuance", "validity", "key", "signature", "extensions"))
    fleet.write(f"{RULES}[ca.factory.checks]\n{off}", successor_in=())
    fleet.deploy()
    fleet.say("ca", "revoke", "factory", "--yes")
    activate_by_hand(fleet, DEV)
    assert fleet.status(DEV, connect(fleet, DEV, "sensor-0001")) == "PENDING_ACTIVATION"


def test_the_successors_devices_come_up_and_the_old_cas_active_ones_stay(fleet: Simulated) -> None:
    old = connect(fleet, DEV, "sensor-0001")
    fleet.say("ca", "apply", "--yes")
    fleet.say("ca", "revoke", "factory", "--yes")
    new = fleet.issue("sensor-0002", ca=fleet.new)
    fleet.knock(DEV, new, "sensor-0002")
    assert (fleet.status(DEV, new), fleet.status(DEV, old)) == ("ACTIVE", "ACTIVE")


def test_a_lifted_revocation_admits_devices_again_also_those_that_were_held(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--yes")
    activate_by_hand(fleet, DEV)
    held = connect(fleet, DEV, "sensor-0001")
    fleet.sweep(DEV)
    told = fleet.ask("ca", "revoke", "factory", "--lift", "--yes")
    assert told[DEV]["steps"][-1] == told[PROD]["steps"][-1] == "admit its devices again"
    assert [state(fleet, place) for place in (DEV, PROD)] == [ON, ON]
    assert fleet.status(DEV, connect(fleet, DEV, "sensor-0002")) == "ACTIVE"
    fleet.sweep(DEV, after=86_400)
    assert fleet.status(DEV, held) == "ACTIVE"
    assert fleet.ask("ca", "revoke", "factory", "--lift", "--yes")[DEV]["steps"] == []


@pytest.mark.parametrize("broken", ["UpdateItem", "UpdateCACertificate", "DisableTopicRule"])
def test_a_step_that_fails_stops_no_other_and_the_same_command_does_the_rest(fleet: Simulated, broken: str) -> None:
    def fail(call: Call, moment: Moment) -> Fault | None:
        is_meant = call.operation == broken and call.account_id == fleet.place(DEV).id
        if is_meant and broken == "UpdateItem":
            is_meant = call.parameters["Key"]["id"] == {"S": "cas#revoked"}
        return Fault.SERVER_ERROR if is_meant and moment == "before" else None

    fleet.aws.fault = fail
    told = fleet.ask("ca", "revoke", "factory", "--yes", code=1)
    assert "the same command does the rest" in told[DEV]["error"]
    assert told[PROD]["steps"] == [REFUSE, DEACTIVATE, DISABLE]
    failed = {"UpdateItem": REFUSE, "UpdateCACertificate": DEACTIVATE, "DisableTopicRule": DISABLE}[broken]
    fleet.aws.fault = None
    assert fleet.ask("ca", "revoke", "factory", "--yes")[DEV]["steps"] == [failed]
    assert state(fleet, DEV) == OFF
    assert fleet.old.certificate_id in fleet.stage(DEV).revoked_cas.read()


def test_an_account_that_cannot_be_reached_is_named_and_the_others_are_done(fleet: Simulated) -> None:
    dev = fleet.place(DEV).id
    fleet.aws.fault = lambda call, _: Fault.SERVER_ERROR if call.account_id == dev else None
    assert f"{DEV}/{REGION}" in fleet.say("ca", "revoke", "factory", "--yes", code=1)
    fleet.aws.fault = None
    assert (state(fleet, DEV), state(fleet, PROD)) == (ON, OFF)


def test_the_answer_says_what_to_do_with_the_good_devices(fleet: Simulated) -> None:
    assert "`jitrctl ca rotate --ca factory`" in fleet.say("ca", "revoke", "factory", "--yes")
    fleet.write(successor_in=())
    assert 'succeeds = "factory"' in fleet.say("ca", "revoke", "factory", "--yes")


@pytest.mark.parametrize(("word", "status"), [("revoke", "REVOKED"), ("deactivate", "INACTIVE")])
def test_its_devices_are_taken_away_too_and_those_that_have_gone_over_keep_their_sessions(
    fleet: Simulated, word: str, status: str
) -> None:
    fleet.say("ca", "apply", "--yes")
    old = fleet.issue("sensor-0001", begins=-330)
    assert fleet.knock(DEV, old, "sensor-0001") == "accepted"
    fleet.aws.clock.advance(3600)
    new = fleet.issue("sensor-0001", ca=fleet.new, begins=0.01)
    assert fleet.knock(DEV, new, "sensor-0001") == "accepted"
    left = connect(fleet, DEV, "sensor-0002")
    there = connect(fleet, PROD, "sensor-0003")
    told = fleet.ask("ca", "revoke", "factory", "--devices", word, "--yes")
    assert (told[DEV]["devices"]["ordered"], told[PROD]["devices"]["ordered"]) == (2, 1)
    assert told[DEV]["devices"]["unrecorded"] == told[PROD]["devices"]["unrecorded"] == 0
    for place in (DEV, PROD):
        fleet.sweep(place)
    assert [fleet.status(DEV, one) for one in (old, left, new)] == [status, status, "ACTIVE"]
    assert fleet.status(PROD, there) == status
    sessions = fleet.place(DEV).client("iot-data")
    assert sessions.get_connection(clientId="sensor-0001")["connected"]
    again = fleet.ask("ca", "revoke", "factory", "--devices", word, "--yes")
    assert (again[DEV]["steps"], again[DEV]["devices"]["planned"]) == ([], 0)


def test_a_dry_run_counts_the_devices_and_says_how_long_it_takes(fleet: Simulated) -> None:
    leaf = connect(fleet, DEV, "sensor-0001")
    told = fleet.ask("ca", "revoke", "factory", "--devices", "revoke", "--dry-run")
    assert (told[DEV]["devices"]["active"], told[DEV]["devices"]["ordered"]) == (1, 0)
    assert "1 to do: 1 ACTIVE; about 1 min" in fleet.say("ca", "revoke", "factory", "--devices", "revoke", "--dry-run")
    assert (state(fleet, DEV), fleet.verdict(DEV, leaf)) == (ON, None)


def test_the_devices_of_one_account_come_first_where_that_is_chosen(fleet: Simulated) -> None:
    here, there = connect(fleet, DEV, "sensor-0001"), connect(fleet, PROD, "sensor-0002")
    told = fleet.ask("ca", "revoke", "factory", "--devices", "deactivate", "--devices-in", DEV, "--yes")
    assert (told[DEV]["devices"]["ordered"], told[PROD]["devices"]) == (1, None)
    assert (state(fleet, DEV), state(fleet, PROD)) == (OFF, OFF)
    assert (fleet.verdict(DEV, here) is None, fleet.verdict(PROD, there) is None) == (False, True)
    told = fleet.ask("ca", "revoke", "factory", "--devices", "deactivate", "--yes")
    assert (told[DEV]["devices"]["waiting"], told[PROD]["devices"]["ordered"]) == (1, 1)


@pytest.mark.parametrize("words", [("--devices-in", DEV), ("--lift", "--devices", "revoke")])
def test_options_that_do_not_fit_together_are_refused(fleet: Simulated, words: tuple[str, ...]) -> None:
    fleet.say("ca", "revoke", "factory", *words, "--yes", code=2)


def test_two_hundred_devices_of_a_lost_ca_go_while_the_successors_come(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--yes")
    lost = [connect(fleet, DEV, f"sensor-{number:04}") for number in range(200)]
    assert {fleet.status(DEV, leaf) for leaf in lost} == {"ACTIVE"}
    told = fleet.ask("ca", "revoke", "factory", "--devices", "revoke", "--note", "key leaked", "--yes")
    assert told[DEV]["devices"]["ordered"] == 200
    thief = fleet.issue("sensor-6666")
    assert fleet.place(DEV).connect(thief, client_id="sensor-6666") == "refused"
    assert fleet.status(DEV, thief) is None  # AWS IoT registers no device of it
    deployment, begun = fleet.deployments[DEV], fleet.aws.clock.monotonic()
    assert deployment.sweep().sent == 200
    mapping, good = deployment.mapping(), list[Leaf]()
    while any(fleet.status(DEV, leaf) == "ACTIVE" for leaf in lost):
        if len(good) < 40:
            good.append(fleet.issue(f"sensor-{7000 + len(good)}", ca=fleet.new))
            fleet.place(DEV).connect(good[-1], client_id=f"sensor-{7000 + len(good) - 1}")
        mapping.drain(within=1)
        fleet.aws.clock.advance(1)
        assert fleet.aws.clock.monotonic() - begun < 600
    mapping.drain(within=60)
    assert {fleet.status(DEV, leaf) for leaf in lost} == {"REVOKED"}
    assert {fleet.status(DEV, leaf) for leaf in good} == {"ACTIVE"}
    sessions = fleet.place(DEV).client("iot-data")
    assert not any(sessions.get_connection(clientId=f"sensor-{number:04}")["connected"] for number in range(200))
    assert fleet.ask("ca", "revoke", "factory", "--devices", "revoke", "--yes")[DEV]["devices"]["planned"] == 0


def test_devices_that_were_deactivated_are_found_to_be_revoked(fleet: Simulated) -> None:
    leaves = [connect(fleet, DEV, f"sensor-000{number}") for number in (1, 2)]
    fleet.ask("ca", "revoke", "factory", "--devices", "deactivate", "--yes")
    fleet.sweep(DEV)
    assert [fleet.status(DEV, leaf) for leaf in leaves] == ["INACTIVE"] * 2
    told = fleet.ask("ca", "revoke", "factory", "--devices", "revoke", "--yes")
    assert told[DEV]["devices"]["ordered"] == 2
    fleet.sweep(DEV)
    assert [fleet.status(DEV, leaf) for leaf in leaves] == ["REVOKED"] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_no_at_the_second_question_still_reports_what_the_first_one_did(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    leaf = connect(fleet, DEV, "sensor-0001")
    answers = iter((True, False))
    monkeypatch.setattr("jitrctl.run.scope.can_ask", lambda: True)
    monkeypatch.setattr("jitrctl.run.scope.confirmed", lambda _: next(answers))
    prod = fleet.place(PROD).id

    def fail(call: Call, moment: Moment) -> Fault | None:
        is_meant = fails and (call.operation, call.account_id, moment) == ("UpdateCACertificate", prod, "before")
        return Fault.SERVER_ERROR if is_meant else None

    fleet.aws.fault = fail
    said = fleet.say("ca", "revoke", "factory", "--devices", "revoke", code=1)
    assert "factory is revoked, and no device got the order" in said
    assert "the same command asks again" in said
    assert REFUSE in said.partition("got the order")[2], "the table of what was done"
    assert (f"{PROD}/{REGION}: {DEACTIVATE}: " in said) is fails
    assert (state(fleet, DEV), fleet.verdict(DEV, leaf)) == (OFF, None)


def test_where_the_ca_was_revoked_before_a_no_changes_nothing(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(fleet, DEV, "sensor-0001")
    fleet.say("ca", "revoke", "factory", "--yes")
    monkeypatch.setattr("jitrctl.run.scope.can_ask", lambda: True)
    monkeypatch.setattr("jitrctl.run.scope.confirmed", lambda _: False)
    said = fleet.say("ca", "revoke", "factory", "--devices", "revoke", code=2)
    assert "no device got the order" in said


def activate_from_an_old_batch(fleet: Simulated, name: str, *between: str) -> Leaf:
    """A device that a batch activates which was read before the CA was revoked and its devices were counted."""
    leaf = fleet.issue(name)
    fleet.place(DEV).connect(leaf, client_id=name)
    given = iter((between,))

    def order(call: Call, moment: Moment) -> None:
        is_admitted = (call.operation, call.caller, moment) == ("CreateThing", "register", "before")
        if is_admitted and (words := next(given, None)):
            fleet.say(*words)

    # The count does not have it: AWS IoT's lists may be late.
    certificates = type(fleet.place(DEV).iot.certificates)
    with pytest.MonkeyPatch.context() as patch:
        for operation in ("list_certificates", "list_certificates_by_ca"):
            patch.setattr(certificates, operation, lambda *_: {"certificates": []})
        fleet.aws.fault = order
        fleet.deployments[DEV].mapping().drain()
        fleet.aws.fault = None
    return leaf


@pytest.mark.parametrize(("word", "status"), [("revoke", "REVOKED"), ("deactivate", "INACTIVE")])
def test_a_device_that_an_old_batch_activates_is_taken_away_by_the_sweep(
    fleet: Simulated, word: str, status: str
) -> None:
    order = ("ca", "revoke", "factory", "--devices", word, "--note", "key leaked", "--yes")
    late = activate_from_an_old_batch(fleet, "sensor-0001", *order)
    assert (fleet.status(DEV, late), fleet.verdict(DEV, late)) == ("ACTIVE", None)
    fleet.sweep(DEV, after=60)
    verdict = fleet.verdict(DEV, late)
    assert verdict is not None
    assert (fleet.status(DEV, late), verdict.note) == (status, "key leaked")


def test_without_an_order_on_devices_or_after_its_lifting_a_late_device_stays(fleet: Simulated) -> None:
    late = activate_from_an_old_batch(fleet, "sensor-0001", "ca", "revoke", "factory", "--yes")
    fleet.sweep(DEV, after=60)
    assert fleet.status(DEV, late) == "ACTIVE"
    fleet.ask("ca", "revoke", "factory", "--devices", "deactivate", "--yes")
    fleet.ask("ca", "revoke", "factory", "--lift", "--yes")
    good = connect(fleet, DEV, "sensor-0002")
    fleet.sweep(DEV, after=60)
    assert (fleet.status(DEV, good), fleet.verdict(DEV, good)) == ("ACTIVE", None)
    assert fleet.status(DEV, late) == "INACTIVE", "it was counted; `device release` takes that back"


def test_a_stronger_order_on_devices_replaces_a_weaker_one_and_not_the_reverse(fleet: Simulated) -> None:
    for word in ("deactivate", "revoke", "deactivate"):
        fleet.ask("ca", "revoke", "factory", "--devices", word, "--yes")
    given = fleet.stage(DEV).revoked_cas.read()[fleet.old.certificate_id].devices
    assert given is not None
    assert given.action.value == "revoked"
