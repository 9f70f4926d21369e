"""`python -m tests.support.e2e.hour [STEP …]`: plays the hour, and prints its table.

`--table` prints the table of the last run once more, which is kept in build/hour.json: at the width that the terminal
has now, or for a pipe.

Exit code 0: every step came out well. 1: one did not. 2: a name is no step's, or no run is kept. 130: interrupted.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tests.support.e2e.hour import kept, report
from tests.support.e2e.hour.outcome import Outcome
from tests.support.e2e.hour.run import STEPS, has_failed, run_hour

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130


def main(words: Sequence[str]) -> int:
    """Play the steps of these names, or all; or show what is kept."""
    if [*words] == ["--table"]:
        return _show_kept()
    known = {step.name for step in STEPS}
    if unknown := [name for name in words if name not in known]:
        report.show_unknown(unknown, known)
        return 2
    began, outcomes = time.monotonic(), list[Outcome]()
    try:
        run_hour(words, columns=int(os.environ.get("JITR_HOUR_COLUMNS", "80")), outcomes=outcomes)
    except KeyboardInterrupt:
        report.show_interrupted()
        if outcomes:
            report.show_table(outcomes, time.monotonic() - began)
        return _INTERRUPTED
    seconds = time.monotonic() - began
    kept.write(outcomes, seconds)
    report.show_table(outcomes, seconds)
    return 1 if has_failed(outcomes) else 0


def _show_kept() -> int:
    try:
        outcomes, seconds = kept.read()
    except FileNotFoundError:
        report.show_none_kept(kept.FILE)
        return 2
    report.show_table(outcomes, seconds)
    return 1 if has_failed(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
