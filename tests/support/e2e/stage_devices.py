"""Connects devices to a deployed stage, and starts its `register` anew."""

from collections.abc import Callable
from typing import Any

from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.localaws.stage import LocalStage
from jitrctl.mqtt.client import Connection, ConnectRefusal
from tests.support.e2e.waiting import PATIENCE

# Issues a device certificate: `new_device("sensor-0100", days=365)`.
NewDevice = Callable[..., DeviceFiles]


def restart_register(stage: LocalStage) -> None:
    """Have `register` start anew at its next event, with nothing kept of CAs and CRLs for the rest of a minute."""
    restart(stage.account.client("lambda"), stage.names.register_function)


def restart(client: Any, function: str) -> None:
    """Have a function's environments end; ministack ends them where its time-out is set, to whatever it is."""
    timeout = client.get_function_configuration(FunctionName=function)["Timeout"]
    client.update_function_configuration(FunctionName=function, Timeout=timeout)


def connect(stage: LocalStage, files: DeviceFiles, name: str, *, patience: float = PATIENCE) -> Connection:
    """Connect until the stage lets the device in, for at most `patience` seconds.

    Raises NotAcceptedError when it was not let in, and MqttError.
    """
    connection, _ = stage.device(files, name).connect_until_accepted(stage.endpoint, patience=patience)
    return connection


def expect_refusal(stage: LocalStage, files: DeviceFiles, name: str) -> ConnectRefusal:
    """Connect once, and see the device refused."""
    answer = stage.device(files, name).connect(stage.endpoint)
    assert isinstance(answer, ConnectRefusal)
    return answer


def certificate_arn(stage: LocalStage, certificate_id: str) -> str:
    return f"arn:aws:iot:{stage.account.region}:{stage.account.id}:cert/{certificate_id}"
