"""Adoption: a thing that was made without jitr is taken into the registry with its one certificate."""

from dataclasses import replace

import pytest

from jitr.decisions import Outcome
from jitr.verdicts import OperatorAction
from jitrctl.device.adopt import NoSuchThing
from jitrctl.device.operations import OvertakenByColleague
from jitrctl.errors import OperatingError
from tests.support.cases.issuing import DAY, NOW, ec_key, factory, issue_ca, named
from tests.support.cloud import Cloud, Wire
from tests.support.edge.adoption import adopt, prepare_adoption
from tests.support.examples import OWNER, said


def thing(cloud: Cloud, *devices: str) -> None:
    """A thing that was there before jitr."""
    cloud.iot.create_thing(thingName="sensor-0001")
    for device in devices:
        arn = cloud.aws_iot.describe(device).arn
        cloud.iot.attach_thing_principal(thingName="sensor-0001", principal=arn)


def test_an_existing_thing_is_adopted_with_its_certificate(cloud: Cloud) -> None:
    device = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    thing(cloud, device)
    assert adopt(cloud) == device
    described = cloud.aws_iot.describe(device)
    owner = cloud.registry.owner("sensor-0001")
    assert owner
    assert owner == replace(
        OWNER,
        certificate_id=device,
        ca_certificate_id=factory().certificate_id,
        serial=owner.serial,
        issued_at=NOW - 360 * DAY,
        ends_at=NOW + 30 * DAY,
        registered_at=described.created_at,
    )


@pytest.mark.parametrize("by", ["AWS", "signature", "nobody"])
def test_an_adoption_tells_when_it_is_not_known_whose_the_certificate_is(cloud: Cloud, wire: Wire, by: str) -> None:
    thing(cloud, device := cloud.knock())
    description = dict(cloud.iot.describe_certificate(certificateId=device)["certificateDescription"])
    if by != "AWS":
        del description["caCertificateId"]
    if by == "nobody":
        description["certificatePem"] = issue_ca(key=ec_key(owner="another")).leaf()
    wire.answer("DescribeCertificate", {"certificateDescription": description})
    adopting = prepare_adoption(cloud)
    assert adopting.inspect() == (device, True)
    assert adopting.is_without_ca == (by == "nobody")


def test_an_adopted_device_can_change_its_certificate(cloud: Cloud) -> None:
    first = cloud.knock(factory().leaf(begins=NOW - 360 * DAY, ends=NOW + 30 * DAY))
    thing(cloud, first)
    adopt(cloud)
    second = cloud.knock()
    cloud.batch(cloud.record(cloud.event(second)))
    assert cloud.status(second) == "ACTIVE"
    assert cloud.registry.recall([first])[first].replaced_by == second


def test_an_adopted_certificate_that_is_still_pending_comes_up(cloud: Cloud) -> None:
    device = cloud.knock()
    thing(cloud, device)
    adopt(cloud)
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == "ACTIVE"


def test_a_thing_can_be_adopted_twice(cloud: Cloud) -> None:
    thing(cloud, cloud.knock())
    assert adopt(cloud) == adopt(cloud)


def test_a_thing_whose_name_is_anothers_is_not_adopted(cloud: Cloud) -> None:
    thing(cloud, cloud.knock())
    cloud.registry.adopt("sensor-0001", OWNER)
    with pytest.raises(OperatingError, match="belongs to another certificate"):
        adopt(cloud)
    assert cloud.registry.owner("sensor-0001") == OWNER


def test_a_thing_that_is_not_there_is_not_adopted(cloud: Cloud) -> None:
    with pytest.raises(NoSuchThing, match="no thing sensor-0001"):
        adopt(cloud)
    assert cloud.items() == {}


@pytest.mark.parametrize("count", [0, 2])
def test_a_thing_with_none_or_several_certificates_is_not_adopted(cloud: Cloud, count: int) -> None:
    thing(cloud, *(cloud.knock(factory().leaf(named(f"sensor-000{number}"))) for number in range(count)))
    with pytest.raises(OperatingError, match=f"has {count} certificates"):
        adopt(cloud)
    assert cloud.items() == {}


def test_a_verdict_that_came_after_the_look_ends_an_adoption(cloud: Cloud) -> None:
    device = cloud.knock()
    cloud.iot.update_certificate(certificateId=device, newStatus="ACTIVE")
    thing(cloud, device)
    adopting = prepare_adoption(cloud)
    assert adopting.inspect() == (device, True)
    cloud.registry.give_verdict(device, said(OperatorAction.REVOKED, note="stolen"), seen=None)
    with pytest.raises(OvertakenByColleague, match=r"revoked by .*stolen.*, which came first") as overtaken:
        adopting.carry_out()
    assert overtaken.value.verdict
    assert cloud.registry.owner("sensor-0001") is None
    assert cloud.registry.recall([device])[device].decision is None


def test_an_adoption_is_dated_by_aws_and_not_by_the_operators_clock(cloud: Cloud) -> None:
    device = cloud.knock()
    cloud.iot.update_certificate(certificateId=device, newStatus="ACTIVE")
    thing(cloud, device)
    adopt(cloud)
    decision = cloud.registry.recall([device])[device].decision
    assert decision
    assert (decision.outcome, decision.thing_name) == (Outcome.FOUND, "sensor-0001")
    assert decision.decided_at == cloud.aws_iot.describe(device).created_at
