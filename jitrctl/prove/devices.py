"""Connects the devices of a run: MQTT over mutual TLS, with the client of `jitrctl local connect` and `doctor --key`.

Probes see `Devices`; tests put the simulation's broker behind it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import botocore

from jitrctl.errors import Unusable
from jitrctl.localaws import state
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.client import Connection, Device, Endpoint
from jitrctl.mqtt.errors import MqttError
from jitrctl.prove.probe import Unanswered

if TYPE_CHECKING:
    from jitrctl.prove.certificates import ProbeIdentity
    from jitrctl.session.stage import Stage

Subscribed = Literal["granted", "failure code", "closed"]

_PORT = 8883
# botocore's list of authorities has Amazon's, which sign the ATS endpoints.
_AUTHORITIES = Path(botocore.__file__).with_name("cacert.pem")
_REACH = 5.0  # seconds


class ProbeSession(Protocol):
    """An accepted connection."""

    @property
    def is_open(self) -> bool: ...

    def subscribe(self, topic_filter: str) -> Subscribed: ...

    def receive(self, seconds: float) -> bytes | None: ...

    def close(self) -> None: ...


class Devices(Protocol):
    """Connects devices to one account and Region."""

    def check(self) -> None:
        """Check that the endpoint can be reached.

        Raises Unusable.
        """

    def connect(
        self, identity: ProbeIdentity, client_id: str, *, sni: bool = True, alone: bool = False
    ) -> ProbeSession | str:
        """Send one CONNECT; returns a session, or how it was refused. `alone` sends no CA certificate.

        Raises Unanswered when nothing answers.
        """


@dataclass(kw_only=True)
class MqttDevices:
    """Connects over the network; `folder` is private, holds the devices' keys, and its maker removes it."""

    endpoint: Endpoint
    folder: Path

    def check(self) -> None:
        """See Devices."""
        host, port = self.endpoint.address
        try:
            socket.create_connection((host, port), timeout=_REACH).close()
        except OSError as error:
            raise Unusable(
                f"the data endpoint {host}:{port}, where devices connect, cannot be reached ({error}): check DNS, "
                "proxies and the firewall"
            ) from error

    def connect(
        self, identity: ProbeIdentity, client_id: str, *, sni: bool = True, alone: bool = False
    ) -> ProbeSession | str:
        """See Devices."""
        certificate, key = self.folder / f"{identity.name}.pem", self.folder / f"{identity.name}.key"
        certificate.write_text(identity.certificate + ("" if alone else identity.ca), encoding="ascii")
        key.touch(mode=0o600)
        key.write_text(identity.key, encoding="ascii")
        device = Device(client_id=client_id, certificate=certificate, key=key)
        try:
            answer = device.connect(self.endpoint if sni else self._without_sni())
        except (LocalAwsError, MqttError, OSError) as error:
            raise Unanswered(f"the device could not connect: {error}") from error
        return MqttSession(answer) if isinstance(answer, Connection) else answer.how

    def _without_sni(self) -> Endpoint:
        """The same endpoint by its IP address: TLS then sends no name, and the server's name is not verified."""
        host, port = self.endpoint.address
        return replace(self.endpoint, address=(socket.gethostbyname(host), port), server_name=None, checks_name=False)


class MqttSession:
    """An accepted MQTT connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_open(self) -> bool:
        return self._connection.is_open

    def subscribe(self, topic_filter: str) -> Subscribed:
        try:
            if self._connection.subscribe(topic_filter):
                return "granted"
        except MqttError as error:
            raise Unanswered(str(error)) from error
        return "failure code" if self._connection.is_open else "closed"

    def receive(self, seconds: float) -> bytes | None:
        message = self._connection.receive(timeout=seconds)
        return message.payload if message else None

    def close(self) -> None:
        self._connection.close()


def find_stage_endpoint(stage: Stage) -> Endpoint:
    """The endpoint of the stage's devices.

    Raises Unusable if there is none; botocore's errors.
    """
    url = stage.access.elsewhere
    if url is not None:
        for account in state.load(stage.fleet.path.parent):
            if account.endpoint_url == url:
                return find_endpoint(account)
        raise Unusable(
            f"{url} is not AWS, and no local AWS that runs beside the fleet file: account {stage.account.name} has no "
            "data endpoint for devices"
        )
    host = stage.iot.describe_endpoint(endpointType="iot:Data-ATS").get("endpointAddress")
    if not host:
        raise Unusable(f"account {stage.account.name} has no data endpoint in {stage.region}: choose another Region")
    return Endpoint(address=(host, _PORT), server_name=host, trust=_AUTHORITIES)
