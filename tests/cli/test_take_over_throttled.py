"""`jitrctl fleet adopt apply` while AWS throttles: it waits, says what does the rest, and heeds Ctrl-C."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitrctl.commands.fleet import adopt
from jitrctl.survey.calls import PatientCalls
from simulation.faults import Call, Fault, FaultHook, Moment
from tests.support.cli.old_fleet import OldFleet, edit, old_fleet
from tests.support.cli.orders import strike
from tests.support.cli.simulated import DEV

HOUR = 3600
PATIENCE = 20  # seconds, after which a test gives up
# The real ones, which `old_fleet` replaces.
_WAIT_FOR_AWS, _PATIENT_CALLS = adopt.wait_for_aws, PatientCalls


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def throttle_until(old: OldFleet, moment: float, *services: str) -> FaultHook:
    """Throttle every call of these services, of all when none is named, until then."""

    def throttle(call: Call, _: Moment) -> Fault | None:
        of_jitrctl = call.caller == "jitrctl" and (not services or call.service in services)
        return Fault.THROTTLED if of_jitrctl and old.fleet.aws.clock.monotonic() < moment else None

    return throttle


@pytest.mark.parametrize("services", [(), ("dynamodb",), ("iot",)], ids=["all", "DynamoDB", "AWS IoT"])
@pytest.mark.parametrize("verb", ["adopt", "align"])
def test_an_hour_of_throttles_that_begins_anywhere_is_outlasted(
    old: OldFleet, tmp_path: Path, verb: str, services: tuple[str, ...]
) -> None:
    names = [f"sensor-{number:04}" for number in range(12)]
    for name in names:
        old.add(name)
    plan, clock = old.plan(tmp_path), old.fleet.aws.clock
    edit(plan, "\nadopt  ", f"\n{verb}  ")
    begun, number, hours = 0.0, 0, 0

    def throttle(call: Call, _: Moment) -> Fault | None:
        """At each 37th call an hour begins in which these services answer nothing: at another one of each device."""
        nonlocal begun, number, hours
        if call.caller != "jitrctl" or (services and call.service not in services) or call.service == "events":
            return None
        if begun and clock.monotonic() - begun < HOUR:
            return Fault.THROTTLED
        number += 1
        begun = clock.monotonic() if number % 37 == 0 else 0.0
        hours += bool(begun)
        return Fault.THROTTLED if begun else None

    with strike(old.fleet, throttle):
        told = old.apply(plan)
    assert hours > 1
    assert (told["adopted"], told["failed"]) == (len(names), [])
    assert told["aligned"] == (len(names) if verb == "align" else 0)


def test_after_two_hours_of_throttles_it_ends_and_says_what_does_the_rest(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    plan = old.plan(tmp_path)
    with strike(old.fleet, throttle_until(old, old.fleet.aws.clock.monotonic() + 3 * HOUR, "iot")):
        said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes", code=1)
    assert "Ctrl-C ends the wait, and nothing is lost" in said
    assert "AWS has throttled or failed ListCACertificates for 120 minutes" in said
    assert f"`jitrctl fleet adopt apply {plan} --fleet {old.fleet.file}` does the rest" in said
    old.fleet.aws.clock.advance(HOUR)
    assert old.apply(plan)["adopted"] == 1


@pytest.fixture
def _interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("operation", ["ListThingPrincipals", "BatchGetItem", "AttachPolicy"])
def test_ctrl_c_in_a_throttles_wait_ends_at_once_with_130_and_the_next_run_finishes(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    leaves = {name: old.add(name) for name in ("sensor-0001", "sensor-0002")}
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt  ", "\nalign  ")
    waits = threading.Event()

    def wait(interrupted: threading.Event, seconds: float) -> None:
        if seconds >= 2:  # after a throttle
            waits.set()
            assert interrupted.wait(PATIENCE)
        _WAIT_FOR_AWS(interrupted, seconds)

    def press() -> None:
        assert waits.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    def throttle(call: Call, _: Moment) -> Fault | None:
        return Fault.THROTTLED if call.operation == operation and call.caller == "jitrctl" else None

    with monkeypatch.context() as patched, strike(old.fleet, throttle):
        patched.setattr(adopt, "wait_for_aws", wait)
        patched.setattr(adopt, "PatientCalls", _PATIENT_CALLS)
        presser = threading.Thread(target=press)
        presser.start()
        said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes", code=130)
        presser.join()
    assert "the same command again does the rest" in said or "not begun" in said
    told = old.apply(plan)
    assert (told["adopted"] + told["already"], told["failed"]) == (2, [])
    assert {old.owner(name) for name in leaves} == {leaf.certificate_id for leaf in leaves.values()}
    for leaf in leaves.values():
        assert old.policies(leaf) == ["jitr-acme--factory"]
