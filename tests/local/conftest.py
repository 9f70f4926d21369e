"""A local AWS for the whole test session, and factories for CAs and devices that really connect to it.

One account is enough here: `account` (`dev`, eu-central-1). Its state outlives a test, so every test makes a CA of
its own, and with it certificates nobody else has.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from jitrctl.localaws.accounts import LocalAccount, down, up
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.queues import dead_letters
from tests.support.cli.kept_clients import keep_clients
from tests.support.local.account import DEV
from tests.support.local.authority import Authority, certificate_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_iot import IoTClient

    from jitrctl.mqtt.client import Device, Endpoint

NUMBERS = count(1)


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_clients(monkeypatch)


@pytest.fixture(autouse=True)
def _short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local AWS has one server for a queue; a command would wait a second for each queue that is empty."""
    monkeypatch.setattr(dead_letters, "_LONG_POLL", 0)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAccount]:
    """Run one account until the last test is done."""
    directory = tmp_path_factory.mktemp("local-aws")
    try:
        yield up(directory, [DEV])[0]
    finally:
        down(directory)


@pytest.fixture(scope="session")
def iot(account: LocalAccount) -> IoTClient:
    client: IoTClient = account.client("iot")
    return client


@pytest.fixture(scope="session")
def endpoint(account: LocalAccount) -> Endpoint:
    return find_endpoint(account)


@pytest.fixture
def make_authority(tmp_path: Path) -> Callable[[], Authority]:
    """Make CAs that no account has registered."""
    return lambda: Authority.new(f"Maker {next(NUMBERS)}", tmp_path)


@pytest.fixture
def registered_authority(iot: IoTClient, make_authority: Callable[[], Authority]) -> Authority:
    """Register a CA in SNI_ONLY mode, active and auto-registering."""
    authority = make_authority()
    iot.register_ca_certificate(
        caCertificate=authority.pem,
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
    )
    return authority


@pytest.fixture
def activate(account: LocalAccount, iot: IoTClient) -> Callable[[Device], None]:
    """Do what `register` will do: a policy that lets the device publish on its own topic, and ACTIVE."""

    def attach(device: Device) -> None:
        described = iot.describe_certificate(certificateId=certificate_id(device))["certificateDescription"]
        arn = f"arn:aws:iot:{account.region}:{account.id}"
        own = f"devices/{device.client_id}"
        policy = f"{device.client_id}-{next(NUMBERS)}"
        iot.create_policy(
            policyName=policy,
            policyDocument=f"""{{"Version": "2012-10-17", "Statement": [
                {{"Effect": "Allow", "Action": "iot:Connect", "Resource": "{arn}:client/{device.client_id}"}},
                {{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": "{arn}:topic/{own}"}},
                {{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "{arn}:topicfilter/{own}"}}]}}""",
        )
        iot.attach_policy(policyName=policy, target=described["certificateArn"])
        iot.update_certificate(certificateId=certificate_id(device), newStatus="ACTIVE")

    return attach
