"""Reads a stage's stack from CloudFormation: its state, its template, the CAs that it registered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitrctl.errors import Refused

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

_THERE = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_FAILED",
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    }
)


def describe(stage: Stage) -> dict[str, Any] | None:
    """The stack as DescribeStacks describes it; None when it is not deployed.

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
    """The template that the stack was deployed with; None when it is not deployed.

    Raises Refused when the template is not the CDK's; botocore's errors.
    """
    client = stage.access.client("cloudformation")
    try:
        body = client.get_template(StackName=stage.names.stack, TemplateStage="Original")["TemplateBody"]
    except ClientError as error:
        if _is_missing(error):
            return None
        raise
    try:
        return dict(json.loads(body) if isinstance(body, str) else body)
    except ValueError as error:
        raise Refused(
            f"the stack {stage.names.stack} was not deployed by `cdk deploy`: its template is no JSON"
        ) from error


def list_registered_cas(stage: Stage) -> frozenset[str]:
    """The ids of the CAs that the stack has registered; the template would also have those that failed.

    Raises botocore's errors.
    """
    pages = stage.access.client("cloudformation").get_paginator("list_stack_resources")
    try:
        return frozenset(
            one["PhysicalResourceId"]  # a CA's id
            for page in pages.paginate(StackName=stage.names.stack)
            for one in page["StackResourceSummaries"]
            if one["ResourceType"] == "AWS::IoT::CACertificate" and one["ResourceStatus"] in _THERE
        )
    except ClientError as error:
        if _is_missing(error):
            return frozenset()
        raise


def _is_missing(error: ClientError) -> bool:
    """CloudFormation's answer for a stack that does not exist is a ValidationError."""
    return "does not exist" in error.response["Error"].get("Message", "")
