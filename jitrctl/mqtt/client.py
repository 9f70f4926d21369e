"""Connects a device over MQTT with its certificate: once, or with retries until it is accepted.

TLS is verified as usual. The local endpoint's name (`*.localhost`) does not resolve everywhere, so the device connects
to the address and sends the name as SNI; the server's certificate is verified against the name. Without SNI it is
verified against the IP address, for which TLS sends no SNI. ministack's certificate holds both, for the Region of its
process.
"""

from __future__ import annotations

import random
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from jitrctl.mqtt.connection import KEEP_ALIVE, Connection, ConnectRefusal, MqttMessage, Wire
from jitrctl.mqtt.errors import MqttError, NotAcceptedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConnectAttempt", "ConnectRefusal", "Connection", "Device", "Endpoint", "MqttMessage"]

# Back-off between two attempts, in seconds. Short for the local AWS; real firmware starts at 1 s.
FIRST_DELAY, LONGEST_DELAY = 0.5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to connect: the TCP address, the name for SNI (None: send none), the server's CA (PEM).

    Without SNI a server may send any of its certificates: `checks_name` says whether the name is verified.
    """

    address: tuple[str, int]
    server_name: str | None
    trust: Path
    checks_name: bool = True

    def without_sni(self) -> Endpoint:
        """The same address for a device that sends no server name."""
        return replace(self, server_name=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectAttempt:
    """One CONNECT: seconds from the first attempt's start to its answer, and the refusal (None: accepted)."""

    seconds: float
    refusal: ConnectRefusal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device: its MQTT client id, the files of its certificate (PEM, may be a chain) and its key (PEM)."""

    client_id: str
    certificate: Path
    key: Path

    def connect(self, endpoint: Endpoint, *, timeout: float = 10.0, clean: bool = True) -> Connection | ConnectRefusal:
        """Send one CONNECT, without a retry; `timeout` seconds each for TCP, TLS and the answer.

        Unless it is `clean`, it asks for a session that persists.

        Raises:
            MqttError: nothing listens there, or the files are no certificate and key.
        """
        wire = Wire(name=endpoint.server_name, trust=endpoint.trust, certificate=self.certificate, key=self.key)
        wire.check_hostname = endpoint.checks_name
        client = Client(
            CallbackAPIVersion.VERSION2,
            self.client_id,
            clean_session=clean,
            protocol=MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = timeout
        client.tls_set_context(wire)
        connection = Connection(self.client_id, client, wire)
        try:
            refusal = self._handshake(connection, endpoint, timeout)
        except BaseException:
            connection.close()
            raise
        if refusal is not None:
            connection.close()
            return refusal
        return connection

    def connect_until_accepted(self, endpoint: Endpoint, *, patience: float) -> tuple[Connection, list[ConnectAttempt]]:
        """Connect with a jittered back-off, as firmware does, until accepted.

        Raises:
            NotAcceptedError: no attempt within `patience` seconds was accepted.
            MqttError: as `connect` does.
        """
        began = time.monotonic()
        attempts: list[ConnectAttempt] = []
        while True:
            left = patience - (time.monotonic() - began)
            outcome = self.connect(endpoint, timeout=min(10.0, max(0.1, left)))
            seconds = time.monotonic() - began
            if isinstance(outcome, Connection):
                return outcome, [*attempts, ConnectAttempt(seconds=seconds, refusal=None)]
            attempts.append(ConnectAttempt(seconds=seconds, refusal=outcome))
            # Full jitter, so that a fleet does not reconnect at once after a power cut.
            delay = random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2 ** len(attempts)))  # noqa: S311
            if seconds + delay >= patience:
                raise NotAcceptedError(
                    f"{self.client_id} was refused {len(attempts)} times in {seconds:.1f} s, "
                    f"last: {outcome.how} ({outcome.detail})",
                    attempts,
                )
            time.sleep(delay)

    def _handshake(self, connection: Connection, endpoint: Endpoint, timeout: float) -> ConnectRefusal | None:
        host, port = endpoint.address
        try:
            connection.client.connect(host, port, keepalive=KEEP_ALIVE)
        except ConnectionRefusedError as error:
            raise MqttError(f"nothing listens on {host}:{port}: is the local AWS running?") from error
        except TimeoutError as error:
            return ConnectRefusal(how="timeout", detail=f"{error} ({timeout:g} s)")
        except ssl.SSLError as error:
            return ConnectRefusal(how="tls", detail=str(error))
        except ConnectionError as error:
            return ConnectRefusal(how="closed", detail=str(error))
        if connection.serve(lambda: connection.answer is not None, seconds=timeout):
            return connection.refusal()
        if connection.client.socket() is not None:
            return ConnectRefusal(how="timeout", detail=f"no CONNACK in {timeout:g} s")
        return connection.wire.refusal()
