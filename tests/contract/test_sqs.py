"""Queues: visibility, receive counts, batches, attributes; docs/aws-facts.md §9."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef, SendMessageBatchRequestEntryTypeDef

LONGEST_VISIBILITY = 43_200


def receive(place: Place, url: str, *, most: int = 1, **more: Any) -> "list[MessageTypeDef]":
    answered = place.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=most, MessageSystemAttributeNames=["All"], **more
    )
    return answered.get("Messages", [])


def received(place: Place, url: str, **more: Any) -> "MessageTypeDef":
    """The next message, as soon as it is visible."""
    return place.wait_for(lambda: receive(place, url, **more), "a message")[0]


def received_all(place: Place, url: str, number: int) -> "list[MessageTypeDef]":
    """That many messages, as soon as they are visible."""
    messages: list[MessageTypeDef] = []

    def enough() -> bool:
        messages.extend(receive(place, url, most=10))
        return len(messages) >= number

    place.wait_for(enough, f"{number} messages")
    return messages


def sent(place: Place, url: str, *bodies: str, **more: Any) -> None:
    for body in bodies:
        place.sqs.send_message(QueueUrl=url, MessageBody=body, **more)


def entries(*bodies: str) -> "list[SendMessageBatchRequestEntryTypeDef]":
    return [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]


def attribute(message: "MessageTypeDef", name: str) -> int:
    return int(message["Attributes"][name])  # type: ignore[index]


def handle(message: "MessageTypeDef") -> str:
    return message.get("ReceiptHandle", "")


def test_a_received_message_is_hidden_and_comes_again_with_a_higher_count(place: Place) -> None:
    url = place.queue(visibility=1)
    sent(place, url, "one")

    first = received(place, url)
    assert receive(place, url) == []
    second = received(place, url)

    assert (first.get("Body"), second.get("Body")) == ("one", "one")
    assert first.get("MessageId") == second.get("MessageId")
    assert handle(first) != handle(second)
    assert [attribute(one, "ApproximateReceiveCount") for one in (first, second)] == [1, 2]


def test_the_time_of_sending_stays_the_first_one_in_milliseconds(place: Place) -> None:
    url, before = place.queue(visibility=0), place.now().timestamp() * 1000
    sent(place, url, "one")

    messages = [received(place, url) for _ in range(2)]
    place.wait_for(lambda: place.now().timestamp() * 1000 > before + 10, "a later moment")
    messages.append(received(place, url))

    times = {attribute(message, "SentTimestamp") for message in messages}
    assert len(times) == 1
    assert abs(times.pop() - before) < 60_000
    assert len({attribute(message, "ApproximateFirstReceiveTimestamp") for message in messages}) == 1


def test_a_new_visibility_timeout_counts_from_now_and_zero_shows_the_message_at_once(place: Place) -> None:
    url = place.queue(visibility=1000)
    sent(place, url, "one")

    place.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle(received(place, url)), VisibilityTimeout=0)
    (again,) = receive(place, url)
    place.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle(again), VisibilityTimeout=1)
    assert receive(place, url) == []
    assert attribute(received(place, url), "ApproximateReceiveCount") == 3


def test_a_visibility_timeout_is_at_most_twelve_hours(place: Place) -> None:
    url = place.queue()
    sent(place, url, "one")
    message = received(place, url)

    def hide(seconds: int) -> object:
        return place.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=handle(message), VisibilityTimeout=seconds
        )

    # In all, from the receive on: so not quite twelve hours a moment later.
    assert answer(lambda: hide(LONGEST_VISIBILITY - 60)) == OK
    refused = expected(place, ("InvalidParameterValue", 400), visibility_unchecked=OK)
    assert answer(lambda: hide(LONGEST_VISIBILITY + 1)) == refused


def test_the_visibility_of_what_is_not_in_flight_cannot_be_changed(place: Place) -> None:
    url = place.queue(visibility=0)
    sent(place, url, "one")
    message = received(place, url)

    def hide() -> object:
        return place.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle(message), VisibilityTimeout=5)

    refused = ("AWS.SimpleQueueService.MessageNotInflight", 400)
    assert answer(hide) == expected(place, refused, visibility_unchecked=OK)


def test_what_is_deleted_does_not_come_again(place: Place) -> None:
    url = place.queue(visibility=2)
    sent(place, url, "one", "two")
    messages = received_all(place, url, 2)
    deleted = next(message for message in messages if message.get("Body") == "one")

    place.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle(deleted))

    assert [message.get("Body") for message in received_all(place, url, 1)] == ["two"]


def test_a_batch_of_deletions_takes_ten_each_with_its_own_outcome(place: Place) -> None:
    url = place.queue(visibility=1000)
    place.sqs.send_message_batch(QueueUrl=url, Entries=entries(*"abcdefghij"))
    messages = received_all(place, url, 10)
    good = [{"Id": str(number), "ReceiptHandle": handle(message)} for number, message in enumerate(messages)]

    answered = place.sqs.delete_message_batch(QueueUrl=url, Entries=good)  # type: ignore[arg-type]

    assert {one["Id"] for one in answered["Successful"]} == {str(number) for number in range(10)}
    assert not answered.get("Failed")
    answered = place.sqs.delete_message_batch(QueueUrl=url, Entries=good[:1])  # type: ignore[arg-type]
    again = [one["Id"] for one in answered["Successful"]]
    assert again == expected(place, ["0"], deleted_again_refused=[])
    answered = place.sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": "bad", "ReceiptHandle": "nonsense"}])
    (failed,) = answered["Failed"]
    assert (failed["Id"], failed["SenderFault"], failed["Code"]) == ("bad", True, "ReceiptHandleIsInvalid")


def test_a_batch_is_sent_and_each_entry_answered(place: Place) -> None:
    url = place.queue()

    answered = place.sqs.send_message_batch(QueueUrl=url, Entries=entries("a", "b", "c"))

    assert [one["Id"] for one in answered["Successful"]] == ["0", "1", "2"]
    assert not answered.get("Failed")
    messages = received_all(place, url, 3)
    ids = {message.get("Body"): message.get("MessageId") for message in messages}
    assert ids == {body: one["MessageId"] for body, one in zip("abc", answered["Successful"], strict=True)}


@pytest.mark.parametrize(
    ("batch", "code"),
    [
        ([], "EmptyBatchRequest"),
        (entries(*"abcdefghijk"), "TooManyEntriesInBatchRequest"),
        ([{"Id": "x", "MessageBody": "a"}, {"Id": "x", "MessageBody": "b"}], "BatchEntryIdsNotDistinct"),
    ],
    ids=["empty", "eleven", "the same id twice"],
)
def test_a_batch_that_is_none_is_refused_whole(
    place: Place, batch: "list[SendMessageBatchRequestEntryTypeDef]", code: str
) -> None:
    url = place.queue()

    refused = answer(lambda: place.sqs.send_message_batch(QueueUrl=url, Entries=batch))

    assert refused == (f"AWS.SimpleQueueService.{code}", 400)
    assert receive(place, url) == []


@pytest.mark.parametrize("body", ["\x00", "a\x0bb", "\ufffe"])
def test_characters_that_xml_does_not_allow_are_refused(place: Place, body: str) -> None:
    url = place.queue()

    refused = answer(lambda: place.sqs.send_message(QueueUrl=url, MessageBody=body))

    assert refused == ("InvalidMessageContents", 400)


def test_one_bad_entry_of_a_batch_leaves_the_others_sent(place: Place) -> None:
    url = place.queue()

    answered = place.sqs.send_message_batch(QueueUrl=url, Entries=entries("good", "\x00"))

    assert [(one["Id"], one["SenderFault"]) for one in answered["Failed"]] == [("1", True)]
    assert [one["Id"] for one in answered["Successful"]] == ["0"]
    assert received(place, url).get("Body") == "good"


def test_a_delayed_message_comes_later_and_is_not_received_before(place: Place) -> None:
    url = place.queue()
    sent(place, url, "late", DelaySeconds=1)

    assert receive(place, url) == []
    message = received(place, url)

    assert attribute(message, "ApproximateReceiveCount") == 1


def test_message_attributes_are_shown_to_those_who_ask(place: Place) -> None:
    url = place.queue(visibility=0)
    given = {"jitr_reason": {"DataType": "String", "StringValue": "unreadable: not JSON"}}
    sent(place, url, "one", MessageAttributes=given)

    assert "MessageAttributes" not in received(place, url)
    assert received(place, url, MessageAttributeNames=["All"]).get("MessageAttributes") == given


def test_an_empty_attribute_is_refused(place: Place) -> None:
    url = place.queue()
    empty = {"jitr_reason": {"DataType": "String", "StringValue": ""}}

    def send() -> object:
        return place.sqs.send_message(QueueUrl=url, MessageBody="one", MessageAttributes=empty)  # type: ignore[arg-type]

    # Which of its codes it is differs by what is wrong with the value.
    assert answer(send)[1] == expected(place, 400, empty_attribute_taken=200)


def test_what_is_received_too_often_goes_to_the_dead_letters_and_keeps_its_time_of_sending(place: Place) -> None:
    dead_letters = place.queue()
    url = place.queue(visibility=0, dead_letters=dead_letters, max_receives=2)
    sent(place, url, json.dumps({"poison": True}))
    seen = [received(place, url) for _ in range(2)]
    sent_at = attribute(seen[0], "SentTimestamp")
    place.wait_for(lambda: place.now().timestamp() * 1000 > sent_at + 10, "a later moment")

    assert receive(place, url) == []
    dead = received(place, dead_letters)

    assert [attribute(one, "ApproximateReceiveCount") for one in seen] == [1, 2]
    assert dead.get("Body") == '{"poison": true}'
    assert dead.get("MessageId") == seen[0].get("MessageId")
    assert attribute(dead, "SentTimestamp") == sent_at


def test_a_queue_that_is_not_there_is_not_found(place: Place) -> None:
    url = place.queue() + "-not"

    assert answer(lambda: place.sqs.send_message(QueueUrl=url, MessageBody="one")) == (
        "AWS.SimpleQueueService.NonExistentQueue",
        400,
    )
