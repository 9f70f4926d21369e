"""Holds what the demo's scenes share: the two deployed accounts, the CAs with their keys, the summary."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.client import ConnectRefusal
from jitrctl.mqtt.errors import NotAcceptedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jitr_fleet.model import Fleet
    from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
    from jitrctl.localaws.stage import LocalStage

PATIENCE = 30.0  # seconds for a device to be accepted, or a decision to be recorded, before a scene fails
_POLL = 0.2  # seconds


@dataclass(slots=True)
class Detail:
    """The output of a step: rows of a table, all with the same keys, and a note."""

    rows: list[dict[str, str]] = field(default_factory=list)
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Cast:
    """The deployed accounts and the files: `first` has the first CA in DEFAULT mode, `second` in SNI_ONLY mode."""

    first: LocalStage
    second: LocalStage
    cas: Mapping[str, IssuingCa]  # by their names in fleet.toml, in its order
    example: Fleet  # the checkout's fleet file
    fleet_file: Path  # the deployed one
    devices: Path  # the folder with their files
    # The device whose event was lost, how its CONNECT was answered, and when; from recovering.lose_event on.
    lost: tuple[DeviceFiles, str, float] | None = None
    summary: list[dict[str, str]] = field(default_factory=list)  # one row for each device

    @property
    def ca(self) -> IssuingCa:
        """The fleet's first CA."""
        return next(iter(self.cas.values()))

    def order(self, stage: LocalStage, *words: str) -> None:
        """Run `jitrctl …` on one account.

        Raises LocalAwsError with the command's output when it fails.
        """
        self.order_in([stage], *words)

    def order_in(self, stages: Sequence[LocalStage], *words: str) -> str:
        """Run `jitrctl …` on these accounts; returns its standard output.

        Raises LocalAwsError with the command's output when it fails.
        """
        accounts = [option for stage in stages for option in ("--account", stage.name)]
        regions = [option for region in {stage.account.region for stage in stages} for option in ("--region", region)]
        done = subprocess.run(
            [sys.executable, "-m", "jitrctl", *words, *accounts, *regions, "--fleet", str(self.fleet_file)],
            env=stages[0].account.environ_over(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        expect(done.returncode == 0, f"jitrctl {' '.join(words)}: {' '.join((done.stdout + done.stderr).split())}")
        return done.stdout

    def sum_up(self, device: str, stage: LocalStage, outcome: str, seconds: str = "-") -> None:
        self.summary.append(
            {"device": device, "account": f"{stage.name} ({stage.mode})", "outcome": outcome, "seconds": seconds}
        )


def connect_accepted(stage: LocalStage, files: DeviceFiles, name: str) -> Any:
    """Connect a device until it is accepted; returns the connection.

    Raises LocalAwsError, with what was recorded or logged instead.
    """
    try:
        return stage.device(files, name).connect_until_accepted(stage.endpoint, patience=PATIENCE)[0]
    except NotAcceptedError as error:
        decision = stage.decision(files.certificate_id)
        recorded = (
            f"; recorded: {decision.outcome} {decision.reason or ''}" if decision else stage.describe_last_error()
        )
        raise LocalAwsError(f"{stage.name} did not accept {name} in {PATIENCE:.0f} s{recorded}") from error


def connect_refused(stage: LocalStage, files: DeviceFiles, name: str, *, sni: bool = True) -> str:
    """Send one CONNECT that must be refused; returns the refusal in words.

    Raises LocalAwsError when it is accepted.
    """
    answer = stage.device(files, name).connect(stage.endpoint if sni else stage.endpoint.without_sni())
    if isinstance(answer, ConnectRefusal):
        return "closed without CONNACK" if answer.how == "closed" else f"{answer.how}: {answer.detail}"
    answer.close()
    raise LocalAwsError(f"{stage.name} accepted {name}, which must not get in")


def sweep_until(stage: LocalStage, done: Callable[[], bool]) -> int:
    """Run the sweep until `done`; returns the number of certificates it sent.

    Raises LocalAwsError when `done` is not reached in time.
    """
    sent, deadline = 0, time.monotonic() + PATIENCE
    while True:
        sent += int(stage.sweep().get("sent", 0))
        if done():
            return sent
        expect(time.monotonic() < deadline, f"the sweep did nothing in {PATIENCE:.0f} s{stage.describe_last_error()}")
        time.sleep(_POLL)


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 -- reads as a sentence at each call
    """Fail the scene with this sentence unless the condition holds."""
    if not holds:
        raise LocalAwsError(otherwise)


def row(seconds: str, did: str, came_back: str) -> dict[str, str]:
    """One row: what the device did, and AWS IoT's answer."""
    return {"seconds": seconds, "device": did, "AWS IoT": came_back}
