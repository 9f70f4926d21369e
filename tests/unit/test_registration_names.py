"""Thing names in the registration of one certificate: owners, rotations, and names that are given up."""

from dataclasses import replace
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown, Reason, Rejected, Unavailable
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import NameRollback, Owner
from jitr.provisioning import AttachPolicy, AttachThingPrincipal, DetachPolicy, IotStep, plan_withdrawal
from jitr.record import Record, Standing
from jitr.rules import OnReplacement
from tests.support.cases.issuing import DAY, NOW, SECOND, factory
from tests.support.examples import OWNER
from tests.support.unit.registration_world import World


def owner(**changes: Any) -> Owner:
    """Another certificate of the same thing, which may be followed by the one that every test begins with."""
    another = Owner(
        certificate_id="f" * 64,
        ca_certificate_id=factory().certificate_id,
        serial="0a",
        issued_at=NOW - 360 * DAY,
        ends_at=NOW + 5 * DAY,
        registered_at=NOW - 360 * DAY,
    )
    return replace(another, **changes)


NO_ROTATION = {"ends_at": NOW + 300 * DAY}


def test_a_thing_name_that_another_certificate_owns_is_not_given_away(world: World) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert world.statuses_set == []
    world.registry.claim.assert_not_called()


def test_a_thing_name_that_is_claimed_while_we_work_is_lost_and_what_was_attached_is_taken_back(world: World) -> None:
    world.registry.claim.side_effect = Rejected(Reason.NOT_A_ROTATION, "taken")
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert world.statuses_set == []
    assert world.names[-5:] == [
        "registry.intend",  # the lock: another run may be about to activate what is detached
        "apply DetachPolicy",
        "apply DetachThingPrincipal",
        "announcer.announce",
        "registry.record",
    ]
    withdrawn = plan_withdrawal("jitr-acme-factory", ["sensor-0001"], world.application.device)
    assert [one.args[0] for one in world.iot.apply.call_args_list[-2:]] == list(withdrawn)


def test_what_was_taken_back_once_is_not_taken_back_at_every_look(world: World) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    first = world.decide()
    world.now += DAY
    calls = world.iot.apply.call_count
    again = world.decide(Record(decision=first))
    assert again.attempts == 2
    assert world.iot.apply.call_count == calls


def test_a_withdrawal_that_fails_leaves_no_decision_behind(world: World) -> None:
    world.registry.claim.side_effect = Rejected(Reason.NOT_A_ROTATION, "taken")
    world.fails_at(DetachPolicy, Unavailable("throttled"))
    with pytest.raises(Unavailable):
        world.decide()
    world.registry.record.assert_not_called()


def test_a_thing_name_that_this_certificate_owns_is_its_own(world: World) -> None:
    device_id = world.application.device.certificate_id
    world.registry.recall_standing.return_value = Standing(owner=owner(certificate_id=device_id, **NO_ROTATION))
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, None)
    assert world.registry.claim.call_args.kwargs["earlier"].certificate_id == device_id


@pytest.mark.parametrize(("owned", "is_ours"), [(None, False), (owner(), True)])
def test_a_thing_is_brought_in_line_only_when_the_registry_says_that_it_is_this_devices(
    world: World, owned: Owner | None, *, is_ours: bool
) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owned)
    world.decide()
    assert world.iot.things.create.call_args.args[0].is_ours is is_ours


@pytest.mark.parametrize("overlap", [0, 604_800])
def test_a_rotation_replaces_the_old_certificate_and_says_when_it_ends(world: World, overlap: int) -> None:
    world.application = world.application.with_rules(overlap=overlap)
    world.registry.recall_standing.return_value = Standing(owner=owner())
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, "f" * 64)
    claim = world.registry.claim.call_args
    assert claim.args[0] == decision
    said = {name: claim.kwargs[name] for name in ("share", "earlier", "retire_at")}
    assert said == {"share": False, "earlier": owner(), "retire_at": NOW + overlap * SECOND}
    assert world.iot.describe.call_count == 1  # the old one is asked for only when it stands in the way


def test_a_shared_thing_keeps_its_first_owner_and_nothing_is_replaced(world: World) -> None:
    world.application = world.application.with_rules(on_replacement=OnReplacement.SHARE)
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, None)
    assert world.registry.claim.call_args.kwargs["share"] is True


def test_a_second_certificate_can_be_refused_for_good(world: World) -> None:
    world.application = world.application.with_rules(on_replacement=OnReplacement.REJECT)
    world.registry.recall_standing.return_value = Standing(owner=owner())
    decision = world.decide()
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.REPLACEMENT_REFUSED)
    assert world.statuses_set == [Status.INACTIVE]
    assert world.names[4:] == [
        "iot.describe",  # is the owner still there?
        "registry.recall",  # and has it ever come in?
        "registry.intend",
        "apply DetachPolicy",
        "apply DetachThingPrincipal",
        "iot.take_turn",
        "apply SetStatus",
        "announcer.announce",
        "registry.record",
    ]


def gone(world: World, certificate_id: str) -> None:
    """Let a certificate be deleted."""

    def describe(asked: str) -> DeviceRegistration:
        if asked == certificate_id:
            raise CertificateUnknown(asked)
        return world.application.device

    world.iot.describe.side_effect = describe


@pytest.mark.parametrize("on_replacement", [OnReplacement.ROTATE, OnReplacement.REJECT])
def test_the_name_of_a_certificate_that_is_gone_is_taken_over(world: World, on_replacement: OnReplacement) -> None:
    world.application = world.application.with_rules(on_replacement=on_replacement)
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))
    gone(world, "f" * 64)
    decision = world.decide()
    assert (decision.outcome, decision.replaces) == (Outcome.ACTIVATED, None)
    assert world.registry.claim.call_args.kwargs["earlier"].certificate_id == "f" * 64


def test_an_owner_that_cannot_be_described_is_not_gone(world: World) -> None:
    world.registry.recall_standing.return_value = Standing(owner=owner(**NO_ROTATION))

    def describe(asked: str) -> DeviceRegistration:
        if asked == "f" * 64:
            raise Unavailable("DescribeCertificate: ThrottlingException")
        return world.application.device

    world.iot.describe.side_effect = describe
    with pytest.raises(Unavailable):
        world.decide()
    world.registry.claim.assert_not_called()


@pytest.mark.parametrize("kind", [AttachThingPrincipal, AttachPolicy])
def test_a_certificate_that_is_deleted_while_it_is_provisioned_is_unknown_and_no_decision_is_left(
    world: World, kind: type[IotStep]
) -> None:
    def apply(step: IotStep) -> None:
        if isinstance(step, kind):
            gone(world, world.application.device.certificate_id)
            raise Rejected(Reason.TARGET_MISSING, "it is missing, or the certificate is")

    world.iot.apply.side_effect = apply
    with pytest.raises(CertificateUnknown):
        world.decide()
    assert "announcer.announce" not in world.names
    assert not any(name in world.names for name in ("registry.claim", "registry.record", "registry.intend"))


@pytest.mark.parametrize("world", ["refused", "held"])
def test_a_refusal_gives_up_the_name_that_an_earlier_attempt_claimed(
    world: str, request: pytest.FixtureRequest
) -> None:
    it: World = request.getfixturevalue(world)
    claimed = it.recorded(thing_name="sensor-0001")
    it.registry.owners.return_value = {"sensor-0001": replace(OWNER, certificate_id=claimed.certificate_id)}
    it.decide(Record(intent=claimed))
    it.registry.give_back.assert_called_once_with(
        NameRollback(thing_name="sensor-0001", by=claimed.certificate_id, to=None)
    )
    assert it.names.index("registry.intend") < it.names.index("registry.give_back") < it.names.index("registry.record")


def test_a_refusal_gives_up_no_name_that_has_become_anothers(refused: World) -> None:
    refused.registry.owners.return_value = {"sensor-0001": OWNER}
    refused.decide(Record(intent=refused.recorded(thing_name="sensor-0001")))
    refused.registry.give_back.assert_not_called()


def test_a_refusal_without_an_earlier_claim_gives_up_nothing(refused: World) -> None:
    refused.decide()
    refused.decide(Record(intent=refused.recorded(outcome=Outcome.REJECTED)))
    refused.registry.give_back.assert_not_called()
