"""Opens the accounts of a run: guarded clients, connections of devices, and the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from jitrctl import clock
from jitrctl.errors import Unusable
from jitrctl.prove.devices import MqttDevices, find_stage_endpoint
from jitrctl.prove.guard import Guard
from jitrctl.prove.place import ProvePlace
from jitrctl.session.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from jitrctl.prove.devices import Devices
    from jitrctl.prove.journal import Journal
    from jitrctl.prove.place import Time
    from jitrctl.prove.probe import Probe

_MOST = 2  # accounts
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})
# Regions to compare registration codes with, if the fleet file has one Region for the account.
_OTHERS = ("us-east-1", "eu-west-1")


class RealTime:
    """The real time."""

    def now(self) -> datetime:
        return clock.now()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def choose_region(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """One stage for each account, all in the first Region that they share.

    Raises Unusable when there are more than two accounts, or no such Region.
    """
    accounts = list(dict.fromkeys(stage.account.name for stage in stages))
    if len(accounts) > _MOST:
        raise Unusable(f"the fleet has accounts {', '.join(accounts)}: choose one or two with --account")
    for region in dict.fromkeys(stage.region for stage in stages):
        here = tuple(stage for stage in stages if stage.region == region)
        if len(here) == len(accounts):
            return here
    raise Unusable(f"accounts {' and '.join(accounts)} share no Region: choose accounts that do")


def open_place(stage: Stage, journal: Journal, devices: Devices, time_: Time) -> ProvePlace:
    """A stage as probes see it.

    Raises AccessError, botocore's errors.
    """
    guard = Guard(account=stage.account.id, region=stage.region, journal=journal, sleep=time_.sleep)

    def open_client(service: str, *, once: bool = False) -> Any:
        return stage.access.client(service, _ONCE) if once else stage.access.client(service)

    def registration_code_in(region: str) -> str:
        elsewhere = Stage(fleet=stage.fleet, account=stage.account, region=region)
        return str(guard.client("iot", elsewhere.iot).get_registration_code()["registrationCode"])

    return ProvePlace(
        account=stage.account.id,
        region=stage.region,
        label=str(stage),
        partition=stage.caller.split(":")[1],
        guard=guard,
        devices=devices,
        open=open_client,
        registration_code_in=registration_code_in,
    )


def open_devices(stage: Stage, folder: Path) -> Devices:
    """Devices that connect to a stage; `folder` is private, and its maker removes it.

    Raises Unusable when there is no data endpoint; botocore's errors.
    """
    return MqttDevices(endpoint=find_stage_endpoint(stage), folder=folder)


def other_region(stage: Stage) -> str | None:
    """Another Region of the account."""
    in_file = [region for region in stage.account.regions if region != stage.region]
    others = _OTHERS if stage.caller.startswith("arn:aws:") else ()
    return next(iter(in_file), None) or next((region for region in others if region != stage.region), None)


def list_unanswerable(stage: Stage, probes: Sequence[Probe]) -> Mapping[str, str]:
    """The probes that the local AWS cannot answer, if the stage is there: name → why."""
    if stage.access.elsewhere is None:
        return {}
    return {probe.name: probe.not_local for probe in probes if probe.not_local}
