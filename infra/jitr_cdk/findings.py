"""Acknowledges findings of cdk-nag at their constructs, each with the reason.

`make synth` and the tests run the AwsSolutions pack; a finding that is not acknowledged fails both.
"""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

_PACK = "AwsSolutions"


def acknowledge(construct: IConstruct, rule: str, why: str) -> None:
    """Record why one rule of the pack, such as "SQS3", does not hold for a construct."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{_PACK}::{_PACK}-{rule}", reason=why))


def acknowledge_wildcards(role: IConstruct, wildcards: Mapping[str, str]) -> None:
    """Record why a role's statements name these resources: ARN with a wildcard → why there is nothing narrower."""
    stack = cdk.Stack.of(role)
    for arn, why in wildcards.items():
        acknowledge(role, f"IAM5[Resource::{_format_arn(stack.resolve(arn))}]", why)


def _format_arn(value: Any) -> str:
    """A resolved ARN as cdk-nag writes it: references in angle brackets."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [glue, parts]}:
            return str(glue).join(map(_format_arn, parts))
        case _:
            return str(value)
