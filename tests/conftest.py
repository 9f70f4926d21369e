"""What all tests share: properties are checked the same way every time, and no duration is ever judged."""

from collections import Counter

import pytest
from hypothesis import settings

settings.register_profile("jitr", deadline=None, derandomize=True, database=None)
settings.load_profile("jitr")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was played, where a test says so: it is a number that a reader should see."""
    played: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        played.update({name: number for name, number in report.user_properties if isinstance(number, int)})
    for name, number in played.items():
        terminalreporter.write_line(f"{name}: {number}")
