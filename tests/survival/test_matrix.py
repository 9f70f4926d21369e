"""Nothing that goes wrong at any single call leaves a device half done, lost, or let in without a policy."""

from collections import Counter
from collections.abc import Callable

import pytest

from jitr.telemetry import BRAKE_DETAIL_TYPE
from tests.support.survival.batch_scenarios import BATCH_SCENARIOS
from tests.support.survival.matrix import ALL, Case, Company, Strike, cases, outcome_table, possible, recorded_calls
from tests.support.survival.scenarios import Scenario, World
from tools.outcomes import DOCUMENT, read_table

ACTIVATION = 7  # IoT calls, with a group and the CA's description; what changed rules may turn a refusal into

_DEATH = (Strike.DIES_AFTER, Company.NOBODY)


def _id(value: object) -> str:
    return value.name if isinstance(value, Scenario) else str(value)


@pytest.mark.parametrize(
    ("scenario", "strike", "company"),
    [
        # Threads take the simulation longer: of a batch of two, a death and a redelivery in the suite, the others deep.
        pytest.param(*one, marks=pytest.mark.deep if one[0] in BATCH_SCENARIOS and one[1:] != _DEATH else ())
        for one in possible()
    ],
    ids=_id,
)
def test_every_call_can_be_struck_and_all_ends_well(
    scenario: Scenario, strike: Strike, company: Company, record_property: Callable[[str, object], None]
) -> None:
    _strike_everywhere(scenario, strike, company, record_property)


@pytest.mark.parametrize(
    ("scenario", "strike", "company"),
    [
        # All of them deep; a death and a redelivery of each scenario in the suite.
        pytest.param(*one, marks=() if one[1:] == _DEATH and one[0] not in BATCH_SCENARIOS else pytest.mark.deep)
        for one in possible()
    ],
    ids=_id,
)
def test_every_call_can_be_struck_where_aws_names_no_ca(
    scenario: Scenario, strike: Strike, company: Company, record_property: Callable[[str, object], None]
) -> None:
    _strike_everywhere(scenario, strike, company, record_property, unnamed=True)


@pytest.mark.parametrize("scenario", ALL, ids=_id)
def test_no_outcome_takes_another_call_where_aws_names_no_ca(scenario: Scenario) -> None:
    def made(*, unnamed: bool) -> Counter[str]:
        return Counter(call.name for call in recorded_calls(scenario, unnamed=unnamed))

    assert made(unnamed=True) <= made(unnamed=False)


def _strike_everywhere(
    scenario: Scenario,
    strike: Strike,
    company: Company,
    record_property: Callable[[str, object], None],
    *,
    unnamed: bool = False,
) -> None:
    played = 0
    undisturbed = [call for call in recorded_calls(scenario) if call.service == "iot"]
    for case in cases(scenario, strike, company, unnamed=unnamed):
        where = f"{scenario.name}, call {case.at} ({recorded_calls(scenario)[case.at].name}), {strike}, {company}"
        try:
            world = case.play()
            _check_messages(world)
            _check_end(case, world)
            _check_announcements(world)
            world.promises.settled()
            world.check_promises()
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        # A redelivery makes each call at most once more, a duplicate too, and the struck one has three attempts; one
        # more look at the certificate is made when time has passed.
        again = 3 if company is Company.DUPLICATE else 2
        assert case.iot_calls <= again * max(len(undisturbed), ACTIVATION) + 4, f"{where}: {case.iot_calls} IoT calls"
        played += 1
    record_property("cases of the failure matrix", played)


def _check_end(case: Case, world: World) -> None:
    if case.strike is not Strike.RULES_CHANGE:
        case.scenario.ends(world)
        return
    # Under other rules it may end either way, but it ends, and the record says how.
    decision, status = world.decision(), world.status()
    assert decision, "nothing was recorded"
    assert decision.status.value == status
    assert (status == "ACTIVE") == (world.connect() == "accepted")
    assert status != "ACTIVE" or world.is_provisioned()


def _check_messages(world: World) -> None:
    assert world.deployment.registrations.size == 0, "a message is left in the queue"
    assert world.deployment.dead_letters.size == 0, "a message was dead-lettered"


def _check_announcements(world: World) -> None:
    """What was recorded was announced, and however often, under one id."""
    ids: dict[tuple[str, str, str], set[str]] = {}
    for event in world.account.events.put:
        detail = event.detail
        if event.detail_type == BRAKE_DETAIL_TYPE:
            ids.setdefault((detail["ca"], "brake", ""), set()).add(detail["id"])
            continue
        what = (detail["certificate_id"], detail["outcome"], detail.get("reason", ""))
        ids.setdefault(what, set()).add(detail["id"])
    decision = world.decision()
    assert decision
    reason = decision.reason.name if decision.reason else ""
    assert (decision.certificate_id, decision.outcome.value, reason) in ids, f"{decision.outcome} was not announced"
    for what, which in ids.items():
        assert len(which) == 1, f"{what} was announced under {len(which)} ids"


def test_the_documents_table_is_the_matrixs() -> None:
    assert read_table() == outcome_table(), f"run `make docs`: {DOCUMENT.name} is out of date"
