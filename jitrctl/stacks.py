"""A stage's stack, as it is deployed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from jitrctl.stages import Stage


def describe(stage: Stage) -> dict[str, Any] | None:
    """What DescribeStacks says of it; None where it is not deployed.

    Raises botocore's errors.
    """
    client = stage.access.client("cloudformation")
    try:
        return dict(client.describe_stacks(StackName=stage.names.stack)["Stacks"][0])
    except ClientError as error:
        if _is_missing(error):
            return None
        raise


def template(stage: Stage) -> dict[str, Any] | None:
    """The template that it was deployed with; None where it is not deployed.

    Raises botocore's errors.
    """
    client = stage.access.client("cloudformation")
    try:
        body = client.get_template(StackName=stage.names.stack, TemplateStage="Original")["TemplateBody"]
    except ClientError as error:
        if _is_missing(error):
            return None
        raise
    return dict(json.loads(body) if isinstance(body, str) else body)


def cas(stage: Stage) -> frozenset[str]:
    """The ids of the CAs that it registers.

    Raises botocore's errors.
    """
    resources = (template(stage) or {}).get("Resources", {}).values()
    pems = (one["Properties"]["CACertificatePem"] for one in resources if one["Type"] == "AWS::IoT::CACertificate")
    return frozenset(x509.load_pem_x509_certificate(pem.encode()).fingerprint(SHA256()).hex() for pem in pems)


def _is_missing(error: ClientError) -> bool:
    """CloudFormation's answer for a stack that does not exist is a ValidationError."""
    return "does not exist" in error.response["Error"].get("Message", "")
