"""A fleet of two accounts in moto, each behind a role that is assumed; no network, no credentials of anybody's."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.iotdata.exceptions import ResourceNotFoundException
from moto.iotdata.responses import IoTDataPlaneResponse

from jitr_fleet.parse import load
from jitrctl.session.stage import Stage, choose
from tests.support.cases.issuing import Authority, issue_ca
from tests.support.cli.kept_clients import keep_clients
from tests.support.cli.stack_in_moto import deploy_resources, deploy_stack

DEV, PROD = "111111111111", "222222222222"
FLEET = f"""\
[fleet]
name = "acme"

[ca.factory]
certificate = "factory.pem"
common_name = "sensor-[0-9]{{4,}}"
thing_type  = "sensor"

[account.dev]
id = "{DEV}"
regions = ["eu-central-1"]
role_arn = "arn:aws:iam::{DEV}:role/operator"
ca.factory = {{ mode = "SNI_ONLY" }}

[account.prod]
id = "{PROD}"
regions = ["eu-central-1", "us-east-1"]
role_arn = "arn:aws:iam::{PROD}:role/operator"
ca.factory = {{ mode = "SNI_ONLY" }}
"""
SURROUNDINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "COLUMNS": "120",
}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's: no profile, no endpoint, no credentials, no fleet file."""
    unset = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "JITR_FLEET")
    for name in unset:
        monkeypatch.delenv(name, raising=False)
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def ca() -> Authority:
    """A CA that is valid today, which the fleet file asks for."""
    today = datetime.now(UTC).replace(microsecond=0)
    return issue_ca(begins=today - timedelta(days=30), ends=today + timedelta(days=3650))


@pytest.fixture
def write_fleet(tmp_path: Path, ca: Authority) -> Callable[..., Path]:
    """Write a fleet file, with one text in it replaced by another: `write_fleet("old", "new")`."""
    (tmp_path / "factory.pem").write_text(ca.pem, encoding="utf-8")

    def write(old: str = "", new: str = "") -> Path:
        path = tmp_path / "fleet.toml"
        assert old in FLEET
        path.write_text(FLEET.replace(old, new) if old else FLEET, encoding="utf-8")
        return path

    return write


@pytest.fixture
def fleet_file(write_fleet: Callable[..., Path]) -> Path:
    return write_fleet()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two accounts, empty.

    One thread at a time is in moto: two that are the first to use a service there disturb each other's look into its
    model ("'OperationModel' object has no attribute 'http_trait'").
    """
    process = BotocoreStubber.process_request
    lock = RLock()  # moto calls itself

    def one_at_a_time(stubber: BotocoreStubber, request: Any) -> Any:
        with lock:
            return process(stubber, request)

    def no_connection(_: IoTDataPlaneResponse) -> str:
        """Moto has no connections; this one is AWS's answer for a client that has none."""
        raise ResourceNotFoundException

    monkeypatch.setattr(IoTDataPlaneResponse, "get_connection", no_connection, raising=False)
    monkeypatch.setattr(BotocoreStubber, "process_request", one_at_a_time)
    keep_clients(monkeypatch)
    with mock_aws(config={"iot": {"use_valid_cert": True}}):
        yield


@pytest.fixture
def stages(fleet_file: Path) -> tuple[Stage, ...]:
    """dev/eu-central-1, prod/eu-central-1, prod/us-east-1."""
    return choose(load(fleet_file), (), ())


@pytest.fixture
def deployed(
    aws: None,  # noqa: ARG001 -- which it needs first
    monkeypatch: pytest.MonkeyPatch,
    stages: tuple[Stage, ...],
    ca: Authority,
) -> Stage:
    """The first stage, with what `fleet status` asks for, but a function; the other two are empty."""
    deploy_stack(monkeypatch, stages[0].region)
    deploy_resources(stages[0], ca.pem)
    assert ca.certificate_id == stages[0].account.cas[0].ca.certificate_id
    return stages[0]
