"""Messages of a deployed stage: sends events to `register`, and reads the dead-letter queue."""

import json

from jitr.aws.queues import REASON_ATTRIBUTE
from jitr.events import event_document
from jitrctl.demo.story import Story
from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.localaws.stage import LocalStage


def send(stage: LocalStage, *bodies: str) -> None:
    """Send messages to the queue of registrations."""
    sqs = stage.account.client("sqs")
    url = sqs.get_queue_url(QueueName=stage.names.registrations_queue)["QueueUrl"]
    entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
    for start in range(0, len(entries), 10):  # SendMessageBatch's most
        assert not sqs.send_message_batch(QueueUrl=url, Entries=entries[start : start + 10]).get("Failed")


def event_of(stage: LocalStage, story: Story, files: DeviceFiles) -> str:
    """The event that AWS IoT publishes when the device connects for the first time."""
    return json.dumps(
        event_document(
            certificate_id=files.certificate_id,
            ca_certificate_id=story.cast.ca.certificate_id,
            account_id=stage.account.id,
            published_at=None,
            registered_at=None,
        )
    )


def dead_letters(stage: LocalStage) -> dict[str, str]:
    """The bodies in the dead-letter queue, each with its reason."""
    sqs = stage.account.client("sqs")
    url = sqs.get_queue_url(QueueName=stage.names.dead_letter_queue)["QueueUrl"]
    answer = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )
    return {
        message["Body"]: message["MessageAttributes"][REASON_ATTRIBUTE]["StringValue"]
        for message in answer.get("Messages", [])
    }
