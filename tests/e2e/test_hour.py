"""An operator's first hour: every cure that jitrctl prints is run, and the device comes in (`make hour`)."""

import pytest

from tests.support.e2e.hour import kept, report
from tests.support.e2e.hour.run import run_hour


@pytest.mark.deep
def test_every_break_of_the_hour_is_cured_with_what_is_printed() -> None:
    outcomes = run_hour()

    seconds = sum(one.seconds for one in outcomes)
    kept.write(outcomes, seconds)
    report.show_table(outcomes, seconds)
    assert not [f"{one.name}: {one.error}" for one in outcomes if one.error]
