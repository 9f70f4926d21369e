"""Nothing that goes wrong at any single call leaves a device half done, lost, or let in without a policy."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.survival.batch_scenarios import BATCH_SCENARIOS
from tests.support.survival.crl_scenarios import CRL_SCENARIOS
from tests.support.survival.lost_ca_scenarios import LOST_CA_SCENARIOS
from tests.support.survival.matrix import ALL, Company, Strike, outcome_table, possible, recorded_calls
from tests.support.survival.scenarios import Scenario
from tests.support.survival.session_scenarios import SESSION_SCENARIOS
from tests.support.survival.striking import strike_everywhere
from tools.outcomes import DOCUMENT, read_table

PLAYED = "cases of the failure matrix"
_LONG = (*BATCH_SCENARIOS, *SESSION_SCENARIOS, *LOST_CA_SCENARIOS, *CRL_SCENARIOS)
_DEATH = (Strike.DIES_AFTER, Company.NOBODY)
# The scenarios of most calls. Of the strikes that leave a call undone, a time-out is in the suite.
_MANY_CALLS = {"take back", "another name", "retire", "take away", "import, and the sweep"}
_UNDONE = {Strike.THROTTLED, Strike.SERVER_ERROR}


def _is_deep(scenario: Scenario, strike: Strike, company: Company) -> bool:
    """Whether a case is too long for every run: with threads, with sessions, or of many calls."""
    if scenario in _LONG:
        return (strike, company) != _DEATH
    return scenario.name in _MANY_CALLS and strike in _UNDONE


def _id(value: object) -> str:
    return value.name if isinstance(value, Scenario) else str(value)


@pytest.mark.parametrize(
    ("scenario", "strike", "company"),
    [pytest.param(*one, marks=pytest.mark.deep if _is_deep(*one) else ()) for one in possible()],
    ids=_id,
)
def test_every_call_can_be_struck_and_all_ends_well(
    scenario: Scenario, strike: Strike, company: Company, record_property: Callable[[str, object], None]
) -> None:
    record_property(PLAYED, strike_everywhere(scenario, strike, company))


@pytest.mark.parametrize(
    ("scenario", "strike", "company"),
    [
        # All of them deep; a death and a redelivery of each scenario in the suite.
        pytest.param(*one, marks=() if one[1:] == _DEATH and one[0] not in _LONG else pytest.mark.deep)
        for one in possible()
    ],
    ids=_id,
)
def test_every_call_can_be_struck_where_aws_names_no_ca(
    scenario: Scenario, strike: Strike, company: Company, record_property: Callable[[str, object], None]
) -> None:
    record_property(PLAYED, strike_everywhere(scenario, strike, company, unnamed=True))


@pytest.mark.parametrize("scenario", ALL, ids=_id)
def test_no_outcome_takes_another_call_where_aws_names_no_ca(scenario: Scenario) -> None:
    def made(*, unnamed: bool) -> Counter[str]:
        return Counter(call.name for call in recorded_calls(scenario, unnamed=unnamed))

    assert made(unnamed=True) <= made(unnamed=False)


def test_the_documents_table_is_the_matrixs() -> None:
    assert read_table() == outcome_table(), f"run `make docs`: {DOCUMENT.name} is out of date"
