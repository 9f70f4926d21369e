"""`jitrctl prove` in the simulation: what it answers, and that nothing is left of it."""

import json
from pathlib import Path

from jitrctl.prove.probes import PROBES
from simulation import Undocumented
from simulation.measured import read
from tests.support.prove.proving_world import BOTH, World


def test_every_probe_is_answered_as_assumed_and_nothing_is_left(world: World) -> None:
    document = world.ask(*BOTH, "--bursts")

    assert document["not_answered"] == []
    assert [one for one in document["answers"] if not one["as_assumed"]] == []
    assert {one["probe"] for one in document["answers"]} == {probe.name for probe in PROBES}
    assert document["ok"]
    assert world.left() == []
    assert world.journals == []


def test_the_probes_and_what_is_left_are_told_as_json(world: World) -> None:
    assert [one["probe"] for one in world.ask("--list")["probes"]] == [probe.name for probe in PROBES]
    assert world.ask("--clean") == {"ok": True, "named": 0, "left": [], "stages": [], "warnings": []}


def test_the_documents_switches_are_what_the_simulation_was_set_to(world: World, tmp_path: Path) -> None:
    """A run against the simulation finds the simulation's own switches: the loader and the probes agree on them."""
    switches = world.aws.undocumented
    switches.registers_outside_validity = False
    switches.detach_seconds, switches.session_seconds = 9, 60
    asked = {one.switch for probe in PROBES for one in probe.expects if one.switch}
    document = world.ask(*BOTH, *(word for probe in PROBES if _sets_one(probe.name) for word in ("--only", probe.name)))
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(document))
    found = read(path)

    assert set(document["switches"]) == asked
    assert asked <= set(Undocumented.__slots__)
    assert not found.revoked_may_become_active
    assert not found.registers_outside_validity
    assert 9 <= found.detach_seconds <= 10
    assert 60 <= found.session_seconds <= 61


def _sets_one(name: str) -> bool:
    return any(one.switch for probe in PROBES if probe.name == name for one in probe.expects)
