"""Events went astray: dead letters, events that were lost while nothing took them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jitr.aws.queues import REASON_ATTRIBUTE
from jitr.events import event_document
from tests.support.e2e.hour.outcome import HourError, Step

if TYPE_CHECKING:
    from tests.support.e2e.hour.operator import Operator


def dead_letters(operator: Operator) -> str:
    """An event failed ten times; its cause is gone."""
    event = _lose_event(operator, "sensor-0501")
    sqs = operator.client("sqs")
    url = sqs.get_queue_url(QueueName=operator.names.dead_letter_queue)["QueueUrl"]
    reason = {REASON_ATTRIBUTE: {"DataType": "String", "StringValue": "failed 10 times"}}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=reason)
    status = operator.jitrctl("fleet status --account dev", code=1)
    operator.read(status, "1 dead letter")
    listed, *_ = operator.follow(status)
    if operator.certificate_id("sensor-0501")[:16] not in listed.text:
        raise HourError(listed.text)
    operator.jitrctl("fleet status --account dev")
    return operator.comes_in("sensor-0501")


def undelivered(operator: Operator) -> str:
    """AWS IoT could not send an event to the queue; its cause is gone, and doctor is asked about the device."""
    event = _lose_event(operator, "sensor-0503")
    sqs = operator.client("sqs")
    url = sqs.get_queue_url(QueueName=operator.names.undelivered_queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))
    why = operator.jitrctl(f"doctor {operator.file('sensor-0503')} --account dev", code=1)
    operator.read(why, "messages is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0503")


def replayed(operator: Operator) -> str:
    """An event was lost; somebody has it in a file, from the log of another rule."""
    event = _lose_event(operator, "sensor-0502")
    (operator.checkout.folder / "event.json").write_text(json.dumps(event), encoding="utf-8")
    plan = operator.jitrctl("replay event.json --account dev --dry-run")
    operator.read(plan, "activated")
    operator.jitrctl("replay event.json --account dev")
    return operator.comes_in("sensor-0502")


def _lose_event(operator: Operator, device: str) -> dict[str, Any]:
    """A device connects, and no rule takes its event; gives the event."""
    iot, rule = operator.client("iot"), operator.names.rule("factory")
    iot.disable_topic_rule(ruleName=rule)
    operator.connect(device)
    iot.enable_topic_rule(ruleName=rule)
    return event_document(
        certificate_id=operator.certificate_id(device),
        ca_certificate_id=operator.ca_id(),
        account_id=operator.account("dev").id,
        published_at=None,
        registered_at=None,
    )


STEPS = (
    Step(name="dead letters", broken="an event failed ten times, and its cause is gone", play=dead_letters),
    Step(name="undelivered", broken="AWS IoT could not deliver an event to the queue", play=undelivered),
    Step(name="replay", broken="an event was lost, and is in a file", play=replayed),
)
