"""Carries out SQS's operations on the queues of queue.py."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from simulation.faults import Answer, Params, ServiceError
from simulation.lineage import current_lineage
from simulation.place import Place
from simulation.queue import Queue, SqsMessage

# SQS API reference: what a body or an attribute's value may hold.
_ALLOWED = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_MOST_IN_BATCH = 10


class Sqs:
    """The queues of one account and Region, and the operations on them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._queues: dict[str, Queue] = {}

    def create(self, name: str, **settings: Any) -> Queue:
        """A new queue; the settings are Queue's."""
        queue = Queue(name, self._place, **settings)
        self._queues[queue.url] = queue
        return queue

    def by_name(self, name: str) -> Queue | None:
        return next((queue for queue in self._queues.values() if queue.name == name), None)

    def at_url(self, url: str) -> Queue:
        """Raises ServiceError when there is none."""
        queue = self._queues.get(url)
        if queue is None:
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        return queue

    def get_queue_url(self, params: Params) -> Answer:
        queue = self.by_name(params["QueueName"])
        if queue is None:
            raise ServiceError("QueueDoesNotExist", "The specified queue does not exist.")
        return {"QueueUrl": queue.url}

    def get_queue_attributes(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        hidden, flying = queue.hidden(), queue.in_flight()
        attributes = {
            "ApproximateNumberOfMessages": str(queue.size - hidden),
            "ApproximateNumberOfMessagesDelayed": str(hidden - flying),
            "ApproximateNumberOfMessagesNotVisible": str(flying),
            "MessageRetentionPeriod": str(int(queue.retention)),
            "QueueArn": queue.arn,
            "VisibilityTimeout": str(int(queue.visibility)),
        }
        if queue.dead_letters is not None:
            redrive = {"deadLetterTargetArn": queue.dead_letters.arn, "maxReceiveCount": queue.max_receives}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        wanted = params.get("AttributeNames", [])
        chosen = attributes if "All" in wanted else {name: attributes[name] for name in wanted if name in attributes}
        return {"Attributes": chosen}

    def send_message(self, params: Params) -> Answer:
        return self._send(self.at_url(params["QueueUrl"]), params)

    def send_message_batch(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        return _batch(params, lambda entry: self._send(queue, entry))

    def receive_message(self, params: Params) -> Answer:
        """Receive; a long poll waits once for its whole time, then receives again."""
        queue = self.at_url(params["QueueUrl"])
        most, visibility = params.get("MaxNumberOfMessages", 1), params.get("VisibilityTimeout")
        messages = queue.receive(most, visibility=visibility)
        if not messages and params.get("WaitTimeSeconds"):
            self._place.clock.sleep(params["WaitTimeSeconds"])
            messages = queue.receive(most, visibility=visibility)
        # A caller who requests no attributes gets none; one who requests some gets all.
        system = params.get("MessageSystemAttributeNames") or params.get("AttributeNames")
        own = params.get("MessageAttributeNames")
        shown = [self._show(message, system=bool(system), own=bool(own)) for message in messages]
        return {"Messages": shown} if shown else {}

    def delete_message(self, params: Params) -> Answer:
        self.at_url(params["QueueUrl"]).delete(params["ReceiptHandle"])
        return {}

    def delete_message_batch(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])

        def delete(entry: Params) -> Answer:
            queue.delete(entry["ReceiptHandle"])
            return {}

        return _batch(params, delete)

    def change_message_visibility(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])
        queue.change_visibility(params["ReceiptHandle"], params["VisibilityTimeout"])
        return {}

    def change_message_visibility_batch(self, params: Params) -> Answer:
        queue = self.at_url(params["QueueUrl"])

        def change(entry: Params) -> Answer:
            queue.change_visibility(entry["ReceiptHandle"], entry.get("VisibilityTimeout", queue.visibility))
            return {}

        return _batch(params, change)

    def system_attributes(self, message: SqsMessage) -> dict[str, str]:
        return {
            "ApproximateReceiveCount": str(message.receives),
            "ApproximateFirstReceiveTimestamp": self._milliseconds(message.first_received_at),
            "SentTimestamp": self._milliseconds(message.sent_at),
            "SenderId": "AIDASIMULATED",
        }

    def _milliseconds(self, moment: float) -> str:
        clock = self._place.clock
        return str(round((clock.now().timestamp() - clock.monotonic() + moment) * 1000))

    def _send(self, queue: Queue, entry: Params) -> Answer:
        body, attributes = entry["MessageBody"], entry.get("MessageAttributes", {})
        texts = [body, *(value.get("StringValue", "-") for value in attributes.values())]
        if not all(text and _ALLOWED.fullmatch(text) for text in texts):
            raise ServiceError("InvalidMessageContents", "The message contains characters outside the allowed set.")
        lineage = current_lineage()
        message = queue.send(body, attributes=attributes, delay=entry.get("DelaySeconds", 0), lineage=lineage)
        return {"MessageId": message.message_id, "MD5OfMessageBody": _md5(body)}

    def _show(self, message: SqsMessage, *, system: bool, own: bool) -> Params:
        body = str(message.body)
        shown: Params = {
            "MessageId": message.message_id,
            "ReceiptHandle": message.receipt_handle,
            "MD5OfBody": _md5(body),
            "Body": body,
        }
        if system:
            shown["Attributes"] = self.system_attributes(message)
        if own and message.attributes:
            shown["MessageAttributes"] = message.attributes
        return shown


def _batch(params: Params, carry_out: Callable[[Params], Answer]) -> Answer:
    """Carry out each entry separately; failures are in `Failed`."""
    entries = params["Entries"]
    if not entries:
        raise ServiceError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > _MOST_IN_BATCH:
        raise ServiceError("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise ServiceError("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
    successful: list[Params] = []
    failed: list[Params] = []
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **carry_out(entry)})
        except ServiceError as error:
            failed.append({"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.message})
    return {"Successful": successful, "Failed": failed}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
