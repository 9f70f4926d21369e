"""Checks that the runtime's boto3 supports every parameter that the functions use.

The functions run on Lambda's own copy, which is byte-compiled and costs no size; AWS replaces it at times of its own. A
copy that is too old would refuse a parameter in the middle of an activation, with a ParamValidationError for each
device. So the parameters are looked up once, at init, where a function that cannot work takes no message; of a client
that is made when it is first needed (S3 for CRLs, Lambda for hooks, the data plane), then. The check takes about 1 ms
of the processor for the clients that `register` makes at init; to ship boto3 would add 34 MB to a deployment of which
Lambda allows 250, and an import that is not byte-compiled for the runtime.
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
        "AddThingToBillingGroup": ("billingGroupName", "thingName"),
        "AddThingToThingGroup": ("thingGroupName", "thingName"),
        "AttachPolicy": ("policyName", "target"),
        "AttachThingPrincipal": ("principal", "thingName", "thingPrincipalType"),
        "CreateThing": ("attributePayload", "billingGroupName", "thingName", "thingTypeName"),
        "DescribeCACertificate": ("certificateId",),
        "DescribeCertificate": ("certificateId",),
        "DeleteThing": ("expectedVersion", "thingName"),
        "DescribeThing": ("thingName",),
        "DetachPolicy": ("policyName", "target"),
        "DetachThingPrincipal": ("principal", "thingName"),
        "ListCertificates": ("ascendingOrder", "pageSize"),
        "ListCertificatesByCA": ("ascendingOrder", "caCertificateId", "pageSize"),
        "UpdateCACertificate": ("certificateId", "newAutoRegistrationStatus", "newStatus"),
        "UpdateCertificate": ("certificateId", "newStatus"),
        "UpdateThing": ("attributePayload", "thingName", "thingTypeName"),
    },
    "dynamodb": {
        "BatchGetItem": ("RequestItems",),
        "DeleteItem": ("ConditionExpression", "ExpressionAttributeValues", "Key", "TableName"),
        "GetItem": ("ConsistentRead", "Key", "TableName"),
        "Query": ("ExpressionAttributeValues", "IndexName", "KeyConditionExpression", "Limit", "Select", "TableName"),
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
    "cloudwatch": {
        "GetMetricStatistics": (
            "Dimensions",
            "EndTime",
            "MetricName",
            "Namespace",
            "Period",
            "StartTime",
            "Statistics",
        ),
    },
    "events": {"PutEvents": ("Entries",)},
    "iot-data": {"GetThingShadow": ("thingName",), "UpdateThingShadow": ("payload", "thingName")},
    "lambda": {"Invoke": ("FunctionName", "Payload")},
    "s3": {"GetObject": ("Bucket", "ExpectedBucketOwner", "IfNoneMatch", "Key", "VersionId")},
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

    Raises Misconfigured.
    """
    logger.info("runtime", extra=VERSIONS)
    for client in clients:
        check_client(client)


def check_client(client: Any) -> None:
    """Raise Misconfigured when botocore does not know a parameter of this client's calls."""
    model = client.meta.service_model
    for operation, parameters in PARAMETERS[model.service_name].items():
        known = model.operation_model(operation).input_shape.members if operation in model.operation_names else {}
        if missing := sorted(set(parameters) - set(known)):
            raise Misconfigured(
                f"the runtime's botocore {VERSIONS['botocore']} does not know {operation} with "
                f"{', '.join(missing)}: choose a newer runtime, or put boto3 into the layer"
            )
