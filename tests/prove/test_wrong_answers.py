"""Whatever AWS answers otherwise than jitr assumes is reported as that, by the probe that asks it; and cleaned."""

import pytest

from jitrctl.prove.probe import Recorded
from jitrctl.prove.probes import PROBES
from tests.support.prove.lies import BESIDE, LIES
from tests.support.prove.proving_world import BOTH, World

_BY_NAME = {probe.name: probe for probe in PROBES}


def test_a_wrong_answer_is_injected_for_everything_that_is_assumed() -> None:
    assumed = {
        (probe.name, one.what) for probe in PROBES for one in probe.expects if not isinstance(one.assumed, Recorded)
    }

    assert set(LIES) == assumed


@pytest.mark.parametrize(("probe", "what"), LIES, ids=str)
def test_a_wrong_answer_is_reported_as_what_it_is(
    probe: str, what: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    LIES[probe, what](world, monkeypatch)

    document = world.ask(*BOTH, "--only", probe)

    (expectation,) = (one for one in _BY_NAME[probe].expects if one.what == what)
    different = {one["what"]: one for one in document["answers"] if not one["as_assumed"]}
    assert set(different) == {what} | BESIDE.get((probe, what), set()), document
    assert different[what]["so_what"] == expectation.otherwise
    assert different[what]["found"] != expectation.assumed
    assert document["ok"], document
    assert world.left() == []
    assert world.journals == []
