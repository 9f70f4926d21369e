"""What all tests share: properties are checked the same way every time, and no duration is ever judged."""

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings

# An assertion there says what was compared, as in a test; before the first of its modules is imported.
pytest.register_assert_rewrite("tests.support")

from tests.support.spread import Scheduler, Spread  # noqa: E402

# The CDK would look through each template that is synthesized, ten seconds long, and only warn. cfn-lint looks through
# them in tests/infra, and both do in `make synth`. Before the CDK's process starts, which keeps its environment.
os.environ.setdefault("CDK_VALIDATION", "false")
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

settings.register_profile("jitr", deadline=None, derandomize=True, database=None)
settings.load_profile("jitr")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Spread(quick=config.getoption("--quick")), "spread")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="no local AWS, and a sample of what takes long")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was played, where a test says so: it is a number that a reader should see."""
    played: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        played.update({name: number for name, number in report.user_properties if isinstance(number, int)})
    for name, number in played.items():
        terminalreporter.write_line(f"{name}: {number}")
