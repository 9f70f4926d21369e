"""Plays the cases of the failure matrix, and checks how each ends: messages, certificate, record and announcements."""

from jitr.decisions import Outcome
from jitr.telemetry import BRAKE_DETAIL_TYPE
from tests.support.survival.matrix import Case, Company, Strike, cases, recorded_calls
from tests.support.survival.scenario_world import World
from tests.support.survival.scenarios import Scenario

ACTIVATION_CALLS = 7  # IoT calls, with a group and the CA's description; what changed rules may turn a refusal into


def strike_everywhere(
    scenario: Scenario,
    strike: Strike,
    company: Company,
    *,
    unnamed: bool = False,
) -> int:
    """Strike each call of a scenario in turn and check how it ends; how many cases that were.

    With `unnamed`, AWS names no CA of a certificate. Raises AssertionError with the case that does not hold.
    """
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
        assert case.iot_calls <= again * max(len(undisturbed), ACTIVATION_CALLS) + 4, (
            f"{where}: {case.iot_calls} IoT calls"
        )
        played += 1
    return played


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
        said = detail.get("outcome") or detail["verdict"]  # an order that the functions carried out
        what = (detail["certificate_id"], said, detail.get("reason", ""))
        ids.setdefault(what, set()).add(detail["id"])
    decision = world.decision()
    assert decision
    reason = decision.reason.name if decision.reason else ""
    said = decision.outcome.value
    if decision.outcome is Outcome.FOUND:
        said = next(iter({what[1] for what in ids} & {"revoked"}), said)  # found is what an order set
    assert (decision.certificate_id, said, reason) in ids, f"{decision.outcome} was not announced"
    for what, which in ids.items():
        assert len(which) == 1, f"{what} was announced under {len(which)} ids"
