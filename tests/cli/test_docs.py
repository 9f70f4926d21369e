"""docs/cli.md says what --help says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from jitr_fleet.resources import ResourceNames
from jitrctl.terminal import Exit

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tools_cli", DOCS.parent / "tools" / "cli.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_every_command_as_its_help_says_it(generator: ModuleType) -> None:
    (between,) = generator.BETWEEN.findall(PAGE)
    assert between == generator.render_commands(), "run `make docs`, or tools/cli.py"


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


def test_the_page_says_what_is_in_the_way_after_a_first_deployment_that_failed() -> None:
    page = (DOCS / "deploy.md").read_text(encoding="utf-8")
    stack = ResourceNames("acme").stack
    order = "aws cloudformation update-termination-protection --no-enable-termination-protection"

    assert f"{order} --stack-name {stack} " in page
    assert "QueueDeletedRecently" in page.partition(order)[2]
    assert "only after 60 seconds" in page


def test_every_section_of_aws_facts_that_is_cited_is_there() -> None:
    top = DOCS.parent
    cited = {
        number
        for folder in ("functions", "infra", "fleet", "jitrctl", "simulation", "tests", "tools")
        for path in (top / folder).rglob("*.py")
        for cite in re.findall(r"aws-facts(?:\.md)?,? ((?:§[0-9]+(?:, | and )?)+)", path.read_text(encoding="utf-8"))
        for number in re.findall(r"[0-9]+", cite)
    }
    page = (DOCS / "aws-facts.md").read_text(encoding="utf-8")

    assert cited
    assert cited <= set(re.findall(r"^## ([0-9]+)\. ", page, re.MULTILINE))
    assert "](#12-not-known)" in page


def test_that_revoked_is_final_stands_wherever_it_is_chosen() -> None:
    """What other handlers lift is INACTIVE: the guide lets no one change a certificate that is REVOKED."""
    for page in ("../README.md", "aws-facts.md", "fleet.md", "how-it-works.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        assert re.search(r"(?i)revoked[^.|]*\bfinal\b", text), page
    facts, _, unknown = (DOCS / "aws-facts.md").read_text(encoding="utf-8").partition("## 12. Not known")
    assert "Can REVOKED become ACTIVE" not in unknown
    assert "REVOKED is final" in facts
