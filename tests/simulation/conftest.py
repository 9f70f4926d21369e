"""Fixtures: one simulated account with a registered CA, and jitr deployed in it."""

from typing import TYPE_CHECKING

import pytest

from simulation import Authority, Aws, Deployment, SimulatedAccount
from simulation.deployment import ca_rules, rules

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.new("Factory CA")


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def account(aws: Aws) -> SimulatedAccount:
    return aws.account("111111111111")


@pytest.fixture
def iot(account: SimulatedAccount) -> "IoTClient":
    client: IoTClient = account.client("iot", caller="test")
    return client


@pytest.fixture
def deployment(account: SimulatedAccount, authority: Authority, iot: "IoTClient") -> Deployment:
    iot.register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    return Deployment(account, rules(ca_rules(authority)))
