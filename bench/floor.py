"""The floor: a handler that makes the same boto3 clients and the same calls as `register`, and decides nothing.

No handler could do the same with boto3 for less; what `register` takes beyond it is jitr's own cost.
"""

import json
import os
from typing import Any

import boto3
from botocore.config import Config

_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})

events = boto3.client("events", config=_CONFIG)
iot = boto3.client("iot", config=_CONFIG)
dynamodb = boto3.client("dynamodb", config=_CONFIG)
schedule = boto3.client("dynamodb", config=_CONFIG.merge(Config(connect_timeout=1, read_timeout=1)))
sqs = boto3.client("sqs", config=_CONFIG)
_table, _entries = os.environ["JITR_REGISTRY_TABLE"], os.environ["JITR_ENROLLMENT_TABLE"]
_known_ca: list[Any] = []

# As large as what `register` writes: sizes are part of what a call costs.
_DECISION = {"M": {f"field_{number}": {"S": "x" * 30} for number in range(14)}}
_VALUES = {":decision": _DECISION, ":due": {"S": "none"}, ":schema": {"N": "1"}}


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Take each message of a batch through the calls of an activation."""
    bodies = [json.loads(record["body"]) for record in event["Records"]]
    keys: list[Any] = [{"id": {"S": f"certificate#{body['certificateId']}"}} for body in bodies]
    dynamodb.batch_get_item(RequestItems={_table: {"Keys": keys, "ConsistentRead": True}})
    schedule.update_item(
        TableName=_table,
        Key={"id": {"S": "pace"}},
        UpdateExpression="ADD next_at :taken",
        ExpressionAttributeValues={":taken": {"N": "1000000"}},
        ReturnValues="ALL_NEW",
    )
    for body in bodies:
        activate(body["certificateId"], body["caCertificateId"])
    return {"batchItemFailures": []}


def activate(certificate_id: str, ca_certificate_id: str) -> None:
    """The calls of one activation."""
    arn = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificateArn"]
    if not _known_ca:
        _known_ca.append(iot.describe_ca_certificate(certificateId=ca_certificate_id))
    name = f"sensor-{certificate_id[:8]}"
    entries: list[Any] = [{"id": {"S": f"certificate#{certificate_id}"}}, {"id": {"S": f"thing#{name}"}}]
    owner_keys: list[Any] = [{"id": {"S": f"thing#{name}"}}]
    dynamodb.batch_get_item(
        RequestItems={
            _entries: {"Keys": entries, "ConsistentRead": True},
            _table: {"Keys": owner_keys, "ConsistentRead": True},
        }
    )
    iot.create_thing(thingName=name, thingTypeName="sensor", attributePayload={"attributes": {"made": "here"}})
    iot.attach_thing_principal(thingName=name, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    iot.attach_policy(policyName="device", target=arn)
    update: Any = {
        "TableName": _table,
        "Key": {"id": {"S": f"certificate#{certificate_id}"}},
        "UpdateExpression": "SET decision = :decision, due = :due, #schema = :schema",
        "ConditionExpression": "attribute_not_exists(verdict)",
        "ExpressionAttributeNames": {"#schema": "schema"},
        "ExpressionAttributeValues": _VALUES,
    }
    owner: Any = {**update, "Key": {"id": {"S": f"thing#{name}"}}}
    dynamodb.transact_write_items(TransactItems=[{"Update": update}, {"Update": owner}])
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    detail = json.dumps({f"field_{number}": "x" * 30 for number in range(14)})
    events.put_events(Entries=[{"Source": "jitr", "DetailType": "Device Activated", "Detail": detail}])
    dynamodb.update_item(**update)
