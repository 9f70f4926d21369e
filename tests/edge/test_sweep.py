"""The sweep: what the queue has forgotten, what is due again, what is retired, and what is counted."""

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.events import NO_CA_CERTIFICATE
from jitr.rules import Rules
from jitr.store.sweep_state import ACCOUNT, LastRun, Pass
from jitr.sweep.runner import SweepResult
from jitr.telemetry import FAILURES, NOT_PERMITTED, PUT_OFF
from tests.support.cases.issuing import DAY, NOW, SECOND, ec_key, factory, issue_ca, rules_for
from tests.support.cloud import Cloud, Wire
from tests.support.edge.sweeping import (
    HELD_FIELDS,
    Listing,
    daily_counts,
    has_time_for,
    listed_certificate,
    record_decision,
    rotate,
    sent_ids,
)
from tests.support.examples import HOUR, MINUTE


@pytest.fixture
def counted(cloud: Cloud) -> None:
    """The day's count and its full pass have been made."""
    for listed_of in (factory().certificate_id, ACCOUNT):
        cloud.journal.keep_pass(listed_of, Pass(began_at=NOW, finished_at=NOW, lists=True, has_serials=True))


def test_a_forgotten_certificate_is_sent_and_noted(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed_certificate(1))
    assert cloud.swept() == SweepResult(looked_at=1, sent=1)
    assert sent_ids(wire) == [f"{1:064x}"]
    record = cloud.registry.recall([f"{1:064x}"])[f"{1:064x}"]
    assert (record.swept_at, record.decision) == (NOW, None)


def test_a_forgotten_device_comes_up(cloud: Cloud, listing: Listing) -> None:
    device = cloud.knock()
    listing(listed_certificate(1) | {"certificateId": device})
    assert cloud.swept().sent == 1
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.settings.registrations_queue_url)["Messages"]
    assert cloud.batch(cloud.record(message["Body"])) == []
    assert cloud.status(device) == "ACTIVE"
    assert "Contradictions" not in cloud.counted()


@pytest.mark.parametrize(
    ("age", "is_sent"), [(10 * MINUTE, False), (10 * MINUTE + SECOND, True), (0 * SECOND, False), (-MINUTE, False)]
)
def test_the_ordinary_path_comes_first_for_pending_after(
    cloud: Cloud, listing: Listing, age: timedelta, *, is_sent: bool
) -> None:
    listing(listed_certificate(1, age))
    assert cloud.swept() == SweepResult(looked_at=1, sent=int(is_sent))


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED", "PENDING_TRANSFER", "REGISTER_INACTIVE"])
def test_only_pending_certificates_are_sent(cloud: Cloud, wire: Wire, listing: Listing, status: str) -> None:
    listing(listed_certificate(1, status=status), listed_certificate(2))
    assert cloud.swept() == SweepResult(looked_at=2, sent=1)
    assert sent_ids(wire) == [f"{2:064x}"]


@pytest.mark.usefixtures("counted")
def test_the_sweep_looks_back_to_the_horizon_and_asks_for_no_page_beyond(
    cloud: Cloud, wire: Wire, listing: Listing
) -> None:
    listing.page = 2
    listing(
        listed_certificate(1),
        listed_certificate(2, 7 * DAY),
        listed_certificate(3, 7 * DAY),
        listed_certificate(4, 7 * DAY + SECOND),
        listed_certificate(5, 8 * DAY),
    )
    assert cloud.swept() == SweepResult(looked_at=3, sent=3)
    assert wire.operations("iot") == ["ListCertificates"] * 2


@pytest.mark.usefixtures("counted")
def test_every_ca_of_the_account_is_swept(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    other = issue_ca("Acme other CA", key=ec_key(owner="other ca"))
    cloud.under(replace(cloud.rules, cas=(*cloud.rules.cas, *rules_for(other, name="other").cas)))
    listing(listed_certificate(1))
    listing.of[other.certificate_id] = [listed_certificate(2)]
    assert cloud.swept().sent == 2
    assert len(wire.of("ListCertificates")) == 1
    bodies = [json.loads(entry["MessageBody"]) for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    assert [body["caCertificateId"] for body in bodies] == [NO_CA_CERTIFICATE] * 2  # no list says whose they are


@pytest.mark.usefixtures("counted")
def test_certificates_that_aws_lists_under_no_ca_are_swept(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing.of["listed under none"] = [listed_certificate(1), listed_certificate(2, status="ACTIVE")]
    assert cloud.swept() == SweepResult(looked_at=2, sent=1)
    assert sent_ids(wire) == [f"{1:064x}"]


@pytest.mark.parametrize(
    ("at", "changes", "is_sent"),
    [
        (NOW - HOUR, {"outcome": Outcome.ACTIVATED}, False),
        (NOW - HOUR, {"outcome": Outcome.REJECTED}, False),
        (NOW - HOUR, {"outcome": Outcome.FOUND}, False),
        (NOW - 5 * MINUTE + SECOND, HELD_FIELDS, False),
        (NOW - 5 * MINUTE, HELD_FIELDS, True),
        (NOW - 15 * MINUTE + SECOND, HELD_FIELDS | {"attempts": 2}, False),
        (NOW - 15 * MINUTE, HELD_FIELDS | {"attempts": 2}, True),
        # decided on an earlier registration of the same certificate
        (NOW, {"outcome": Outcome.REJECTED, "registered_at": NOW - DAY}, True),
        (NOW, HELD_FIELDS | {"registered_at": NOW - DAY}, True),
    ],
)
def test_what_is_decided_is_not_forgotten_unless_it_is_due_again(
    cloud: Cloud, listing: Listing, at: datetime, changes: dict[str, Any], *, is_sent: bool
) -> None:
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    record_decision(cloud, at=at, **changes)
    listing(listed_certificate(1))
    assert cloud.swept() == SweepResult(looked_at=1, sent=int(is_sent))


def test_what_was_sent_is_not_sent_again_within_the_hour(cloud: Cloud, listing: Listing) -> None:
    listing(listed_certificate(1))
    assert cloud.swept().sent == 1
    cloud.now = NOW + HOUR - SECOND
    assert cloud.swept().sent == 0
    cloud.now = NOW + HOUR
    assert cloud.swept().sent == 1


@pytest.mark.parametrize(("age", "behind"), [(600, False), (601, True)])
def test_nothing_is_sent_while_the_queue_still_holds_what_it_has_not_forgotten(
    cloud: Cloud, wire: Wire, listing: Listing, age: int, *, behind: bool
) -> None:
    listing.age = age
    record_decision(cloud, at=NOW - DAY, number=2, **HELD_FIELDS)
    listing(listed_certificate(1))
    swept = cloud.swept()
    assert swept.queue_is_behind is behind
    assert sent_ids(wire) == ([] if behind else [f"{2:064x}", f"{1:064x}"])


def test_what_does_not_go_through_the_queue_is_done_while_it_is_behind(cloud: Cloud, listing: Listing) -> None:
    listing.age = 601
    first, _ = rotate(cloud)
    cloud.now = NOW + 7 * DAY
    listing(listed_certificate(1, status="ACTIVE"))
    assert cloud.swept().retired == 1
    assert cloud.status(first) == "INACTIVE"
    assert cloud.journal.full_pass(factory().certificate_id).counts == {"ACTIVE": 1}


def recalls(wire: Wire) -> list[dict[str, Any]]:
    """What is read at once but for the brakes, of which each sweep reads the CAs' own."""
    return [one for one in wire.of("BatchGetItem") if "'brake#" not in str(one)]


@pytest.mark.usefixtures("counted")
def test_a_page_is_recalled_a_hundred_at_a_time_and_sent_ten_at_a_time(
    cloud: Cloud, wire: Wire, listing: Listing
) -> None:
    listing(*(listed_certificate(number) for number in range(1, 251)))
    assert cloud.swept() == SweepResult(looked_at=250, sent=250)
    asked = [len(next(iter(one["RequestItems"].values()))["Keys"]) for one in recalls(wire)]
    assert asked == [100, 100, 50]
    assert [len(one["Entries"]) for one in wire.of("SendMessageBatch")] == [10] * 25
    assert len(set(sent_ids(wire))) == 250


def test_what_the_queue_did_not_take_is_not_noted_as_sent(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed_certificate(1))
    wire.answer("SendMessageBatch", {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError"}]})
    assert cloud.swept().failed == ["look back"]
    assert not [key for key in cloud.items() if key.startswith("certificate#")]


@pytest.mark.parametrize(
    ("operation", "failed"),
    [
        ("GetMetricStatistics", "age of the queue"),
        ("GetItem", "revoked CAs"),
        ("Query", "take away"),
        ("ListCertificates", "look back"),
        ("ListCertificatesByCA", "count, factory"),
        ("BatchGetItem", "look again, other rules"),
        ("SendMessageBatch", "look back"),
    ],
)
@pytest.mark.parametrize(
    ("code", "metric"), [("ThrottlingException", PUT_OFF), ("AccessDeniedException", NOT_PERMITTED)], ids=str
)
def test_a_part_of_the_sweep_that_fails_is_named_and_counted_and_stops_no_other(
    cloud: Cloud, wire: Wire, listing: Listing, operation: str, failed: str, code: str, metric: str
) -> None:
    listing(listed_certificate(1), listed_certificate(2, status="ACTIVE"))
    wire.fail(operation, code)
    swept = cloud.swept()
    assert swept.failed == [failed]
    assert cloud.counted()[metric] == 1
    assert [line["part"] for line in cloud.logged() if "part" in line] == [failed]
    assert cloud.journal.full_pass(ACCOUNT).finished_at  # the last part
    assert (run := cloud.journal.last_run())
    assert run.failed == (failed,)
    assert cloud.swept().failed == []
    assert cloud.journal.last_run() == LastRun(began_at=NOW, finished_at=NOW)
    assert cloud.registry.recall([f"{1:064x}"])[f"{1:064x}"].swept_at == NOW


def test_one_cas_error_stops_no_other_ca(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    other = issue_ca("Acme other CA", key=ec_key(owner="other ca"))
    cloud.under(Rules(fleet="acme", cas=(*cloud.rules.cas, *rules_for(other, name="other").cas)))
    listing(listed_certificate(1))
    listing.of[other.certificate_id] = [listed_certificate(2)]
    wire.fail("ListCertificatesByCA", "InternalException")
    swept = cloud.swept()
    assert swept.failed == ["count, factory"]
    assert cloud.journal.last_pass(other.certificate_id).counts == {"PENDING_ACTIVATION": 1}


@pytest.mark.usefixtures("counted")
def test_a_look_back_whose_marker_is_refused_begins_anew(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed_certificate(1))
    cloud.journal.keep_look_back_marker(ACCOUNT, "stale")
    wire.fail("ListCertificates", "InvalidRequestException")
    assert cloud.swept().failed == ["look back"]
    assert cloud.counted()[FAILURES] == 1
    assert cloud.swept() == SweepResult(looked_at=1, sent=1)


def test_a_count_whose_marker_is_refused_begins_anew(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed_certificate(1, status="ACTIVE"))
    ca = factory().certificate_id
    cloud.journal.keep_pass(ca, Pass(began_at=NOW, marker="stale", counts={"ACTIVE": 9}))
    wire.fail("ListCertificatesByCA", "InvalidRequestException")
    assert cloud.swept().failed == ["count, factory"]
    assert cloud.swept().failed == []
    assert daily_counts(cloud) == {"ACTIVE": 1}


def test_a_full_pass_whose_marker_is_refused_begins_anew(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed_certificate(1, status="ACTIVE"))
    cloud.journal.keep_pass(ACCOUNT, Pass(began_at=NOW, marker="stale"))
    wire.answer("ListCertificates", {"certificates": []})  # the look back
    wire.fail("ListCertificates", "InvalidRequestException")
    assert cloud.swept().failed == ["full pass"]
    assert cloud.swept().failed == []
    assert cloud.journal.full_pass(ACCOUNT).finished_at == NOW


def test_a_list_that_is_refused_without_a_marker_is_a_failure(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed_certificate(1))
    wire.fail("ListCertificates", "InvalidRequestException", times=2)
    wire.fail("ListCertificatesByCA", "InvalidRequestException")
    assert cloud.swept().failed == ["look back", "count, factory", "full pass"]


def test_what_is_sent_is_spread_over_the_time_and_never_more_than_half_of_the_rate(
    cloud: Cloud, wire: Wire, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 10/s: five forgotten certificates in each second, within half of pending_after, so 1,500 and again."""
    cloud.under(replace(cloud.rules, every=400))
    monkeypatch.setattr(cloud.registry, "note_sweep", lambda *_, **__: None)
    listing(*(listed_certificate(number) for number in range(1, 2251)))
    # moto takes a minute for two thousand messages in a queue; here only what is sent matters.
    wire.serve("SendMessageBatch", lambda asked: {"Successful": [{"Id": one["Id"]} for one in asked["Entries"]]})
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (2000, True)
    delays = Counter(entry["DelaySeconds"] for one in wire.of("SendMessageBatch") for entry in one["Entries"])
    assert delays == {second: 10 if second < 100 else 5 for second in range(300)}
    assert swept.looked_at == 2250


def test_an_account_without_certificates_has_nothing_to_sweep(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing()
    assert cloud.swept() == SweepResult()
    assert not wire.operations("sqs")
    assert not recalls(wire)


@pytest.mark.usefixtures("counted")
def test_a_look_back_that_time_ran_out_for_goes_on_where_it_stopped_and_then_begins_anew(
    cloud: Cloud, wire: Wire, listing: Listing
) -> None:
    listing.page = 1
    listing(*(listed_certificate(number) for number in range(1, 5)))
    assert cloud.swept(has_time_for(1)) == SweepResult(looked_at=2, sent=2, unfinished=["look back"])
    assert sent_ids(wire) == [f"{1:064x}", f"{2:064x}"]
    assert cloud.swept() == SweepResult(looked_at=2, sent=2)
    assert sent_ids(wire) == [f"{3:064x}", f"{4:064x}"]
    assert cloud.swept() == SweepResult(looked_at=4, sent=0)


@pytest.mark.usefixtures("counted")
def test_a_sweep_without_time_does_one_page_all_the_same_so_that_it_gets_on(cloud: Cloud, listing: Listing) -> None:
    listing.page = 1
    listing(listed_certificate(1), listed_certificate(2))
    assert [cloud.swept(has_time_for(0)).sent for _ in range(3)] == [1, 1, 0]


def test_a_sweep_tells_how_many_certificates_wait(cloud: Cloud, listing: Listing) -> None:
    listing(
        listed_certificate(1),
        listed_certificate(2),
        listed_certificate(3, 5 * MINUTE),
        listed_certificate(4, status="ACTIVE"),
        listed_certificate(5, 8 * DAY),
    )
    record_decision(cloud, at=NOW, ca_certificate_id=factory().certificate_id, **HELD_FIELDS)
    cloud.swept()
    waiting = {ca: counted["Waiting"] for ca, counted in cloud.counts._by_ca.items() if "Waiting" in counted}
    assert waiting == {"factory": [1], "none": [1]}  # no list says whose it is of which nothing is recorded


@pytest.mark.parametrize("pages", [1, 0])
def test_no_list_is_begun_after_time_ran_out(cloud: Cloud, listing: Listing, wire: Wire, pages: int) -> None:
    listing.page = 1
    listing(listed_certificate(1), listed_certificate(2), listed_certificate(3))
    assert cloud.swept(has_time_for(pages)).unfinished == ["look back", "factory", "full pass"]
    assert wire.operations("iot") == ["ListCertificates"] * (pages + 1)  # the look back's own, which begins


def test_a_part_of_the_list_is_not_told_as_the_whole(cloud: Cloud, listing: Listing) -> None:
    listing.page = 1
    listing(listed_certificate(1), listed_certificate(2), listed_certificate(3))
    assert cloud.swept(has_time_for(1)).unfinished == ["look back", "factory", "full pass"]
    cloud.swept()
    assert "Waiting" not in cloud.counted()
    cloud.swept()
    assert cloud.counted()["Waiting"] == 3
