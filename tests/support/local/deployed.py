"""One deployed stage of the local AWS with every CA registered, for tests that break it and mend it again."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitr.rules import CertificateMode
from jitrctl.__main__ import main
from jitrctl.localaws import accounts
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.session.stage import Stage, choose
from tests.support.local import deploying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from jitrctl.localaws.issuing import DeviceFiles, IssuingCa


class Deployed:
    """The stage, its CAs, and jitrctl pointed at it."""

    def __init__(self, workspace: Workspace, stage: LocalStage, cas: dict[str, IssuingCa]) -> None:
        self.workspace = workspace
        self.local = stage
        self.cas = cas

    @property
    def stage(self) -> Stage:
        """The stage as jitrctl opens it."""
        return choose(self.workspace.load_fleet(), [self.local.name], [])[0]

    def client(self, service: str) -> Any:
        return self.local.account.client(service)

    def issue(self, common_name: str, *, ca: str = "factory", days: int = 365) -> DeviceFiles:
        return self.cas[ca].issue(self.workspace.devices, common_name, days=days)

    def admitted(self, common_name: str) -> DeviceFiles:
        """A device that has connected, and was let in."""
        files = self.issue(common_name)
        device = self.local.device(files, common_name)
        connection, _ = device.connect_until_accepted(self.local.endpoint, patience=60)
        connection.close()
        return files

    def deploy(self) -> None:
        """What the fleet file says now."""
        deploying.synthesize(self.workspace, self.local.name)
        deploying.deploy(self.workspace, self.local.account, self.local.place)

    def run(self, *arguments: str, code: int = 0) -> None:
        assert main([*arguments, "--account", self.local.name, "--fleet", str(self.workspace.fleet_file)]) == code

    def ask(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run a command with --json; its exit code, and what it says of the stage."""
        capsys.readouterr()
        code = main([*arguments, "--json", "--account", self.local.name, "--fleet", str(self.workspace.fleet_file)])
        return code, json.loads(capsys.readouterr().out)["stages"][0]


@contextmanager
def deployed(
    directory: Path, change: Callable[[str], str] = str, *, mode: CertificateMode = CertificateMode.DEFAULT
) -> Iterator[Deployed]:
    """Start the account that holds the first CA in this mode, deploy its stack, register its CAs.

    `change` is given the fleet file's text, and answers what is deployed instead.
    """
    workspace = Workspace(directory=directory)
    place = next(place for place in workspace.find_places() if place.mode is mode)
    started = accounts.up(workspace.directory, [place.spec()])
    try:
        _, cas = workspace.prepare(started)
        workspace.fleet_file.write_text(change(workspace.fleet_file.read_text(encoding="utf-8")), encoding="utf-8")
        made = Deployed(workspace, LocalStage(started[0], place, workspace.load_fleet()), cas)
        made.deploy()
        for name, ca in cas.items():
            made.local.register_ca(name, ca)
        yield made
    finally:
        accounts.down(workspace.directory)


@contextmanager
def role_policy(fleet: Deployed, role: str, change: Callable[[list[Any]], list[Any]]) -> Iterator[None]:
    """The role's only inline policy with other statements."""
    iam = fleet.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    changed = {**document, "Statement": change(document["Statement"])}
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(changed))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
