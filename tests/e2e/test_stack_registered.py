"""A CA with `registered_by = "stack"` on the local AWS, by plain `cdk deploy`: what a change of its mode comes to.

AWS IoT changes no mode in place, and CloudFormation would find that out in the middle of an update. It has to be
refused before anything is touched, saying what to do; and what it says has to work.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import CertificateMode
from jitrctl.demo.story import Story
from jitrctl.localaws import accounts, deployment
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.stage import UNKNOWN, LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.client import Device
from tests.support.e2e.stage_devices import restart_register
from tests.support.e2e.waiting import PATIENCE
from tests.support.local import deploying

PROOF = re.compile(r'mode = "DEFAULT", verification_certificate = "[^"]+"')


class Operated:
    """One account whose stack registers the factory's CA, and the fleet file that says so."""

    def __init__(self, workspace: Workspace, story: Story) -> None:
        self._workspace = workspace
        self.stage: LocalStage = story.cast.first
        self.ca = story.cast.ca

    def edit(self, old: str | re.Pattern[str], new: str | Callable[[re.Match[str]], str]) -> None:
        """Replace what stands in the fleet file once."""
        text = self._workspace.fleet_file.read_text(encoding="utf-8")
        changed, count = re.subn(old if isinstance(old, re.Pattern) else re.escape(old), new, text)
        assert count == 1
        self._workspace.fleet_file.write_text(changed, encoding="utf-8")

    def deploy(self) -> None:
        deploying.synthesize(self._workspace, self.stage.name)
        deployment.deploy(self._workspace, self.stage.account, self.stage.place)

    def renew_verification(self) -> None:
        code = self.stage.iot.get_registration_code()["registrationCode"]
        account = next(one for one in self._workspace.load_fleet().accounts if one.name == self.stage.name)
        path = account.cas[0].verification_certificate_path
        assert path
        before = path.read_bytes()
        self.ca.issue_verification_certificate(code, path)
        assert path.read_bytes() != before

    def jitrctl(self, *words: str, code: int = 0) -> str:
        """What an operator is told."""
        options = ("--account", self.stage.name, "--fleet", str(self._workspace.fleet_file), "--json")
        done = subprocess.run(
            [sys.executable, "-m", "jitrctl", *words, *options],
            env=self.stage.account.environ_over(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def registered(self) -> tuple[str, str, str]:
        """The CA's mode, status and auto-registration."""
        said = self.stage.iot.describe_ca_certificate(certificateId=self.ca.certificate_id)["certificateDescription"]
        return said["certificateMode"], said["status"], said["autoRegistrationStatus"]

    def stack(self) -> tuple[str, Any, list[str]]:
        """The stack's status, the time of its last update, and every event of it so far."""
        client, name = self.stage.account.client("cloudformation"), self.stage.names.stack
        said = client.describe_stacks(StackName=name)["Stacks"][0]
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        return said["StackStatus"], said.get("LastUpdatedTime"), [one["EventId"] for one in events]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One of this module's own: its stack registers a CA."""
    return Workspace(directory=tmp_path_factory.mktemp("registered"))


@pytest.fixture(scope="module")
def operated(workspace: Workspace) -> Iterator[Operated]:
    story = Story(workspace)
    try:
        story.steps()[0].play()
        found = Operated(workspace, story)
        found.edit("[ca.factory]", '[ca.factory]\nregistered_by = "stack"')
        found.deploy()
        yield found
    finally:
        accounts.down(workspace.directory)


def test_the_stack_registers_the_ca_and_devices_come_in(operated: Operated, workspace: Workspace) -> None:
    assert operated.registered() == ("DEFAULT", "ACTIVE", "ENABLE")
    assert "second time" not in operated.jitrctl("ca", "plan"), "the CA is the stack's"

    files = operated.ca.issue(workspace.devices, "sensor-6001", days=365)
    assert operated.stage.status(files.certificate_id) == UNKNOWN
    device = operated.stage.device(files, "sensor-6001")
    device.connect_until_accepted(operated.stage.endpoint, patience=PATIENCE)[0].close()


def test_a_renewed_verification_certificate_changes_nothing(operated: Operated) -> None:
    operated.renew_verification()
    operated.edit('horizon       = "7d"', 'horizon       = "6d"')  # so that there is something to update

    operated.deploy()

    assert operated.stack()[0] == "UPDATE_COMPLETE"
    assert operated.registered() == ("DEFAULT", "ACTIVE", "ENABLE")


def test_another_mode_is_refused_by_cdk_deploy_before_anything_is_touched_and_what_it_says_to_do_works(
    operated: Operated, workspace: Workspace
) -> None:
    """docs/deploy.md, "Another mode": what stands there is done here, in that order."""
    before, declared = operated.stack(), workspace.fleet_file.read_text(encoding="utf-8")
    operated.edit(PROOF, f'mode = "{CertificateMode.SNI_ONLY}"')

    with pytest.raises(LocalAwsError, match=r'must be SNI_ONLY.*registered_by = "jitrctl"') as refusal:
        operated.deploy()

    assert "jitrctl ca switch-mode" in str(refusal.value)
    assert operated.stack() == before, "not one event: CloudFormation did not begin"
    assert operated.registered() == ("DEFAULT", "ACTIVE", "ENABLE")
    assert "in mode DEFAULT, and the fleet file says SNI_ONLY" in operated.jitrctl("ca", "plan", code=1)

    workspace.fleet_file.write_text(declared, encoding="utf-8")
    operated.edit(PROOF, lambda found: f'{found[0]}, registered_by = "jitrctl"')
    operated.deploy()
    assert operated.registered() == ("DEFAULT", "ACTIVE", "ENABLE"), "the stack lets go of the CA, and it stays"

    operated.edit(PROOF, f'mode = "{CertificateMode.SNI_ONLY}"')
    operated.jitrctl("ca", "switch-mode", "--yes")
    assert operated.registered() == ("SNI_ONLY", "ACTIVE", "ENABLE")
    held = held_for_the_mode(operated, workspace)

    operated.deploy()
    held.connect_until_accepted(operated.stage.endpoint, patience=PATIENCE)[0].close()

    operated.edit(', registered_by = "jitrctl"', "")  # which hands a CA that is registered to the stack
    assert "it is registered already, and not by the stack" in operated.jitrctl("ca", "plan", code=1)


def held_for_the_mode(operated: Operated, workspace: Workspace) -> Device:
    """A new device while the function's rules say the old mode, and AWS IoT was asked for the CA since the switch."""
    restart_register(operated.stage)
    files = operated.ca.issue(workspace.devices, "sensor-6100", days=365)
    device = operated.stage.device(files, "sensor-6100")
    device.connect(operated.stage.endpoint)
    decision = operated.stage.wait_for_decision(files.certificate_id, seconds=PATIENCE)
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_WRONG_MODE)
    return device
