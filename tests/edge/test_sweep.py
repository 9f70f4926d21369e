"""The sweep: which certificates the queue has forgotten, and that they then come up."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import Misconfigured, Reason, Unavailable
from jitr.handlers import sweep
from jitr.rules import Rules
from jitr.sweeping import Swept
from tests.cases.issuing import DAY, NOW, SECOND, ec_key, factory, issue_ca, rules_for
from tests.edge.cloud import Cloud, Wire
from tests.edge.test_registry import ACTIVATION

EVENTS = Path(__file__).parents[2] / "events"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def listed(number: int, age: timedelta = HOUR, status: str = "PENDING_ACTIVATION") -> dict[str, Any]:
    return {"certificateId": f"{number:064x}", "status": status, "creationDate": NOW - age}


@pytest.fixture
def pages(wire: Wire) -> Callable[..., None]:
    """Let AWS list these certificates, page by page, and the queue be empty."""

    def answer(*some: list[dict[str, Any]], sweeps: int = 1) -> None:
        wire.forget()
        for _ in range(sweeps):
            wire.answer("GetMetricStatistics", {"Datapoints": []})
            for number, page in enumerate(some, 1):
                more = {"nextMarker": str(number)} if number < len(some) else {}
                wire.answer("ListCertificatesByCA", {"certificates": page, **more})

    return answer


Pages = Callable[..., None]


def sent(wire: Wire) -> list[str]:
    """The ids that were sent to the queue."""
    entries = [entry for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    return [json.loads(entry["MessageBody"])["certificateId"] for entry in entries]


def test_a_forgotten_certificate_is_sent_and_noted(cloud: Cloud, wire: Wire, pages: Pages) -> None:
    pages([listed(1)])
    assert cloud.sweep.run() == Swept(looked_at=1, pending=1, sent=1)
    assert sent(wire) == [f"{1:064x}"]
    record = cloud.registry.recall([f"{1:064x}"])[f"{1:064x}"]
    assert (record.swept_at, record.decision) == (NOW, None)


def test_a_forgotten_device_comes_up(cloud: Cloud, pages: Pages) -> None:
    device = cloud.knock()
    pages([listed(1) | {"certificateId": device}])
    assert cloud.sweep.run().sent == 1
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.settings.registrations_queue_url)["Messages"]
    assert cloud.batch(cloud.record(message["Body"])) == []
    assert cloud.status(device) == "ACTIVE"
    assert "Contradictions" not in cloud.counted()


@pytest.mark.parametrize(
    ("age", "is_sent"), [(10 * MINUTE, False), (10 * MINUTE + SECOND, True), (0 * SECOND, False), (-MINUTE, False)]
)
def test_the_ordinary_path_comes_first_for_pending_after(
    cloud: Cloud, pages: Pages, age: timedelta, *, is_sent: bool
) -> None:
    pages([listed(1, age)])
    assert cloud.sweep.run() == Swept(looked_at=1, pending=int(is_sent), sent=int(is_sent))


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED", "PENDING_TRANSFER", "REGISTER_INACTIVE"])
def test_only_pending_certificates_are_sent(cloud: Cloud, wire: Wire, pages: Pages, status: str) -> None:
    pages([listed(1, status=status), listed(2)])
    assert cloud.sweep.run() == Swept(looked_at=2, pending=1, sent=1)
    assert sent(wire) == [f"{2:064x}"]


def test_the_sweep_looks_back_to_the_horizon_and_asks_for_no_page_beyond(
    cloud: Cloud, wire: Wire, pages: Pages
) -> None:
    pages([listed(1), listed(2, 7 * DAY)], [listed(3, 7 * DAY), listed(4, 7 * DAY + SECOND)], [listed(5, 8 * DAY)])
    assert cloud.sweep.run() == Swept(looked_at=3, pending=3, sent=3)
    assert len(wire.of("ListCertificatesByCA")) == 2


def test_every_ca_of_the_account_is_swept(cloud: Cloud, wire: Wire, pages: Pages) -> None:
    other = issue_ca("Acme other CA", key=ec_key(owner="other ca"))
    cloud.under(replace(cloud.rules, cas=(*cloud.rules.cas, *rules_for(other, name="other").cas)))
    pages([listed(1)])
    wire.answer("ListCertificatesByCA", {"certificates": [listed(2)]})
    assert cloud.sweep.run().sent == 2
    assert [one["caCertificateId"] for one in wire.of("ListCertificatesByCA")] == [
        factory().certificate_id,
        other.certificate_id,
    ]
    bodies = [json.loads(entry["MessageBody"]) for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    assert [body["caCertificateId"] for body in bodies] == [factory().certificate_id, other.certificate_id]


def decided(cloud: Cloud, *, at: datetime, **changes: Any) -> None:
    decision = replace(
        ACTIVATION,
        certificate_id=f"{1:064x}",
        registered_at=NOW - HOUR,
        decided_at=at,
        rules_digest=cloud.rules.digest,
        attempts=1,
    )
    cloud.registry.record(replace(decision, **changes))


HELD = {"outcome": Outcome.HELD, "reason": Reason.CA_INACTIVE}


@pytest.mark.parametrize(
    ("at", "changes", "is_sent"),
    [
        (NOW - HOUR, {"outcome": Outcome.ACTIVATED}, False),
        (NOW - HOUR, {"outcome": Outcome.REJECTED}, False),
        (NOW - HOUR, {"outcome": Outcome.FOUND}, False),
        (NOW - 5 * MINUTE + SECOND, HELD, False),
        (NOW - 5 * MINUTE, HELD, True),
        (NOW - 15 * MINUTE + SECOND, HELD | {"attempts": 2}, False),
        (NOW - 15 * MINUTE, HELD | {"attempts": 2}, True),
        (NOW, HELD | {"rules_digest": "other rules"}, True),
        # decided on an earlier registration of the same certificate
        (NOW, {"outcome": Outcome.REJECTED, "registered_at": NOW - DAY}, True),
        (NOW, HELD | {"registered_at": NOW - DAY}, True),
    ],
)
def test_what_is_decided_is_not_forgotten_unless_it_is_due_again(
    cloud: Cloud, pages: Pages, at: datetime, changes: dict[str, Any], *, is_sent: bool
) -> None:
    decided(cloud, at=at, **changes)
    pages([listed(1)])
    assert cloud.sweep.run() == Swept(looked_at=1, pending=1, sent=int(is_sent))


def test_what_was_sent_is_not_sent_again_within_the_hour(cloud: Cloud, pages: Pages) -> None:
    pages([listed(1)], sweeps=3)
    assert cloud.sweep.run().sent == 1
    cloud.now = NOW + HOUR - SECOND
    assert cloud.sweep.run().sent == 0
    cloud.now = NOW + HOUR
    assert cloud.sweep.run().sent == 1


@pytest.mark.parametrize(("age", "behind"), [(600, False), (601, True)])
def test_nothing_is_swept_while_the_queue_still_holds_what_it_has_not_forgotten(
    cloud: Cloud, wire: Wire, age: int, *, behind: bool
) -> None:
    wire.forget()
    wire.answer("GetMetricStatistics", {"Datapoints": [{"Timestamp": NOW - MINUTE, "Maximum": float(age)}]})
    wire.answer("ListCertificatesByCA", {"certificates": []})
    assert cloud.sweep.run() == Swept(looked_at=0, pending=0, sent=0, queue_is_behind=behind)
    assert bool(wire.operations("iot")) is not behind


def test_a_page_is_recalled_a_hundred_at_a_time_and_sent_ten_at_a_time(cloud: Cloud, wire: Wire, pages: Pages) -> None:
    pages([listed(number) for number in range(1, 251)])
    assert cloud.sweep.run() == Swept(looked_at=250, pending=250, sent=250)
    asked = [len(next(iter(one["RequestItems"].values()))["Keys"]) for one in wire.of("BatchGetItem")]
    assert asked == [100, 100, 50]
    assert [len(one["Entries"]) for one in wire.of("SendMessageBatch")] == [10] * 25
    assert len(set(sent(wire))) == 250


def test_what_the_queue_did_not_take_is_not_noted_as_sent(cloud: Cloud, wire: Wire, pages: Pages) -> None:
    pages([listed(1)])
    wire.answer("SendMessageBatch", {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError"}]})
    with pytest.raises(Unavailable):
        cloud.sweep.run()
    assert cloud.items() == {}


@pytest.mark.parametrize("operation", ["GetMetricStatistics", "ListCertificatesByCA", "BatchGetItem", "UpdateItem"])
def test_a_sweep_that_is_throttled_is_unavailable(cloud: Cloud, wire: Wire, operation: str) -> None:
    if operation != "GetMetricStatistics":
        wire.answer("GetMetricStatistics", {"Datapoints": []})
    if operation != "ListCertificatesByCA":
        wire.answer("ListCertificatesByCA", {"certificates": [listed(1)]})
    wire.fail(operation, "ThrottlingException")
    with pytest.raises(Unavailable, match=operation):
        cloud.sweep.run()


def test_an_account_without_certificates_has_nothing_to_sweep(cloud: Cloud, wire: Wire, pages: Pages) -> None:
    pages([])
    assert cloud.sweep.run() == Swept(looked_at=0, pending=0, sent=0)
    assert wire.operations("sqs") == wire.operations("dynamodb") == []


@pytest.fixture
def scheduled(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """The handler itself, with its own clients, as the scheduler invokes it; the time is the tests'."""
    for name, value in cloud.settings.to_environ().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rules.json").write_text(cloud.rules.to_json())
    load = Rules.load
    monkeypatch.setattr(Rules, "load", lambda: load(tmp_path))
    monkeypatch.setattr(sweep, "_now", cloud.clock)
    sweep._built.cache_clear()
    event = json.loads((EVENTS / "scheduled.json").read_text())
    return lambda: sweep.handler(event, None)  # type: ignore[arg-type]  # which it does not look at


def test_the_scheduled_event_from_a_file_sweeps(
    wire: Wire, pages: Pages, scheduled: Callable[[], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    pages([listed(1), listed(2, status="ACTIVE")])
    assert scheduled() == {"looked_at": 2, "pending": 1, "sent": 1, "queue_is_behind": False}
    assert sent(wire) == [f"{1:064x}"]
    line, emf = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (line["message"], line["sent"], line["service"]) == ("swept", 1, "sweep")
    assert (emf["Swept"], emf["fleet"]) == ([1.0], "acme")


def test_a_sweep_that_sends_nothing_is_counted_too(
    pages: Pages, scheduled: Callable[[], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    pages([])
    assert scheduled()["sent"] == 0
    assert '"Swept":[0.0]' in capsys.readouterr().out.replace(" ", "")


def test_a_sweep_that_fails_fails_for_its_scheduler(wire: Wire, scheduled: Callable[[], dict[str, Any]]) -> None:
    wire.fail("GetMetricStatistics", "Throttling")
    with pytest.raises(Unavailable):
        scheduled()


def test_a_sweep_without_settings_does_not_start() -> None:
    with pytest.raises(Misconfigured, match="JITR_"):
        sweep.build({})
