"""`python -m tests.support.e2e.hour [STEP …]`: plays the hour, and prints its table.

Exit code 0: every step came out well. 1: one did not. 2: a name is no step's. 130: interrupted.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tests.support.e2e.hour import report
from tests.support.e2e.hour.outcome import Outcome
from tests.support.e2e.hour.run import STEPS, has_failed, run_hour

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130


def main(names: Sequence[str]) -> int:
    """Play the steps of these names, or all."""
    known = {step.name for step in STEPS}
    if unknown := [name for name in names if name not in known]:
        report.show_unknown(unknown, known)
        return 2
    began, outcomes = time.monotonic(), list[Outcome]()
    try:
        run_hour(names, columns=int(os.environ.get("JITR_HOUR_COLUMNS", "80")), outcomes=outcomes)
    except KeyboardInterrupt:
        report.show_interrupted()
        if outcomes:
            report.show_table(outcomes, time.monotonic() - began)
        return _INTERRUPTED
    report.show_table(outcomes, time.monotonic() - began)
    return 1 if has_failed(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
