"""The handler of `sweep` as the schedule calls it: events, metrics, its lease and its time."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from jitr.errors import Misconfigured
from jitr.handlers import sweep
from jitr.rules import Rules
from jitr.sweep.runner import SweepResult
from tests.support.cases.issuing import DAY, NOW, SECOND, factory
from tests.support.cloud import Cloud, Wire
from tests.support.edge.sweeping import Listing, listed_certificate, sent_ids

EVENTS = Path(__file__).parents[2] / "events"


@pytest.fixture
def scheduled(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The handler itself, with its own clients, as the scheduler invokes it; the time is the tests'."""
    for name, value in cloud.settings.to_environ().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rules.json").write_text(cloud.rules.to_json())
    load = Rules.load
    monkeypatch.setattr(Rules, "load", lambda: load(tmp_path))
    monkeypatch.setattr(sweep, "_now", cloud.clock)
    sweep._built.cache_clear()
    event = json.loads((EVENTS / "scheduled.json").read_text())
    invocations = iter("abcdef")

    def invoke(milliseconds: int = 900_000) -> dict[str, Any]:
        context = SimpleNamespace(aws_request_id=next(invocations), get_remaining_time_in_millis=lambda: milliseconds)
        return sweep.handler(event, context)  # type: ignore[arg-type]

    return invoke


Scheduled = Callable[..., dict[str, Any]]


def test_the_scheduled_event_from_a_file_sweeps(
    wire: Wire, listing: Listing, scheduled: Scheduled, capsys: pytest.CaptureFixture[str]
) -> None:
    listing(listed_certificate(1), listed_certificate(2, status="ACTIVE"))
    assert scheduled() == asdict(SweepResult(looked_at=2, sent=1))
    assert sent_ids(wire) == [f"{1:064x}"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = (line for line in lines if "_aws" not in line and line["message"] != "runtime")
    assert (line["message"], line["sent"], line["service"]) == ("swept", 1, "sweep")
    emf: dict[str, dict[str, Any]] = {}
    for line in lines:
        if "_aws" in line:
            emf.setdefault(line["ca"], {}).update(line)
    assert (emf["none"]["Swept"], emf["none"]["fleet"]) == ([1.0], "acme")
    assert (emf["none"]["Waiting"], emf["factory"]["Waiting"]) == ([1.0], [0.0])
    assert emf["factory"]["fleet"] == "acme"


@pytest.mark.parametrize("days", [400, 1, 0, -3])
def test_a_sweep_tells_how_long_each_ca_lasts(cloud: Cloud, listing: Listing, days: int) -> None:
    listing()
    cloud.now = x509.load_pem_x509_certificate(factory().pem.encode()).not_valid_after_utc - days * DAY
    cloud.swept()
    assert cloud.counts._by_ca["factory"]["CaDaysLeft"] == [days]


def test_a_sweep_that_sends_nothing_is_counted_too(
    listing: Listing, scheduled: Scheduled, capsys: pytest.CaptureFixture[str]
) -> None:
    listing()
    assert scheduled()["sent"] == 0
    assert '"Swept":[0.0]' in capsys.readouterr().out.replace(" ", "")


@pytest.mark.parametrize(("age", "behind"), [(0, 0.0), (601, 1.0)], ids=["free", "behind"])
def test_a_sweep_tells_whether_it_was_free_to_send(
    listing: Listing, scheduled: Scheduled, capsys: pytest.CaptureFixture[str], age: int, behind: float
) -> None:
    listing(listed_certificate(1))
    listing.age = age
    assert scheduled()["sent"] == 1 - behind
    emf = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [one["SweepBehind"] for one in emf if "SweepBehind" in one] == [[behind]]


def test_one_sweep_runs_at_a_time(
    cloud: Cloud, wire: Wire, listing: Listing, scheduled: Scheduled, capsys: pytest.CaptureFixture[str]
) -> None:
    listing(listed_certificate(1))
    cloud.journal.take_lease("another", NOW, seconds=60)
    assert scheduled() == {"another_sweep_is_under_way": True}
    assert sent_ids(wire) == []
    assert "another sweep is under way" in capsys.readouterr().out
    cloud.now += 61 * SECOND
    assert scheduled()["sent"] == 1
    assert scheduled()["sent"] == 0  # the lease was given back


def test_a_sweep_stops_when_its_time_is_nearly_over(listing: Listing, scheduled: Scheduled) -> None:
    listing.page = 1
    listing(listed_certificate(1), listed_certificate(2))
    # 30 s, and the two in which the next turn comes at the latest
    assert scheduled(milliseconds=32_000)["unfinished"] == ["look back", "factory", "full pass"]
    assert scheduled(milliseconds=32_001)["unfinished"] == []


def test_a_sweep_that_fails_fails_for_its_scheduler_and_gives_its_lease_back(
    wire: Wire, listing: Listing, scheduled: Scheduled
) -> None:
    listing(listed_certificate(1))
    wire.fail("GetMetricStatistics", "Throttling")
    with pytest.raises(sweep.SweepFailed, match="age of the queue"):
        scheduled()
    assert scheduled()["sent"] == 1


def test_a_sweep_without_settings_does_not_start() -> None:
    with pytest.raises(Misconfigured, match="JITR_"):
        sweep.build({})
