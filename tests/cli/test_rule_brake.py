"""The brake on a CA's rules, as operators see and end it."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from jitr.decisions import Outcome
from jitrctl.audit import log
from jitrctl.status.brake import read_engaged_brakes
from jitrctl.status.diagnosis import diagnose
from jitrctl.status.function import FunctionHealth
from jitrctl.status.health import Health
from jitrctl.status.problems import Kind, Problem
from jitrctl.status.sweep import SweepHealth
from simulation import Leaf
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

WRONG = RULES.replace("sensor", "senzor", 1)
EVENTS = Path(__file__).parents[2] / "docs" / "events"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch, WRONG)


def connect(fleet: Simulated, number: int, *, first: int = 1) -> list[Leaf]:
    """Let devices connect in the account `dev` that its rules refuse."""
    leaves = [fleet.issue(f"sensor-{first + one:04}") for one in range(number)]
    for leaf in leaves:
        fleet.place(DEV).connect(leaf, client_id="sensor")
    fleet.deployments[DEV].mapping().drain(within=60)
    return leaves


def healths(fleet: Simulated, account: str) -> Health:
    """What `fleet status` finds of an account in which all else is well."""
    return Health(
        stack="CREATE_COMPLETE",
        deployed_at=None,
        cas=(),
        function=FunctionHealth(state="on"),
        waiting=0,
        letters={},
        waiting_for_hub=None,
        turns_per_second=None,
        throttled=None,
        sweep=SweepHealth(last_run=None, counted_at=None),
        enrollment=None,
        iot_logging=None,
        brakes=read_engaged_brakes(fleet.stage(account)),
    )


def problems(fleet: Simulated, account: str) -> tuple[Problem, ...]:
    return diagnose(fleet.stage(account), healths(fleet, account), fleet.aws.clock.now()).problems


def test_an_engaged_brake_makes_fleet_status_not_ok_and_says_what_to_do(fleet: Simulated) -> None:
    connect(fleet, 25)
    (problem,) = problems(fleet, DEV)
    assert problem.kind is Kind.BRAKE
    assert "21 of 21 decisions within an hour were refusals" in problem.text
    assert "COMMON_NAME_REFUSED" in problem.text
    assert "jitrctl ca accept-rejections factory" in problem.text
    assert problem.link == "docs/runbook.md#rules-refuse-many"
    assert not problems(fleet, PROD)
    fleet.write(RULES)
    fleet.deploy()
    fleet.sweep(DEV)
    assert not problems(fleet, DEV)


def test_fleet_status_is_ok_while_nothing_is_refused(fleet: Simulated) -> None:
    assert not problems(fleet, DEV)


def test_accepted_rejections_are_on_record_announced_and_carried_out(fleet: Simulated) -> None:
    devices = connect(fleet, 25)
    said = fleet.say("ca", "accept-rejections", "factory", "--note", "not ours", "--account", DEV, "--yes")
    assert "off; what it held is rejected by the next sweeps" in said
    stage = fleet.stage(DEV)
    given = log.read_last(stage, fleet.old.certificate_id)
    assert given
    assert (given.order, given.note, given.completed) == ("ca accept-rejections", "not ours", True)
    (event,) = [one for one in fleet.place(DEV).events.put if one.detail_type == "Operator Order"]
    Draft202012Validator(json.loads((EVENTS / "operator-order.v1.schema.json").read_text())).validate(event.detail)
    fleet.sweep(DEV, after=900)
    outcomes = {fleet.record(DEV, leaf).decision.outcome for leaf in devices}  # type: ignore[union-attr]
    assert outcomes == {Outcome.REJECTED}


def test_where_no_brake_is_engaged_nothing_is_accepted_and_nothing_asked(fleet: Simulated) -> None:
    said = fleet.say("ca", "accept-rejections", "factory", "--note", "not ours")
    assert "off already" in said
    assert log.read_last(fleet.stage(DEV), fleet.old.certificate_id) is None
    assert fleet.say("ca", "accept-rejections", "another", "--note", "not ours", code=2)


def test_a_brake_that_changed_since_it_was_shown_is_not_accepted(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(fleet, 25)
    stage = fleet.stage(DEV)
    engaged = stage.brakes.read([fleet.old.certificate_id])[fleet.old.certificate_id].engaged
    assert engaged
    monkeypatch.setattr("jitrctl.commands.ca.accept_rejections._engaged", lambda *_: engaged)
    assert stage.brakes.disengage(fleet.old.certificate_id, engaged)
    said = fleet.say("ca", "accept-rejections", "factory", "--note", "not ours", "--account", DEV, "--yes", code=1)
    assert "has changed since it was shown" in said


def test_the_event_about_an_engaged_brake_is_as_its_schema_says(fleet: Simulated) -> None:
    connect(fleet, 25)
    (event,) = [one for one in fleet.place(DEV).events.put if one.detail_type == "Rules Refuse Many"]
    schema = json.loads((EVENTS / "rules-refuse-many.v1.schema.json").read_text())
    Draft202012Validator(schema).validate(event.detail)
    assert set(event.detail) == set(schema["properties"])
    held = [one for one in fleet.place(DEV).events.put if one.detail_type == "Device Held"]
    assert len(held) == 5
    assert all(one.detail["by_brake"] is True and one.detail["rests_on"] == "rules" for one in held)
