"""A user's fleet file, from outside of the checkout, on the local AWS: three accounts, two Regions, one device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from jitrctl.__main__ import main
from jitrctl.localaws import accounts, processes
from jitrctl.localaws.workspace import CHECKOUT, Workspace
from tests.support.fleet.drafts import Issuer
from tests.support.local import deploying

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLEET = """
[fleet]
name = "bolt"

[ca.maker]
certificate = "pki/maker.pem"
common_name = "bolt-[0-9]+"
policy = "policy.json"
hook = "arn:aws:lambda:{region}:{account}:function:decide"

[account.dev]
id = "311111111111"
regions = ["eu-central-1", "us-east-1"]
role_arn = "arn:aws:iam::311111111111:role/operator"
ca.maker = { mode = "DEFAULT" }

[account.staging]
id = "322222222222"
regions = ["us-east-1"]
ca.maker = { mode = "SNI_ONLY" }

[account.prod]
id = "333333333333"
regions = ["eu-central-1"]
ca.maker = { mode = "SNI_ONLY" }
"""
STAGES = ["dev/eu-central-1", "dev/us-east-1", "staging/us-east-1", "prod/eu-central-1"]
DEPLOYED = STAGES[1:]  # every account and Region; a fourth stack would show nothing more


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(directory=tmp_path / "local")
    monkeypatch.setattr("jitrctl.commands.local.Workspace", lambda: workspace)
    yield workspace
    accounts.down(workspace.directory)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The user's folder: a fleet file, a policy, and a public certificate."""
    folder = tmp_path / "of the user"
    (folder / "pki").mkdir(parents=True)
    (folder / "pki" / "maker.pem").write_bytes(Issuer("Maker").certificate())
    (folder / "policy.json").write_text((CHECKOUT / "policies" / "device.json").read_text())
    (folder / "fleet.toml").write_text(FLEET)
    return folder / "fleet.toml"


def test_three_accounts_in_two_regions_admit_one_device(
    workspace: Workspace, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments]) == 0
        said = capsys.readouterr()
        return said.out + said.err

    assert "ca.maker.hook is left out" in run("local", "up", "--fleet", str(file))
    running = {one.stage: one for one in accounts.find_running(workspace.directory)}
    assert list(running) == STAGES
    codes = {stage: one.client("iot").get_registration_code()["registrationCode"] for stage, one in running.items()}
    assert codes["dev/eu-central-1"] == codes["dev/us-east-1"] != codes["staging/us-east-1"]

    deploying.synthesize(workspace)
    places = {place.stack: place for place in workspace.places_of(list(running.values()))}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda stage: deploying.deploy(workspace, running[stage], places[stage]), DEPLOYED))
    local = ("--fleet", str(workspace.fleet_file))
    run("ca", "apply", "--yes", "--account", "dev", "--region", "us-east-1", *local)
    run("ca", "apply", "--yes", "--account", "staging", "--account", "prod", *local)

    for stage in DEPLOYED:
        account, region = stage.split("/")
        options = ("--account", account, "--region", region, "--patience", "60")
        assert "CONNACK: accepted" in run("local", "connect", "bolt-1", *options)

    assert run("local", "down").strip() == f"Stopped {', '.join(STAGES)}."
    assert not processes.find_alive(workspace.directory)
