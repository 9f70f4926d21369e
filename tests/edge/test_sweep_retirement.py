"""Replaced certificates in the sweep: ended after the overlap, while their follower is ACTIVE, and never twice."""

import json
from dataclasses import replace

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason, Rejected
from jitr.iot_models import Status
from jitr.owners import NameRollback
from jitr.provisioning import IotStep, SetStatus
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, rules_for
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.adoption import adopt
from tests.support.edge.sweeping import has_time_for, rotate
from tests.support.examples import ANN, HOUR, OWNER, said


def policies(cloud: Cloud, device: str) -> list[str]:
    arn = cloud.aws_iot.describe(device).arn
    return [one["policyName"] for one in cloud.iot.list_attached_policies(target=arn)["policies"]]


def operator(cloud: Cloud) -> Operator:
    return Operator(client=cloud.iot, iot=cloud.aws_iot, registry=cloud.registry, rules=cloud.rules, clock=cloud.clock)


def attached(cloud: Cloud, device: str) -> None:
    """Somebody else made the thing and attached the certificate."""
    cloud.iot.create_thing(thingName="sensor-0001")
    cloud.iot.attach_thing_principal(thingName="sensor-0001", principal=cloud.aws_iot.describe(device).arn)


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_is_ended_after_the_overlap_and_not_before(cloud: Cloud, wire: Wire) -> None:
    first, second = rotate(cloud)
    cloud.now = NOW + 7 * DAY - SECOND
    assert cloud.swept().retired == 0
    assert cloud.status(first) == "ACTIVE"
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    (entry,) = (entry for one in wire.of("PutEvents") for entry in one["Entries"])
    assert (cloud.status(first), policies(cloud, first)) == ("INACTIVE", [])
    assert (cloud.status(second), policies(cloud, second)) == ("ACTIVE", ["jitr-acme-factory"])
    arn = cloud.aws_iot.describe(second).arn
    assert cloud.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
    assert entry["DetailType"] == "Device Replaced"
    assert json.loads(entry["Detail"])["replaced_by"] == second
    decision = cloud.registry.recall([first])[first].decision
    assert decision
    assert (decision.outcome, decision.status, decision.replaced_by) == (Outcome.REPLACED, Status.INACTIVE, second)
    assert cloud.counted()["Replaced"] == 1
    assert cloud.swept().retired == 0


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_is_inactive_before_its_policy_is_taken_away(cloud: Cloud, wire: Wire) -> None:
    rotate(cloud)
    cloud.now = NOW + 7 * DAY
    cloud.swept()
    changes = [name for name in wire.operations("iot") if not name.startswith(("Describe", "List"))]
    assert changes == ["UpdateCertificate", "DetachPolicy", "DetachThingPrincipal"]


@pytest.mark.usefixtures("listing")
def test_an_overlap_can_be_nothing(cloud: Cloud) -> None:
    cloud.under(rules_for(factory(), thing_groups=(), overlap=0))
    first, second = rotate(cloud)
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(second)) == ("INACTIVE", "ACTIVE")


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("status", [Status.INACTIVE, Status.REVOKED, None])
def test_a_certificate_is_retired_only_while_the_one_that_follows_it_is_active(
    cloud: Cloud, status: Status | None
) -> None:
    first, second = rotate(cloud)
    arn = cloud.aws_iot.describe(second).arn
    cloud.aws_iot.apply(SetStatus(certificate_id=second, status=status or Status.INACTIVE))
    if status is None:
        cloud.iot.detach_policy(policyName="jitr-acme-factory", target=arn)
        cloud.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
        cloud.iot.delete_certificate(certificateId=second)
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert (cloud.status(first), policies(cloud, first)) == ("ACTIVE", ["jitr-acme-factory"])
    assert cloud.registry.list_due(Due.RETIRE, NOW + 7 * DAY + HOUR, most=9) == [first]
    assert cloud.registry.list_due(Due.RETIRE, NOW + 7 * DAY + HOUR - SECOND, most=9) == []


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_has_its_name_again_is_not_retired(cloud: Cloud) -> None:
    first, second = rotate(cloud)
    to = replace(OWNER, certificate_id=first)
    cloud.registry.give_back(NameRollback(thing_name="sensor-0001", by=second, to=to))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert cloud.status(first) == "ACTIVE"
    assert cloud.registry.list_due(Due.RETIRE, NOW + 70 * DAY, most=9) == []


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_that_was_deleted_needs_no_end(cloud: Cloud, wire: Wire) -> None:
    first, _ = rotate(cloud)
    cloud.iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    arn = cloud.aws_iot.describe(first).arn
    cloud.iot.detach_policy(policyName="jitr-acme-factory", target=arn)
    cloud.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
    cloud.iot.delete_certificate(certificateId=first)
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert cloud.registry.list_due(Due.RETIRE, NOW + 70 * DAY, most=9) == []
    assert wire.of("PutEvents") == []


RETIRING = ["UpdateCertificate", "DetachPolicy", "DetachThingPrincipal", "PutEvents", "UpdateItem"]


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("operation", RETIRING)
def test_a_crash_while_a_certificate_is_retired_is_made_good_by_the_next_sweep(
    cloud: Cloud, wire: Wire, operation: str
) -> None:
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    cloud.under(rules_for(factory(), thing_groups=(), overlap=0))
    cloud.journal.keep_rules_digest(cloud.rules.digest)
    first, _ = rotate(cloud)
    wire.break_down(operation, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        cloud.swept()
    assert cloud.swept().retired == 1
    assert (cloud.status(first), policies(cloud, first)) == ("INACTIVE", [])
    decision = cloud.registry.recall([first])[first].decision
    assert decision
    assert decision.outcome is Outcome.REPLACED


@pytest.mark.usefixtures("listing")
def test_a_replaced_certificate_that_was_revoked_stays_known_as_revoked(cloud: Cloud) -> None:
    first, _ = rotate(cloud)
    cloud.iot.update_certificate(certificateId=first, newStatus="REVOKED")
    cloud.now = NOW + 7 * DAY
    cloud.swept()
    assert cloud.status(first) == "REVOKED"
    assert cloud.registry.recall([first])[first].was_revoked_or_deactivated


@pytest.mark.usefixtures("listing")
def test_an_adopted_certificate_is_retired_like_any_other(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.iot.update_certificate(certificateId=first, newStatus="ACTIVE")
    attached(cloud, first)
    adopt(cloud)
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(second)) == ("INACTIVE", "ACTIVE")


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.DEACTIVATED, OperatorAction.REVOKED])
def test_a_certificate_that_is_taken_away_during_its_overlap_is_retired_all_the_same_and_stays_against_a_verdict(
    cloud: Cloud, wire: Wire, word: OperatorAction
) -> None:
    first, _ = rotate(cloud)
    operator(cloud).take_away(first, word, OrderContext(by=ANN))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    ((entry,),) = (one["Entries"] for one in wire.of("PutEvents"))
    assert entry["DetailType"] == "Device Replaced"
    assert (cloud.status(first), policies(cloud, first)) == (
        "REVOKED" if word is OperatorAction.REVOKED else "INACTIVE",
        [],
    )
    assert cloud.registry.list_due(Due.DENIED, cloud.now, most=9) == [first]
    assert cloud.registry.list_due(Due.RETIRE, NOW + 70 * DAY, most=9) == []


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_was_taken_away_and_is_then_followed_stays_against_a_verdict(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(first)))
    operator(cloud).take_away(first, OperatorAction.DENIED, OrderContext(by=ANN))
    cloud.batch(cloud.record(cloud.event(cloud.knock())))
    assert cloud.registry.list_due(Due.DENIED, cloud.now, most=9) == [first]
    assert cloud.registry.list_due(Due.RETIRE, NOW + 7 * DAY, most=9) == [first]


@pytest.mark.usefixtures("listing")
def test_a_release_during_the_overlap_ends_nothing_twice(cloud: Cloud) -> None:
    """The certificate is deleted, and pending when it comes back: there is nothing to retire."""
    first, _ = rotate(cloud)
    operator(cloud).take_away(first, OperatorAction.DEACTIVATED, OrderContext(by=ANN))
    operator(cloud).release(first, OrderContext(by=ANN), revoked=True)
    cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 0
    assert cloud.registry.list_due(Due.RETIRE, NOW + 70 * DAY, most=9) == []


@pytest.mark.usefixtures("listing")
def test_an_adopted_certificate_that_had_been_found_before_is_retired_too(cloud: Cloud) -> None:
    """An event came of it once, so it is recorded as found, without a thing."""
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.iot.update_certificate(certificateId=first, newStatus="ACTIVE")
    cloud.batch(cloud.record(cloud.event(first)))
    found = cloud.registry.recall([first])[first].decision
    assert found
    assert found.outcome is Outcome.FOUND
    attached(cloud, first)
    adopt(cloud)
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(second)) == ("INACTIVE", "ACTIVE")


@pytest.mark.usefixtures("listing")
def test_a_certificate_whose_adoption_was_never_recorded_is_retired_too(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.iot.update_certificate(certificateId=first, newStatus="ACTIVE")
    attached(cloud, first)
    adopt(cloud)
    cloud.dynamodb.delete_item(TableName=TABLE, Key={"id": {"S": f"certificate#{first}"}})
    cloud.batch(cloud.record(cloud.event(cloud.knock())))
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert cloud.status(first) == "INACTIVE"


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_aws_does_not_let_retire_does_not_stop_the_others(cloud: Cloud) -> None:
    (first, _), (other, _) = rotate(cloud), rotate(cloud, "sensor-0002")
    apply = cloud.sweeps_iot.apply

    def refuse(step: IotStep) -> None:
        if isinstance(step, SetStatus) and step.certificate_id == first:
            raise Rejected(Reason.REQUEST_REFUSED, "no")
        apply(step)

    cloud.sweeps_iot.apply = refuse  # type: ignore[method-assign]
    cloud.now = NOW + 7 * DAY
    assert cloud.swept().retired == 1
    assert (cloud.status(first), cloud.status(other)) == ("ACTIVE", "INACTIVE")


@pytest.mark.usefixtures("listing")
def test_no_certificate_is_retired_after_time_ran_out(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        rotate(cloud, f"sensor-000{number}")
    cloud.now = NOW + 7 * DAY
    assert cloud.swept(has_time_for(0)).retired <= 1


@pytest.mark.usefixtures("listing")
def test_a_certificate_that_was_taken_away_and_then_replaced_is_retired_once(cloud: Cloud, wire: Wire) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(first)))
    cloud.registry.give_verdict(first, said(OperatorAction.DEACTIVATED), seen=None)
    cloud.iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    cloud.now = NOW + 7 * DAY
    announced = []
    for _ in range(3):
        cloud.swept()
        announced += wire.of("PutEvents")
    assert len(announced) == 1
    assert cloud.status(first) == "INACTIVE"
