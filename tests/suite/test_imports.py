"""No test imports a test: what tests share is in tests/support, and conftest.py has fixtures alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests", "bench", "tools")


def names_imported(source: str) -> Iterator[str]:
    """Every part of every dotted name that a module's source imports, absolutely or relatively."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield from alias.name.split(".")


def find_tests(source: str) -> list[str]:
    """The test modules, tests and conftests that a module's source imports."""
    return [name for name in names_imported(source) if name == "conftest" or name.startswith("test_")]


def test_no_module_imports_a_test_or_a_conftest() -> None:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {
        str(path.relative_to(ROOT)): names for path in paths if (names := find_tests(path.read_text(encoding="utf-8")))
    }

    assert len(paths) > len(FOLDERS)
    assert found == {}, "move what is shared to tests/support"


@pytest.mark.parametrize(
    "source",
    [
        "import tests.edge.test_iot",
        "import tests.edge.conftest as fixtures",
        "from tests.edge.test_iot import listed",
        "from tests.edge import test_iot",
        "from tests.cli.conftest import FLEET",
        "from .test_iot import listed",
        "from . import conftest",
        "def late() -> None:\n    from tests.edge import test_iot",
        "if TYPE_CHECKING:\n    from tests.edge.test_iot import Listed",
    ],
)
def test_an_import_of_a_test_is_seen_however_it_is_written(source: str) -> None:
    assert len(find_tests(source)) == 1


def test_an_import_of_shared_code_is_allowed() -> None:
    assert find_tests("import pytest\nfrom tests.support.edge.records import recall\nfrom . import records") == []
