"""One pair of accounts on the local AWS, with the demo's story played on it, for every test here."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jitrctl.demo.scenes.cast import Detail
from jitrctl.demo.story import Story
from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from tests.support.cli.kept_clients import keep_clients

NewDevice = Callable[..., DeviceFiles]

PATIENCE = 60.0  # seconds to wait for a condition before a test gives up; nothing waits that long when all is well


def awaited(look: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """Poll until `look` answers something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def forget(stage: LocalStage) -> None:
    """Have `register` start anew at its next event, with nothing kept of CAs and CRLs for the rest of a minute."""
    stage.account.client("lambda").update_function_configuration(
        FunctionName=stage.names.register_function, Description=f"started anew at {time.time()}"
    )


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_clients(monkeypatch)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    directory = tmp_path_factory.mktemp("local")
    yield Workspace(directory=directory)
    accounts.down(directory)


@pytest.fixture(scope="session")
def played(workspace: Workspace) -> tuple[Story, dict[str, Detail]]:
    """The story and what each step told; a step that fails fails every test here with its sentence."""
    story = Story(workspace)
    return story, {step.title: step.play() for step in story.steps()}


@pytest.fixture(scope="session")
def story(played: tuple[Story, dict[str, Detail]]) -> Story:
    return played[0]


@pytest.fixture(scope="session")
def default_stage(story: Story) -> LocalStage:
    """The account that holds the CA in DEFAULT mode."""
    return story.cast.first


@pytest.fixture(scope="session")
def sni_only_stage(story: Story) -> LocalStage:
    return story.cast.second


@pytest.fixture
def new_device(story: Story, tmp_path: Path) -> NewDevice:
    """Issue a device certificate: `new_device("sensor-0100", days=365)`."""

    def issue(common_name: str, *, days: int = 365) -> DeviceFiles:
        return story.cast.ca.issue(tmp_path, common_name, days=days)

    return issue
