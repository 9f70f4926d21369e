"""Claims about a device's connections, made against a real broker with real TLS."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jitrctl.mqtt.client import Connection, ConnectRefusal, Endpoint
from jitrctl.mqtt.errors import MqttError, NotAcceptedError
from tests.support.local.authority import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_iot import IoTClient

    from jitrctl.mqtt.client import Device
    from tests.support.local.authority import Authority


@pytest.fixture
def accepted(
    registered_authority: Authority, endpoint: Endpoint, activate: Callable[[Device], None]
) -> Iterator[Connection]:
    device = registered_authority.device("accepted")
    device.connect(endpoint)
    activate(device)
    connection, _ = device.connect_until_accepted(endpoint, patience=5)
    with connection:
        yield connection


def test_the_first_connect_is_closed_without_a_connack_and_leaves_the_certificate_pending(
    registered_authority: Authority, iot: IoTClient, endpoint: Endpoint
) -> None:
    device = registered_authority.device("first")
    assert status(iot, device) == "unknown"
    outcome = device.connect(endpoint)
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how == "closed"
    assert status(iot, device) == "PENDING_ACTIVATION"


def test_a_certificate_with_its_ca_behind_it_is_registered_too(
    registered_authority: Authority, iot: IoTClient, endpoint: Endpoint
) -> None:
    device = registered_authority.device("chain")
    with device.certificate.open("a") as pem:
        pem.write(registered_authority.pem)
    device.connect(endpoint)
    assert status(iot, device) == "PENDING_ACTIVATION"


def test_a_device_that_was_activated_is_accepted(
    registered_authority: Authority, endpoint: Endpoint, activate: Callable[[Device], None]
) -> None:
    device = registered_authority.device("activated")
    assert isinstance(device.connect(endpoint), ConnectRefusal)
    activate(device)
    connection, attempts = device.connect_until_accepted(endpoint, patience=5)
    with connection:
        assert connection.is_open
    assert attempts[-1].refusal is None
    assert [attempt.seconds for attempt in attempts] == sorted(attempt.seconds for attempt in attempts)


def test_a_publish_on_the_own_topic_is_acknowledged(accepted: Connection) -> None:
    assert accepted.publish(f"devices/{accepted.client_id}", "21.5")
    assert accepted.is_open


def test_a_publish_on_another_topic_is_refused_and_ends_the_connection(accepted: Connection) -> None:
    assert not accepted.publish("devices/somebody-else", "21.5")
    assert not accepted.is_open
    assert not accepted.publish(f"devices/{accepted.client_id}", "21.5")


def test_a_message_on_a_subscribed_topic_is_received(accepted: Connection) -> None:
    topic = f"devices/{accepted.client_id}"
    assert accepted.subscribe(topic)
    assert accepted.publish(topic, b"21.5")
    message = accepted.receive()
    assert message is not None
    assert (message.topic, message.payload) == (topic, b"21.5")


def test_a_subscription_outside_the_policy_is_refused(accepted: Connection) -> None:
    assert not accepted.subscribe("devices/#")
    assert not accepted.is_open


def test_without_sni_nothing_is_registered(registered_authority: Authority, iot: IoTClient, endpoint: Endpoint) -> None:
    device = registered_authority.device("nameless")
    outcome = device.connect(endpoint.without_sni())
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how == "closed"
    assert status(iot, device) == "unknown"


def test_without_sni_a_ca_in_default_mode_registers(
    make_authority: Callable[[], Authority], iot: IoTClient, endpoint: Endpoint
) -> None:
    authority = make_authority()
    iot.register_ca_certificate(
        caCertificate=authority.pem,
        verificationCertificate=authority.verification(iot.get_registration_code()["registrationCode"]),
        setAsActive=True,
        allowAutoRegistration=True,
    )
    device = authority.device("old")
    device.connect(endpoint.without_sni())
    assert status(iot, device) == "PENDING_ACTIVATION"


def test_a_certificate_of_an_unregistered_ca_is_refused_and_not_registered(
    make_authority: Callable[[], Authority], iot: IoTClient, endpoint: Endpoint
) -> None:
    before = {one["certificateId"] for one in iot.list_certificates()["certificates"]}
    device = make_authority().device("stranger")
    outcome = device.connect(endpoint)
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how in {"tls", "closed"}
    assert status(iot, device) == "unknown"
    assert {one["certificateId"] for one in iot.list_certificates()["certificates"]} == before


def test_a_server_with_another_name_is_refused_by_the_device(
    registered_authority: Authority, iot: IoTClient, endpoint: Endpoint
) -> None:
    device = registered_authority.device("careful")
    outcome = device.connect(replace(endpoint, server_name="iot.example.com"))
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how == "tls"
    assert "iot.example.com" in outcome.detail
    assert status(iot, device) == "unknown"


def test_a_server_that_another_ca_signed_is_refused_by_the_device(
    registered_authority: Authority, endpoint: Endpoint, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(registered_authority.pem)
    outcome = registered_authority.device("wary").connect(replace(endpoint, trust=other))
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how == "tls"


def test_a_device_that_is_never_activated_gives_up_and_tells_every_attempt(
    registered_authority: Authority, iot: IoTClient, endpoint: Endpoint
) -> None:
    device = registered_authority.device("patient")
    with pytest.raises(NotAcceptedError, match=r"patient was refused [0-9]+ times") as refused:
        device.connect_until_accepted(endpoint, patience=1)
    assert len(refused.value.attempts) > 1
    assert {attempt.refusal.how for attempt in refused.value.attempts if attempt.refusal} == {"closed"}
    assert status(iot, device) == "PENDING_ACTIVATION"


def test_a_client_id_outside_the_policy_is_closed(
    registered_authority: Authority, endpoint: Endpoint, activate: Callable[[Device], None]
) -> None:
    device = registered_authority.device("itself")
    device.connect(endpoint)
    activate(device)
    outcome = replace(device, client_id="somebody-else").connect(endpoint)
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how == "closed"


@pytest.mark.parametrize(
    ("answer", "demand", "how"),
    [
        (b"\x20\x02\x00\x05", ssl.CERT_NONE, "connack"),
        (b"", ssl.CERT_NONE, "timeout"),
        (b"", ssl.CERT_REQUIRED, "tls"),
    ],
    ids=["a CONNACK with return code 5", "no answer", "an alert after the handshake, as TLS 1.3 does"],
)
def test_other_brokers_refusals_are_told_apart(
    make_authority: Callable[[], Authority], answer: bytes, demand: ssl.VerifyMode, how: str
) -> None:
    authority = make_authority()
    with _broker(authority, answer, demand) as endpoint:
        outcome = authority.device("anybody").connect(endpoint, timeout=0.5)
    assert isinstance(outcome, ConnectRefusal)
    assert outcome.how == how, outcome.detail


@contextmanager
def _broker(authority: Authority, answer: bytes, demand: ssl.VerifyMode) -> Iterator[Endpoint]:
    """Serve one connection: read the CONNECT, send the answer, and wait for the device to go."""
    identity = authority.device("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    context.verify_mode = demand
    trust = authority.directory / "broker-ca.pem"
    trust.write_text(authority.pem)

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted, suppress(OSError), context.wrap_socket(accepted, server_side=True) as stream:
            stream.recv(1024)
            stream.sendall(answer)
            stream.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Endpoint(address=listener.getsockname(), server_name="localhost", trust=trust)
        thread.join()


def test_nothing_is_left_behind_by_any_kind_of_connection(
    registered_authority: Authority,
    make_authority: Callable[[], Authority],
    endpoint: Endpoint,
    activate: Callable[[Device], None],
) -> None:
    device = registered_authority.device("tidy")
    device.connect(endpoint)
    activate(device)
    threads, sockets = threading.active_count(), _open_sockets()
    connection, _ = device.connect_until_accepted(endpoint, patience=5)
    connection.close()
    connection.close()
    make_authority().device("untidy").connect(endpoint)
    device.connect(replace(endpoint, server_name="iot.example.com"))
    assert threading.active_count() == threads
    assert _open_sockets() == sockets


def test_a_broker_that_is_not_there_is_an_error_and_no_refusal(
    registered_authority: Authority, endpoint: Endpoint
) -> None:
    with pytest.raises(MqttError, match=r"nothing listens on 127\.0\.0\.1:1"):
        registered_authority.device("lost").connect(replace(endpoint, address=("127.0.0.1", 1)))


def test_a_missing_key_is_an_error_that_names_the_file(
    registered_authority: Authority, endpoint: Endpoint, tmp_path: Path
) -> None:
    device = replace(registered_authority.device("keyless"), key=tmp_path / "no.key")
    with pytest.raises(MqttError, match=r"no\.key"):
        device.connect(endpoint)


def _open_sockets() -> int:
    """Count this process's sockets: fstat, because macOS has no /proc."""
    count = 0
    for descriptor in range(256):
        with suppress(OSError):
            count += stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    return count
