"""Every alarm of the stack has its counterpart in `jitrctl fleet status`."""

from pathlib import Path

import pytest

from jitr_cdk.alarms import MOST_CAS_WITH_ALARMS_OF_THEIR_OWN, Central, watches
from jitr_fleet.model import Alarms
from jitr_fleet.resources import ResourceNames
from jitrctl.status import alarms
from jitrctl.status.alarms import COUNTERPARTS
from jitrctl.status.problems import Kind

NAMES = ResourceNames("acme")
LIMITS = Alarms(topic=None, backlog=900, rejection_rate=20, ca_expiry=7_776_000, device_expiry=1_209_600)
RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
MANY = [f"ca-{number}" for number in range(MOST_CAS_WITH_ALARMS_OF_THEIR_OWN + 1)]


@pytest.mark.parametrize("cas", [["factory"], MANY], ids=["one", "many"])
def test_status_knows_the_alarms_that_are_deployed_and_no_other(cas: list[str]) -> None:
    deployed = watches(NAMES, cas=cas, sweep_every=900, limits=LIMITS, central=Central.HUB)
    assert {watch.section for watch in deployed} == set(COUNTERPARTS)
    # By its name alone, which is all that CloudWatch is asked for.
    for watch in deployed:
        ringing = alarms._ringing(watch.name, None)
        assert ringing.section == watch.section
        assert (ringing.subject is not None) is (watch.name.count("--") == 2)


def test_every_counterpart_is_one_sentence_and_has_a_section_of_the_runbook() -> None:
    for section, counterpart in COUNTERPARTS.items():
        assert f"\n## {section}\n" in RUNBOOK
        assert counterpart.meaning
        assert not counterpart.meaning.endswith(".")


def test_what_is_read_directly_is_said_of_every_alarm_of_the_same_thing() -> None:
    """A problem that is called as an alarm is that alarm's counterpart."""
    same = [kind for kind in Kind if kind.value in COUNTERPARTS]
    assert same
    for kind in same:
        assert kind in COUNTERPARTS[kind.value].reads
