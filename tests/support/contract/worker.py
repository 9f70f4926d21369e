"""A function behind a queue, which does with each message what its body asks for, and tells what it was handed.

Runs in the simulation as it is, and is the code of a Lambda function on the local AWS. A body is JSON:

    seen   the URL of the queue to which the batch is told
    until  the receive at which the message is done with, 1 if not told; before that it does what `then` says
    then   report    name the message in the answer, as ReportBatchItemFailures has it
           put_off   the same, after setting its visibility timeout to one second
           nonsense  answer an id that is not in the batch
           raise     delete the batch's first message, and raise an exception
"""

import json
from typing import Any


def work(event: dict[str, Any], sqs: Any) -> dict[str, Any] | None:
    """Take one batch."""
    records = event["Records"]
    bodies = [json.loads(record["body"]) for record in records]
    for seen in {body["seen"] for body in bodies}:
        sqs.send_message(QueueUrl=seen, MessageBody=json.dumps(records))
    failed: list[str] = []
    for record, body in zip(records, bodies, strict=True):
        if int(record["attributes"]["ApproximateReceiveCount"]) >= body.get("until", 1):
            continue
        queue = sqs.get_queue_url(QueueName=record["eventSourceARN"].rpartition(":")[2])["QueueUrl"]
        match body["then"]:
            case "report":
                failed.append(record["messageId"])
            case "put_off":
                sqs.change_message_visibility(
                    QueueUrl=queue, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=1
                )
                failed.append(record["messageId"])
            case "nonsense":
                failed.append("nobody")
            case "raise":
                sqs.delete_message_batch(
                    QueueUrl=queue, Entries=[{"Id": "0", "ReceiptHandle": records[0]["receiptHandle"]}]
                )
                raise RuntimeError(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]} if failed else None


def handler(event: dict[str, Any], _context: object) -> dict[str, Any] | None:
    """Lambda's entry."""
    import boto3  # noqa: PLC0415 -- the simulation's worker is handed its client

    return work(event, boto3.client("sqs"))
