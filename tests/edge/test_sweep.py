"""The sweep: what the queue has forgotten, what is due again, what is retired, and what is counted."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Decision, Outcome
from jitr.errors import Misconfigured, Reason, Rejected
from jitr.events import NO_CA_CERTIFICATE
from jitr.handlers import sweep
from jitr.iot_models import Status
from jitr.owners import NameRollback
from jitr.provisioning import IotStep, SetStatus
from jitr.rules import Rules
from jitr.store.registry_writes import Due
from jitr.store.sweep_state import ACCOUNT, LastRun, Pass, counted_of
from jitr.sweep import due_evaluations, runner
from jitr.sweep.runner import Swept
from jitr.telemetry import FAILURES, NOT_PERMITTED, PUT_OFF
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext
from tests.edge.test_adopting import adopted
from tests.support.cases.issuing import DAY, NOW, SECOND, ec_key, factory, issue_ca, named, rules_for
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.examples import ACTIVATION, ANN, HOUR, MINUTE, OWNER, said

EVENTS = Path(__file__).parents[2] / "events"


def listed(number: int, age: timedelta = HOUR, status: str = "PENDING_ACTIVATION") -> dict[str, Any]:
    return {"certificateId": f"{number:064x}", "status": status, "creationDate": NOW - age}


@dataclass
class Listing:
    """What AWS lists of each CA, and of all of them, in pages, and how old the queue's oldest message is."""

    of: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    page: int = 250
    age: float | None = None

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "caCertificateId" in asked:
            certificates = self.of.get(asked["caCertificateId"], [])
        else:
            certificates = [one for of_ca in self.of.values() for one in of_ca]
        start = int(asked.get("marker", 0))
        end = start + self.page
        return {"certificates": certificates[start:end]} | ({"nextMarker": str(end)} if end < len(certificates) else {})

    def points(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Datapoints": [{"Timestamp": NOW - MINUTE, "Maximum": self.age}] if self.age is not None else []}

    def __call__(self, *certificates: dict[str, Any]) -> None:
        """Let the factory's CA have these, newest first."""
        self.of[factory().certificate_id] = list(certificates)


@pytest.fixture
def listing(wire: Wire) -> Listing:
    listing = Listing()
    wire.serve("ListCertificates", listing.answer)
    wire.serve("ListCertificatesByCA", listing.answer)
    wire.serve("GetMetricStatistics", listing.points)
    return listing


@pytest.fixture
def counted(cloud: Cloud) -> None:
    """The day's count and its full pass have been made."""
    for listed_of in (factory().certificate_id, ACCOUNT):
        cloud.journal.keep_pass(listed_of, Pass(began_at=NOW, finished_at=NOW, lists=True))


def sent(wire: Wire) -> list[str]:
    """The ids that were sent to the queue."""
    entries = [entry for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    return [json.loads(entry["MessageBody"])["certificateId"] for entry in entries]


def after(calls: int) -> Callable[[], bool]:
    """Let time run out after it was asked for so often."""
    left = iter([True] * calls)
    return lambda: next(left, False)


# 1 look back


def test_a_forgotten_certificate_is_sent_and_noted(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed(1))
    assert cloud.swept() == Swept(looked_at=1, sent=1)
    assert sent(wire) == [f"{1:064x}"]
    record = cloud.registry.recall([f"{1:064x}"])[f"{1:064x}"]
    assert (record.swept_at, record.decision) == (NOW, None)


def test_a_forgotten_device_comes_up(cloud: Cloud, listing: Listing) -> None:
    device = cloud.knock()
    listing(listed(1) | {"certificateId": device})
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
    listing(listed(1, age))
    assert cloud.swept() == Swept(looked_at=1, sent=int(is_sent))


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED", "PENDING_TRANSFER", "REGISTER_INACTIVE"])
def test_only_pending_certificates_are_sent(cloud: Cloud, wire: Wire, listing: Listing, status: str) -> None:
    listing(listed(1, status=status), listed(2))
    assert cloud.swept() == Swept(looked_at=2, sent=1)
    assert sent(wire) == [f"{2:064x}"]


@pytest.mark.usefixtures("counted")
def test_the_sweep_looks_back_to_the_horizon_and_asks_for_no_page_beyond(
    cloud: Cloud, wire: Wire, listing: Listing
) -> None:
    listing.page = 2
    listing(listed(1), listed(2, 7 * DAY), listed(3, 7 * DAY), listed(4, 7 * DAY + SECOND), listed(5, 8 * DAY))
    assert cloud.swept() == Swept(looked_at=3, sent=3)
    assert wire.operations("iot") == ["ListCertificates"] * 2


@pytest.mark.usefixtures("counted")
def test_every_ca_of_the_account_is_swept(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    other = issue_ca("Acme other CA", key=ec_key(owner="other ca"))
    cloud.under(replace(cloud.rules, cas=(*cloud.rules.cas, *rules_for(other, name="other").cas)))
    listing(listed(1))
    listing.of[other.certificate_id] = [listed(2)]
    assert cloud.swept().sent == 2
    assert len(wire.of("ListCertificates")) == 1
    bodies = [json.loads(entry["MessageBody"]) for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    assert [body["caCertificateId"] for body in bodies] == [NO_CA_CERTIFICATE] * 2  # no list says whose they are


@pytest.mark.usefixtures("counted")
def test_certificates_that_aws_lists_under_no_ca_are_swept(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing.of["listed under none"] = [listed(1), listed(2, status="ACTIVE")]
    assert cloud.swept() == Swept(looked_at=2, sent=1)
    assert sent(wire) == [f"{1:064x}"]


def decided(cloud: Cloud, *, at: datetime, number: int = 1, **changes: Any) -> Decision:
    decision = replace(
        ACTIVATION,
        certificate_id=f"{number:064x}",
        registered_at=NOW - HOUR,
        decided_at=at,
        rules_digest=cloud.rules.digest,
        attempts=1,
    )
    decision = replace(decision, **changes)
    cloud.registry.record(decision)
    return decision


HELD: dict[str, Any] = {"outcome": Outcome.HELD, "status": Status.PENDING_ACTIVATION, "reason": Reason.CA_INACTIVE}


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
        # decided on an earlier registration of the same certificate
        (NOW, {"outcome": Outcome.REJECTED, "registered_at": NOW - DAY}, True),
        (NOW, HELD | {"registered_at": NOW - DAY}, True),
    ],
)
def test_what_is_decided_is_not_forgotten_unless_it_is_due_again(
    cloud: Cloud, listing: Listing, at: datetime, changes: dict[str, Any], *, is_sent: bool
) -> None:
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    decided(cloud, at=at, **changes)
    listing(listed(1))
    assert cloud.swept() == Swept(looked_at=1, sent=int(is_sent))


def test_what_was_sent_is_not_sent_again_within_the_hour(cloud: Cloud, listing: Listing) -> None:
    listing(listed(1))
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
    decided(cloud, at=NOW - DAY, number=2, **HELD)
    listing(listed(1))
    swept = cloud.swept()
    assert swept.queue_is_behind is behind
    assert sent(wire) == ([] if behind else [f"{2:064x}", f"{1:064x}"])


def test_what_does_not_go_through_the_queue_is_done_while_it_is_behind(cloud: Cloud, listing: Listing) -> None:
    listing.age = 601
    first, _ = rotated(cloud)
    cloud.now = NOW + 7 * DAY
    listing(listed(1, status="ACTIVE"))
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
    listing(*(listed(number) for number in range(1, 251)))
    assert cloud.swept() == Swept(looked_at=250, sent=250)
    asked = [len(next(iter(one["RequestItems"].values()))["Keys"]) for one in recalls(wire)]
    assert asked == [100, 100, 50]
    assert [len(one["Entries"]) for one in wire.of("SendMessageBatch")] == [10] * 25
    assert len(set(sent(wire))) == 250


def test_what_the_queue_did_not_take_is_not_noted_as_sent(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed(1))
    wire.answer("SendMessageBatch", {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError"}]})
    assert cloud.swept().failed == ["look back"]
    assert not [key for key in cloud.items() if key.startswith("certificate#")]


@pytest.mark.parametrize(
    ("operation", "failed"),
    [
        ("GetMetricStatistics", "age of the queue"),
        ("GetItem", "look again, other rules"),
        ("Query", "release"),
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
    listing(listed(1), listed(2, status="ACTIVE"))
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
    listing(listed(1))
    listing.of[other.certificate_id] = [listed(2)]
    wire.fail("ListCertificatesByCA", "InternalException")
    swept = cloud.swept()
    assert swept.failed == ["count, factory"]
    assert cloud.journal.last_pass(other.certificate_id).counts == {"PENDING_ACTIVATION": 1}


@pytest.mark.usefixtures("counted")
def test_a_look_back_whose_marker_is_refused_begins_anew(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed(1))
    cloud.journal.keep_look_back_marker(ACCOUNT, "stale")
    wire.fail("ListCertificates", "InvalidRequestException")
    assert cloud.swept().failed == ["look back"]
    assert cloud.counted()[FAILURES] == 1
    assert cloud.swept() == Swept(looked_at=1, sent=1)


def test_a_count_whose_marker_is_refused_begins_anew(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed(1, status="ACTIVE"))
    ca = factory().certificate_id
    cloud.journal.keep_pass(ca, Pass(began_at=NOW, marker="stale", counts={"ACTIVE": 9}))
    wire.fail("ListCertificatesByCA", "InvalidRequestException")
    assert cloud.swept().failed == ["count, factory"]
    assert cloud.swept().failed == []
    assert counts(cloud) == {"ACTIVE": 1}


def test_a_full_pass_whose_marker_is_refused_begins_anew(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed(1, status="ACTIVE"))
    cloud.journal.keep_pass(ACCOUNT, Pass(began_at=NOW, marker="stale"))
    wire.answer("ListCertificates", {"certificates": []})  # the look back
    wire.fail("ListCertificates", "InvalidRequestException")
    assert cloud.swept().failed == ["full pass"]
    assert cloud.swept().failed == []
    assert cloud.journal.full_pass(ACCOUNT).finished_at == NOW


def test_a_list_that_is_refused_without_a_marker_is_a_failure(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(listed(1))
    wire.fail("ListCertificates", "InvalidRequestException", times=2)
    wire.fail("ListCertificatesByCA", "InvalidRequestException")
    assert cloud.swept().failed == ["look back", "count, factory", "full pass"]


def test_what_is_sent_is_spread_over_the_time_and_never_more_than_half_of_the_rate(
    cloud: Cloud, wire: Wire, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 10/s: five forgotten certificates in each second, within half of pending_after, so 1,500 and again."""
    cloud.under(replace(cloud.rules, every=400))
    monkeypatch.setattr(cloud.registry, "note_sweep", lambda *_, **__: None)
    listing(*(listed(number) for number in range(1, 2251)))
    # moto takes a minute for two thousand messages in a queue; here only what is sent matters.
    wire.serve("SendMessageBatch", lambda asked: {"Successful": [{"Id": one["Id"]} for one in asked["Entries"]]})
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (2000, True)
    delays = Counter(entry["DelaySeconds"] for one in wire.of("SendMessageBatch") for entry in one["Entries"])
    assert delays == {second: 10 if second < 100 else 5 for second in range(300)}
    assert swept.looked_at == 2250


@pytest.mark.usefixtures("same_rules", "listing")
def test_looks_at_held_devices_are_sent_at_the_rate_and_the_others_by_later_sweeps(cloud: Cloud, wire: Wire) -> None:
    cloud.under(replace(cloud.rules, every=4))
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    for number in range(75):
        decided(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD | {"rules_digest": cloud.rules.digest})
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (36, True)
    delays = [entry["DelaySeconds"] for one in wire.of("SendMessageBatch") for entry in one["Entries"]]
    assert delays == [number // 9 for number in range(36)]  # nine tenths of ten a second
    everybody = set(sent(wire))
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (36, True)
    everybody |= set(sent(wire))
    swept = cloud.swept()
    assert (swept.sent, swept.more_is_due) == (3, False)
    assert len(everybody | set(sent(wire))) == 75


@pytest.mark.usefixtures("same_rules", "listing")
def test_a_held_device_that_is_sent_takes_one_write(cloud: Cloud, wire: Wire) -> None:
    decided(cloud, at=NOW - DAY, **HELD)
    cloud.swept()
    written = [one for one in wire.of("UpdateItem") if one["Key"]["id"]["S"].startswith("certificate#")]
    assert len(written) == 1


@pytest.mark.usefixtures("same_rules", "listing")
def test_looks_that_time_ran_out_for_are_left_to_the_next_sweep(cloud: Cloud) -> None:
    for number in range(150):
        decided(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD)
    swept = cloud.swept(after(0))
    assert (swept.sent, swept.more_is_due) == (100, True)
    assert cloud.swept().sent == 50


def test_an_account_without_certificates_has_nothing_to_sweep(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing()
    assert cloud.swept() == Swept()
    assert not wire.operations("sqs")
    assert not recalls(wire)


@pytest.mark.usefixtures("counted")
def test_a_look_back_that_time_ran_out_for_goes_on_where_it_stopped_and_then_begins_anew(
    cloud: Cloud, wire: Wire, listing: Listing
) -> None:
    listing.page = 1
    listing(*(listed(number) for number in range(1, 5)))
    assert cloud.swept(after(1)) == Swept(looked_at=2, sent=2, unfinished=["look back"])
    assert sent(wire) == [f"{1:064x}", f"{2:064x}"]
    assert cloud.swept() == Swept(looked_at=2, sent=2)
    assert sent(wire) == [f"{3:064x}", f"{4:064x}"]
    assert cloud.swept() == Swept(looked_at=4, sent=0)


@pytest.mark.usefixtures("counted")
def test_a_sweep_without_time_does_one_page_all_the_same_so_that_it_gets_on(cloud: Cloud, listing: Listing) -> None:
    listing.page = 1
    listing(listed(1), listed(2))
    assert [cloud.swept(after(0)).sent for _ in range(3)] == [1, 1, 0]


# 2 look again


@pytest.fixture
def same_rules(cloud: Cloud) -> None:
    """Held devices were looked at under these rules."""
    cloud.journal.keep_rules_digest(cloud.rules.digest)


@pytest.mark.usefixtures("same_rules", "listing")
def test_held_devices_that_are_due_are_found_by_index_beyond_the_horizon_too(cloud: Cloud, wire: Wire) -> None:
    due = decided(cloud, at=NOW - 30 * DAY, attempts=9, registered_at=NOW - 90 * DAY, **HELD)
    decided(cloud, at=NOW, number=2, **HELD)
    decided(cloud, at=NOW - DAY, number=3)
    assert cloud.swept() == Swept(sent=1)
    ((entry,),) = (one["Entries"] for one in wire.of("SendMessageBatch"))
    body = json.loads(entry["MessageBody"])
    assert (body["certificateId"], body["caCertificateId"]) == (due.certificate_id, due.ca_certificate_id)
    assert body["certificateRegistrationTimestamp"] == str(round(due.registered_at.timestamp() * 1000))
    assert "Scan" not in wire.operations("dynamodb")


@pytest.mark.usefixtures("same_rules", "listing")
def test_held_devices_that_are_due_are_sent_longest_overdue_first(cloud: Cloud, wire: Wire) -> None:
    for number in (2, 1, 3):
        decided(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD)
    cloud.swept()
    assert sent(wire) == [f"{number:064x}" for number in (1, 2, 3)]


@pytest.mark.usefixtures("listing")
def test_every_held_device_is_sent_once_when_the_rules_have_changed(cloud: Cloud) -> None:
    for number in range(3):
        decided(cloud, at=NOW - MINUTE, number=number, attempts=number + 1, **HELD | {"rules_digest": "other"})
    assert cloud.swept().sent == 3
    assert cloud.journal.rules_digest() == cloud.rules.digest
    cloud.now += HOUR - MINUTE
    assert cloud.swept().sent == 0


@pytest.mark.usefixtures("same_rules", "listing")
@pytest.mark.parametrize("word", [OperatorAction.APPROVED, OperatorAction.RELEASED])
def test_a_held_device_is_sent_at_once_after_an_operators_word(cloud: Cloud, wire: Wire, word: OperatorAction) -> None:
    held = decided(cloud, at=NOW, **HELD | {"reason": Reason.OPERATOR_VERDICT})
    assert cloud.swept().sent == 0
    cloud.registry.give_verdict(held.certificate_id, said(word, NOW), seen=None)
    assert cloud.swept().sent == 1
    assert sent(wire) == [held.certificate_id]


@pytest.mark.usefixtures("same_rules", "listing")
def test_what_was_decided_since_leaves_the_index(cloud: Cloud) -> None:
    decision = decided(cloud, at=NOW - DAY)
    cloud.registry.give_verdict(decision.certificate_id, said(OperatorAction.APPROVED, NOW), seen=None)
    assert cloud.swept().sent == 0
    assert cloud.registry.due(Due.LOOK, NOW, most=9) == []


MOST_DUE = 2


def held_again(cloud: Cloud, *numbers: int) -> None:
    """What `register` records of those that were sent."""
    for number in numbers:
        decided(cloud, at=cloud.now, number=number, attempts=4, **HELD)


@pytest.mark.usefixtures("same_rules", "listing")
def test_a_held_device_that_was_sent_and_not_looked_at_lets_the_others_have_their_turn(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", MOST_DUE)
    for number in range(5):
        decided(cloud, at=NOW - DAY + number * SECOND, number=number, **HELD)
    rounds = []
    for _ in range(3):
        cloud.swept()
        rounds.append(sent(wire))
    assert [len(one) for one in rounds] == [2, 2, 1]
    assert len({one for some in rounds for one in some}) == 5


@pytest.mark.usefixtures("listing")
def test_changed_rules_are_a_reason_to_look_once_however_many_are_held(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", MOST_DUE)
    for number in range(5):
        decided(cloud, at=NOW - MINUTE, number=number, attempts=4, **HELD | {"rules_digest": "other"})
    rounds = []
    for _ in range(6):
        cloud.swept()
        rounds.append(sent(wire))
        held_again(cloud, *(int(one, 16) for one in sent(wire)))
        cloud.now += HOUR
    assert sorted(one for some in rounds for one in some) == [f"{number:064x}" for number in range(5)]
    assert cloud.journal.rules_digest() == cloud.rules.digest


@pytest.mark.usefixtures("listing")
def test_the_walk_over_held_devices_goes_on_where_the_last_sweep_stopped_until_its_end(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_PAGE", 3)
    monkeypatch.setattr(runner, "PART_OF_LOOKS", 2 / (10 * cloud.rules.every))  # two in a sweep
    for number in range(7):
        decided(cloud, at=NOW - MINUTE + number * SECOND, number=number, attempts=4, **HELD | {"rules_digest": "other"})
    rounds, finished = [], []
    for _ in range(5):
        cloud.swept()
        rounds.append(sent(wire))
        finished.append(cloud.journal.rules_digest() == cloud.rules.digest)
        held_again(cloud, *(int(one, 16) for one in rounds[-1]))
        cloud.now += 15 * MINUTE
    assert sorted(one for some in rounds for one in some) == [f"{number:064x}" for number in range(7)]
    assert [len(some) for some in rounds] == [2, 2, 2, 1, 0]
    assert finished == [False, False, False, True, True]


@pytest.mark.usefixtures("same_rules", "listing")
def test_verdicts_on_devices_that_never_came_do_not_keep_others_from_being_looked_at(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_evaluations, "_MOST_DUE", MOST_DUE)
    for number in range(MOST_DUE):
        cloud.registry.give_verdict(f"{9 - number:064x}", said(OperatorAction.APPROVED, NOW - DAY), seen=None)
    decided(cloud, at=NOW - HOUR, **HELD)
    assert sum(cloud.swept().sent for _ in range(3)) == 1


# 3 retire


def rotated(cloud: Cloud, name: str = "sensor-0001") -> tuple[str, str]:
    """A device that has changed its certificate: the old one and the new one."""
    first = cloud.knock(factory().leaf(named(name), begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    second = cloud.knock(factory().leaf(named(name)))
    for device in (first, second):
        assert cloud.batch(cloud.record(cloud.event(device))) == []
        assert cloud.status(device) == "ACTIVE"
    return first, second


def policies(cloud: Cloud, device: str) -> list[str]:
    arn = cloud.aws_iot.describe(device).arn
    return [one["policyName"] for one in cloud.iot.list_attached_policies(target=arn)["policies"]]


def operator(cloud: Cloud) -> Operator:
    return Operator(client=cloud.iot, iot=cloud.aws_iot, registry=cloud.registry, rules=cloud.rules, clock=cloud.clock)


def attached(cloud: Cloud, device: str) -> None:
    """Somebody else made the thing and attached the certificate."""
    cloud.iot.create_thing(thingName="sensor-0001")
    cloud.iot.attach_thing_principal(thingName="sensor-0001", principal=cloud.aws_iot.describe(device).arn)


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_is_ended_after_the_overlap_and_not_before(cloud: Cloud, wire: Wire) -> None:
    first, second = rotated(cloud)
    cloud.now = NOW + 7 * DAY - SECOND
    assert cloud.swept().retired == 0
    assert cloud.status(first) == "ACTIVE"
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    (entry,) = (entry for one in wire.of("PutEvents") for entry in one["Entries"])
    assert (cloud.status(first), policies(cloud, first)) == ("INACTIVE", [])
    assert (cloud.status(second), policies(cloud, second)) == ("ACTIVE", ["jitr-acme-factory"])
    arn = cloud.aws_iot.describe(second).arn
    assert cloud.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
    assert entry["DetailType"] == "Device Replaced"
    assert json.loads(entry["Detail"])["replaced_by"] == second
    decision = cloud.registry.recall([first])[first].decision
    assert decision
    assert (decision.outcome, decision.status, decision.replaced_by) == (Outcome.REPLACED, Status.INACTIVE, second)
    assert cloud.counted()["Replaced"] == 1
    assert cloud.swept().retired == 0


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_is_inactive_before_its_policy_is_taken_away(cloud: Cloud, wire: Wire) -> None:
    rotated(cloud)
    cloud.now = NOW + 7 * DAY
    cloud.swept()
    changes = [name for name in wire.operations("iot") if not name.startswith(("Describe", "List"))]
    assert changes == ["UpdateCertificate", "DetachPolicy", "DetachThingPrincipal"]


@pytest.mark.usefixtures("listing")
def test_an_overlap_can_be_nothing(cloud: Cloud) -> None:
    cloud.under(rules_for(factory(), thing_groups=(), overlap=0))
    first, second = rotated(cloud)
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(second)) == ("INACTIVE", "ACTIVE")


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("status", [Status.INACTIVE, Status.REVOKED, None])
def test_a_certificate_is_retired_only_while_the_one_that_follows_it_is_active(
    cloud: Cloud, status: Status | None
) -> None:
    first, second = rotated(cloud)
    arn = cloud.aws_iot.describe(second).arn
    cloud.aws_iot.apply(SetStatus(certificate_id=second, status=status or Status.INACTIVE))
    if status is None:
        cloud.iot.detach_policy(policyName="jitr-acme-factory", target=arn)
        cloud.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
        cloud.iot.delete_certificate(certificateId=second)
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert (cloud.status(first), policies(cloud, first)) == ("ACTIVE", ["jitr-acme-factory"])
    assert cloud.registry.due(Due.RETIRE, NOW + 7 * DAY + HOUR, most=9) == [first]
    assert cloud.registry.due(Due.RETIRE, NOW + 7 * DAY + HOUR - SECOND, most=9) == []


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_has_its_name_again_is_not_retired(cloud: Cloud) -> None:
    first, second = rotated(cloud)
    to = replace(OWNER, certificate_id=first)
    cloud.registry.give_back(NameRollback(thing_name="sensor-0001", by=second, to=to))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert cloud.status(first) == "ACTIVE"
    assert cloud.registry.due(Due.RETIRE, NOW + 70 * DAY, most=9) == []


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_that_was_deleted_needs_no_end(cloud: Cloud, wire: Wire) -> None:
    first, _ = rotated(cloud)
    cloud.iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    arn = cloud.aws_iot.describe(first).arn
    cloud.iot.detach_policy(policyName="jitr-acme-factory", target=arn)
    cloud.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
    cloud.iot.delete_certificate(certificateId=first)
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert cloud.registry.due(Due.RETIRE, NOW + 70 * DAY, most=9) == []
    assert wire.of("PutEvents") == []


RETIRING = ["UpdateCertificate", "DetachPolicy", "DetachThingPrincipal", "PutEvents", "UpdateItem"]


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("operation", RETIRING)
def test_a_crash_while_a_certificate_is_retired_is_made_good_by_the_next_sweep(
    cloud: Cloud, wire: Wire, operation: str
) -> None:
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    cloud.under(rules_for(factory(), thing_groups=(), overlap=0))
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    first, _ = rotated(cloud)
    wire.break_down(operation, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        cloud.swept()
    assert cloud.swept().retired == 1
    assert (cloud.status(first), policies(cloud, first)) == ("INACTIVE", [])
    decision = cloud.registry.recall([first])[first].decision
    assert decision
    assert decision.outcome is Outcome.REPLACED


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_that_was_revoked_stays_known_as_revoked(cloud: Cloud) -> None:
    first, _ = rotated(cloud)
    cloud.iot.update_certificate(certificateId=first, newStatus="REVOKED")
    cloud.now = NOW + 7 * DAY
    cloud.swept()
    assert cloud.status(first) == "REVOKED"
    assert cloud.registry.recall([first])[first].was_revoked_or_deactivated


@pytest.mark.usefixtures("listing")
def test_an_adopted_certificate_is_retired_like_any_other(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.iot.update_certificate(certificateId=first, newStatus="ACTIVE")
    attached(cloud, first)
    adopted(cloud)
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(second)) == ("INACTIVE", "ACTIVE")


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
def test_a_certificate_that_is_taken_away_during_its_overlap_is_retired_all_the_same_and_stays_against_a_verdict(
    cloud: Cloud, wire: Wire, word: OperatorAction
) -> None:
    first, _ = rotated(cloud)
    operator(cloud).take_away(first, word, OrderContext(by=ANN))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    ((entry,),) = (one["Entries"] for one in wire.of("PutEvents"))
    assert entry["DetailType"] == "Device Replaced"
    assert (cloud.status(first), policies(cloud, first)) == (
        "REVOKED" if word is OperatorAction.REVOKED else "INACTIVE",
        [],
    )
    assert cloud.registry.due(Due.DENIED, cloud.now, most=9) == [first]
    assert cloud.registry.due(Due.RETIRE, NOW + 70 * DAY, most=9) == []


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_was_taken_away_and_is_then_followed_stays_against_a_verdict(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(first)))
    operator(cloud).take_away(first, OperatorAction.DENIED, OrderContext(by=ANN))
    cloud.batch(cloud.record(cloud.event(cloud.knock())))
    assert cloud.registry.due(Due.DENIED, cloud.now, most=9) == [first]
    assert cloud.registry.due(Due.RETIRE, NOW + 7 * DAY, most=9) == [first]


@pytest.mark.usefixtures("listing")
def test_a_release_during_the_overlap_ends_nothing_twice(cloud: Cloud) -> None:
    """The certificate is deleted, and pending when it comes back: there is nothing to retire."""
    first, _ = rotated(cloud)
    operator(cloud).take_away(first, OperatorAction.DEACTIVATED, OrderContext(by=ANN))
    operator(cloud).release(first, OrderContext(by=ANN), revoked=True)
    cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert cloud.registry.due(Due.RETIRE, NOW + 70 * DAY, most=9) == []


@pytest.mark.usefixtures("listing")
def test_an_adopted_certificate_that_had_been_found_before_is_retired_too(cloud: Cloud) -> None:
    """An event came of it once, so it is recorded as found, without a thing."""
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.iot.update_certificate(certificateId=first, newStatus="ACTIVE")
    cloud.batch(cloud.record(cloud.event(first)))
    found = cloud.registry.recall([first])[first].decision
    assert found
    assert found.outcome is Outcome.FOUND
    attached(cloud, first)
    adopted(cloud)
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(second)) == ("INACTIVE", "ACTIVE")


@pytest.mark.usefixtures("listing")
def test_a_certificate_whose_adoption_was_never_recorded_is_retired_too(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.iot.update_certificate(certificateId=first, newStatus="ACTIVE")
    attached(cloud, first)
    adopted(cloud)
    cloud.dynamodb.delete_item(TableName=TABLE, Key={"id": {"S": f"certificate#{first}"}})
    cloud.batch(cloud.record(cloud.event(cloud.knock())))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert cloud.status(first) == "INACTIVE"


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_aws_does_not_let_retire_does_not_stop_the_others(cloud: Cloud) -> None:
    (first, _), (other, _) = rotated(cloud), rotated(cloud, "sensor-0002")
    apply = cloud.sweeps_iot.apply

    def refuse(step: IotStep) -> None:
        if isinstance(step, SetStatus) and step.certificate_id == first:
            raise Rejected(Reason.REQUEST_REFUSED, "no")
        apply(step)

    cloud.sweeps_iot.apply = refuse  # type: ignore[method-assign]
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(other)) == ("ACTIVE", "INACTIVE")


@pytest.mark.usefixtures("listing")
def test_no_certificate_is_retired_after_time_ran_out(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        rotated(cloud, f"sensor-000{number}")
    cloud.now = NOW + 7 * DAY
    assert cloud.swept(after(0)).retired <= 1


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_was_taken_away_and_then_replaced_is_retired_once(cloud: Cloud, wire: Wire) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(first)))
    cloud.registry.give_verdict(first, said(OperatorAction.DEACTIVATED), seen=None)
    cloud.iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    cloud.now = NOW + 7 * DAY
    announced = []
    for _ in range(3):
        cloud.swept()
        announced += wire.of("PutEvents")
    assert len(announced) == 1
    assert cloud.status(first) == "INACTIVE"


# 4 count


def counts(cloud: Cloud) -> dict[str, int]:
    return dict(cloud.journal.full_pass(factory().certificate_id).counts)


def some(*statuses: str) -> Iterable[dict[str, Any]]:
    return (listed(number, 30 * DAY, status) for number, status in enumerate(statuses, 1))


def test_the_counts_of_each_status_are_kept(cloud: Cloud, listing: Listing) -> None:
    listing(*some("ACTIVE", "REVOKED", "ACTIVE", "INACTIVE"))
    cloud.swept()
    assert counts(cloud) == {"ACTIVE": 2, "REVOKED": 1, "INACTIVE": 1}
    finished = cloud.journal.full_pass(factory().certificate_id)
    assert (finished.began_at, finished.finished_at, finished.marker) == (NOW, NOW, None)


def test_everything_is_counted_once_a_day(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(*some("ACTIVE"))
    asked = []
    for _ in range(4):
        cloud.swept()
        asked.append(wire.operations("iot"))
        cloud.now += DAY / 2
    # Once for each page of the look back, of the CA's count and of the full pass.
    assert asked == [["ListCertificates", "ListCertificatesByCA", "ListCertificates"], ["ListCertificates"]] * 2
    assert counts(cloud) == {"ACTIVE": 1}


def test_a_count_that_time_ran_out_for_goes_on_where_it_stopped_and_counts_nothing_twice(
    cloud: Cloud, listing: Listing
) -> None:
    listing.page = 2
    listing(*some("ACTIVE", "ACTIVE", "REVOKED", "ACTIVE", "INACTIVE"))
    for minutes in (0, 15):
        cloud.now = NOW + minutes * MINUTE
        left = iter([True, False, True, False])  # a page of each
        assert cloud.swept(lambda left=left: next(left)).unfinished == ["factory", "full pass"]  # type: ignore[misc]
    going = cloud.journal.full_pass(factory().certificate_id)
    assert (going.began_at, going.finished_at, going.marker) == (NOW, None, "4")
    cloud.now += 15 * MINUTE
    assert cloud.swept().unfinished == []
    finished = cloud.journal.full_pass(factory().certificate_id)
    assert finished.counts == {"ACTIVE": 3, "REVOKED": 1, "INACTIVE": 1}
    assert (finished.began_at, finished.finished_at) == (NOW, NOW + 30 * MINUTE)
    passed = cloud.journal.full_pass(ACCOUNT)
    assert (passed.began_at, passed.finished_at) == (NOW, NOW + 30 * MINUTE)


def test_the_full_pass_counts_by_the_ca_that_the_record_names(cloud: Cloud, listing: Listing) -> None:
    listing.of["listed under none"] = list(some("ACTIVE", "ACTIVE", "INACTIVE", "ACTIVE"))
    ca = factory().certificate_id
    for number in (1, 3):
        cloud.registry.record(replace(ACTIVATION, certificate_id=f"{number:064x}", ca_certificate_id=ca))
    cloud.swept()
    assert counts(cloud) == {}
    assert cloud.journal.last_pass(ACCOUNT).counts == {counted_of(ca, "ACTIVE"): 1, counted_of(ca, "INACTIVE"): 1}


def test_what_is_known_and_listed_under_no_ca_is_recorded_when_it_is_taken_away(cloud: Cloud, listing: Listing) -> None:
    """Of a certificate that nobody knows, only a CA's list says that it is the fleet's."""
    listing.of["listed under none"] = list(some("REVOKED", "REVOKED"))
    known, unknown = f"{1:064x}", f"{2:064x}"
    decided_at = NOW - HOUR
    cloud.registry.record(
        replace(ACTIVATION, certificate_id=known, registered_at=NOW - 30 * DAY, decided_at=decided_at)
    )
    cloud.swept()
    records = cloud.registry.recall([known, unknown])
    assert records[known].was_revoked_or_deactivated
    assert records[unknown].decision is None
    listing(*some("REVOKED", "REVOKED"))
    cloud.now += DAY
    cloud.swept()
    assert cloud.registry.recall([unknown])[unknown].was_revoked_or_deactivated


@pytest.mark.parametrize("word", OperatorAction)
@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_an_active_certificate_against_which_a_verdict_stands_is_reported(
    cloud: Cloud, listing: Listing, word: OperatorAction, status: str
) -> None:
    listing(*some(status, "ACTIVE"))
    cloud.registry.give_verdict(f"{1:064x}", said(word), seen=None)
    disagrees = status == "ACTIVE" and not word.allows_activation
    assert cloud.swept().disagreements == int(disagrees)
    assert cloud.counted()["Disagreements"] == int(disagrees)
    warnings = [line for line in cloud.logged() if line["level"] == "WARNING"]
    assert [line["certificate_id"] for line in warnings] == [f"{1:064x}"] * disagrees


@pytest.mark.parametrize("by", ["certificate", "twin", "thing name"])
def test_an_active_certificate_that_an_entry_denies_is_reported(cloud: Cloud, listing: Listing, by: str) -> None:
    listing(*some("ACTIVE", "ACTIVE"))
    first = f"{1:064x}"
    cloud.registry.record(replace(ACTIVATION, certificate_id=first))
    assert cloud.swept().disagreements == 0
    assert ACTIVATION.thing_name
    assert ACTIVATION.twin_id
    subject = {
        "certificate": Subject(SubjectKind.CERTIFICATE, first),
        "twin": Subject(SubjectKind.CERTIFICATE, ACTIVATION.twin_id),
        "thing name": Subject(SubjectKind.THING, ACTIVATION.thing_name),
    }[by]
    cloud.enroll(Entry(subject=subject, rule=EntryRule.DENY))
    cloud.now += DAY
    assert cloud.swept().disagreements == 1
    (warning,) = [line for line in cloud.logged() if line["level"] == "WARNING"]
    assert warning["certificate_id"] == first


def test_the_sweep_reports_and_overrules_nobody(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(*some("ACTIVE"))
    cloud.registry.give_verdict(f"{1:064x}", said(OperatorAction.REVOKED), seen=None)
    cloud.swept()
    assert set(wire.operations("iot")) == {"ListCertificates", "ListCertificatesByCA"}


# The function


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
    listing(listed(1), listed(2, status="ACTIVE"))
    assert scheduled() == asdict(Swept(looked_at=2, sent=1))
    assert sent(wire) == [f"{1:064x}"]
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


def test_a_sweep_tells_how_many_certificates_wait(cloud: Cloud, listing: Listing) -> None:
    listing(listed(1), listed(2), listed(3, 5 * MINUTE), listed(4, status="ACTIVE"), listed(5, 8 * DAY))
    decided(cloud, at=NOW, ca_certificate_id=factory().certificate_id, **HELD)
    cloud.swept()
    waiting = {ca: counted["Waiting"] for ca, counted in cloud.counts._by_ca.items() if "Waiting" in counted}
    assert waiting == {"factory": [1], "none": [1]}  # no list says whose it is of which nothing is recorded


@pytest.mark.parametrize("pages", [1, 0])
def test_no_list_is_begun_after_time_ran_out(cloud: Cloud, listing: Listing, wire: Wire, pages: int) -> None:
    listing.page = 1
    listing(listed(1), listed(2), listed(3))
    assert cloud.swept(after(pages)).unfinished == ["look back", "factory", "full pass"]
    assert wire.operations("iot") == ["ListCertificates"] * (pages + 1)  # the look back's own, which begins


def test_a_part_of_the_list_is_not_told_as_the_whole(cloud: Cloud, listing: Listing) -> None:
    listing.page = 1
    listing(listed(1), listed(2), listed(3))
    assert cloud.swept(after(1)).unfinished == ["look back", "factory", "full pass"]
    cloud.swept()
    assert "Waiting" not in cloud.counted()
    cloud.swept()
    assert cloud.counted()["Waiting"] == 3


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
    listing(listed(1))
    listing.age = age
    assert scheduled()["sent"] == 1 - behind
    emf = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [one["SweepBehind"] for one in emf if "SweepBehind" in one] == [[behind]]


def test_one_sweep_runs_at_a_time(
    cloud: Cloud, wire: Wire, listing: Listing, scheduled: Scheduled, capsys: pytest.CaptureFixture[str]
) -> None:
    listing(listed(1))
    cloud.journal.take_lease("another", NOW, seconds=60)
    assert scheduled() == {"another_sweep_is_under_way": True}
    assert sent(wire) == []
    assert "another sweep is under way" in capsys.readouterr().out
    cloud.now += 61 * SECOND
    assert scheduled()["sent"] == 1
    assert scheduled()["sent"] == 0  # the lease was given back


def test_a_sweep_stops_when_its_time_is_nearly_over(listing: Listing, scheduled: Scheduled) -> None:
    listing.page = 1
    listing(listed(1), listed(2))
    # 30 s, and the two in which the next turn comes at the latest
    assert scheduled(milliseconds=32_000)["unfinished"] == ["look back", "factory", "full pass"]
    assert scheduled(milliseconds=32_001)["unfinished"] == []


def test_a_sweep_that_fails_fails_for_its_scheduler_and_gives_its_lease_back(
    wire: Wire, listing: Listing, scheduled: Scheduled
) -> None:
    listing(listed(1))
    wire.fail("GetMetricStatistics", "Throttling")
    with pytest.raises(sweep.SweepFailed, match="age of the queue"):
        scheduled()
    assert scheduled()["sent"] == 1


def test_a_sweep_without_settings_does_not_start() -> None:
    with pytest.raises(Misconfigured, match="JITR_"):
        sweep.build({})
