"""Registration events: what is read, what is refused, and that nothing else can come out."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.errors import UnreadableEvent
from jitr.events import RegistrationEvent, event_document

EVENT: dict[str, Any] = {
    "certificateId": "ab" * 32,
    "caCertificateId": "cd" * 32,
    "timestamp": 1793534400285,
    "certificateStatus": "PENDING_ACTIVATION",
    "awsAccountId": "111111111111",
    "certificateRegistrationTimestamp": "1793534400277",
}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
# Objects that look like events, so that examples get past the first refusal.
eventlike = st.fixed_dictionaries(
    {},
    optional={
        "certificateId": st.just("ab" * 32) | scalars,
        "caCertificateId": st.just("cd" * 32) | scalars,
        "timestamp": scalars,
        "awsAccountId": scalars,
        "certificateStatus": scalars,
        "certificateRegistrationTimestamp": scalars | st.integers(0, 10**16).map(str),
        "base64OriginalPayload": scalars | st.binary().map(lambda raw: base64.b64encode(raw).decode()),
    },
)
documents = st.recursive(
    scalars | eventlike,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(EVENT)), inner),
)


def in_error_action(payload: str | bytes) -> dict[str, Any]:
    raw = payload.encode() if isinstance(payload, str) else payload
    return {"ruleName": "r", "base64OriginalPayload": base64.b64encode(raw).decode(), "failures": []}


def test_every_field_is_read() -> None:
    event = RegistrationEvent.parse(json.dumps(EVENT))
    assert event == RegistrationEvent(
        certificate_id="ab" * 32,
        ca_certificate_id="cd" * 32,
        account_id="111111111111",
        certificate_status="PENDING_ACTIVATION",
        published_at=datetime(2026, 11, 1, 12, 0, 0, 285_000, UTC),
        registered_at=datetime(2026, 11, 1, 12, 0, 0, 277_000, UTC),
    )


def test_the_event_of_the_first_connection_has_no_registration_time() -> None:
    event = RegistrationEvent.parse(EVENT | {"certificateRegistrationTimestamp": None})
    assert event.registered_at is None


def test_ids_are_lower_cased() -> None:
    event = RegistrationEvent.parse(EVENT | {"certificateId": "AB" * 32, "caCertificateId": "Cd" * 32})
    assert (event.certificate_id, event.ca_certificate_id) == ("ab" * 32, "cd" * 32)


def test_a_source_in_the_place_of_the_ca_is_read_as_no_ca() -> None:
    """The version before sends it so after a rollback, and refuses it itself."""
    assert RegistrationEvent.parse(EVENT | {"caCertificateId": "registered.maker"}).ca_certificate_id is None


def test_only_the_ids_are_demanded() -> None:
    event = RegistrationEvent.parse({"certificateId": "ab" * 32, "caCertificateId": "cd" * 32})
    assert (event.account_id, event.certificate_status, event.published_at, event.registered_at) == (None,) * 4


@pytest.mark.parametrize("form", ["text", "bytes", "object", "error action", "error action in text"])
def test_an_event_is_the_same_in_every_envelope(form: str) -> None:
    text = json.dumps(EVENT)
    document: object = {
        "text": text,
        "bytes": text.encode(),
        "object": EVENT,
        "error action": in_error_action(text),
        "error action in text": json.dumps(in_error_action(text)),
    }[form]
    assert RegistrationEvent.parse(document) == RegistrationEvent.parse(EVENT)


@pytest.mark.parametrize("key", ["timestamp", "certificateRegistrationTimestamp"])
@pytest.mark.parametrize("value", [1793534400285, "1793534400285"])
def test_a_time_may_be_a_number_or_a_numeric_string(key: str, value: object) -> None:
    event = RegistrationEvent.parse(EVENT | {key: value})
    moment = datetime(2026, 11, 1, 12, 0, 0, 285_000, UTC)
    assert moment == (event.published_at if key == "timestamp" else event.registered_at)


@pytest.mark.parametrize(
    "value", [True, -1, 1.5, "soon", "2026-11-01T12:00:00Z", "٣" * 13, "1793534400285\n", 10**15 - 1, 10**20, [1], {}]
)
def test_a_time_that_cannot_be_one_is_none(value: object) -> None:
    assert RegistrationEvent.parse(EVENT | {"timestamp": value}).published_at is None


def test_fields_that_nobody_knows_are_ignored() -> None:
    assert RegistrationEvent.parse(EVENT | {"verifierName": "x"}) == RegistrationEvent.parse(EVENT)


@pytest.mark.parametrize("value", [111111111111, ["1"], None, True])
def test_an_account_that_is_no_text_is_none(value: object) -> None:
    assert RegistrationEvent.parse(EVENT | {"awsAccountId": value}).account_id is None


@pytest.mark.parametrize("key", ["certificateId", "caCertificateId"])
@pytest.mark.parametrize(
    "value",
    ["", "ab" * 31, "ab" * 33, "xy" * 32, "ab" * 31 + "a\n", "ab" * 32 + "\n", " " + "ab" * 32, "٣" * 64, 7, []],
)
def test_an_id_that_is_not_64_hexadecimal_digits_is_unreadable(key: str, value: object) -> None:
    with pytest.raises(UnreadableEvent, match=f"^{key} is not 64 hexadecimal digits$"):
        RegistrationEvent.parse(EVENT | {key: value})


@pytest.mark.parametrize("key", ["certificateId", "caCertificateId"])
def test_an_id_that_is_missing_is_unreadable(key: str) -> None:
    with pytest.raises(UnreadableEvent, match=f"^{key} is missing$"):
        RegistrationEvent.parse({name: value for name, value in EVENT.items() if name != key})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a JSON list, not"),
        ("null", "a JSON NoneType, not"),
        (None, "a JSON NoneType, not"),
        ({"base64OriginalPayload": "%"}, "base64OriginalPayload is not base64"),
        ({"base64OriginalPayload": "ä"}, "base64OriginalPayload is not base64"),
        ({"base64OriginalPayload": None}, "base64OriginalPayload is not base64|not JSON"),
        (in_error_action("not an event"), "not JSON"),
        (in_error_action(json.dumps([])), "a JSON list, not"),
        (in_error_action(json.dumps(in_error_action("{}"))), "certificateId is missing"),
    ],
)
def test_what_is_no_event_is_unreadable_and_says_why(document: object, said: str) -> None:
    with pytest.raises(UnreadableEvent, match=said):
        RegistrationEvent.parse(document)


def outcome_of(document: object) -> RegistrationEvent | None:
    try:
        return RegistrationEvent.parse(document)
    except UnreadableEvent:
        return None


@given(st.binary() | st.text())
def test_arbitrary_text_is_an_event_or_unreadable(text: str | bytes) -> None:
    assert outcome_of(text) is None


@given(documents)
def test_arbitrary_json_is_an_event_or_unreadable(document: object) -> None:
    for form in (json.dumps(document), json.dumps(document).encode(), in_error_action(json.dumps(document)), document):
        event = outcome_of(form)
        assert event is None or len(event.certificate_id) == 64


@pytest.mark.parametrize("depth", range(700, 1100, 7))
@pytest.mark.parametrize("key", ["timestamp", "base64OriginalPayload"])
def test_an_event_nested_as_deep_as_the_parser_goes_is_an_event_or_unreadable(key: str, depth: int) -> None:
    nested = json.dumps(EVENT).replace("{", f'{{"{key}":{"[" * depth}{"]" * depth},', 1)
    if key == "timestamp":
        nested = nested.replace('"timestamp": 1793534400285, ', "")
    outcome_of(nested)


def test_a_number_of_endless_digits_is_an_event_or_unreadable() -> None:
    outcome_of(json.dumps(EVENT).replace("1793534400285", "9" * 10_000))


@given(
    published_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    first=st.booleans(),
)
def test_what_is_published_reads_back(published_at: datetime, first: bool) -> None:  # noqa: FBT001 -- drawn
    moment = published_at.replace(microsecond=published_at.microsecond // 1000 * 1000)
    document = event_document(
        certificate_id="ab" * 32,
        ca_certificate_id="cd" * 32,
        account_id="111111111111",
        published_at=moment,
        registered_at=None if first else moment,
    )
    assert RegistrationEvent.parse(json.dumps(document)) == RegistrationEvent(
        certificate_id="ab" * 32,
        ca_certificate_id="cd" * 32,
        account_id="111111111111",
        certificate_status="PENDING_ACTIVATION",
        published_at=moment,
        registered_at=None if first else moment,
    )


def test_what_is_published_has_the_types_that_aws_sends() -> None:
    moment = datetime(2026, 11, 1, 12, tzinfo=UTC)
    document = event_document(
        certificate_id="ab" * 32, ca_certificate_id="cd" * 32, account_id="1", published_at=moment, registered_at=moment
    )
    assert document.keys() == EVENT.keys()
    assert {key: type(value) for key, value in document.items()} == {key: type(value) for key, value in EVENT.items()}


@pytest.mark.parametrize(
    ("milliseconds", "is_right_behind"),
    [(None, False), (0, False), (499, False), (1000, True), (15_000, True), (15_001, False)],
)
def test_a_knock_is_right_behind_the_first_only_within_seconds_of_the_registration(
    milliseconds: int | None, *, is_right_behind: bool
) -> None:
    registered = None if milliseconds is None else str(EVENT["timestamp"] - milliseconds)
    event = RegistrationEvent.parse(EVENT | {"certificateRegistrationTimestamp": registered})
    assert event.is_early_repeat is is_right_behind
