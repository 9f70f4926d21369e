"""No test leaves anything to the tests after it, or to the machine, in the ways that were seen once."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def find_leftovers(source: str) -> list[str]:
    """What a module's source does that outlives its tests."""
    return [said for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and (said := _judge(node))]


def _judge(call: ast.Call) -> str | None:
    called = ast.unparse(call.func)
    if called in ("App", "cdk.App") and "outdir" not in [one.arg for one in call.keywords]:
        return "cdk.App without outdir: the CDK makes a folder in /tmp and leaves it; take new_app of synthesis.py"
    replaced = [ast.unparse(one) for one in call.args[:-1]]
    if called.endswith(".setattr") and replaced in (["clock", "'now'"], ["'jitrctl.clock.now'"]):
        return "jitrctl.clock.now: a module that is imported meanwhile keeps it; replace `now` in its callers"
    return None


def test_no_test_leaves_a_folder_of_the_cdk_or_another_clock() -> None:
    paths = sorted(TESTS.rglob("*.py"))
    found = {str(path): said for path in paths if (said := find_leftovers(path.read_text(encoding="utf-8")))}

    assert len(paths) > 1
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "app = cdk.App()",
        "cdk.App(context={})",
        "App()",
        'monkeypatch.setattr(clock, "now", lambda: NOW)',
        'monkeypatch.setattr("jitrctl.clock.now", lambda: NOW)',
    ],
)
def test_what_outlives_a_test_is_seen(source: str) -> None:
    assert len(find_leftovers(source)) == 1


def test_a_folder_of_the_tests_own_and_a_callers_clock_are_allowed() -> None:
    assert find_leftovers('cdk.App(outdir="x")\nmonkeypatch.setattr("jitrctl.commands.verify.now", look)') == []
