"""The table of differences is what the tests find, and what docs/divergences.md says."""

import ast
from pathlib import Path

from tests.support.contract.differences import DIFFERENCES, rows
from tools.differences import read_table

HERE = Path(__file__).parent


def expected_somewhere() -> set[str]:
    """The ids that tests give to `expected`, each of which fails when its difference is gone."""
    calls = (
        node
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "expected"
    )
    return {str(keyword.arg).replace("_", "-") for call in calls for keyword in call.keywords}


def test_every_difference_is_one_that_a_test_finds() -> None:
    assert {difference.id for difference in DIFFERENCES} == expected_somewhere()


def test_the_ids_are_distinct_and_in_order() -> None:
    ids = [difference.id for difference in DIFFERENCES]

    assert ids == sorted(set(ids))


def test_the_page_of_divergences_lists_them() -> None:
    assert read_table() == rows(), "run `make docs`, or python tools/differences.py"
