"""Measures new devices that connect at once to the local AWS, as real MQTT clients: seconds until each is accepted.

    python -m bench.mqtt --devices 60

The stack is deployed by the CDK CLI, and its function is warm, since one device connected before. All clients are
threads of this process, on the same processors as the local AWS: compare runs on an idle machine only.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.table import Row, markdown
from jitrctl.demo.story import Story
from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace

PATIENCE = 180.0  # seconds
_SET_UP_STEPS = 3  # of the story: start, deploy, register the CAs


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One device: seconds from the common start to its CONNACK, and the CONNECTs that it took."""

    seconds: float
    connects: int


def main() -> int:
    """Start the demo's accounts, connect all devices to the first one, print the times."""
    parser = argparse.ArgumentParser(prog="python -m bench.mqtt", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[60])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jitr-mqtt-") as directory:
        workspace = Workspace(directory=Path(directory))
        try:
            rows = [row_of(number, arrivals) for number, arrivals in _measure(workspace, options.devices)]
        finally:
            accounts.down(workspace.directory)
    sys.stdout.write(markdown(["devices", "last, s", "median, s", "first, s", "CONNECTs a device"], rows))
    return 0


def _measure(workspace: Workspace, numbers: list[int]) -> list[tuple[int, list[Arrival]]]:
    story = Story(workspace)
    for step in story.steps()[:_SET_UP_STEPS]:
        sys.stderr.write(f"{step.title}\n")
        step.play()
    stage, ca = story.cast.first, story.cast.ca
    connect(stage, ca.issue(workspace.devices, "sensor-0000"), "sensor-0000", time.monotonic())
    found = []
    for at, number in enumerate(numbers, start=1):
        names = [f"sensor-{at}{one:04}" for one in range(number)]
        files = {name: ca.issue(workspace.devices, name) for name in names}
        began = time.monotonic()
        with ThreadPoolExecutor(number) as pool:
            arrivals = list(pool.map(partial(_connect_named, stage, files, began), names))
        found.append((number, arrivals))
    return found


def _connect_named(stage: LocalStage, files: dict[str, DeviceFiles], began: float, name: str) -> Arrival:
    return connect(stage, files[name], name, began)


def connect(stage: LocalStage, files: DeviceFiles, name: str, began: float) -> Arrival:
    """Connect one device until it is accepted.

    Raises NotAcceptedError after PATIENCE.
    """
    connection, attempts = stage.device(files, name).connect_until_accepted(stage.endpoint, patience=PATIENCE)
    arrived = time.monotonic() - began
    connection.close()
    return Arrival(seconds=arrived, connects=len(attempts))


def row_of(number: int, arrivals: list[Arrival]) -> Row:
    """The table's row."""
    seconds = [one.seconds for one in arrivals]
    connects = sum(one.connects for one in arrivals) / len(arrivals)
    return [number, round(max(seconds), 1), round(median(seconds), 1), round(min(seconds), 1), round(connects, 1)]


if __name__ == "__main__":
    raise SystemExit(main())
