"""The first shadow of a thing is of the device that gets the thing's name, and no later device overwrites it."""

import json
from datetime import timedelta
from typing import Any

from jitr.admission.hook_contract import THING
from jitr.decisions import Outcome
from simulation import Died
from tests.support.survival.scenario_world import DAY, World
from tests.support.survival.scenarios import BILLED, HOOK_ARN


def deliver(world: World) -> None:
    world.mapping.drain(within=DAY)


def state(world: World, thing: str) -> Any:
    shadow = world.account.iot.shadows.by_thing.get(thing)
    return shadow and shadow.state


def test_a_name_that_the_hook_gives_is_in_the_shadow_of_that_thing() -> None:
    world = World(hook=HOOK_ARN, **BILLED)
    answer = {"allowProvisioning": True, "parameterOverrides": {THING: "plot-7"}}
    world.account.functions.create(HOOK_ARN.rpartition(":")[2], lambda _: answer)
    world.connect()
    deliver(world)
    assert world.status() == "ACTIVE"
    assert state(world, "plot-7") == {"desired": {"name": "plot-7"}}
    assert state(world, "sensor-0001") is None


def test_a_device_that_is_refused_the_name_writes_no_shadow() -> None:
    world = World(**BILLED)
    clone = world.issue("sensor-0001")
    world.connect()
    deliver(world)
    before = len(world.account.iot.shadows.requests)
    world.account.client("iot-data", caller="admin").delete_thing_shadow(thingName="sensor-0001")
    world.connect(clone)
    deliver(world)
    decision = world.decision(clone)
    assert decision
    assert decision.outcome is Outcome.HELD
    assert len(world.account.iot.shadows.requests) == before


def test_a_rotation_keeps_what_the_device_and_applications_wrote() -> None:
    world = World(**BILLED)
    old = world.issue("sensor-0001", begins=timedelta(days=-300), ends=timedelta(days=30))
    world.connect(old)
    deliver(world)
    written = {"state": {"desired": {"name": "hall 2"}, "reported": {"battery": 3}}}
    application = world.account.client("iot-data", caller="admin")
    application.update_thing_shadow(thingName="sensor-0001", payload=json.dumps(written).encode())
    world.connect()
    deliver(world)
    assert world.status() == "ACTIVE"
    assert state(world, "sensor-0001") == written["state"]


def test_a_run_that_died_after_the_shadow_writes_it_no_second_time() -> None:
    world = World(**BILLED)

    def die(call: Any, moment: str) -> None:
        if call.operation == "UpdateThingShadow" and moment == "after":
            raise Died

    world.connect()
    world.aws.fault = die
    deliver(world)
    assert len(world.account.iot.shadows.requests) == 1
    world.aws.fault = world.watch
    world.go_on()
    assert world.status() == "ACTIVE"
    assert len(world.account.iot.shadows.requests) == 1


def test_a_stage_without_shadows_makes_no_call_of_the_data_plane() -> None:
    world = World()
    world.connect()
    deliver(world)
    assert world.status() == "ACTIVE"
    assert world.aws.list_operations(caller="register", service="iot-data") == []
