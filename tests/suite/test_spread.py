"""The suite itself: how it is spread over workers, what a quick run leaves out, what is said of its costs."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.spread import (
    BUDGET,
    COLLECTION,
    FIRST,
    LAST,
    SAMPLED,
    SPLIT,
    TOGETHER,
    WAITING,
    Scheduler,
    is_for_waiting,
    is_quick,
    place,
    table,
    unit,
)

TESTS = Path(__file__).parents[1]
MATRIX = "tests/survival/test_matrix.py::test_x[{}]"


def test_every_folder_with_tests_has_a_budget_and_all_fit_into_ten_minutes_on_two_cores() -> None:
    assert set(BUDGET) == {COLLECTION} | {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert sum(BUDGET.values()) <= 2 * 600


@pytest.mark.parametrize("path", [*SPLIT, *TOGETHER, *FIRST, LAST, *SAMPLED, *WAITING])
def test_every_path_that_is_treated_apart_exists(path: str) -> None:
    assert (TESTS.parent / path).exists()


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/unit/test_brake.py::test_a[1]", "tests/unit/test_brake.py"),
        ("tests/survival/test_matrix.py::test_a[1]", "tests/survival/test_matrix.py::test_a[1]"),
        ("tests/e2e/test_revocation.py::test_a", "story"),
        ("tests/e2e/test_update.py::test_a", "tests/e2e/test_update.py"),
    ],
)
def test_a_unit_is_a_module_a_test_or_modules_that_share(nodeid: str, expected: str) -> None:
    assert unit(nodeid) == expected


def test_what_takes_longest_is_begun_first_and_many_small_units_last() -> None:
    assert place("tests/e2e/test_update.py::test_a") < place("tests/edge/test_iot.py::test_a")
    assert place("tests/edge/test_iot.py::test_a") < place("tests/unit/test_brake.py::test_a")
    assert place("tests/unit/test_brake.py::test_a") < place(MATRIX.format(1))


class Node:
    """A worker, as the scheduler sees it."""

    shutting_down = False
    gateway = SimpleNamespace(id="a worker")

    def __init__(self) -> None:
        self.given: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.mark.parametrize(("workers", "waiting"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_half_of_the_workers_begin_with_what_waits(workers: int, waiting: int) -> None:
    assert [is_for_waiting(worker, workers) for worker in range(workers)].count(True) == waiting


def test_a_worker_takes_the_other_kind_when_none_of_its_own_is_left() -> None:
    waiting = [f"tests/e2e/test_{name}.py::test_a" for name in "ab"]
    computing = [f"tests/unit/test_{number}.py::test_a" for number in range(6)]
    tests, nodes = [*waiting, *computing], [Node(), Node()]
    config: Any = SimpleNamespace(option=SimpleNamespace(), getvalue=lambda _: [str(len(nodes)) + "*popen"])
    scheduler = Scheduler(config, None)
    for node in nodes:
        scheduler.add_node(node)
        scheduler.add_node_collection(node, tests)

    scheduler.schedule()
    scheduler.mark_test_complete(nodes[0], 0)
    scheduler.mark_test_complete(nodes[0], 1)

    assert nodes[0].given[:2] == [0, 1]
    assert min(nodes[0].given[2:] + nodes[1].given) > 1
    assert len(nodes[0].given) > len(waiting)


@pytest.mark.parametrize(
    "nodeid", ["tests/e2e/test_update.py::test_a", "tests/contract/test_cas.py::test_a[the local AWS]"]
)
def test_a_quick_run_starts_no_local_aws(nodeid: str) -> None:
    assert not is_quick(nodeid)


def test_a_quick_run_has_a_sample_of_what_takes_long_and_all_others() -> None:
    sample = sum(is_quick(MATRIX.format(number)) for number in range(1200))
    assert 50 <= sample <= 200
    assert is_quick("tests/contract/test_cas.py::test_a[the model]")
    assert is_quick("tests/simulation/test_sqs.py::test_a")


def test_the_first_path_that_fits_says_how_many_are_in_the_sample() -> None:
    paths = list(SAMPLED)
    assert not [late for at, late in enumerate(paths) if any(late.startswith(path) for path in paths[:at])]


def test_a_folder_over_its_budget_is_said_to_be() -> None:
    lines = list(table(Counter(unit=10, edge=5), Counter(unit=BUDGET["unit"] + 1, edge=BUDGET["edge"])))
    assert [line.split()[0] for line in lines if "OVER" in line] == ["unit"]


def test_a_run_of_the_deep_tests_has_no_budgets() -> None:
    lines = list(table(Counter(survival=10), Counter(survival=2 * BUDGET["survival"]), budgets={}))
    assert not any("budget" in line.lower() or " of " in line for line in lines)


def test_whatever_is_left_to_test_deep_is_in_the_list_with_its_reason() -> None:
    listed = (TESTS / "README.md").read_text(encoding="utf-8")
    marked = {
        f"{path.parent.name}/{path.name}"
        for path in TESTS.glob("*/test_*.py")
        if "mark.deep" in path.read_text(encoding="utf-8") and path != Path(__file__)
    }
    assert marked
    assert {one for one in marked if f"`{one}`" not in listed} == set()
