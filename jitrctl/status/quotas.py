"""Compares the Service Quotas that limit activation in a stage with the rate in the fleet file.

A quota is found by its name, else by its code. Service code, names, codes and defaults were checked against two dumps
of the API (docs/aws-facts.md, §6). If Service Quotas does not know a quota, the default here is used and marked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.aws.rate_limit import max_concurrency_for
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.session.stage import Stage

SERVICE = "iotcore"
_LAMBDA = "lambda"
# Concurrent executions besides those of `register`: the sweep, the hub's function, a direct invocation.
_OTHER_EXECUTIONS = 4
_SECONDS_A_CA_IS_KNOWN = 60
# A requested increase exceeds the rate, for calls of operators and the sweep, and for retries.
_ROOM = 1.25
# Increases of concurrency below AWS's own default are granted to the default (Lambda guide, "Lambda quotas").
_LEAST_INCREASED_CONCURRENCY = 1000
_STEP = 5  # increases are rounded up to a multiple of this
_FAR = 2  # a rate that is lower than the quotas by this factor is reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One quota: what it limits, its name and code, its default per second, and the calls of one activation.

    Lambda's quota is no rate: `executions` is then the number that the stage needs at once.
    """

    action: str
    name: str
    code: str
    default: float
    calls: float = 1
    service: str = SERVICE
    executions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaFinding:
    """One quota in one stage, and what the stage needs."""

    bound: Bound
    value: float  # calls per second, or executions at once
    known: bool  # from Service Quotas; else AWS's default
    needed: float  # calls per second at the fleet file's rate
    asked: float | None = None  # a requested increase that is pending

    @property
    def is_enough(self) -> bool:
        return self.value >= self.needed

    @property
    def increase(self) -> int | None:
        """The increase to request; None when the quota is enough."""
        if self.is_enough:
            return None
        if self.bound.executions:
            return _LEAST_INCREASED_CONCURRENCY
        return math.ceil(self.needed * _ROOM / _STEP) * _STEP


def _of_api(action: str, code: str, default: float, *, calls: float = 1) -> Bound:
    """The quota of an API call."""
    return Bound(action=action, name=f"{action} API TPS", code=code, default=default, calls=calls)


# In the order of an activation's calls. The first limits the registrations, before any function runs.
BOUNDS = (
    Bound(
        action="device certificates registered",
        name="Maximum number of device certificates that can be registered per second",
        code="L-3E927DFC",
        default=15,
    ),
    _of_api("DescribeCertificate", "L-FC864907", 10),
    _of_api("CreateThing", "L-64CBACAC", 100),
    _of_api("AttachThingPrincipal", "L-F64D1AA6", 100),
    _of_api("AttachPolicy", "L-CA7D4E3E", 15),
    _of_api("UpdateCertificate", "L-77B523DC", 10),
)


def bounds(stage: Stage) -> tuple[Bound, ...]:
    """The quotas that limit this stage; counts one call for each thing group of the CA with the most."""
    groups = max((len(one.ca.thing_groups) for one in stage.account.cas), default=0)
    joining = _of_api("AddThingToThingGroup", "L-2904683A", 100, calls=groups)
    concurrency = Bound(
        action="functions at once",
        name="Concurrent executions",
        code="L-B99A9384",
        default=1000,
        service=_LAMBDA,
        executions=max_concurrency_for(stage.account.activations_per_second) + _OTHER_EXECUTIONS,
    )
    # Each environment caches a CA for a minute (jitr.aws.iot): at most so many reads, at any rate.
    environments = max_concurrency_for(stage.account.activations_per_second)
    reads = environments * len(stage.account.cas) / _SECONDS_A_CA_IS_KNOWN
    of_ca = _of_api("DescribeCACertificate", "L-E72BB356", 10, calls=reads / stage.account.activations_per_second)
    # After a refusal by a hook, what an earlier attempt attached is listed: at most once for each device.
    asked = any(one.ca.hook_in(stage.account, stage.region) for one in stage.account.cas)
    of_hook = _of_api("ListPrincipalThings", "L-C481616A", 10)
    return (*BOUNDS, *([joining] if groups else []), of_ca, *([of_hook] if asked else []), concurrency)


def read_quotas(stage: Stage) -> list[QuotaFinding]:
    """Read each quota from Service Quotas.

    Raises Refused where the stage is not on AWS; botocore's errors, AccessError.
    """
    if stage.access.elsewhere:
        raise Refused(f"{stage.access.elsewhere} is not AWS, and has no quotas: look at the accounts on AWS")
    client = stage.access.client("service-quotas")
    # An account's quota is listed only after an increase was requested; so the defaults are listed first.
    found = []
    for service in (SERVICE, _LAMBDA):
        listed = _list_quotas(client, "list_aws_default_service_quotas", service)
        listed |= _list_quotas(client, "list_service_quotas", service)
        pending = _list_pending(client, service)
        found += [
            _finding(stage, bound, listed.get(bound.name) or listed.get(bound.code), pending)
            for bound in bounds(stage)
            if bound.service == service
        ]
    return found


def _finding(
    stage: Stage, bound: Bound, listed: tuple[str, float] | None, pending: Mapping[str, float]
) -> QuotaFinding:
    code, value = listed or (bound.code, bound.default)
    return QuotaFinding(
        bound=replace(bound, code=code),
        value=value,
        known=listed is not None,
        needed=bound.executions or round(stage.account.activations_per_second * bound.calls, 1),
        asked=pending.get(code),
    )


def _list_quotas(client: Any, operation: str, service: str) -> dict[str, tuple[str, float]]:
    """The quotas that an operation lists, by name and by code: (code, value); empty for an unknown service."""
    found: dict[str, tuple[str, float]] = {}
    try:
        for page in client.get_paginator(operation).paginate(ServiceCode=service):
            for one in page["Quotas"]:
                found[one["QuotaName"]] = found[one["QuotaCode"]] = (one["QuotaCode"], float(one["Value"]))
    except ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchResourceException":
            raise
    return found


def _list_pending(client: Any, service: str) -> dict[str, float]:
    """Pending increases, by quota code."""
    found: dict[str, float] = {}
    pages = client.get_paginator("list_requested_service_quota_change_history").paginate(ServiceCode=service)
    for page in pages:
        for one in page["RequestedQuotas"]:
            if one["Status"] in ("PENDING", "CASE_OPENED"):
                found[one["QuotaCode"]] = max(found.get(one["QuotaCode"], 0), float(one["DesiredValue"]))
    return found


def unused_rate(found: Sequence[QuotaFinding]) -> float | None:
    """The activations per second that the quotas allow, if the fleet file's rate is far below it; else None."""
    rates = [one for one in found if not one.bound.executions]
    allowed = min(one.value / one.bound.calls for one in rates)
    pace = max(one.needed for one in rates if one.bound.calls == 1)
    return allowed if allowed >= _FAR * pace else None


def increase_command(stage: Stage, finding: QuotaFinding) -> str:
    """The AWS CLI command that requests the increase."""
    profile = f" --profile {stage.account.profile}" if stage.account.profile else ""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {finding.bound.service} "
        f"--quota-code {finding.bound.code} --desired-value {finding.increase} --region {stage.region}{profile}"
    )
