"""How the suite is spread over workers, so that both end together, and what each folder of it costs.

xdist hands out units. A unit is a module here, as with `--dist loadscope`; but where tests share what a session makes
once, their modules are one, and where every test takes long and shares nothing with its neighbours, each test is one.
Units that take long are begun first, and many small ones last: so no worker is left alone with a long one at the end.

On the local AWS a test waits most of the time, and leaves its processor to others. So half of the workers begin with
such tests, and the others with those that compute: three workers keep two processors busy.
"""

import gc
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from zlib import crc32

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Modules whose tests share nothing, each worth a unit.
SPLIT = ("tests/survival/test_machine.py", "tests/survival/test_matrix.py", "tests/survival/test_explored.py")
# What shares what a session makes once: the accounts in which the demo's story was played, the example's templates.
TOGETHER = {
    "tests/infra/": "templates",
    "tests/e2e/test_registration.py": "story",
    "tests/e2e/test_crl_on_active.py": "story",
    "tests/e2e/test_locked_out.py": "story",
    "tests/e2e/test_revocation.py": "story",
}
# What takes longest is begun first, in this order; then whatever is not named; what comes in many small units is last.
FIRST = (
    "tests/e2e/",
    "tests/local/",
    "tests/survival/test_machine.py",
    "tests/infra/",
    "tests/edge/",
    "tests/cli/",
    "tests/bench/",
)
LAST = "tests/survival/test_matrix.py"
# What waits more than it computes.
WAITING = ("tests/e2e/", "tests/local/")
# What `--quick` leaves out: whatever runs on the local AWS, and of all that takes long all but a sample.
ON_LOCAL_AWS = ("tests/e2e/", "tests/local/", "tests/asset/")
# One of so many tests is in the sample. The first path that fits counts; what fits none is run as a whole.
SAMPLED = {
    "tests/survival/test_matrix.py": 12,
    "tests/survival/test_machine.py": 10,
    "tests/survival/test_explored.py": 18,
    "tests/survival/": 4,
    "tests/bench/": 4,
    "tests/cli/": 4,
    "tests/differential/": 4,
    "tests/edge/": 4,
    "tests/fleet/": 3,
    "tests/infra/": 4,
    "tests/prove/": 4,
    "tests/unit/": 3,
}


def is_quick(nodeid: str) -> bool:
    """Whether `make test-quick` runs a test; the same ones every time."""
    if nodeid.startswith(ON_LOCAL_AWS) or "the local AWS" in nodeid:
        return False
    one_of = next((number for path, number in SAMPLED.items() if nodeid.startswith(path)), 1)
    return crc32(nodeid.encode()) % one_of == 0


def unit(nodeid: str) -> str:
    """The unit that a test belongs to."""
    module = nodeid.partition("::")[0]
    if module in SPLIT:
        return nodeid
    return next((name for path, name in TOGETHER.items() if module.startswith(path)), module)


def place(nodeid: str) -> int:
    """When a test's unit is begun, in relation to others."""
    if nodeid.startswith(LAST):
        return len(FIRST) + 1
    return next((at for at, begun in enumerate(FIRST) if nodeid.startswith(begun)), len(FIRST))


def folder(nodeid: str) -> str:
    """The folder of tests/ that a test is in."""
    return PurePosixPath(nodeid.partition("::")[0]).parts[1]


# What each worker takes to find the tests, before it runs one.
COLLECTION = "(collection)"

# Processor seconds of each folder, child processes and all, on the machine of the project's CI (two cores): what was
# measured, and about a third more. They say where growth is; a slower machine took two and a half times as much. What
# goes above its line is made cheaper, or moved to `make test-deep` (tests/README.md says what is there, and why).
BUDGET = {
    COLLECTION: 40,
    "asset": 10,
    "bench": 40,
    "cli": 100,
    "contract": 10,
    "differential": 22,
    "e2e": 140,
    "edge": 80,
    "fleet": 18,
    "infra": 46,
    "local": 60,
    "prove": 17,
    "simulation": 15,
    "suite": 8,
    "survival": 190,
    "unit": 58,
}


class Spread:
    """The plugin: the order of the tests, the units, and the table of what each folder took."""

    def __init__(self, *, quick: bool) -> None:
        self._quick = quick
        self._tests: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._before = _processor_seconds()
        self._collecting = 0.0  # processor seconds, until they are in a report

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self._quick and (left_out := [item for item in items if not is_quick(item.nodeid)]):
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if is_quick(item.nodeid)]
        items.sort(key=lambda item: place(item.nodeid))

    def pytest_collection_finish(self) -> None:
        """Have the garbage collector leave out what is there now, 840,000 objects, which live until the end."""
        gc.collect()
        gc.freeze()
        now = _processor_seconds()
        self._collecting, self._before = now - self._before, now

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Write into each report what the process and those of its children that have ended used since the last."""
        report = yield
        now = _processor_seconds()
        report.processor_seconds = now - self._before  # type: ignore[attr-defined]  # xdist carries it along
        self._before = now
        report.collecting_seconds, self._collecting = self._collecting, 0.0  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = folder(report.nodeid)
        self._tests[name] += report.when == "call"
        self._seconds[name] += getattr(report, "processor_seconds", 0.0)
        self._seconds[COLLECTION] += getattr(report, "collecting_seconds", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if sum(self._seconds.values()) < MENTIONED:
            return
        is_budgeted = terminalreporter.config.option.markexpr == BUDGETED
        and_budget = ", and its budget (tests/support/spread.py)" if is_budgeted else ""
        terminalreporter.section(f"processor seconds of each folder{and_budget}")
        for line in table(self._tests, self._seconds, budgets=BUDGET if is_budgeted else {}):
            terminalreporter.write_line(line)


BUDGETED = "not deep"  # what `make test` runs
MENTIONED = 60  # seconds that a run takes, before it is told what each folder took


def table(
    tests: Mapping[str, int], seconds: Mapping[str, float], *, budgets: Mapping[str, int] = BUDGET
) -> Iterable[str]:
    """One line for each folder; where its budget is exceeded, that is said."""
    for name in sorted(seconds):
        yield _row(name, tests[name], seconds[name], budgets.get(name, 0) if budgets else None)
    yield _row("all", sum(tests.values()), sum(seconds.values()), sum(budgets.values()) if budgets else None)


def _row(name: str, tests: int, seconds: float, budget: int | None) -> str:
    row = f"{name:<14}{tests:>6} tests{seconds:>8.0f} s"
    if budget is None:
        return row
    return f"{row} of {budget:>4} s" + ("  OVER ITS BUDGET" if seconds > budget and name != "all" else "")


def is_for_waiting(worker: int, workers: int) -> bool:
    """Whether a worker, by its number from 0, is given the tests that wait, as long as there are any."""
    return 2 * worker < workers


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types for it
    """Hands out units, in the order of the collection: to some workers first those that wait, to others the rest."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # which would begin with the unit of most tests, not of most seconds

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        waiting = is_for_waiting(self.nodes.index(node), len(self.nodes))
        for name, tests in self.workqueue.items():
            if next(iter(tests)).startswith(WAITING) is waiting:
                self.workqueue.move_to_end(name, last=False)
                break
        super()._assign_work_unit(node)


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
