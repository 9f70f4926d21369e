"""What an engineer says to the CDK CLI: every stack at once, and what a deployment would change.

One account in two Regions, since the CLI's endpoint is one account's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitrctl.localaws import accounts, deployment
from jitrctl.localaws.workspace import Workspace

Cdk = Callable[..., str]
REGIONS = ("eu-central-1", "us-east-1")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An account that runs, with a fleet file that gives it another Region."""
    made = Workspace(directory=tmp_path / "local")
    place, _ = made.find_places()
    try:
        made.prepare(accounts.up(made.directory, [place.spec()]))
        text = made.fleet_file.read_text(encoding="utf-8")
        one, both = (f"regions = {str(list(regions))!s}".replace("'", '"') for regions in ([place.region], REGIONS))
        assert text.count(one) == 1
        made.fleet_file.write_text(text.replace(one, both), encoding="utf-8")
        yield made
    finally:
        accounts.down(made.directory)


@pytest.fixture
def cdk(workspace: Workspace) -> Cdk:
    """Say something to the CLI, about the app or what that made before; what it answers, ending with this exit code."""
    (account,) = accounts.find_running(workspace.directory)

    def say(*words: str, app: bool = False, code: int = 0) -> str:
        fresh = ["-c", "target=local", "-c", f"fleet={workspace.fleet_file}", "--output", str(workspace.cloud_assembly)]
        about = fresh if app else ["--app", str(workspace.cloud_assembly)]
        done = deployment.cdk(workspace, account, *words, *about)
        assert done.returncode == code, done.stdout
        return done.stdout

    return say


def test_every_stack_is_deployed_at_once_and_a_diff_finds_nothing_until_something_changes(
    cdk: Cdk, workspace: Workspace
) -> None:
    names = [f"dev/{region}" for region in REGIONS]
    (account,) = accounts.find_running(workspace.directory)
    assert [line.partition(" ")[0] for line in cdk("ls", app=True).splitlines() if "(jitr-" in line] == names
    cdk("bootstrap", *(f"aws://{account.id}/{region}" for region in REGIONS))
    assert "Number of stacks with differences: 2" in cdk("diff", "--fail", code=1)

    deployed = cdk("deploy", "--all", "--concurrency", "8", "--require-approval", "never")

    assert all(f"✅  {name}" in deployed for name in names)
    assert "Number of stacks with differences: 0" in cdk("diff", "--fail")

    text = workspace.fleet_file.read_text(encoding="utf-8")
    workspace.fleet_file.write_text(text.replace('regions = ["', 'activations_per_second = 1\nregions = ["', 1))
    changed = cdk("diff", "--fail", "*/us-east-1", app=True, code=1)
    assert "Number of stacks with differences: 1" in changed
    assert "JITR_ACTIVATIONS_PER_SECOND" in changed
