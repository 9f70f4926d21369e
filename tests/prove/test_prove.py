"""`jitrctl prove` in the simulation: what it answers, and that nothing is left of it."""

from jitrctl.prove.probes import PROBES
from tests.prove.proving_world import BOTH, World


def test_every_probe_is_answered_as_assumed_and_nothing_is_left(world: World) -> None:
    document = world.ask(*BOTH, "--bursts")

    assert document["not_answered"] == []
    assert [one for one in document["answers"] if not one["as_assumed"]] == []
    assert {one["probe"] for one in document["answers"]} == {probe.name for probe in PROBES}
    assert document["ok"]
    assert world.left() == []
    assert world.journals == []
