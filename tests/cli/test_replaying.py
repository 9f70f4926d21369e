"""What a file of stored events can be."""

import json

import pytest

from jitr.events import RegistrationEvent
from jitrctl.localaws.workspace import CHECKOUT
from jitrctl.queues.replay import ReplayError, documents_in

EVENTS = CHECKOUT / "events"


@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("first-connection.json", 1),
        ("repeated-connection.json", 1),
        ("sqs-batch.json", 2),
        ("error-action.json", 1),
    ],
)
def test_every_stored_registration_event_can_be_replayed(file: str, count: int) -> None:
    documents = documents_in((EVENTS / file).read_text(encoding="utf-8"))

    assert len(documents) == count
    for document in documents:
        RegistrationEvent.parse(document.get("body", document))


def test_each_sample_is_described_in_the_events_readme() -> None:
    readme = (EVENTS / "README.md").read_text(encoding="utf-8")

    assert {path.name for path in EVENTS.glob("*.json")} == {
        path.name for path in EVENTS.glob("*.json") if path.name in readme
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "a JSON object is expected"),
        (json.dumps({"Records": [{}]}), "Records is no SQS batch"),
        (json.dumps({"Records": 3}), "Records is no SQS batch"),
    ],
)
def test_what_cannot_be_replayed_is_explained(text: str, sentence: str) -> None:
    with pytest.raises(ReplayError, match=sentence):
        documents_in(text)
