"""`jitrctl doctor` before it has looked far: bad input, accounts that cannot be asked; tests/local has every link."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from jitrctl.__main__ import main
from tests.support.cases.issuing import Authority, named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jitrctl.session.stage import Stage

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def device(tmp_path: Path, ca: Authority) -> Path:
    path = tmp_path / "device.pem"
    begins = NOW - timedelta(days=1)
    path.write_text(ca.leaf(named("sensor-0001"), begins=begins, ends=begins + timedelta(days=365)))
    return path


@pytest.fixture
def ask(fleet_file: Path, device: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    def asked(*arguments: str) -> tuple[int, Any]:
        code = main(["doctor", str(device), "--json", "--fleet", str(fleet_file), *arguments])
        return code, json.loads(capsys.readouterr().out)

    return asked


def test_a_file_that_is_no_certificate_is_unusable(
    fleet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a device")

    assert main(["doctor", str(path), "--fleet", str(fleet_file)]) == 2
    assert "holds no certificate: name a file" in " ".join(capsys.readouterr().err.split())


def test_with_a_key_one_stage_has_to_be_named(
    fleet_file: Path, device: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(device), "--key", str(device), "--fleet", str(fleet_file)]) == 2
    assert "--account" in capsys.readouterr().err


@pytest.mark.usefixtures("aws")
def test_every_account_is_asked_for_itself(
    ask: Callable[..., tuple[int, Any]], stages: tuple[Stage, ...], ca: Authority
) -> None:
    stages[1].iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=False, allowAutoRegistration=True)

    code, said = ask()

    broken = {f"{one['account']}/{one['region']}": one["broken"] for one in said["stages"]}
    assert (code, said["ok"]) == (1, False)
    # moto's CAs know no mode, so they are in mode DEFAULT, and the fleet file says SNI_ONLY.
    assert broken == {
        "dev/eu-central-1": "CA registered",
        "prod/eu-central-1": "CA mode",
        "prod/us-east-1": "CA registered",
    }


@pytest.mark.usefixtures("aws")
def test_what_may_not_be_looked_at_is_said_with_the_permission_and_the_rest_is_looked_at(
    ask: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    call: Any = vars(BaseClient)["_make_api_call"]

    def denying(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation in ("DescribeCACertificate", "GetTopicRule", "GetV2LoggingOptions"):
            error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            raise ClientError(error, operation)  # type: ignore[arg-type]
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", denying)
    code, said = ask("--account", "dev")

    links = {one["link"]: one for one in said["stages"][0]["links"]}
    assert code == 1
    assert links["CA registered"]["state"] == "unknown"
    assert "DescribeCACertificate is not allowed" in links["CA registered"]["text"]
    assert said["stages"][0]["broken"] == "queue"  # nothing is deployed


@pytest.mark.usefixtures("aws")
def test_several_accounts_are_shown_in_a_line_each(
    fleet_file: Path, device: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(device), "--fleet", str(fleet_file)]) == 1

    said = " ".join(capsys.readouterr().out.split())
    assert "dev/eu-central-1 4 CA registered" in said
    assert f"Cure: `jitrctl ca apply --ca factory --account dev --region eu-central-1 --fleet {fleet_file}`" in said
