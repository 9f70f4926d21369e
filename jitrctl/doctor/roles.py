"""Reads an IAM role: its trust policy and its permissions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role's policy documents, parsed."""

    arn: str
    trust: dict[str, Any]
    permissions: tuple[dict[str, Any], ...]  # inline and managed


def read(iam: Any, name: str) -> Role | None:
    """The role of that name; None if it does not exist. Its permission boundary is not read.

    Raises botocore's errors.
    """
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    inline = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=name)
        for policy in page["PolicyNames"]
    ]
    managed = [
        _managed(iam, policy["PolicyArn"])
        for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
        for policy in page["AttachedPolicies"]
    ]
    return Role(
        arn=role["Arn"],
        trust=_parsed(role["AssumeRolePolicyDocument"]),
        permissions=tuple(_parsed(document) for document in (*inline, *managed)),
    )


def _managed(iam: Any, arn: str) -> Any:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def _parsed(document: Any) -> dict[str, Any]:
    """A document as a value: botocore parses it, an emulator may answer text."""
    return dict(json.loads(document) if isinstance(document, str) else document)
