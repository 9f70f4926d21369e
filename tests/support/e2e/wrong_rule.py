"""Devices of a stage whose pattern is wrong, and is mended; and what CloudWatch makes of the stage's logs."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from jitrctl.mqtt.client import ConnectRefusal
from tests.support.e2e.waiting import wait_until
from tests.support.local.deployed import Deployed

if TYPE_CHECKING:
    from jitrctl.localaws.issuing import DeviceFiles

RIGHT, WRONG = '"sensor-[0-9]{4,}"', '"senzor-[0-9]{4,}"'
# Held devices have a twentieth of the rate where new ones wait, and each environment looks at one of them now and then.
PATIENCE = 180.0  # seconds


class Devices:
    """Devices of one stage, by name."""

    def __init__(self, fleet: Deployed, names: Sequence[str]) -> None:
        self._fleet = fleet
        self.by_name: dict[str, DeviceFiles] = {name: fleet.issue(name) for name in names}

    def connect(self, names: Sequence[str]) -> None:
        """Connect each once; all are refused, as at a first connection or when they are not ACTIVE."""
        for name in names:
            device = self._fleet.local.device(self.by_name[name], name)
            assert isinstance(device.connect(self._fleet.local.endpoint), ConnectRefusal), name

    def come_in(self, name: str) -> None:
        device = self._fleet.local.device(self.by_name[name], name)
        connection, _ = device.connect_until_accepted(self._fleet.local.endpoint, patience=60)
        connection.close()

    def decided(self) -> None:
        """Wait until each is decided on."""
        for one in self.by_name.values():
            self._fleet.local.wait_for_decision(one.certificate_id, seconds=PATIENCE)

    def status(self, name: str) -> str:
        return self._fleet.local.status(self.by_name[name].certificate_id)

    def statuses(self, names: Sequence[str]) -> Counter[str]:
        return Counter(self.status(name) for name in names)

    def of(self, status: str, names: Sequence[str]) -> list[str]:
        return [name for name in names if self.status(name) == status]

    def until(self, status: str, names: Sequence[str]) -> None:
        """Let the sweep run, as often as the schedule would, until these are all in that status."""

        def all_are() -> bool:
            if self.statuses(names) == {status: len(names)}:
                return True
            self._fleet.local.sweep()
            time.sleep(5)
            return False

        try:
            wait_until(all_are, f"{len(names)} devices {status}", seconds=PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._told(status, names)}") from None

    def _told(self, status: str, names: Sequence[str]) -> str:
        """How many are in which status, and what stands in the registry about one that is not in the status wanted."""
        one = next((name for name in names if self.status(name) != status), names[0])
        record = self._fleet.client("dynamodb").get_item(
            TableName=self._fleet.stage.names.registry_table,
            Key={"id": {"S": f"certificate#{self.by_name[one].certificate_id}"}},
        )
        return f"{dict(self.statuses(names))}, such as {one}: {record.get('Item')}"


def mend(fleet: Deployed) -> None:
    """Deploy the right pattern, unless it is deployed."""
    file = fleet.workspace.fleet_file
    text = file.read_text(encoding="utf-8")
    if WRONG not in text:
        return
    file.write_text(text.replace(WRONG, RIGHT, 1), encoding="utf-8")
    fleet.deploy()


def alarm_state(fleet: Deployed, name: str) -> str:
    """The state of an alarm of the stack, once CloudWatch has what the functions wrote into their logs.

    The local AWS makes no metrics of log lines, so that is done here: of exactly the metric that the alarm names.
    """
    cloudwatch = fleet.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    for at, value in _emitted(fleet, alarm["Namespace"], alarm["MetricName"], dimensions):
        datum: Any = {"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"], "Timestamp": at}
        cloudwatch.put_metric_data(Namespace=alarm["Namespace"], MetricData=[datum | {"Value": value}])
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarm["StateValue"])


def _emitted(
    fleet: Deployed, namespace: str, metric: str, dimensions: dict[str, str]
) -> Iterator[tuple[datetime, float]]:
    """The values of one metric in the embedded metric format, in the logs of `register` and `sweep`."""
    logs, names = fleet.client("logs"), fleet.stage.names
    for function in (names.register_function, names.sweep_function):
        for event in logs.filter_log_events(logGroupName=names.log_group(function)).get("events", ()):
            try:
                line = json.loads(event["message"])
            except ValueError:  # START, END and REPORT
                continue
            for told in line.get("_aws", {}).get("CloudWatchMetrics", ()):
                is_metric = told["Namespace"] == namespace and metric in {one["Name"] for one in told["Metrics"]}
                if is_metric and {name: line[name] for name in told["Dimensions"][0]} == dimensions:
                    values = line[metric] if isinstance(line[metric], list) else [line[metric]]
                    at = datetime.fromtimestamp(line["_aws"]["Timestamp"] / 1000, UTC)
                    yield from ((at, float(value)) for value in values)


def ask_status(fleet: Deployed, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """`jitrctl fleet status`: its exit code, and the brakes that are engaged."""
    code, told = fleet.ask(capsys, "fleet", "status")
    assert (told["dead"], told["undelivered"], told["drift"]) == (0, 0, []), told
    return code, told["brakes"]
