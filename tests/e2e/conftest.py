"""One pair of accounts on the local AWS, with the demo's story played on it, for every test here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitrctl.demo.scenes.cast import Detail
from jitrctl.demo.story import Story
from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from tests.support.cli.kept_clients import keep_clients
from tests.support.e2e.stage_devices import NewDevice


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
