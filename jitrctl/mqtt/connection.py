"""Holds one MQTT connection of a device, and finds out how it ended.

There is no thread: paho's network loop runs inside the calls of `Connection`. So no callback comes after `close()`, and
errors reach the caller. In return nothing is read between calls; hence the longest keep-alive that AWS IoT accepts.
"""

from __future__ import annotations

import select
import ssl
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from paho.mqtt.enums import MQTTErrorCode

from jitrctl.mqtt.errors import MqttError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
    from typing_extensions import Buffer

KEEP_ALIVE = 1200  # seconds; the longest that AWS IoT accepts


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRefusal:
    """How a connection ended before it was accepted.

    tls: the handshake failed, or an alert came (TLS 1.3 refuses a client's certificate after the handshake).
    closed: the server closed without a CONNACK: what AWS does to a pending, inactive or unknown certificate.
    connack: a CONNACK with a refusal.
    timeout: no answer in time.
    """

    how: Literal["tls", "closed", "connack", "timeout"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttMessage:
    """A message on a subscribed topic."""

    topic: str
    payload: bytes


class Connection:
    """An accepted connection, made by `Device.connect`. Use it in one thread, and close it, or use `with`."""

    def __init__(self, client_id: str, client: Client, wire: Wire) -> None:
        self.client_id = client_id
        self.client = client
        self.wire = wire
        self.answer: ReasonCode | None = None
        self._acknowledged: dict[int, bool] = {}
        self._messages: deque[MqttMessage] = deque()
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as the data received until now shows."""
        self.serve(lambda: False, seconds=0)
        return self.client.socket() is not None

    def publish(self, topic: str, payload: str | bytes, *, timeout: float = 5.0) -> bool:
        """Publish at QoS 1; True: acknowledged, False: the broker closed, which is a refusal in MQTT 3.1.1.

        Raises:
            MqttError: neither happened in `timeout` seconds.
        """
        sent = self.client.publish(topic, payload, qos=1)
        return self._answered(sent.rc, sent.mid, what=f"publish on {topic}", timeout=timeout)

    def subscribe(self, topic_filter: str, *, timeout: float = 5.0) -> bool:
        """Subscribe at QoS 1; True: granted, False: refused, or the broker closed; then see `receive`.

        Raises:
            MqttError: nothing happened in `timeout` seconds.
        """
        code, number = self.client.subscribe(topic_filter, qos=1)
        return self._answered(code, number, what=f"subscription to {topic_filter}", timeout=timeout)

    def receive(self, *, timeout: float = 5.0) -> MqttMessage | None:
        """Return the next message of a subscription; None: none came in time, or the broker closed."""
        self.serve(lambda: bool(self._messages), seconds=timeout)
        return self._messages.popleft() if self._messages else None

    def refusal(self) -> ConnectRefusal | None:
        """The refusal in the CONNACK; None: it accepts."""
        if self.answer is not None and self.answer.is_failure:
            return ConnectRefusal(how="connack", detail=str(self.answer))
        return None

    def close(self) -> None:
        """Send DISCONNECT, if possible, and close the socket. Closing twice does nothing."""
        self.client.on_message = None
        if self.client.socket() is not None:
            self.client.disconnect()
        self.wire.close()

    def serve(self, happened: Callable[[], bool], *, seconds: float) -> bool:
        """Read and write until `happened()`, the broker closes or the time is up; returns whether it happened.

        With 0 seconds, handle only what has arrived already.
        """
        deadline = time.monotonic() + seconds
        while not happened() and (stream := self.wire.stream) is not None and self.client.socket() is not None:
            left = max(0.0, deadline - time.monotonic())
            poll = select.poll()  # select() is limited to file descriptors below 1024
            poll.register(stream, select.POLLIN | (select.POLLOUT if self.client.want_write() else 0))
            # TLS may hold a decrypted packet that the socket no longer shows.
            events = stream.pending() or poll.poll(left * 1000)
            if events:
                self.client.loop_read()
            if self.client.want_write():
                self.client.loop_write()
            self.client.loop_misc()
            if not events and left == 0:
                break
        return happened()

    def _answered(self, code: MQTTErrorCode, number: int | None, *, what: str, timeout: float) -> bool:
        if number is None or code == MQTTErrorCode.MQTT_ERR_NO_CONN:
            return False
        if self.serve(lambda: number in self._acknowledged, seconds=timeout):
            return self._acknowledged.pop(number)
        if self.client.socket() is None:
            return False
        raise MqttError(f"no answer to the {what} in {timeout:g} s; the broker's log may say why")

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, code: ReasonCode, _: Properties | None
    ) -> None:
        self.answer = code

    def _on_publish(self, _client: Client, _data: Any, number: int, code: ReasonCode, _: Properties | None) -> None:
        self._acknowledged[number] = not code.is_failure

    def _on_subscribe(
        self, _client: Client, _data: Any, number: int, codes: list[ReasonCode], _: Properties | None
    ) -> None:
        self._acknowledged[number] = not any(code.is_failure for code in codes)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._messages.append(MqttMessage(topic=message.topic, payload=bytes(message.payload)))


class Wire(ssl.SSLContext):
    """TLS for one connection: sends the endpoint's name, not the address, as SNI.

    paho has its context wrap the socket, and reports only *that* a read failed: an alert and a plain close
    look the same. So this context keeps the socket, which stores the error.
    """

    stream: Stream | None
    _server_name: str | None

    def __new__(cls, **_: object) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)  # verifies the chain and the name

    def __init__(self, *, name: str | None, trust: Path, certificate: Path, key: Path) -> None:
        self.stream = None
        self._server_name = name
        self.sslsocket_class = Stream
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self.load_verify_locations(trust)
            self.load_cert_chain(certificate, key)
        except OSError as error:  # ssl.SSLError is one
            raise MqttError(f"{certificate}, {key} or {trust} cannot be used: {error}") from error

    def wrap_socket(  # type: ignore[override]
        self, sock: socket.socket, *, server_hostname: str, do_handshake_on_connect: bool = True
    ) -> Stream:
        try:
            stream = super().wrap_socket(
                sock,
                server_hostname=self._server_name or server_hostname,
                do_handshake_on_connect=do_handshake_on_connect,
            )
        except BaseException:
            sock.close()
            raise
        self.stream = cast("Stream", stream)
        return self.stream

    def refusal(self) -> ConnectRefusal:
        """How the server ended the connection."""
        error = self.stream.error if self.stream else None
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return ConnectRefusal(how="tls", detail=str(error))
        return ConnectRefusal(how="closed", detail=str(error) if error else "the server closed without a CONNACK")

    def close(self) -> None:
        """Close the socket; paho does not when a handshake fails."""
        if self.stream is not None:
            self.stream.close()


class Stream(ssl.SSLSocket):
    """A TLS socket that stores the error which ended it."""

    error: OSError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError as error:
            self._remember(error)
            raise

    def send(self, data: Buffer, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except OSError as error:
            self._remember(error)
            if self.error is error:
                # The server has gone while we wrote; its reason, an alert, may still be there to read.
                with suppress(OSError):
                    self.recv()
            raise

    def _remember(self, error: OSError) -> None:
        if not isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
            self.error = error
