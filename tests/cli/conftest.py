"""A fleet of two accounts in moto, each behind a role that is assumed; no network, no credentials of anybody's."""

import getpass
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.iotdata.exceptions import ResourceNotFoundException
from moto.iotdata.responses import IoTDataPlaneResponse

from jitr_fleet.parse import load
from jitrctl import intake, prompts
from jitrctl.audit import record
from jitrctl.commands.device import order
from jitrctl.device.sessions import DeviceSessions
from jitrctl.session import profiles
from jitrctl.session.stage import Stage, choose
from tests.support.cases.issuing import Authority, issue_ca
from tests.support.cli.fleet_file import FLEET
from tests.support.cli.json_schemas import hold_all_to_schemas
from tests.support.cli.kept_clients import keep_clients
from tests.support.cli.screen import BEHIND, CONFIG, Screen
from tests.support.cli.simulated import Simulated, simulated
from tests.support.cli.stack_in_moto import deploy_resources, deploy_stack

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


@pytest.fixture(autouse=True)
def _schemas_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each JSON document that a command prints is as its schema in docs/json says."""
    hold_all_to_schemas(monkeypatch)


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

    for operation in ("get_connection", "delete_connection"):
        monkeypatch.setattr(IoTDataPlaneResponse, operation, no_connection, raising=False)
    monkeypatch.setattr(order, "DeviceSessions", partial(DeviceSessions, sleep=lambda _: None))
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


@pytest.fixture
def mapping(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The event source mapping of every account, which the simulation's Lambda does not have."""
    mapping = {"state": "Enabled"}
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: intake.Mapping(uuid="0", state=mapping["state"]))

    def switch(_: Stage, *, on: bool) -> intake.Mapping:
        mapping["state"] = "Enabled" if on else "Disabled"
        return intake.Mapping(uuid="0", state=mapping["state"])

    monkeypatch.setattr("jitrctl.intake.switch", switch)
    return mapping


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """The simulated fleet, whose orders are kept by its own clock."""
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(record, "now", fleet.aws.clock.now)
    return fleet


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    monkeypatch.setattr("jitrctl.run.parallel.err", screen)
    monkeypatch.setattr(prompts, "can_ask", lambda: True)
    monkeypatch.setattr(getpass, "getpass", screen.getpass)
    return screen


@pytest.fixture
def with_mfa(
    tmp_path: Path, write_fleet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Stage, ...]]:
    """The fleet's stages, each account behind a profile that wants a code; as a new process opens them."""
    (tmp_path / "config").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write_fleet()
    text = path.read_text(encoding="utf-8")
    for name, number in (("dev", "111111111111"), ("prod", "222222222222")):
        text = text.replace(f'role_arn = "arn:aws:iam::{number}:role/operator"', f'profile = "acme-{name}"')
    path.write_text(text, encoding="utf-8")

    def stages(*, behind_one: bool = False, accounts: int = 0) -> tuple[Stage, ...]:
        if behind_one:
            account = 'profile = "acme-dev"\nrole_arn = "arn:aws:iam::222222222222:role/operator"'
            path.write_text(text.replace('profile = "acme-prod"', account), encoding="utf-8")
        if accounts:
            behind = "".join(BEHIND.format(number=number) for number in range(100000000000, 100000000000 + accounts))
            path.write_text(text.partition("[account.dev]")[0] + behind, encoding="utf-8")
        for name, nothing in (("_kept", {}), ("_asked", Counter())):
            monkeypatch.setattr(profiles, name, nothing)
        return choose(load(path), (), ())

    return stages
