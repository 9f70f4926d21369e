"""The outcomes that the failure matrix strikes: how each one comes about, and what it must end as.

A scenario is played in a simulated account. `prepare` leads up to it undisturbed, `act` is what is recorded once and
then struck at every single call, and then the world goes on as it would: messages come again, the operator orders again
(`cure`), the sweep runs, the device knocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.brake import BrakeLimits
from jitr.decisions import Outcome
from jitr.rules import CheckMode, EnrollmentRule, OnReject
from jitr.store.enrollment_table import EntryChange
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.registry_writes import STALE_INTENT, Due
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import OrderContext
from simulation import Leaf
from tests.support.survival.scenario_world import DAY, World, authority

OPERATOR = "arn:aws:iam::111111111111:user/operator"
HOOK_ARN = "arn:aws:lambda:eu-central-1:111111111111:function:check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One outcome."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[World], None]
    act: Callable[[World], None]
    callers: tuple[str, ...] = ("register",)
    cure: Callable[[World], None] = lambda _: None
    ends: Callable[[World], None]
    ends_as: str  # the same in words, for the table
    changed_rules: dict[str, Any] | None = None


def _first_connect(world: World) -> None:
    assert world.connect() == "refused"


def _deliver(world: World) -> None:
    world.mapping.poll()


def _activated(world: World) -> None:
    decision = world.decision()
    assert world.status() == "ACTIVE"
    assert world.is_provisioned()
    assert world.connect() == "accepted"
    assert decision
    assert decision.outcome is Outcome.ACTIVATED


def _rejected(status: str) -> Callable[[World], None]:
    def check(world: World) -> None:
        decision = world.decision()
        assert world.status() == status
        assert decision
        assert (decision.outcome, decision.status.value) == (Outcome.REJECTED, status)
        assert world.connect() == "refused"

    return check


def _ca_switched_off(world: World) -> None:
    _first_connect(world)
    world.admin.update_ca_certificate(certificateId=authority().certificate_id, newStatus="INACTIVE")


def _ca_switched_on(world: World) -> None:
    decision = world.decision()
    assert decision
    assert decision.outcome is Outcome.HELD
    assert world.status() == "PENDING_ACTIVATION"
    world.admin.update_ca_certificate(certificateId=authority().certificate_id, newStatus="ACTIVE")
    world.aws.clock.advance(2 * 3600)


def _crl_is_published(world: World) -> None:
    decision = world.decision()
    assert decision
    assert (decision.outcome, world.status()) == (Outcome.HELD, "PENDING_ACTIVATION")
    world.publish_crl()
    world.aws.clock.advance(60)
    world.connect()


def _listed(world: World) -> None:
    """The list arrives late, and the device has given up: the sweep has to find it."""
    decision = world.decision()
    assert decision
    assert decision.outcome is Outcome.HELD
    assert world.status() == "PENDING_ACTIVATION"
    table = world.enrollment()
    subject = Subject(SubjectKind.THING, "sensor-0001")
    if not table.entries([subject]):
        entry = Entry(subject=subject, rule=EntryRule.ALLOW)
        table.change([EntryChange(entry=entry, replaces=None)], by="operator", at=world.aws.clock.now())
    world.aws.clock.advance(60)
    world.deployment.sweep()
    world.mapping.drain(within=DAY)


def _hook_that_allows(world: World) -> None:
    assert world.account.functions.create("check", lambda _: {"allowProvisioning": True}) == HOOK_ARN
    _first_connect(world)


def _time_passes(world: World) -> None:
    """A hook that did not answer in time is asked again by itself."""
    world.aws.clock.advance(2 * 3600)


def _old_one_works_new_one_knocks(world: World) -> None:
    old = world.issue("sensor-0001", begins=timedelta(days=-300), ends=timedelta(days=30))
    assert world.connect(old) == "refused"
    world.mapping.drain()
    assert world.connect(old) == "accepted"
    world.old = old
    _first_connect(world)


def _replaced(world: World) -> None:
    _activated(world)
    old = world.old
    decision = world.decision(old)
    assert decision
    assert (decision.outcome, decision.replaced_by) == (Outcome.REPLACED, world.leaf.certificate_id)
    assert world.status(old) == "INACTIVE"
    assert not world.is_provisioned(old)


def _overlap_is_over(world: World) -> None:
    _old_one_works_new_one_knocks(world)
    world.mapping.drain()
    assert world.connect() == "accepted"
    world.aws.clock.advance(3601)


def _sweep(world: World) -> None:
    world.deployment.sweep()


def _refused_by_name(world: World) -> None:
    _first_connect(world)
    world.mapping.drain()
    assert world.status() == "INACTIVE"
    world.deploy(common_name="sensor-[0-9]+")


def _release(world: World) -> None:
    world.operator.release(world.leaf.certificate_id, OrderContext(by=OPERATOR))


def _release_again(world: World) -> None:
    """An order that was cut off is given again; one that was carried out changes nothing more."""
    world.aws.clock.advance(STALE_INTENT.total_seconds())
    if world.status() != "ACTIVE" if world.leaf.certificate_id in world.account.iot.certificates.by_id else True:
        _release(world)
    world.connect()


def order_release(world: World, leaf: Leaf) -> OperatorVerdict | None:
    """What `jitrctl device release --rejected-for` writes for one certificate, as it sees it now."""
    client = world.account.client("dynamodb", caller="operator")
    outcomes = Outcomes(client, world.deployment.settings.registry_table)
    seen = world.registry().recall([leaf.certificate_id])[leaf.certificate_id]
    order = OperatorVerdict(action=OperatorAction.RELEASED, by=OPERATOR, at=world.aws.clock.now(), note="wrong pattern")
    return outcomes.order_release(leaf.certificate_id, order, seen=seen)


def _taken_back(world: World) -> None:
    """The rejection is ordered to be taken back, and the sweep has sent the device."""
    world.aws.fault = world.watch
    _refused_by_name(world)
    world.aws.clock.advance(1)  # decisions of one millisecond are one decision to a condition
    assert order_release(world, world.leaf)
    world.deployment.sweep()
    (message,) = world.deployment.registrations.messages
    world.event = message.body


def _ordered_away(world: World) -> None:
    """The device is ACTIVE and connected; an operator orders it away with many others, and the sweep has sent it."""
    world.connect()
    world.mapping.drain()
    assert world.connect() == "accepted"
    world.aws.fault = world.watch
    world.aws.clock.advance(1)
    order_away(world, world.leaf)


def order_away(world: World, leaf: Leaf) -> None:
    """What `jitrctl device revoke --from` writes for one certificate, as it sees it now."""
    registry = Registry(world.account.client("dynamodb", caller="operator"), world.deployment.settings.registry_table)
    seen = world.registry().recall([leaf.certificate_id])[leaf.certificate_id]
    order = OperatorVerdict(action=OperatorAction.REVOKED, by=OPERATOR, at=world.aws.clock.now(), note="stolen")
    assert registry.order_take_away(leaf.certificate_id, order, seen=seen)


def _sweep_and_deliver(world: World) -> None:
    world.deployment.sweep()
    world.mapping.drain()


def _is_away(world: World) -> None:
    """REVOKED, without a session, and nothing is due any more."""
    record = world.registry().recall([world.leaf.certificate_id])[world.leaf.certificate_id]
    assert (world.status(), record.ordered, record.intent) == ("REVOKED", None, None)
    assert world.connect() == "refused"
    assert world.registry().list_due(Due.TAKE_AWAY, world.aws.clock.now(), most=1) == []


def _mend_the_rules(world: World) -> None:
    """The rules were wrong: nothing was rejected, and other ones are deployed."""
    assert world.status() != "INACTIVE"
    world.deploy(common_name="sensor-[0-9]+")


BILLED: dict[str, Any] = {"billing_group": "costs", "shadow": '{"state":{"desired":{"name":"{thing_name}"}}}'}


def _billed_with_a_shadow(name: str) -> Callable[[World], None]:
    def check(world: World) -> None:
        _activated(world)
        iot = world.account.iot
        assert iot.things.by_name["sensor-0001"].billing_group == "costs"
        assert iot.shadows.by_thing["sensor-0001"].state == {"desired": {"name": name}}

    return check


def _has_a_thing_with_a_shadow(world: World) -> None:
    """Another tool made the thing; it is in no billing group, and an application has written its shadow."""
    world.admin.create_thing(thingName="sensor-0001", attributePayload={"attributes": {"colour": "red"}})
    data = world.account.client("iot-data", caller="admin")
    data.update_thing_shadow(thingName="sensor-0001", payload=b'{"state": {"desired": {"name": "written before"}}}')
    _first_connect(world)


SCENARIOS = (
    Scenario(
        name="activate",
        prepare=_first_connect,
        act=_deliver,
        ends=_activated,
        ends_as="ACTIVE, with thing, group, principal and policy",
        changed_rules={"common_name": "other-[0-9]+"},
    ),
    Scenario(
        name="activate with a shadow",
        settings=BILLED,
        prepare=_first_connect,
        act=_deliver,
        ends=_billed_with_a_shadow("sensor-0001"),
        ends_as="ACTIVE, the thing in its billing group, with its first shadow",
    ),
    Scenario(
        name="adopt a thing with a shadow",
        settings=BILLED,
        prepare=_has_a_thing_with_a_shadow,
        act=_deliver,
        ends=_billed_with_a_shadow("written before"),
        ends_as="ACTIVE, the thing in its billing group, its shadow as it was",
    ),
    *(
        Scenario(
            name=f"reject, {on_reject}",
            settings={"common_name": "other-[0-9]+", "on_reject": on_reject},
            prepare=_first_connect,
            act=_deliver,
            ends=_rejected(status),
            ends_as=f"{status}, with its reason",
            changed_rules={"common_name": "sensor-[0-9]+"},
        )
        for on_reject, status in (
            (OnReject.DEACTIVATE, "INACTIVE"),
            (OnReject.REVOKE, "REVOKED"),
            (OnReject.LEAVE, "PENDING_ACTIVATION"),
        )
    ),
    Scenario(
        name="hold",
        prepare=_ca_switched_off,
        act=_deliver,
        cure=_ca_switched_on,
        ends=_activated,
        ends_as="held; ACTIVE by itself once the CA is active again",
        changed_rules={"common_name": "other-[0-9]+"},
    ),
    Scenario(
        name="hold by the brake",
        settings={"common_name": "other-[0-9]+", "brake": BrakeLimits(refused=0)},
        prepare=_first_connect,
        act=_deliver,
        cure=_mend_the_rules,
        ends=_activated,
        ends_as="held, and the brake announced once; ACTIVE by itself under mended rules",
        changed_rules={"common_name": "sensor-[0-9]+"},
    ),
    Scenario(
        name="hold for a CRL",
        settings={"checks": {"revocation": CheckMode.ENFORCE}},
        prepare=_first_connect,
        act=_deliver,
        cure=_crl_is_published,
        ends=_activated,
        ends_as="held; ACTIVE by itself once a CRL is published",
        changed_rules={"attributes": {"model": "{common_name}"}},
    ),
    Scenario(
        name="hold until listed",
        settings={"enrollment": EnrollmentRule.LISTED},
        prepare=_first_connect,
        act=_deliver,
        cure=_listed,
        ends=_activated,
        ends_as="held; ACTIVE by itself, by the sweep, once an entry allows it",
    ),
    Scenario(
        name="ask the hook",
        settings={"hook": HOOK_ARN},
        prepare=_hook_that_allows,
        act=_deliver,
        cure=_time_passes,
        ends=_activated,
        ends_as="asked, and ACTIVE",
    ),
    Scenario(
        name="replace",
        prepare=_old_one_works_new_one_knocks,
        act=_deliver,
        cure=lambda world: world.aws.clock.advance(3601),
        ends=_replaced,
        ends_as="new one ACTIVE, old one INACTIVE and detached after the overlap",
        changed_rules={"attributes": {"model": "{common_name}"}},
    ),
    Scenario(
        name="retire",
        prepare=_overlap_is_over,
        act=_sweep,
        callers=("sweep",),
        ends=_replaced,
        ends_as="old one INACTIVE and detached, new one untouched",
    ),
    Scenario(
        name="release",
        settings={"common_name": "other-[0-9]+"},
        prepare=_refused_by_name,
        act=_release,
        callers=("operator",),
        cure=_release_again,
        ends=_activated,
        ends_as="evaluated again, and ACTIVE",
    ),
    Scenario(
        name="take a rejection back",
        settings={"common_name": "other-[0-9]+"},
        prepare=_taken_back,
        act=_deliver,
        ends=_activated,
        ends_as="under a release order: ACTIVE without being deleted",
        changed_rules={"common_name": "other-[0-9]+"},
    ),
    Scenario(
        name="take away",
        prepare=_ordered_away,
        act=_sweep_and_deliver,
        callers=("sweep", "register"),
        cure=lambda world: world.aws.clock.advance(3601),
        ends=_is_away,
        ends_as="by an order on many: REVOKED, its session ended",
    ),
)
