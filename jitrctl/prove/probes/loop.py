"""Does Lambda, when it stops a message as part of a loop, stop the whole batch?

A function of the run gets batches of messages. It sends one kind to its own queue again, with the runtime's SDK, which
adds the lineage; it ignores the other kind. The queue dead-letters only what Lambda stops: a harmless message among the
dead letters was stopped with a loop's.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitrctl.prove.journal import JournalEntry, ResourceKind
from jitrctl.prove.probe import Expectation, Probe, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jitrctl.prove.place import ProvePlace
    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

LOOPS, HARMLESS = "loops", "harmless"
CODE = f"""\
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, _):
    for record in event["Records"]:
        if record["body"] == "{LOOPS}":
            sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody="{LOOPS}", DelaySeconds=1)
"""
# Longer than Lambda's batching takes, so that only what is stopped becomes visible and is received again.
_VISIBILITY, _RECEIVES, _TIMEOUT = 30, 3, 3
_BATCHING = 5  # seconds in which messages of both kinds come together
_READY_WITHIN, _STOPPED_WITHIN = 60.0, 420.0  # seconds; sixteen hops of about ten
_HARMLESS_EVERY = 2.0


def run(run: Run) -> Mapping[str, Json]:
    place = run.last
    dead = _queue(run, place, "stopped", {})
    redrive = json.dumps({"deadLetterTargetArn": _arn(place, dead), "maxReceiveCount": _RECEIVES})
    queue = _queue(run, place, "looping", {"VisibilityTimeout": str(_VISIBILITY), "RedrivePolicy": redrive})
    _function(run, place, queue)
    sqs = place.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody=LOOPS)
    stopped: list[str] = []
    until = run.time.monotonic() + _STOPPED_WITHIN
    while LOOPS not in stopped and run.time.monotonic() < until:
        sqs.send_message(QueueUrl=queue, MessageBody=HARMLESS)
        run.time.sleep(_HARMLESS_EVERY)
        stopped += _dead_letters(sqs, dead)
    if LOOPS not in stopped:
        return {"the loop is stopped": False}
    run.time.sleep(_VISIBILITY + 2 * _BATCHING)  # what was stopped with it may be dead-lettered a moment later
    stopped += _dead_letters(sqs, dead)
    return {"the loop is stopped": True, "harmless messages stopped with it": HARMLESS in stopped}


def _dead_letters(sqs: Any, queue: str) -> list[str]:
    """The messages in the dead-letter queue, which has no other reader."""
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=600)
    return [message["Body"] for message in answer.get("Messages", ())]


def _queue(run: Run, place: ProvePlace, what: str, attributes: dict[str, str]) -> str:
    name = run.journal_name(place, ResourceKind.QUEUE, what)
    return str(place.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def _arn(place: ProvePlace, queue: str) -> str:
    answer = place.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _function(run: Run, place: ProvePlace, queue: str) -> None:
    """Create the function, and an event source mapping from the queue.

    Raises Unanswered when it does not become ready; botocore's errors.
    """
    arn = _arn(place, queue)
    actions = [f"sqs:{name}" for name in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "SendMessage")]
    role = run.create_role(place, "lambda", {"Effect": "Allow", "Action": actions, "Resource": arn})
    name, client = run.journal_name(place, ResourceKind.FUNCTION, "function"), place.client("lambda")

    def create() -> bool | None:
        return _known(
            lambda: client.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=role,
                Handler="index.handler",
                Code={"ZipFile": _packed()},
                Environment={"Variables": {"QUEUE": queue}},
                Timeout=_TIMEOUT,
            )
        )

    def ready() -> bool | None:
        return client.get_function_configuration(FunctionName=name).get("State", "Active") == "Active" or None

    if not (run.wait(create, seconds=_READY_WITHIN) and run.wait(ready, seconds=_READY_WITHIN)):
        raise Unanswered(f"the function {name} was not ready in {_READY_WITHIN:.0f} s")
    run.journal.add(JournalEntry(account=place.account, region=place.region, kind=ResourceKind.MAPPING, name=name))

    def feed() -> bool | None:
        return _known(
            lambda: client.create_event_source_mapping(
                EventSourceArn=arn, FunctionName=name, BatchSize=100, MaximumBatchingWindowInSeconds=_BATCHING
            )
        )

    if not run.wait(feed, seconds=_READY_WITHIN):
        raise Unanswered(f"the queue could not be made to feed {name} in {_READY_WITHIN:.0f} s")


def _known(call: Callable[[], object]) -> bool | None:
    """Make the call; None while Lambda does not know the role or its permissions: IAM is eventually consistent.

    Raises botocore's errors.
    """
    try:
        call()
    except ClientError as error:
        if error.response["Error"].get("Code") != "InvalidParameterValueException":
            raise
        return None
    return True


def _packed() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", CODE)
    return packed.getvalue()


PROBE = Probe(
    name="loop",
    question="Does Lambda, when it stops a message as part of a loop, stop the whole batch?",
    method="A function sends a message to its own queue again and again; harmless ones come in the same batches.",
    expects=(
        Expectation(
            what="the loop is stopped",
            assumed=True,
            otherwise="messages that `register` sends to its own queue need no limit of hops: better than assumed",
        ),
        Expectation(
            what="harmless messages stopped with it",
            assumed=True,
            otherwise="only the loop's own message is lost: the sweep has fewer devices to find (the simulation plays "
            "the harder case)",
            switch="loop_stops_whole_batch",
            to_switch=bool,
        ),
    ),
    run=run,
    makes="2 queues, 1 function, its event source mapping and IAM role; AWS notifies the account's owner of the loop",
    calls=900,
    seconds=300,
    dollars=0.01,
    not_local="ministack stops no loop (docs/divergences.md)",
)
