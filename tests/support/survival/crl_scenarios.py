"""The outcomes of the failure matrix that a CRL brings about: a device is revoked, suspended, and let back."""

from collections.abc import Callable

from cryptography.x509 import ReasonFlags

from jitr.decisions import Outcome
from jitr.errors import Reason
from tests.support.cases.listing import make_crl
from tests.support.survival.revoking import CA, ENFORCED, FOR_GOOD, HOLD
from tests.support.survival.scenario_world import DAY, World, authority
from tests.support.survival.scenarios import Scenario

_REASONS = {"REVOKED": Reason.REVOKED_BY_CA, "INACTIVE": Reason.SUSPENDED_BY_CA}


def _publish(world: World, number: int, reason: ReasonFlags | None = None) -> None:
    entries = {world.leaf: reason} if reason else {}
    world.deployment.publish_crl(CA, make_crl(authority(), world.aws.clock.now(), entries, number=number))


def _come_up(world: World) -> None:
    _publish(world, 1)
    _apply(world)
    world.connect()
    world.mapping.drain(within=60)
    assert world.connect() == "accepted"


def _list(reason: ReasonFlags) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        _come_up(world)
        _publish(world, 2, reason)

    return prepare


def _list_no_more(world: World) -> None:
    _list(HOLD)(world)
    _apply(world)
    assert world.status() == "INACTIVE"
    world.account.events.put.clear()  # it is ACTIVE twice, and both times that is announced
    _publish(world, 3)


def _apply(world: World) -> None:
    world.deployment.revoke_mapping(caller="revoke before").drain(within=DAY)


def _run(world: World) -> None:
    world.deployment.revoke_mapping().poll()


def _run_again(world: World) -> None:
    world.deployment.revoke_mapping().drain(within=DAY)


def _ended(status: str) -> Callable[[World], None]:
    def ends(world: World) -> None:
        decision = world.decision()
        assert world.status() == status
        assert world.connect() == "refused"
        assert decision
        assert (decision.outcome, decision.reason) == (Outcome.FOUND, _REASONS[status])
        assert decision.thing_name == "sensor-0001"

    return ends


def _let_back(world: World) -> None:
    decision = world.decision()
    assert world.status() == "ACTIVE"
    assert world.is_provisioned()
    assert world.connect() == "accepted"
    assert decision
    assert decision.outcome is Outcome.ACTIVATED


CRL_SCENARIOS = (
    Scenario(
        name="revoke by a CRL",
        settings=ENFORCED,
        prepare=_list(FOR_GOOD),
        act=_run,
        callers=("revoke",),
        cure=_run_again,
        ends=_ended("REVOKED"),
        ends_as="REVOKED, with its reason, its session ended",
    ),
    Scenario(
        name="suspend by a CRL",
        settings=ENFORCED,
        prepare=_list(HOLD),
        act=_run,
        callers=("revoke",),
        cure=_run_again,
        ends=_ended("INACTIVE"),
        ends_as="INACTIVE, and it keeps its thing, its policy and its name",
    ),
    Scenario(
        name="lift a hold",
        settings=ENFORCED,
        prepare=_list_no_more,
        act=_run,
        callers=("revoke",),
        cure=_run_again,
        ends=_let_back,
        ends_as="ACTIVE again, by the sweep and `register`",
    ),
)
