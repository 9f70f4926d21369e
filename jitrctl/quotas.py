"""The Service Quotas that bound activation in an account and Region, beside the pace that the fleet file asks for.

Codes and defaults are those of Service Quotas, "AWS IoT Core", as read in 2024 and 2025; the defaults are only shown
where Service Quotas cannot be asked, and say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitrctl.explaining import is_missing

if TYPE_CHECKING:
    from jitrctl.stages import Stage

SERVICE = "iotcore"
# What is asked for above the pace: an operator's and the sweep's own calls, and retries.
_ROOM = 1.25
_STEP = 5  # quotas are asked for in round numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One quota: its code, its default per second, and how many of its calls one activation takes."""

    action: str
    code: str
    default: float
    calls: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What holds for one quota in one stage."""

    bound: Bound
    value: float  # calls per second
    known: bool  # whether Service Quotas said so; else it is AWS's default
    needed: float  # calls per second at the fleet file's pace
    asked: float | None = None  # an increase that was asked for and is not decided

    @property
    def is_enough(self) -> bool:
        return self.value >= self.needed

    @property
    def increase(self) -> int | None:
        """What to ask for; None when it is enough."""
        return None if self.is_enough else math.ceil(self.needed * _ROOM / _STEP) * _STEP


# In the order of an activation's calls. The first bounds what can be registered at all, before any function runs.
BOUNDS = (
    Bound(action="device certificates registered", code="L-3E927DFC", default=15),
    Bound(action="DescribeCertificate", code="L-FC864907", default=10),
    Bound(action="CreateThing", code="L-64CBACAC", default=100),
    Bound(action="AttachThingPrincipal", code="L-F64D1AA6", default=100),
    Bound(action="AttachPolicy", code="L-CA7D4E3E", default=15),
    Bound(action="UpdateCertificate", code="L-77B523DC", default=10),
)


def bounds(stage: Stage) -> tuple[Bound, ...]:
    """The quotas that bound this stage; each group is a call more for a device, of the CA with the most."""
    groups = max((len(one.ca.thing_groups) for one in stage.account.cas), default=0)
    joining = Bound(action="AddThingToThingGroup", code="L-2904683A", default=100, calls=groups)
    return (*BOUNDS, joining) if groups else BOUNDS


def look(stage: Stage) -> list[Finding]:
    """What Service Quotas says of each.

    Raises botocore's errors, AccessError.
    """
    client = stage.access.client("service-quotas")
    pending = _pending(client)
    return [_finding(client, stage, bound, pending.get(bound.code)) for bound in bounds(stage)]


def _finding(client: Any, stage: Stage, bound: Bound, asked: float | None) -> Finding:
    value = _value(client, bound.code)
    return Finding(
        bound=bound,
        value=bound.default if value is None else value,
        known=value is not None,
        needed=stage.account.activations_per_second * bound.calls,
        asked=asked,
    )


def _value(client: Any, code: str) -> float | None:
    """The quota in force: the account's own, or AWS's default for the Region; None where AWS knows no such quota."""
    for operation in (client.get_service_quota, client.get_aws_default_service_quota):
        try:
            return float(operation(ServiceCode=SERVICE, QuotaCode=code)["Quota"]["Value"])
        except ClientError as error:
            if not (is_missing(error) or error.response["Error"].get("Code") == "NoSuchResourceException"):
                raise
    return None


def _pending(client: Any) -> dict[str, float]:
    """Increases that were asked for and are not decided, by quota code."""
    found: dict[str, float] = {}
    pages = client.get_paginator("list_requested_service_quota_change_history").paginate(ServiceCode=SERVICE)
    for page in pages:
        for one in page["RequestedQuotas"]:
            if one["Status"] in ("PENDING", "CASE_OPENED"):
                found[one["QuotaCode"]] = max(found.get(one["QuotaCode"], 0), float(one["DesiredValue"]))
    return found


def order(stage: Stage, finding: Finding) -> str:
    """The AWS CLI's command that asks for the increase."""
    profile = f" --profile {stage.account.profile}" if stage.account.profile else ""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {SERVICE} "
        f"--quota-code {finding.bound.code} --desired-value {finding.increase} --region {stage.region}{profile}"
    )
