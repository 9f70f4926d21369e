"""Revocation on its way through the functions: who is held for want of a CRL, what that costs, and how it is cured."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from jitr.aws.crl_bucket import object_key
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import CheckMode, OnStaleCrl
from tests.support.cases.issuing import DAY, NOW, SECOND, named, rules_for
from tests.support.cases.revoking import entry, issue_crl, reason
from tests.support.cloud import Cloud, Wire
from tests.support.edge.deployed import CRLS
from tests.support.edge.events import handle_event
from tests.support.edge.records import recall_decision
from tests.support.examples import MINUTE


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """An account whose CA's devices are looked up in a CRL; none is published."""
    cloud.under(rules_for(cloud.authority, thing_groups=(), checks={"revocation": CheckMode.ENFORCE}))
    return cloud


def publish(cloud: Cloud, *entries: bytes, **dates: Any) -> str:
    """Publish a CRL; its ETag."""
    body = issue_crl(cloud.authority, entries, **dates)
    put = cloud.s3.put_object(Bucket=CRLS, Key=object_key(cloud.authority.certificate_id), Body=body)
    return put["ETag"]


def test_a_new_device_costs_one_read_of_s3_and_the_next_one_of_that_minute_none(cloud: Cloud, wire: Wire) -> None:
    etag = publish(cloud)
    first, second = cloud.knock(), cloud.knock(cloud.authority.leaf(named("sensor-0002")))

    handle_event(cloud, first)
    assert wire.operations("s3") == ["GetObject"]
    handle_event(cloud, second)
    assert wire.operations("s3") == []

    assert (cloud.status(first), cloud.status(second)) == ("ACTIVE", "ACTIVE")
    assert recall_decision(cloud, first).crl == etag


def test_a_ca_whose_check_is_off_is_never_asked_for(cloud: Cloud, wire: Wire) -> None:
    cloud.under(rules_for(cloud.authority, thing_groups=()))
    device = cloud.knock()
    handle_event(cloud, device)
    assert wire.operations("s3") == []
    assert (cloud.status(device), recall_decision(cloud, device).crl) == ("ACTIVE", None)


def test_a_revoked_device_is_refused_for_good(cloud: Cloud) -> None:
    pem = cloud.authority.leaf()
    publish(cloud, entry(x509.load_pem_x509_certificate(pem.encode()).serial_number, reason(1)))
    device = cloud.knock(pem)

    handle_event(cloud, device)

    assert cloud.status(device) == "INACTIVE"
    assert recall_decision(cloud, device).reason is Reason.REVOKED_BY_CA
    assert recall_decision(cloud, device).detail == (
        "the CRL of CA factory, issued 2026-10-31T12:00:00Z, lists the certificate: keyCompromise"
    )


@pytest.mark.parametrize("why", [Reason.CRL_MISSING, Reason.CRL_STALE, Reason.CRL_UNUSABLE, Reason.SUSPENDED_BY_CA])
def test_a_held_device_comes_up_by_itself_once_another_crl_is_published(cloud: Cloud, wire: Wire, why: Reason) -> None:
    pem = cloud.authority.leaf()
    match why:
        case Reason.CRL_STALE:
            publish(cloud, next_update=NOW - SECOND)
        case Reason.CRL_UNUSABLE:
            publish(cloud, next_update=None)
        case Reason.SUSPENDED_BY_CA:
            publish(cloud, entry(x509.load_pem_x509_certificate(pem.encode()).serial_number, reason(6)))
    device = cloud.knock(pem)
    handle_event(cloud, device)
    assert (recall_decision(cloud, device).outcome, recall_decision(cloud, device).reason) == (Outcome.HELD, why)

    cloud.now += MINUTE  # less than the five minutes after which it would be looked at anyway
    handle_event(cloud, device)
    assert wire.operations("iot") == [], "the same is published: settled without a call of AWS IoT"
    assert wire.operations("s3") == ["GetObject"]

    publish(cloud, number=2, this_update=cloud.now)
    cloud.now += MINUTE
    handle_event(cloud, device)
    assert cloud.status(device) == "ACTIVE"
    assert recall_decision(cloud, device).outcome is Outcome.ACTIVATED


def test_a_device_that_is_held_for_something_else_does_not_ask_for_a_crl(cloud: Cloud, wire: Wire) -> None:
    publish(cloud)
    device = cloud.knock(cloud.authority.leaf(begins=NOW + DAY))
    handle_event(cloud, device)
    assert recall_decision(cloud, device).reason is Reason.NOT_YET_VALID
    publish(cloud, number=2)
    cloud.now += MINUTE

    handle_event(cloud, device)

    assert wire.operations("s3") == wire.operations("iot") == []


def test_s3_that_does_not_answer_puts_a_new_device_off_and_lets_a_held_one_wait(cloud: Cloud, wire: Wire) -> None:
    held = cloud.knock()
    handle_event(cloud, held)
    cloud.now += MINUTE
    new = cloud.knock(cloud.authority.leaf(named("sensor-0002")))
    wire.fail("GetObject", "InternalError", status=500, times=10)
    for_new, for_held = cloud.record(cloud.event(new)), cloud.record(cloud.event(held))

    assert cloud.batch(for_new, for_held) == [for_new["messageId"]]

    assert cloud.status(new) == cloud.status(held) == "PENDING_ACTIVATION"
    assert cloud.registry.recall([new])[new].decision is None


def test_where_a_missing_crl_does_not_matter_the_device_is_let_in_and_the_record_says_so(cloud: Cloud) -> None:
    cloud.under(replace(cloud.rules, cas=(replace(cloud.rules.cas[0], on_stale_crl=OnStaleCrl.ADMIT),)))
    device = cloud.knock()
    handle_event(cloud, device)
    assert cloud.status(device) == "ACTIVE"
    assert recall_decision(cloud, device).would_reject == (Reason.CRL_MISSING,)
