"""The register function: what becomes of each message, and what each costs."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from jitr.provisioning import AttachPolicy, AttachThingPrincipal, IotStep, SetStatus
from jitr.rules import CertificateMode, Rules
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, named, rules_for
from tests.support.cases.twins import twin_of
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.deployed import ENROLLMENT
from tests.support.edge.events import FIVE_CALLS, UNKNOWN_ID
from tests.support.edge.records import deny, recall, recall_reason
from tests.support.examples import HOUR, MINUTE, OWNER, said


def test_a_new_device_takes_exactly_five_iot_calls(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device))) == []
    assert wire.operations("iot") == FIVE_CALLS
    assert warm.status(device) == "ACTIVE"


@pytest.mark.parametrize("groups", [1, 3])
def test_a_new_device_takes_one_more_iot_call_for_each_group(warm: Cloud, wire: Wire, groups: int) -> None:
    names = tuple(f"group-{number}" for number in range(groups))
    for name in names:
        warm.iot.create_thing_group(thingGroupName=name)
    warm.under(rules_for(factory(), thing_groups=names))
    warm.aws_iot.describe_ca(factory().certificate_id)
    warm.batch(warm.record(warm.event(warm.knock())))
    assert wire.operations("iot") == [*FIVE_CALLS[:4], *["AddThingToThingGroup"] * groups, *FIVE_CALLS[4:]]


def test_a_ca_is_described_once_for_many_devices(cloud: Cloud, wire: Wire) -> None:
    devices = [cloud.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(4)]
    cloud.batch(*(cloud.record(cloud.event(device)) for device in devices))
    assert wire.operations("iot").count("DescribeCACertificate") == 1
    assert len(wire.operations("iot")) == 1 + 5 * 4


def test_a_batch_takes_one_read_and_each_of_its_devices_one_of_both_tables(warm: Cloud, wire: Wire) -> None:
    devices = [warm.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(3)]
    warm.batch(*(warm.record(warm.event(device)) for device in [*devices, devices[0]]))
    assert [[*call["RequestItems"]] for call in wire.of("BatchGetItem")] == [[TABLE], *[[ENROLLMENT, TABLE]] * 3]


def test_an_activated_device_has_its_thing_its_policy_and_its_record(warm: Cloud) -> None:
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    arn = warm.aws_iot.describe(device).arn
    thing = warm.iot.describe_thing(thingName="sensor-0001")
    assert thing["thingTypeName"] == "sensor"
    assert thing["attributes"] == {"model": "Mark-2", "jitr_certificate": device}
    assert warm.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
    assert [one["policyName"] for one in warm.iot.list_attached_policies(target=arn)["policies"]] == [
        "jitr-acme-factory"
    ]
    assert set(warm.items()) == {
        f"certificate#{device}",
        "thing#sensor-0001",
    }
    assert warm.counted() == {"Activated": 1, "SecondsToActive": 1, "RejectedShare": 0}


def test_a_certificate_is_never_active_before_thing_and_policy_are_attached(warm: Cloud) -> None:
    device = warm.knock()
    arn = warm.aws_iot.describe(device).arn
    apply = warm.aws_iot.apply

    def watched(step: IotStep) -> None:
        if isinstance(step, SetStatus):
            assert warm.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
            assert warm.iot.list_attached_policies(target=arn)["policies"]
        else:
            assert warm.status(device) == "PENDING_ACTIVATION"
        apply(step)

    warm.aws_iot.apply = watched  # type: ignore[method-assign]
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "ACTIVE"
    assert "Failures" not in warm.counted()


def test_a_decided_duplicate_takes_no_iot_call(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    registered = round(warm.aws_iot.describe(device).created_at.timestamp() * 1000)
    warm.batch(warm.record(warm.event(device)))
    for age, event in [
        (SECOND, warm.event(device)),
        (0 * SECOND, warm.event(device)),
        (-DAY, warm.event(device, certificateRegistrationTimestamp=str(registered))),
    ]:
        assert warm.batch(warm.record(event, age=age)) == []
        assert wire.operations("iot") == []
        assert wire.operations("events") == []
    assert warm.counted()["Duplicates"] == 3


@pytest.mark.parametrize(("sent", "outcome"), [(5 * MINUTE, "Duplicates"), (5 * MINUTE + SECOND, "Found")])
def test_a_duplicate_is_one_by_when_the_queue_got_it_not_by_when_it_is_decided(
    warm: Cloud, sent: timedelta, outcome: str
) -> None:
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    warm.now += DAY
    warm.batch(warm.record(warm.event(device), age=DAY - sent))
    assert warm.counted()[outcome] == 1


def test_a_held_duplicate_takes_no_iot_call_until_its_next_look(warm: Cloud, wire: Wire) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device))) == []
    assert warm.counted()["Held"] == 1
    warm.now += 5 * MINUTE - SECOND
    warm.batch(warm.record(warm.event(device)))
    assert wire.operations("iot") == []
    warm.now += SECOND
    warm.batch(warm.record(warm.event(device)))
    assert wire.operations("iot") == ["DescribeCertificate", "DescribeCACertificate"]
    assert wire.of("PutEvents") == []
    warm.now += 15 * MINUTE - SECOND
    warm.batch(warm.record(warm.event(device)))
    assert wire.operations("iot") == []


def test_a_held_device_comes_up_when_the_rules_are_deployed_anew(warm: Cloud) -> None:
    warm.under(rules_for(factory(), certificate_mode="SNI_ONLY", thing_groups=()))
    device = warm.knock()
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "PENDING_ACTIVATION"
    warm.under(rules_for(factory(), thing_groups=()))
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "ACTIVE"


def test_a_device_that_is_held_for_the_same_reason_again_after_another_is_announced_as_news(
    warm: Cloud, wire: Wire
) -> None:
    device, rules = warm.knock(), warm.rules
    (ca,) = rules.cas
    wrong_mode = replace(rules, cas=(replace(ca, certificate_mode=CertificateMode.SNI_ONLY),))
    announced = []
    steps: list[tuple[Rules, Literal["ACTIVE", "INACTIVE"]]]
    steps = [(wrong_mode, "ACTIVE"), (rules, "INACTIVE"), (wrong_mode, "ACTIVE")]
    for deployed, status in steps:
        warm.iot.update_ca_certificate(certificateId=factory().certificate_id, newStatus=status)
        warm.under(deployed)
        warm.batch(warm.record(warm.event(device)))
        ((entry,),) = (one["Entries"] for one in wire.of("PutEvents"))
        announced.append(json.loads(entry["Detail"]))
        warm.now += HOUR
        warm.batch(warm.record(warm.event(device)))
        assert wire.of("PutEvents") == []  # the same again is no news
    assert [one["reason"] for one in announced] == ["CA_WRONG_MODE", "CA_INACTIVE", "CA_WRONG_MODE"]
    assert len({one["id"] for one in announced}) == 3


def test_duplicates_in_one_batch_take_one_describe(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    assert warm.batch(*(warm.record(warm.event(device)) for _ in range(5))) == []
    assert wire.operations("iot") == FIVE_CALLS
    assert warm.counted() == {"Activated": 1, "SecondsToActive": 1, "RejectedShare": 0, "Duplicates": 4}


def test_refused_duplicates_in_one_batch_take_one_describe(warm: Cloud, wire: Wire) -> None:
    device = warm.knock(factory().leaf(named("gateway-0001")))
    assert warm.batch(*(warm.record(warm.event(device)) for _ in range(3))) == []
    assert wire.operations("iot") == ["DescribeCertificate", "UpdateCertificate"]
    assert warm.counted() == {"Rejected": 1, "RejectedShare": 100, "Duplicates": 2}
    assert warm.status(device) == "INACTIVE"


@pytest.mark.parametrize(
    "said", [{"awsAccountId": "222222222222"}, {"caCertificateId": "f" * 64}], ids=["account", "CA"]
)
def test_an_event_of_another_account_or_ca_is_counted_and_the_certificate_decides(
    warm: Cloud, said: dict[str, str]
) -> None:
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device, **said))) == []
    assert warm.status(device) == "ACTIVE"
    assert warm.counted()["Contradictions"] == 1
    (warning,) = (line for line in warm.logged() if line["level"] == "WARNING")
    assert warning["certificate_id"] == device
    assert next(iter(said.values())) in warning["said"].values()


def test_an_operators_verdict_stands_against_the_activation(warm: Cloud, wire: Wire) -> None:
    device = warm.knock()
    deny(warm, device)
    warm.batch(warm.record(warm.event(device)))
    # What an earlier attempt may have attached is taken back, once.
    assert wire.operations("iot") == ["DescribeCertificate", "DetachPolicy", "DetachThingPrincipal"]
    assert warm.counted() == {"Held": 1}


@pytest.mark.parametrize("word", [OperatorAction.APPROVED, OperatorAction.RELEASED])
def test_a_device_that_an_operator_held_comes_up_at_the_operators_word(warm: Cloud, word: OperatorAction) -> None:
    device = warm.knock()
    deny(warm, device)
    warm.batch(warm.record(warm.event(device)))
    warm.now += SECOND
    warm.registry.give_verdict(device, said(word, warm.now), seen=recall(warm, device).verdict)
    warm.batch(warm.record(warm.event(device)))
    assert warm.status(device) == "ACTIVE"


def test_a_verdict_that_comes_while_we_work_stands_against_the_activation(warm: Cloud) -> None:
    device = warm.knock()
    apply = warm.aws_iot.apply

    def overtaken(step: IotStep) -> None:
        apply(step)
        deny(warm, device)

    warm.aws_iot.apply = overtaken  # type: ignore[method-assign]
    record = warm.record(warm.event(device))
    assert warm.batch(record) == [record["messageId"]]
    assert warm.status(device) == "PENDING_ACTIVATION"
    warm.aws_iot.apply = apply  # type: ignore[method-assign]
    assert warm.batch(record) == []
    assert warm.status(device) == "PENDING_ACTIVATION"
    assert warm.counted()["Held"] == 1


def test_a_second_certificate_of_the_same_name_is_held_and_the_first_stays(warm: Cloud, wire: Wire) -> None:
    first, second = warm.knock(), warm.knock()
    warm.batch(warm.record(warm.event(first)), warm.record(warm.event(second)))
    assert (warm.status(first), warm.status(second)) == ("ACTIVE", "PENDING_ACTIVATION")
    assert recall_reason(warm, second) == "NOT_A_ROTATION"
    assert [one["Entries"][0]["DetailType"] for one in wire.of("PutEvents")] == ["Device Activated", "Device Duplicate"]


@pytest.fixture
def rotating(warm: Cloud) -> tuple[str, str]:
    """A device that is near its certificate's end, and the certificate that follows."""
    first = warm.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    warm.batch(warm.record(warm.event(first)))
    return first, warm.knock()


def test_a_device_changes_its_certificate_and_both_work_until_the_overlap_is_over(
    warm: Cloud, wire: Wire, rotating: tuple[str, str]
) -> None:
    first, second = rotating
    assert warm.batch(warm.record(warm.event(second))) == []
    assert (warm.status(first), warm.status(second)) == ("ACTIVE", "ACTIVE")
    (entry,) = (entry for one in wire.of("PutEvents") for entry in one["Entries"])
    assert entry["DetailType"] == "Device Activated"
    assert json.loads(entry["Detail"])["replaces"] == first
    owner = warm.registry.owner("sensor-0001")
    assert owner
    assert owner.certificate_id == second
    assert warm.registry.recall([first])[first].replaced_by == second
    assert warm.registry.list_due(Due.RETIRE, NOW + 7 * DAY, most=9) == [first]


def test_a_device_cannot_go_back_to_the_certificate_that_it_left(warm: Cloud, rotating: tuple[str, str]) -> None:
    first, second = rotating
    warm.batch(warm.record(warm.event(second)))
    pem, arn = warm.aws_iot.describe(first).pem, warm.aws_iot.describe(first).arn
    warm.iot.detach_policy(policyName="jitr-acme-factory", target=arn)
    warm.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
    warm.iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    warm.iot.delete_certificate(certificateId=first, forceDelete=True)
    assert warm.knock(pem) == first
    warm.now += DAY
    warm.batch(warm.record(warm.event(first)))
    assert (warm.status(first), recall_reason(warm, first)) == ("PENDING_ACTIVATION", "NOT_A_ROTATION")


def test_the_same_certificate_with_its_signature_written_differently_gets_no_second_chance(warm: Cloud) -> None:
    first = warm.knock()
    warm.batch(warm.record(warm.event(first)))
    second = warm.knock(twin_of(warm.aws_iot.describe(first).pem))
    assert second != first
    warm.batch(warm.record(warm.event(second)))
    assert (warm.status(second), recall_reason(warm, second)) == ("PENDING_ACTIVATION", "NOT_A_ROTATION")


def test_a_race_for_a_name_ends_with_one_owner_and_the_other_has_no_policy(warm: Cloud) -> None:
    device = warm.knock()
    arn = warm.aws_iot.describe(device).arn
    apply = warm.aws_iot.apply

    def lose(step: IotStep) -> None:
        apply(step)
        if isinstance(step, AttachPolicy):
            assert warm.registry.adopt("sensor-0001", replace(OWNER, certificate_id=UNKNOWN_ID))

    warm.aws_iot.apply = lose  # type: ignore[method-assign]
    assert warm.batch(warm.record(warm.event(device))) == []
    assert (warm.status(device), recall_reason(warm, device)) == ("PENDING_ACTIVATION", "NOT_A_ROTATION")
    assert warm.iot.list_attached_policies(target=arn)["policies"] == []
    assert warm.iot.list_thing_principals(thingName="sensor-0001")["principals"] == []


def test_the_name_of_a_certificate_that_was_deleted_goes_to_the_next_one(warm: Cloud) -> None:
    warm.registry.adopt("sensor-0001", replace(OWNER, certificate_id=UNKNOWN_ID))
    device = warm.knock()
    assert warm.batch(warm.record(warm.event(device))) == []
    assert warm.status(device) == "ACTIVE"
    owner = warm.registry.owner("sensor-0001")
    assert owner
    assert owner.certificate_id == device


def test_a_certificate_that_is_deleted_while_it_is_provisioned_leaves_no_record_and_is_not_announced(
    warm: Cloud, wire: Wire
) -> None:
    device = warm.knock()
    record = warm.record(warm.event(device))
    apply = warm.aws_iot.apply

    def delete(step: IotStep) -> None:
        if isinstance(step, AttachThingPrincipal):
            warm.iot.update_certificate(certificateId=device, newStatus="INACTIVE")
            warm.iot.delete_certificate(certificateId=device)
        apply(step)

    warm.aws_iot.apply = delete  # type: ignore[method-assign]
    assert warm.batch(record) == [record["messageId"]]
    assert wire.of("PutEvents") == []
    assert list(warm.items()) == [f"withdrawal#{device}#sensor-0001"], "the thing is to be deleted"
    assert warm.counted() == {"PutOff": 1}
