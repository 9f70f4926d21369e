"""`jitrctl fleet expiring`, the sweep's count, and what `fleet status` makes of it."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jitr.store.dynamodb import key
from jitr.store.registry_items import certificate_key
from jitr.store.sweep_state import ACCOUNT, count_key
from jitr.sweep.expiring import EXPIRING
from jitrctl.commands.fleet import expiring
from simulation import Leaf
from tests.support.cli.simulated import DAY, DEV, NOW, PROD, RULES, Simulated, simulated


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(expiring, "now", fleet.aws.clock.now)
    return fleet


def join(fleet: Simulated, name: str, *, days: float) -> Leaf:
    """A device that is ACTIVE in dev, whose certificate ends in so many days."""
    leaf = fleet.issue(name, begins=-1, days=days + 1)
    assert fleet.knock(DEV, leaf, name)
    return leaf


def count(fleet: Simulated) -> int:
    counts = fleet.stage(DEV).journal.last_pass(ACCOUNT).counts
    return counts.get(count_key(fleet.stage(DEV).fleet.cas[0].certificate_id, EXPIRING), 0)


def test_certificates_that_end_within_the_time_are_listed_the_first_first(fleet: Simulated) -> None:
    later, sooner = join(fleet, "sensor-0001", days=60), join(fleet, "sensor-0002", days=20)
    join(fleet, "sensor-0003", days=200)
    told = fleet.ask("fleet", "expiring")
    assert [one["certificate_id"] for one in told[DEV]["devices"]] == [sooner.certificate_id, later.certificate_id]
    assert [one["thing_name"] for one in told[DEV]["devices"]] == ["sensor-0002", "sensor-0001"]
    assert told[DEV]["devices"][0]["not_after"] == (NOW + 20 * DAY).isoformat()
    assert told[DEV]["cas"][0]["expiring"] + told[DEV]["cas"][1]["expiring"] == 2
    assert told[PROD]["devices"] == []
    assert len(fleet.ask("fleet", "expiring", "--within", "30d")[DEV]["devices"]) == 1
    assert "sensor-0002" in fleet.say("fleet", "expiring")


def test_a_device_that_has_rotated_or_was_taken_away_is_not_listed(fleet: Simulated) -> None:
    join(fleet, "sensor-0001", days=20)
    fleet.aws.clock.advance(3600)
    successor = fleet.issue("sensor-0001", begins=0.01, days=365)
    assert fleet.knock(DEV, successor, "sensor-0001")
    gone = join(fleet, "sensor-0002", days=20)
    fleet.say("device", "revoke", gone.certificate_id, "--account", DEV, "--yes")
    fleet.sweep(DEV)
    assert fleet.ask("fleet", "expiring", "--within", "30d")[DEV]["devices"] == []
    assert count(fleet) == 0


def test_a_record_of_an_earlier_version_is_dated_by_the_owner_of_its_name(fleet: Simulated) -> None:
    leaf = join(fleet, "sensor-0001", days=10)
    stage = fleet.stage(DEV)
    stage.dynamodb.update_item(
        TableName=stage.names.registry_table,
        Key=key(certificate_key(leaf.certificate_id)),
        UpdateExpression="REMOVE #decision.not_before, #decision.not_after",
        ExpressionAttributeNames={"#decision": "decision"},
    )
    assert fleet.record(DEV, leaf).decision.not_after is None  # type: ignore[union-attr]
    told = fleet.ask("fleet", "expiring")[DEV]
    assert [one["certificate_id"] for one in told["devices"]] == [leaf.certificate_id]
    fleet.sweep(DEV)
    assert count(fleet) == 1


def test_what_has_ended_is_counted_apart(fleet: Simulated) -> None:
    join(fleet, "sensor-0001", days=10)
    fleet.aws.clock.advance(11 * 86_400)
    told = fleet.ask("fleet", "expiring")[DEV]
    assert (told["devices"], [one["ended"] for one in told["cas"] if one["ca"] == "factory"]) == ([], [1])


def test_a_ca_admits_no_device_after_its_end_less_the_life_that_a_device_needs(fleet: Simulated) -> None:
    fleet.write(f'{RULES}minimum_remaining_life = "30d"\n')
    for one in fleet.ask("fleet", "expiring")[DEV]["cas"]:
        left = datetime.fromisoformat(one["not_after"]) - datetime.fromisoformat(one["admits_until"])
        assert left == timedelta(days=30)
    fleet.write(f'{RULES}minimum_remaining_life = "30d"\n[ca.factory.checks]\nvalidity = "observe"\n', successor_in=())
    (ca,) = fleet.ask("fleet", "expiring")[DEV]["cas"]
    assert ca["not_after"] == ca["admits_until"]


def test_the_daily_pass_counts_those_within_the_fleet_files_time(fleet: Simulated) -> None:
    join(fleet, "sensor-0001", days=10)
    join(fleet, "sensor-0002", days=30)
    fleet.sweep(DEV)
    assert count(fleet) == 1
    assert fleet.deployments[DEV].journal.metrics["Expiring"] == 1


def test_a_wrong_time_is_refused(fleet: Simulated) -> None:
    assert "90d" in fleet.say("fleet", "expiring", "--within", "soon", code=2)
