"""Checks that the runtime's boto3 supports every parameter that the functions use.

The functions use Lambda's own copy, which is byte-compiled and adds no size; AWS updates it at any time. A copy that is
too old would fail in the middle of an activation, with a ParamValidationError for each device. So the parameters are
checked once, at init, where a failing function receives no message. The check takes about 1 ms of CPU time for the
three clients of `register`. Shipping boto3 would add 34 MB, of Lambda's 250, that are not byte-compiled.
"""

from collections.abc import Mapping
from typing import Any

import boto3
import botocore

from jitr.errors import Misconfigured

VERSIONS: Mapping[str, str] = {"boto3": boto3.__version__, "botocore": botocore.__version__}

# Service → operation → parameters; tests/unit/test_runtime.py compares it with the calls in the source.
PARAMETERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "iot": {
        "AddThingToThingGroup": ("thingGroupName", "thingName"),
        "AttachPolicy": ("policyName", "target"),
        "AttachThingPrincipal": ("principal", "thingName", "thingPrincipalType"),
        "CreateThing": ("attributePayload", "thingName", "thingTypeName"),
        "DescribeCACertificate": ("certificateId",),
        "DescribeCertificate": ("certificateId",),
        "DeleteThing": ("expectedVersion", "thingName"),
        "DescribeThing": ("thingName",),
        "DetachPolicy": ("policyName", "target"),
        "DetachThingPrincipal": ("principal", "thingName"),
        "ListCertificates": ("ascendingOrder", "pageSize"),
        "ListCertificatesByCA": ("ascendingOrder", "caCertificateId", "pageSize"),
        "UpdateCertificate": ("certificateId", "newStatus"),
        "UpdateThing": ("attributePayload", "thingName", "thingTypeName"),
    },
    "dynamodb": {
        "BatchGetItem": ("RequestItems",),
        "DeleteItem": ("ConditionExpression", "ExpressionAttributeValues", "Key", "TableName"),
        "GetItem": ("ConsistentRead", "Key", "TableName"),
        "Query": ("ExpressionAttributeValues", "IndexName", "KeyConditionExpression", "Limit", "TableName"),
        "TransactWriteItems": ("TransactItems",),
        "UpdateItem": (
            "ConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "Key",
            "ReturnValues",
            "TableName",
            "UpdateExpression",
        ),
    },
    "sqs": {
        "ChangeMessageVisibility": ("QueueUrl", "ReceiptHandle", "VisibilityTimeout"),
        "DeleteMessageBatch": ("Entries", "QueueUrl"),
        "GetQueueAttributes": ("AttributeNames", "QueueUrl"),
        "SendMessage": ("MessageAttributes", "MessageBody", "QueueUrl"),
        "SendMessageBatch": ("Entries", "QueueUrl"),
    },
}


def check(logger: Any, *clients: Any) -> None:
    """Log the versions, and check these clients.

    Raises Misconfigured when botocore does not know a parameter of their calls.
    """
    logger.info("runtime", extra=VERSIONS)
    for client in clients:
        model = client.meta.service_model
        for operation, parameters in PARAMETERS[model.service_name].items():
            known = model.operation_model(operation).input_shape.members if operation in model.operation_names else {}
            if missing := sorted(set(parameters) - set(known)):
                raise Misconfigured(
                    f"the runtime's botocore {VERSIONS['botocore']} does not know {operation} with "
                    f"{', '.join(missing)}: choose a newer runtime, or put boto3 into the layer"
                )
