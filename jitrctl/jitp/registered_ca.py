"""Reads from an account how a CA is registered, its provisioning template, and the policies that this names."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

_POLICY_NAME = re.compile(r"[a-zA-Z0-9_+=,.@-]{1,128}")  # API reference, GetPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCa:
    """A CA as DescribeCACertificate says."""

    certificate_id: str
    pem: str
    mode: str
    active: bool
    registers_automatically: bool
    modified_at: datetime | None
    config: Mapping[str, str] = field(hash=False)  # registrationConfig; empty: no template is on it

    @property
    def has_template(self) -> bool:
        return bool(self.config.get("templateBody") or self.config.get("templateName"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JitpTemplate:
    """A provisioning template on a CA."""

    body: str
    name: str | None  # None: the body is the CA's own
    role_arn: str | None


def describe_ca(iot: Any, certificate_id: str) -> RegisteredCa | None:
    """How a CA is registered; None when it is not.

    Raises botocore's errors.
    """
    try:
        answer = iot.describe_ca_certificate(certificateId=certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return None
    described = answer["certificateDescription"]
    config = answer.get("registrationConfig") or {}
    return RegisteredCa(
        certificate_id=certificate_id,
        pem=described["certificatePem"],
        mode=described.get("certificateMode", "DEFAULT"),  # absent for CAs that are older than modes
        active=described["status"] == "ACTIVE",
        registers_automatically=described.get("autoRegistrationStatus") == "ENABLE",
        modified_at=described.get("lastModifiedDate"),
        config={name: config[name] for name in ("templateBody", "templateName", "roleArn") if config.get(name)},
    )


def read_template(iot: Any, ca: RegisteredCa) -> JitpTemplate:
    """The template on a CA.

    Raises Refused when there is none, or the one that it names does not exist; botocore's errors.
    """
    if not ca.has_template:
        raise Refused(
            "there is no provisioning template on this CA, so JITP provisions none of its devices: there is nothing to "
            "adopt; `jitrctl ca plan` says what jitr needs"
        )
    if body := ca.config.get("templateBody"):
        return JitpTemplate(body=body, name=None, role_arn=ca.config.get("roleArn"))
    name = ca.config["templateName"]
    try:
        found = iot.describe_provisioning_template(templateName=name)
    except iot.exceptions.ResourceNotFoundException as error:
        raise Refused(
            f"the CA names the provisioning template {name}, which does not exist, so JITP provisions no device: make "
            "it again, or take it off the CA with `aws iot update-ca-certificate --remove-auto-registration`"
        ) from error
    return JitpTemplate(body=found["templateBody"], name=name, role_arn=found.get("provisioningRoleArn"))


def read_policies(iot: Any, names: Iterable[str]) -> dict[str, str | None]:
    """The documents of these policies' default versions; None: there is no such policy, or can be none.

    Raises botocore's errors.
    """
    found: dict[str, str | None] = {}
    for name in dict.fromkeys(names):
        found[name] = None
        if _POLICY_NAME.fullmatch(name) and name not in (".", ".."):  # in a URL these two are other places
            with suppress(iot.exceptions.ResourceNotFoundException, iot.exceptions.InvalidRequestException):
                found[name] = str(iot.get_policy(policyName=name)["policyDocument"])
    return found
