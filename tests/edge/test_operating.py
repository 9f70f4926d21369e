"""What an operator does to one device, and that `register` never overrules it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from jitr.admission.applicant import Applicant
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Rejected, Unavailable
from jitr.iot_models import Status
from jitr.provisioning import IotStep, SetStatus
from jitr.record import Record
from jitr.store.registry_writes import STALE_INTENT, Due
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext
from jitrctl.device.order_conflicts import find_twins
from jitrctl.errors import OperatingError
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, rules_for
from tests.support.cases.twins import twin_of
from tests.support.cloud import Cloud, Wire
from tests.support.examples import ACTIVATION, ANN, ID, OWNER

ORDER = OrderContext(by=ANN, note="stolen")
STATUS_OF = {
    OperatorAction.DENIED: "INACTIVE",
    OperatorAction.DEACTIVATED: "INACTIVE",
    OperatorAction.REVOKED: "REVOKED",
}


class Desk:
    """An operator in the account; waiting moves the time, and lets something happen meanwhile."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.slept: list[float] = []
        self.ahead = timedelta(0)  # the operator's clock
        self.meanwhile: Callable[[], object] = lambda: None
        self.operator = Operator(
            client=cloud.iot,
            iot=cloud.aws_iot,
            registry=cloud.registry,
            rules=cloud.rules,
            clock=lambda: cloud.now + self.ahead,
            monotonic=cloud.seconds,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.cloud.now += timedelta(seconds=seconds)
        self.meanwhile()


@pytest.fixture
def desk(cloud: Cloud) -> Desk:
    return Desk(cloud)


def active(cloud: Cloud) -> str:
    device = cloud.knock()
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == "ACTIVE"
    return device


def verdict(cloud: Cloud, device: str) -> tuple[OperatorAction, str, str] | None:
    said = cloud.registry.recall([device])[device].verdict
    return (said.action, said.by, said.note) if said else None


@pytest.mark.parametrize("word", STATUS_OF)
@pytest.mark.parametrize("make", [active, Cloud.knock], ids=["active", "pending"])
def test_a_certificate_is_taken_away_after_the_verdict_is_written(
    cloud: Cloud, wire: Wire, desk: Desk, word: OperatorAction, make: Callable[[Cloud], str]
) -> None:
    device = make(cloud)
    wire.forget()
    assert desk.operator.take_away(device, word, ORDER) == STATUS_OF[word]
    operations = [operation for _, operation, _ in wire.calls]
    assert operations[:4] == ["BatchGetItem", "UpdateItem", "DescribeCertificate", "UpdateCertificate"]
    looks = ["BatchGetItem"] if make is active else ["DescribeCertificate", "BatchGetItem"]
    assert operations[4:] == looks, "did its twin come in?"
    assert cloud.status(device) == STATUS_OF[word]
    assert verdict(cloud, device) == (word, ANN, "stolen")
    assert desk.slept == []


@pytest.mark.parametrize("word", STATUS_OF)
def test_the_form_that_is_in_is_taken_away_with_the_one_that_is_named(
    cloud: Cloud, desk: Desk, word: OperatorAction
) -> None:
    pem = factory().leaf()
    held, twin = cloud.knock(pem), cloud.knock(twin_of(pem))
    for device in (twin, held):
        cloud.batch(cloud.record(cloud.event(device)))
    assert (cloud.status(twin), cloud.status(held)) == ("ACTIVE", "PENDING_ACTIVATION")
    assert desk.operator.take_away(held, word, ORDER)
    assert (cloud.status(twin), cloud.status(held)) == (STATUS_OF[word], STATUS_OF[word])


@pytest.mark.parametrize("word", STATUS_OF)
def test_the_form_that_is_in_is_taken_away_though_nothing_is_recorded_of_the_one_that_is_named(
    cloud: Cloud, desk: Desk, word: OperatorAction
) -> None:
    pem = factory().leaf()
    named_one, twin = cloud.knock(pem), cloud.knock(twin_of(pem))
    cloud.batch(cloud.record(cloud.event(twin)))
    assert desk.operator.take_away(named_one, word, ORDER)
    assert (cloud.status(twin), cloud.status(named_one)) == (STATUS_OF[word], STATUS_OF[word])


def test_the_intent_names_the_twin_that_an_older_versions_decision_does_not(cloud: Cloud) -> None:
    record = Record(decision=replace(ACTIVATION, twin_id=None), intent=replace(ACTIVATION, twin_id="7" * 64))
    assert find_twins(ID, record, iot=cloud.aws_iot, rules=cloud.rules) == {"7" * 64}


@pytest.mark.parametrize("word", STATUS_OF)
def test_what_was_taken_away_stays_away_when_the_device_knocks(cloud: Cloud, desk: Desk, word: OperatorAction) -> None:
    device = cloud.knock()
    desk.operator.take_away(device, word, ORDER)
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == STATUS_OF[word]


@pytest.mark.parametrize("word", STATUS_OF)
def test_a_certificate_can_be_taken_away_before_it_comes(cloud: Cloud, desk: Desk, word: OperatorAction) -> None:
    pem = factory().leaf()
    (device,) = (cloud.knock(pem),)
    cloud.iot.update_certificate(certificateId=device, newStatus="INACTIVE")
    cloud.iot.delete_certificate(certificateId=device)
    assert desk.operator.take_away(device, word, ORDER) is None
    cloud.knock(pem)
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) != "ACTIVE"
    assert cloud.counted()["Activated"] == 0


@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.DEACTIVATED])
def test_a_revoked_certificate_stays_revoked(cloud: Cloud, wire: Wire, desk: Desk, word: OperatorAction) -> None:
    device = active(cloud)
    desk.operator.take_away(device, OperatorAction.REVOKED, ORDER)
    wire.forget()
    desk.operator.take_away(device, word, ORDER)
    assert cloud.status(device) == "REVOKED"
    assert wire.of("UpdateCertificate") == []


def test_a_verdict_that_cannot_be_written_changes_nothing(cloud: Cloud, wire: Wire, desk: Desk) -> None:
    device = active(cloud)
    wire.fail("UpdateItem", "ThrottlingException")
    with pytest.raises(Unavailable):
        desk.operator.take_away(device, OperatorAction.REVOKED, ORDER)
    assert cloud.status(device) == "ACTIVE"


def observe_device(cloud: Cloud, device: str) -> Decision:
    """The decision that records the certificate's status as AWS IoT has it."""
    registration = cloud.registration
    return registration._found._observe(Applicant.of(cloud.aws_iot.describe(device), registration._rules), Record())


@pytest.mark.parametrize("ahead", [timedelta(0), DAY, -DAY])
@pytest.mark.parametrize("word", STATUS_OF)
def test_a_claim_that_was_made_just_before_is_waited_out_and_the_status_set_again(
    cloud: Cloud, desk: Desk, word: OperatorAction, ahead: timedelta
) -> None:
    """The order comes between the claim and UpdateCertificate, which then activates what was taken away."""
    desk.ahead = ahead
    device = cloud.knock()
    apply = cloud.aws_iot.apply
    asked = []

    def slow(step: IotStep) -> None:
        if isinstance(step, SetStatus) and step.status is Status.ACTIVE:
            cloud.aws_iot.apply = apply  # type: ignore[method-assign]
            asked.append(step)
            raise Unavailable("UpdateCertificate is on its way")
        apply(step)

    cloud.aws_iot.apply = slow  # type: ignore[method-assign]
    cloud.batch(cloud.record(cloud.event(device)))
    intent = cloud.registry.recall([device])[device].intent
    assert intent

    def arrive() -> None:
        if len(desk.slept) == 3:
            cloud.iot.update_certificate(certificateId=device, newStatus="ACTIVE")
            cloud.registry.record(intent)

    desk.meanwhile = arrive
    desk.operator.take_away(device, word, ORDER)
    assert cloud.status(device) == STATUS_OF[word]
    assert asked
    assert len(desk.slept) == 3


@pytest.mark.parametrize("ahead", [timedelta(0), DAY, -DAY])
def test_a_claim_of_a_dead_function_is_waited_for_no_longer_than_it_could_live(
    cloud: Cloud, desk: Desk, ahead: timedelta
) -> None:
    desk.ahead = ahead
    device, record = cloud.knock(), Record()
    intent = replace(
        observe_device(cloud, device),
        outcome=Outcome.ACTIVATED,
        status=Status.ACTIVE,
        thing_name="sensor-0001",
    )
    owner = replace(OWNER, certificate_id=device)
    cloud.registry.claim(intent, record, owner, share=False, earlier=None, retire_at=NOW, run="run")
    desk.operator.take_away(device, OperatorAction.DEACTIVATED, ORDER)
    assert cloud.now - NOW == STALE_INTENT
    assert cloud.status(device) == "INACTIVE"


def test_a_claim_that_stands_when_the_order_comes_cannot_be_made_again(cloud: Cloud, desk: Desk) -> None:
    device = cloud.knock()
    desk.operator.take_away(device, OperatorAction.DENIED, ORDER)
    intent = replace(
        observe_device(cloud, device),
        outcome=Outcome.ACTIVATED,
        status=Status.ACTIVE,
        thing_name="sensor-0001",
    )
    with pytest.raises(Rejected) as refusal:
        cloud.registry.claim(
            intent, Record(), replace(OWNER, certificate_id=device), share=False, earlier=None, retire_at=NOW, run="run"
        )
    assert refusal.value.reason is Reason.OPERATOR_VERDICT


def gone(cloud: Cloud, device: str) -> bool:
    return device not in {one["certificateId"] for one in cloud.iot.list_certificates()["certificates"]}


def refused(cloud: Cloud) -> str:
    cloud.under(rules_for(factory(), common_name="gateway-[0-9]+", thing_groups=()))
    device = cloud.knock()
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == "INACTIVE"
    return device


def test_a_refused_certificate_is_released_to_be_judged_anew(cloud: Cloud, desk: Desk) -> None:
    device = refused(cloud)
    pem = cloud.aws_iot.describe(device).pem
    cloud.under(rules_for(factory(), thing_groups=()))
    cloud.now += SECOND
    desk.operator.release(device, ORDER)
    assert gone(cloud, device)
    assert verdict(cloud, device) == (OperatorAction.RELEASED, ANN, "stolen")
    cloud.knock(pem)
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == "ACTIVE"


def test_an_active_certificate_is_not_released(cloud: Cloud, desk: Desk) -> None:
    device = active(cloud)
    with pytest.raises(OperatingError, match="deactivate it first"):
        desk.operator.release(device, ORDER)
    assert cloud.status(device) == "ACTIVE"
    assert verdict(cloud, device) is None


@pytest.mark.parametrize("word", [OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
def test_what_was_taken_away_is_released_only_when_that_is_meant(
    cloud: Cloud, desk: Desk, word: OperatorAction
) -> None:
    device = active(cloud)
    pem = cloud.aws_iot.describe(device).pem
    desk.operator.take_away(device, word, ORDER)
    with pytest.raises(OperatingError, match="--revoked"):
        desk.operator.release(device, ORDER)
    assert cloud.status(device) == STATUS_OF[word]
    assert verdict(cloud, device) == (word, ANN, "stolen")
    desk.operator.release(device, ORDER, revoked=True)
    assert gone(cloud, device)
    cloud.knock(pem)
    cloud.now += SECOND
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == "ACTIVE"


def test_an_approval_of_what_was_taken_away_and_set_active_by_hand_names_orders_that_work(
    cloud: Cloud, desk: Desk
) -> None:
    device = active(cloud)
    desk.operator.take_away(device, OperatorAction.DEACTIVATED, ORDER)
    cloud.iot.update_certificate(certificateId=device, newStatus="ACTIVE")
    with pytest.raises(OperatingError, match=r"device deactivate` it first; then `jitrctl device release --revoked`"):
        desk.operator.approve(device, ORDER)
    desk.operator.take_away(device, OperatorAction.DEACTIVATED, ORDER)
    desk.operator.release(device, ORDER, revoked=True)
    assert gone(cloud, device)


def test_a_certificate_that_somebody_revoked_by_hand_is_released_only_when_that_is_meant(
    cloud: Cloud, desk: Desk
) -> None:
    device = cloud.knock()
    cloud.iot.update_certificate(certificateId=device, newStatus="REVOKED")
    with pytest.raises(OperatingError, match="--revoked"):
        desk.operator.release(device, ORDER)
    desk.operator.release(device, ORDER, revoked=True)
    assert gone(cloud, device)


def test_a_certificate_that_was_denied_before_it_came_is_released(cloud: Cloud, desk: Desk) -> None:
    desk.operator.take_away(ID, OperatorAction.DENIED, ORDER)
    desk.operator.release(ID, ORDER)
    assert verdict(cloud, ID) == (OperatorAction.RELEASED, ANN, "stolen")
    assert cloud.registry.list_due(Due.DENIED, NOW + DAY, most=9) == []


def test_a_release_takes_away_policies_and_things_first(cloud: Cloud, wire: Wire, desk: Desk) -> None:
    device = active(cloud)
    desk.operator.take_away(device, OperatorAction.DEACTIVATED, ORDER)
    wire.forget()
    desk.operator.release(device, ORDER, revoked=True)
    operations = wire.operations("iot")
    assert operations[-1] == "DeleteCertificate"
    assert {"DetachPolicy", "DetachThingPrincipal"} <= set(operations)


def test_a_release_waits_until_the_thing_is_detached(cloud: Cloud, wire: Wire, desk: Desk) -> None:
    device = refused(cloud)
    wire.fail("DeleteCertificate", "DeleteConflictException", status=409, times=4)
    desk.operator.release(device, ORDER)
    assert len(desk.slept) == 4
    assert gone(cloud, device)


def test_a_release_does_not_wait_for_ever(cloud: Cloud, wire: Wire, desk: Desk) -> None:
    device = refused(cloud)
    wire.fail("DeleteCertificate", "DeleteConflictException", status=409, times=1000)
    with pytest.raises(OperatingError, match="try again"):
        desk.operator.release(device, ORDER)
    assert timedelta(seconds=60) <= cloud.now - NOW <= timedelta(seconds=61)


def test_a_certificate_that_somebody_else_deletes_meanwhile_is_released(cloud: Cloud, wire: Wire, desk: Desk) -> None:
    device = refused(cloud)
    wire.fail("DeleteCertificate", "ResourceNotFoundException", status=404)
    desk.operator.release(device, ORDER)
    assert verdict(cloud, device) == (OperatorAction.RELEASED, ANN, "stolen")


def test_the_same_order_twice_is_one(cloud: Cloud, desk: Desk) -> None:
    device = active(cloud)
    for _ in range(2):
        assert desk.operator.take_away(device, OperatorAction.DEACTIVATED, ORDER) is Status.INACTIVE
    assert cloud.status(device) == "INACTIVE"


def test_a_refusal_that_was_under_way_does_not_outlive_a_release(cloud: Cloud, desk: Desk) -> None:
    """What was read before the release rests on a record that is no more."""
    device = refused(cloud)
    seen = cloud.registry.recall([device])[device]
    assert seen.decision
    desk.operator.release(device, ORDER)
    with pytest.raises(Overtaken):
        cloud.registry.intend(seen.decision, seen, run="run")
