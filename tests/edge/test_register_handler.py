"""The handler of `register` as Lambda calls it: events from files, bare events, metrics, settings and rules."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict

from jitr.errors import CertificateUnknown, Misconfigured, UnreadableEvent
from jitr.handlers import register
from jitr.telemetry import CALLS_OF
from tests.support.cases.issuing import DAY, NOW, factory, named
from tests.support.cloud import Cloud, Wire
from tests.support.edge.events import UNKNOWN_ID

EVENTS = Path(__file__).parents[2] / "events"


def always() -> bool:
    """Time is left."""
    return True


def test_a_bare_event_returns_the_outcome(warm: Cloud) -> None:
    device = warm.knock()
    answer = warm.register.handle_event(warm.event(device), always)
    assert answer["outcome"] == "activated"
    assert answer["decision"]["thing_name"] == "sensor-0001"
    assert warm.status(device) == "ACTIVE"
    assert json.loads(json.dumps(answer)) == answer


def test_a_bare_event_that_is_settled_returns_the_decision_that_settled_it(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    decision = warm.register.handle_event(warm.event(device), always)["decision"]
    wire.forget()
    assert warm.register.handle_event(warm.event(device), always) == {"outcome": "duplicate", "decision": decision}
    assert wire.operations("iot") == []


@pytest.mark.parametrize(
    ("document", "error"),
    [({}, UnreadableEvent), ({"certificateId": UNKNOWN_ID, "caCertificateId": UNKNOWN_ID}, CertificateUnknown)],
)
def test_a_bare_event_that_cannot_be_decided_fails_for_its_sender(
    warm: Cloud, document: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        warm.register.handle_event(document, always)


# The ids of events/: the CA, and the two devices that are in its files.
FILED = {
    "ca": "8299212993163bce382c500b3506779ec2be72e80e5d3dde916ffa8ecf544c46",
    "first": "3138666fe9b5b00c01af058140cdcee2b0ca2081586800a3929ea83dbaaaa408",
    "second": "3a157c11f02726d88849645dc1c56a755193c827be2f9f170656a3cf22bb0675",
}


def retold(name: str, ids: dict[str, str]) -> dict[str, Any]:
    """A file of events/, with the ids of this test's certificates in the place of the made-up ones."""

    def tell(text: str) -> str:
        for who, filed in FILED.items():
            text = text.replace(filed, ids[who])
        return text

    document: dict[str, Any] = json.loads(tell((EVENTS / name).read_text()))
    if "base64OriginalPayload" in document:
        original = tell(base64.b64decode(document["base64OriginalPayload"]).decode())
        document["base64OriginalPayload"] = base64.b64encode(original.encode()).decode()
    return document


@pytest.fixture
def two(warm: Cloud) -> dict[str, str]:
    """Two devices that knock, and the CA."""
    pems = (factory().leaf(named(f"sensor-000{number}")) for number in (1, 2))
    first, second = (warm.knock(pem) for pem in pems)
    return {"ca": factory().certificate_id, "first": first, "second": second}


@pytest.mark.parametrize("name", ["first-connection.json", "repeated-connection.json", "error-action.json"])
def test_an_event_from_a_file_activates_its_device(warm: Cloud, two: dict[str, str], name: str) -> None:
    assert warm.register.handle_event(retold(name, two), always)["outcome"] == "activated"
    assert (warm.status(two["first"]), warm.status(two["second"])) == ("ACTIVE", "PENDING_ACTIVATION")
    assert "Contradictions" not in warm.counted()


@pytest.mark.parametrize("name", ["first-connection.json", "repeated-connection.json", "error-action.json"])
def test_an_event_from_a_file_activates_its_device_from_the_queue_too(
    warm: Cloud, two: dict[str, str], name: str
) -> None:
    assert warm.batch(warm.record(retold(name, two))) == []
    assert warm.status(two["first"]) == "ACTIVE"


def test_the_batch_from_a_file_activates_both_of_its_devices(warm: Cloud, two: dict[str, str]) -> None:
    assert warm.batch(*retold("sqs-batch.json", two)["Records"]) == []
    assert (warm.status(two["first"]), warm.status(two["second"])) == ("ACTIVE", "ACTIVE")


def test_every_file_of_events_is_replayed_and_described() -> None:
    replayed = {"first-connection.json", "repeated-connection.json", "error-action.json", "sqs-batch.json"}
    files = {path.name for path in EVENTS.glob("*.json")}
    assert files == replayed | {"scheduled.json"}  # which test_sweep_handler.py replays
    readme = (EVENTS / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in files)


Handler = Callable[[dict[str, Any]], dict[str, Any]]


def test_the_handler_decides_a_batch_and_writes_its_metrics_once(
    warm: Cloud, deployed: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    device = warm.knock(factory().leaf())
    assert deployed({"Records": [warm.record(warm.event(device))]}) == {"batchItemFailures": []}
    assert warm.status(device) == "ACTIVE"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    emf = {line["ca"]: line for line in lines if "_aws" in line}
    assert (emf["factory"]["Activated"], emf["factory"]["fleet"]) == ([1.0], "acme")
    assert [emf["none"][name] for name in CALLS_OF.values()] == [[1.0], [1.0], [1.0]]
    assert len(emf) == len([line for line in lines if "_aws" in line]) == 2
    (line,) = (line for line in lines if "_aws" not in line and line["message"] != "runtime")
    assert (line["message"], line["certificate_id"], line["service"]) == ("device outcome", device, "register")
    assert line["outcome"] == "activated"
    assert "location" not in line


def test_the_handler_decides_a_bare_event(warm: Cloud, deployed: Handler, capsys: pytest.CaptureFixture[str]) -> None:
    device = warm.knock(factory().leaf())
    assert deployed(warm.event(device))["outcome"] == "activated"
    assert capsys.readouterr().err == ""


def test_the_handler_tells_the_sender_of_a_bare_event_what_is_wrong(deployed: Handler) -> None:
    with pytest.raises(UnreadableEvent):
        deployed({"certificateId": "x"})


def test_a_throttle_that_a_retry_overcame_is_counted_too(
    warm: Cloud, deployed: Handler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = warm.knock(factory().leaf())
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    decider, _ = register._built()
    throttle: Any = AWSResponse("", 400, HeadersDict({"x-amzn-ErrorType": "ThrottlingException"}), None)  # type: ignore[arg-type]
    throttle._content = b'{"message": "Rate exceeded"}'
    throttles = iter([throttle] * 2)
    events: Any = decider._registration._iot._client.meta.events
    events.register_first("before-send.iot.AttachPolicy", lambda **_: next(throttles, None))
    assert deployed({"Records": [warm.record(warm.event(device))]}) == {"batchItemFailures": []}
    assert warm.status(device) == "ACTIVE"
    emf = {line["ca"]: line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line}
    assert emf["none"]["Throttles"] == [2.0]
    assert emf["factory"]["Activated"] == [1.0]


def test_environments_that_began_as_copies_of_one_do_not_go_on_in_step(deployed: Handler) -> None:
    """As SnapStart makes them: with the same state of the random numbers, from the moment they were put together."""

    def drawn_after_the_first_event() -> float:
        random.seed("of the snapshot")
        with pytest.raises(UnreadableEvent):  # decided without a random number
            deployed({"certificateId": "x"})
        return random.random()  # noqa: S311 -- no secret

    firsts = set()
    for _ in range(2):
        register._seed_random.cache_clear()
        firsts.add(drawn_after_the_first_event())

    assert len(firsts) == 2
    assert drawn_after_the_first_event() == drawn_after_the_first_event(), "once in an environment"


def test_a_second_invocation_puts_nothing_together_again(warm: Cloud, deployed: Handler, wire: Wire) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in (1, 2)]
    for device in devices:
        deployed({"Records": [warm.record(warm.event(device))]})
    assert len(wire.of("DescribeCACertificate")) == 1


def test_nothing_secret_and_no_certificate_is_ever_written(
    warm: Cloud, deployed: Handler, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    pems = [
        factory().leaf(),
        factory().leaf(named("gateway-0001")),
        factory().leaf(named("sensor-0002"), begins=NOW - 2 * DAY, ends=NOW - DAY),
        factory().leaf(named("sensor-0003")),
    ]
    devices = [warm.knock(pem) for pem in pems]
    events = [warm.event(device, certificatePem=pem) for device, pem in zip(devices, pems, strict=True)]
    wire.fail("AttachPolicy", "ValidationException")
    deployed({"Records": [warm.record(body) for body in [*events, f"{pems[0]}", json.dumps({"x": pems[0]})]]})
    with pytest.raises(CertificateUnknown):
        warm.register.handle_event(warm.event(UNKNOWN_ID), always)
    written = "".join(capsys.readouterr()) + warm.log.getvalue()
    assert '"outcome":"rejected"' in written
    assert "message failed" in written
    assert "message is unreadable" in written
    assert "BEGIN" not in written
    assert "SECRET" not in written.upper()
    assert not any(line in written for pem in pems for line in pem.splitlines() if line)
    assert "BEGIN" not in json.dumps(wire.of("PutEvents"), default=str)


@pytest.mark.parametrize("missing", ["JITR_FLEET", "JITR_MAX_CONCURRENCY"])
def test_a_function_without_settings_does_not_start(warm: Cloud, missing: str) -> None:
    environ = warm.settings.to_environ()
    del environ[missing]
    with pytest.raises(Misconfigured, match=missing):
        register.build(environ)


def test_a_function_without_rules_does_not_start(warm: Cloud) -> None:
    with pytest.raises(Misconfigured, match=r"rules\.json"):
        register.build(warm.settings.to_environ())
