"""The Service Quotas that bound activation in an account and Region, beside the pace that the fleet file asks for.

A quota is found by its name, else by its code, and its code is the one that Service Quotas gives it. Service code,
names, codes and defaults were checked against two dumps of the API (docs/aws-facts.md, §6); the codes and defaults here
are used where Service Quotas knows neither, and said to be so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.aws.rate_limit import max_concurrency_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.session.stage import Stage

SERVICE = "iotcore"
_LAMBDA = "lambda"
# What the functions besides `register` may need at once: the sweep, the hub's, and a direct invocation.
_OTHER_EXECUTIONS = 4
_SECONDS_A_CA_IS_KNOWN = 60
# What is asked for above the pace: an operator's and the sweep's own calls, and retries.
_ROOM = 1.25
# Increases of concurrency below AWS's own default are granted to the default (Lambda guide, "Lambda quotas").
_LEAST_INCREASED_CONCURRENCY = 1000
_STEP = 5  # quotas are asked for in round numbers
_FAR = 2  # a pace so many times below what the quotas allow is named


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One quota: what it bounds, its name and code, its default per second, and how many calls one activation takes.

    That of another service than AWS IoT's is no rate: `executions` is then what the stage needs at once.
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
    """What holds for one quota in one stage."""

    bound: Bound
    value: float  # calls per second, or executions at once
    known: bool  # whether Service Quotas said so; else it is AWS's default
    needed: float  # calls per second at the fleet file's pace
    asked: float | None = None  # an increase that was asked for and is not decided

    @property
    def is_enough(self) -> bool:
        return self.value >= self.needed

    @property
    def increase(self) -> int | None:
        """What to ask for; None when it is enough."""
        if self.is_enough:
            return None
        if self.bound.executions:
            return _LEAST_INCREASED_CONCURRENCY
        return math.ceil(self.needed * _ROOM / _STEP) * _STEP


def _of_api(action: str, code: str, default: float, *, calls: float = 1) -> Bound:
    """The quota of an API's calls."""
    return Bound(action=action, name=f"{action} API TPS", code=code, default=default, calls=calls)


# In the order of an activation's calls. The first bounds what can be registered at all, before any function runs.
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
    """The quotas that bound this stage; each group is a call more for a device, of the CA with the most."""
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
    # What each environment remembers of a CA for a minute (jitr.aws.iot): at most so many reads, whatever the pace.
    environments = max_concurrency_for(stage.account.activations_per_second)
    reads = environments * len(stage.account.cas) / _SECONDS_A_CA_IS_KNOWN
    of_ca = _of_api("DescribeCACertificate", "L-E72BB356", 10, calls=reads / stage.account.activations_per_second)
    # A refusal by a hook looks up what an earlier attempt attached: once for each device at the most.
    asked = any(one.ca.hook_in(stage.account, stage.region) for one in stage.account.cas)
    of_hook = _of_api("ListPrincipalThings", "L-C481616A", 10)
    return (*BOUNDS, *([joining] if groups else []), of_ca, *([of_hook] if asked else []), concurrency)


def read_quotas(stage: Stage) -> list[QuotaFinding]:
    """What Service Quotas says of each.

    Raises botocore's errors, AccessError.
    """
    client = stage.access.client("service-quotas")
    # An account's own quota is listed only once it has been asked for or applied, so the defaults stand behind them.
    found = []
    for service in (SERVICE, _LAMBDA):
        listed = _listed(client, "list_aws_default_service_quotas", service)
        listed |= _listed(client, "list_service_quotas", service)
        pending = _pending(client, service)
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


def _listed(client: Any, operation: str, service: str) -> dict[str, tuple[str, float]]:
    """Every quota that an operation lists: name, and code → code and value; none where it does not know the service."""
    found: dict[str, tuple[str, float]] = {}
    try:
        for page in client.get_paginator(operation).paginate(ServiceCode=service):
            for one in page["Quotas"]:
                found[one["QuotaName"]] = found[one["QuotaCode"]] = (one["QuotaCode"], float(one["Value"]))
    except ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchResourceException":
            raise
    return found


def _pending(client: Any, service: str) -> dict[str, float]:
    """Increases that were asked for and are not decided, by quota code."""
    found: dict[str, float] = {}
    pages = client.get_paginator("list_requested_service_quota_change_history").paginate(ServiceCode=service)
    for page in pages:
        for one in page["RequestedQuotas"]:
            if one["Status"] in ("PENDING", "CASE_OPENED"):
                found[one["QuotaCode"]] = max(found.get(one["QuotaCode"], 0), float(one["DesiredValue"]))
    return found


def unused_rate(found: Sequence[QuotaFinding]) -> float | None:
    """The activations per second that the quotas allow, where the fleet file's pace is far below it; else None."""
    rates = [one for one in found if not one.bound.executions]
    allowed = min(one.value / one.bound.calls for one in rates)
    pace = max(one.needed for one in rates if one.bound.calls == 1)
    return allowed if allowed >= _FAR * pace else None


def increase_command(stage: Stage, finding: QuotaFinding) -> str:
    """The AWS CLI's command that asks for the increase."""
    profile = f" --profile {stage.account.profile}" if stage.account.profile else ""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {finding.bound.service} "
        f"--quota-code {finding.bound.code} --desired-value {finding.increase} --region {stage.region}{profile}"
    )
