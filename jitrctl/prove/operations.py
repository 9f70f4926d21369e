"""Lists every call that `jitrctl prove` may make, with the parameters that name what the journal must have.

A call that is not listed is not sent (guard.py). policies/operators/prove.json allows exactly these actions; a test
compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jitrctl.prove.journal import ResourceKind


class By(Enum):
    """How a parameter names a thing."""

    NAME = "name"
    ID = "id"
    PEM = "pem"
    ARN = "arn"  # of a certificate
    URL = "url"  # of a queue
    CLIENT = "client"  # an MQTT client id, which begins with the run's id


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTarget:
    """A parameter that names what is made or changed."""

    parameter: str
    by: By
    kind: ResourceKind = ResourceKind.CERTIFICATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation; without targets it only reads."""

    service: str
    action: str  # IAM's
    targets: tuple[CallTarget, ...] = ()


def _reads(*actions: str) -> list[Operation]:
    return [Operation(service=action.partition(":")[0], action=action) for action in actions]


def _changes(action: str, *targets: CallTarget) -> Operation:
    return Operation(service=action.partition(":")[0], action=action, targets=targets)


_CA = CallTarget(parameter="certificateId", by=By.ID, kind=ResourceKind.CA)
_CERTIFICATE = CallTarget(parameter="certificateId", by=By.ID)
_POLICY = CallTarget(parameter="policyName", by=By.NAME, kind=ResourceKind.POLICY)
_TARGET = CallTarget(parameter="target", by=By.ARN)
_THING = CallTarget(parameter="thingName", by=By.NAME, kind=ResourceKind.THING)
_PRINCIPAL = CallTarget(parameter="principal", by=By.ARN)
_ROLE = CallTarget(parameter="RoleName", by=By.NAME, kind=ResourceKind.ROLE)

_QUEUE = CallTarget(parameter="QueueUrl", by=By.URL, kind=ResourceKind.QUEUE)
_FUNCTION = CallTarget(parameter="FunctionName", by=By.NAME, kind=ResourceKind.FUNCTION)

_ALL = [
    *_reads(
        "cloudformation:DescribeStacks",
        "iot:DescribeCACertificate",
        "iot:DescribeCertificate",
        "iot:DescribeEndpoint",
        "iot:GetRegistrationCode",
        "iot:ListAttachedPolicies",
        "iot:ListCACertificates",
        "iot:ListCertificates",
        "iot:ListCertificatesByCA",
        "iot:ListPrincipalThings",
        "iot:ListTopicRules",
        "lambda:GetFunctionConfiguration",
        "lambda:ListEventSourceMappings",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    ),
    _changes("iot:RegisterCACertificate", CallTarget(parameter="caCertificate", by=By.PEM, kind=ResourceKind.CA)),
    _changes("iot:UpdateCACertificate", _CA),
    _changes("iot:DeleteCACertificate", _CA),
    _changes("iot:RegisterCertificateWithoutCA", CallTarget(parameter="certificatePem", by=By.PEM)),
    _changes("iot:UpdateCertificate", _CERTIFICATE),
    _changes("iot:DeleteCertificate", _CERTIFICATE),
    _changes("iot:CreatePolicy", _POLICY),
    _changes("iot:AttachPolicy", _POLICY, _TARGET),
    _changes("iot:DetachPolicy", _POLICY, _TARGET),
    _changes("iot:DeletePolicy", _POLICY),
    _changes("iot:CreateThing", _THING),
    _changes("iot:AttachThingPrincipal", _THING, _PRINCIPAL),
    _changes("iot:DetachThingPrincipal", _THING, _PRINCIPAL),
    _changes("iot:DeleteThing", _THING),
    Operation(
        service="iot-data", action="iot:DeleteConnection", targets=(CallTarget(parameter="clientId", by=By.CLIENT),)
    ),
    _changes("iam:CreateRole", _ROLE),
    _changes("iam:DeleteRole", _ROLE),
    _changes("iam:PutRolePolicy", _ROLE),
    _changes("iam:DeleteRolePolicy", _ROLE),
    _changes("sqs:CreateQueue", CallTarget(parameter="QueueName", by=By.NAME, kind=ResourceKind.QUEUE)),
    _changes("sqs:DeleteQueue", _QUEUE),
    _changes("sqs:SendMessage", _QUEUE),
    _changes("sqs:ReceiveMessage", _QUEUE),
    _changes("lambda:CreateFunction", _FUNCTION),
    _changes("lambda:DeleteFunction", _FUNCTION),
    _changes(
        "lambda:CreateEventSourceMapping", CallTarget(parameter="FunctionName", by=By.NAME, kind=ResourceKind.MAPPING)
    ),
    _changes("lambda:DeleteEventSourceMapping", CallTarget(parameter="UUID", by=By.ID, kind=ResourceKind.MAPPING)),
]
# By service and by the API's name of the operation.
OPERATIONS = {(one.service, one.action.partition(":")[2]): one for one in _ALL}
# Permissions that AWS checks besides the call's own: to pass the role to AWS IoT.
BESIDE = frozenset({"iam:PassRole"})
