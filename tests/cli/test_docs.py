"""docs/cli.md says what --help says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from jitrctl.terminal import Exit

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_cli", DOCS / "cli.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_every_command_as_its_help_says_it(generator: ModuleType) -> None:
    (between,) = generator.BETWEEN.findall(PAGE)
    assert between == generator.generated(), "run `make docs`, or docs/cli.py"


def test_every_exit_code_is_on_the_page() -> None:
    for code in Exit:
        assert f"| {code.value} |" in PAGE


def test_wherever_stacks_are_deployed_at_once_no_approval_is_asked_for() -> None:
    """With --concurrency above 1 the CDK CLI cannot ask, and fails where permissions are broadened."""
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md", *(DOCS.parent / ".github").rglob("*.yml")]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    deploying = [line for line in lines if "cdk deploy" in line and "--concurrency" in line]

    assert deploying
    assert [line for line in deploying if "--require-approval never" not in line] == []
