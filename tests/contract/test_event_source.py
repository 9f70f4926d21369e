"""A queue as an event source, with ReportBatchItemFailures: what becomes of the messages; docs/aws-facts.md §9.

The function is worker.py, which does what a message's body asks for.
"""

import json
from typing import Any

from tests.support.contract.differences import expected
from tests.support.contract.places import Place

SHORT, LONG = 3, 600  # visibility timeouts in seconds: not less than the function's, and one that no test waits for


class Worked:
    """What the function was handed, batch by batch."""

    def __init__(self, place: Place, seen: str) -> None:
        self._place = place
        self._seen = seen
        self.batches: list[list[dict[str, Any]]] = []

    def deliveries(self, number: int) -> list[dict[str, Any]]:
        """Wait for that many deliveries in all; the records, in order."""

        def enough() -> bool:
            answered = self._place.sqs.receive_message(QueueUrl=self._seen, MaxNumberOfMessages=10)
            for message in answered.get("Messages", []):
                self.batches.append(json.loads(message["Body"]))
                self._place.sqs.delete_message(QueueUrl=self._seen, ReceiptHandle=message["ReceiptHandle"])
            return sum(map(len, self.batches)) >= number

        self._place.wait_for(enough, f"{number} deliveries")
        return [record for batch in self.batches for record in batch]


def worked(place: Place, url: str, *asked: dict[str, Any]) -> Worked:
    """Have one batch of messages taken by the function."""
    seen = place.queue()
    entries = [
        {"Id": str(number), "MessageBody": json.dumps({**body, "seen": seen})} for number, body in enumerate(asked)
    ]
    place.sqs.send_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]
    place.work(url)
    return Worked(place, seen)


def counts(records: list[dict[str, Any]]) -> dict[str, int]:
    """How often each message was delivered, by its name in the body."""
    found: dict[str, int] = {}
    for record in records:
        name = json.loads(record["body"])["name"]
        found[name] = found.get(name, 0) + 1
    return found


def empty(place: Place, url: str) -> bool:
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = place.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return all(number == "0" for number in attributes.values())


def test_a_record_has_what_register_reads(place: Place) -> None:
    url = place.queue(visibility=LONG)

    (record,) = worked(place, url, {"name": "one", "then": "report"}).deliveries(1)

    assert json.loads(record["body"])["name"] == "one"
    assert record["messageId"]
    assert record["receiptHandle"]
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert abs(int(record["attributes"]["SentTimestamp"]) / 1000 - place.now().timestamp()) < 60
    place.wait_for(lambda: empty(place, url), "the deletion of what was not named")


def test_only_what_the_answer_names_comes_again(place: Place) -> None:
    url = place.queue(visibility=SHORT)

    work = worked(
        place,
        url,
        {"name": "good", "then": "report"},
        {"name": "bad", "then": "report", "until": 2},
        {"name": "fine", "then": "report"},
    )

    records = work.deliveries(4)
    assert counts(records) == {"good": 1, "bad": 2, "fine": 1}
    assert records[-1]["attributes"]["ApproximateReceiveCount"] == "2"
    place.wait_for(lambda: empty(place, url), "the deletion of what was done with")


def test_what_was_put_off_comes_after_its_own_timeout_and_not_the_queues(place: Place) -> None:
    url = place.queue(visibility=LONG)

    work = worked(place, url, {"name": "late", "then": "put_off", "until": 2}, {"name": "good", "then": "report"})

    assert counts(work.deliveries(3)) == {"late": 2, "good": 1}
    place.wait_for(lambda: empty(place, url), "the deletion of what was done with")


def test_an_exception_fails_the_whole_batch_but_not_what_the_function_had_deleted(place: Place) -> None:
    url = place.queue(visibility=SHORT)

    work = worked(
        place,
        url,
        {"name": "deleted", "then": "report"},
        {"name": "good", "then": "report"},
        {"name": "bad", "then": "raise", "until": 2},
    )

    assert counts(work.deliveries(5)) == {"deleted": 1, "good": 2, "bad": 2}
    place.wait_for(lambda: empty(place, url), "the deletion of what was done with")


def test_an_answer_with_an_unknown_id_fails_the_whole_batch(place: Place) -> None:
    url = place.queue(visibility=SHORT)

    work = worked(place, url, {"name": "good", "then": "report"}, {"name": "bad", "then": "nonsense", "until": 2})
    place.wait_for(lambda: empty(place, url), "the deletion of what was done with")

    delivered = counts(work.deliveries(2))
    assert delivered == expected(place, {"good": 2, "bad": 2}, unknown_failure_ignored={"good": 1, "bad": 1})
