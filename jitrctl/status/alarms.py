"""Knows every alarm of a stack, and reads which of them ring.

An alarm that rings is a problem of its own, unless `fleet status` reads the same thing itself: then that reading
counts, since CloudWatch is minutes behind, and the alarm is only noted. tests/cli/test_fleet_alarms.py holds the table
to the alarms that are deployed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitrctl.status.problems import FLEET, Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterpart:
    """What `fleet status` makes of an alarm."""

    meaning: str  # one sentence without a full stop; the CA's name is put before it
    severity: Severity
    reads: tuple[Kind, ...] = ()  # problems that are read directly, and say the same sooner
    is_conclusive: bool = True  # without such a problem, what the alarm watches is well
    cures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RingingAlarm:
    """An alarm in the state ALARM."""

    name: str
    section: str  # of docs/runbook.md: the alarm's name without the fleet's and the CA's
    subject: str | None  # the CA, or the group of CAs, that it is about
    since: datetime | None


_LETTERS = "messages wait where nobody works on them"

# By the alarm's section, in the order of infra/jitr_cdk/alarms.py.
COUNTERPARTS: Mapping[str, Counterpart] = {
    "dead-letters": Counterpart(
        meaning=f"registrations could not be read or failed ten times: {_LETTERS}",
        severity=Severity.LOST,
        reads=(Kind.DEAD_LETTERS,),
    ),
    "undelivered": Counterpart(
        meaning=f"AWS IoT could not send events to the queue: {_LETTERS}",
        severity=Severity.LOST,
        reads=(Kind.UNDELIVERED,),
    ),
    "backlog": Counterpart(
        meaning="devices wait longer than the fleet file allows",
        severity=Severity.WAITING,
        reads=(Kind.BACKLOG, Kind.PAUSED, Kind.FAILING),
    ),
    "register-errors": Counterpart(
        meaning="the function `register` fails as a whole", severity=Severity.FAILING, reads=(Kind.FAILING,)
    ),
    "register-throttles": Counterpart(
        meaning="the account's Lambda concurrency leaves the function `register` no room", severity=Severity.FAILING
    ),
    "sweep-errors": Counterpart(
        meaning="the function `sweep` fails as a whole",
        severity=Severity.WAITING,
        reads=(Kind.SWEEP_FAILED,),
        # A sweep that ends before it could note its failure is seen only once the next ones are late.
        is_conclusive=False,
    ),
    "sweep-throttles": Counterpart(
        meaning="the account's Lambda concurrency leaves the function `sweep` no room", severity=Severity.WAITING
    ),
    "revoke-errors": Counterpart(
        meaning="the function `revoke` fails as a whole: CRLs are not applied to ACTIVE devices",
        severity=Severity.FAILING,
    ),
    "revoke-throttles": Counterpart(
        meaning="the account's Lambda concurrency leaves the function `revoke` no room", severity=Severity.WAITING
    ),
    "crl-late": Counterpart(
        meaning="the CRL of a CA is stale or soon will be, missing or unusable",
        severity=Severity.SOON,
        reads=(Kind.CRL,),
    ),
    "crl-refused": Counterpart(
        meaning="a published CRL is not applied to ACTIVE devices: it is older than the last one, or unusable",
        severity=Severity.FAILING,
        reads=(Kind.CRL_REFUSED,),
    ),
    "crl-waits": Counterpart(
        meaning="a CRL takes out so many ACTIVE devices at once that it waits for an operator",
        severity=Severity.WAITING,
        reads=(Kind.CRL_WAITS,),
    ),
    "crl-dead-letters": Counterpart(
        meaning="a CRL could not be applied in a thousand attempts", severity=Severity.FAILING
    ),
    "failures": Counterpart(
        meaning="registrations fail for a reason of the deployment or of jitr itself",
        severity=Severity.FAILING,
        reads=(Kind.FAILING,),
    ),
    "not-permitted": Counterpart(
        meaning="AWS refuses calls of the functions: a permission or a key is missing",
        severity=Severity.FAILING,
        reads=(Kind.FAILING, Kind.SWEEP_FAILED),
    ),
    "contradictions": Counterpart(
        meaning="events say something else than their certificates: somebody publishes to the rule who should not",
        severity=Severity.FAILING,
    ),
    "disagreements": Counterpart(
        meaning="certificates are ACTIVE that an operator had shut out", severity=Severity.FAILING
    ),
    "sweep-not-run": Counterpart(
        meaning="no sweep has finished in three intervals of its schedule",
        severity=Severity.WAITING,
        reads=(Kind.SWEEP_LATE,),
    ),
    "sweep-behind": Counterpart(
        meaning="sweeps send nothing, since the queue is behind: held devices and lost events wait",
        severity=Severity.WAITING,
    ),
    "rules-refuse-many": Counterpart(
        meaning="so many devices are refused for its rules that further ones are held",
        severity=Severity.FAILING,
        reads=(Kind.BRAKE,),
    ),
    "rejections": Counterpart(
        meaning="devices were rejected in three quarters of an hour: wrong rules, or a wrong batch",
        severity=Severity.FAILING,
    ),
    "ca-expiring": Counterpart(meaning="its certificate ends soon", severity=Severity.SOON, reads=(Kind.CA_EXPIRING,)),
    "devices-expiring": Counterpart(
        meaning="ACTIVE certificates end soon, and no other one has followed",
        severity=Severity.SOON,
        reads=(Kind.DEVICES_EXPIRING,),
    ),
    "rule-failures": Counterpart(meaning="its rule could not send an event to the queue", severity=Severity.LOST),
    "rule-losses": Counterpart(
        meaning="its rule could reach neither queue: the sweep has to find the devices", severity=Severity.LOST
    ),
    "rule-throttled": Counterpart(
        meaning="AWS IoT drops its events, since the account's rules run too often", severity=Severity.LOST
    ),
    "unforwarded": Counterpart(
        meaning="events could not be forwarded to the hub for a day",
        severity=Severity.LOST,
        reads=(Kind.UNFORWARDED,),
    ),
    "out-of-place": Counterpart(
        meaning="devices became ACTIVE in accounts that are not theirs",
        severity=Severity.FAILING,
        # Of the whole fleet: --account would leave out the devices that live in other accounts than the hub's.
        cures=(f"jitrctl fleet devices --out-of-place{FLEET}",),
    ),
    "hub-dead-letters": Counterpart(
        meaning="the hub could not take in events ten times", severity=Severity.LOST, reads=(Kind.HUB_LETTERS,)
    ),
    "hub-errors": Counterpart(meaning="the hub's function fails as a whole", severity=Severity.LOST),
    "hub-throttles": Counterpart(
        meaning="the account's Lambda concurrency leaves the hub's function no room", severity=Severity.LOST
    ),
}
# An alarm of a later version of the stack.
_UNKNOWN = Counterpart(meaning="an alarm that this version of jitrctl does not know", severity=Severity.FAILING)


def read_alarms(stage: Stage) -> tuple[RingingAlarm, ...]:
    """The stack's alarms in the state ALARM.

    Raises botocore's errors.
    """
    pages = stage.access.client("cloudwatch").get_paginator("describe_alarms")
    return tuple(
        _ringing(one["AlarmName"], one.get("StateUpdatedTimestamp"))
        for page in pages.paginate(
            AlarmNamePrefix=f"{stage.names.alarm('')}", StateValue="ALARM", AlarmTypes=["MetricAlarm"]
        )
        for one in page.get("MetricAlarms", ())
    )


def counterpart(alarm: RingingAlarm) -> Counterpart:
    """What `fleet status` makes of an alarm."""
    return COUNTERPARTS.get(alarm.section, _UNKNOWN)


def _ringing(name: str, since: datetime | None) -> RingingAlarm:
    _, section, *subject = name.split("--")
    return RingingAlarm(name=name, section=section, subject=subject[0] if subject else None, since=since)
