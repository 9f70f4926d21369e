"""A certificate under its second id: what holds against the one holds against the other."""

import ssl
from dataclasses import replace

import pytest
from cryptography.x509 import load_pem_x509_certificate

from jitr.admission.enrollment import Entry, EntryRule
from jitr.errors import Reason, Rejected
from jitr.provisioning import AttachPolicy, IotStep
from jitr.rules import EnrollmentRule, OnReplacement
from jitr.verdicts import OperatorAction
from jitr.x509.certificate import Certificate
from tests.support.cases.enrollment import of_device, of_thing
from tests.support.cases.issuing import Authority, certificate_id, factory, issue_ca, rsa_key, rules_for
from tests.support.cases.twins import twin_of
from tests.support.cloud import Cloud
from tests.support.edge.events import handle_event
from tests.support.edge.records import deny, recall, recall_decision
from tests.support.examples import MINUTE, said

der_of = ssl.PEM_cert_to_DER_cert


@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.REVOKED, OperatorAction.DEACTIVATED])
def test_an_operators_verdict_holds_against_the_twin_and_poisons_no_release(cloud: Cloud, word: OperatorAction) -> None:
    pem = factory().leaf()
    deny(cloud, certificate_id(pem), word)
    twin = cloud.knock(twin_of(pem))
    assert handle_event(cloud, twin) == []
    assert (recall_decision(cloud, twin).reason, cloud.status(twin)) == (Reason.OPERATOR_VERDICT, "PENDING_ACTIVATION")
    seen = recall(cloud, certificate_id(pem)).verdict
    cloud.registry.give_verdict(certificate_id(pem), said(OperatorAction.RELEASED), seen=seen, forget_decision=True)
    released = cloud.knock(pem)
    assert handle_event(cloud, released) == []
    assert cloud.status(released) == "ACTIVE"


def test_the_twin_of_a_rejected_certificate_gets_no_second_chance(cloud: Cloud) -> None:
    pem = factory().leaf()
    device = cloud.knock(pem)
    cloud.enroll(of_device(device, EntryRule.DENY))
    assert handle_event(cloud, device) == []
    cloud.enroll(of_device(device, EntryRule.REMOVED))
    twin = cloud.knock(twin_of(pem))
    assert handle_event(cloud, twin) == []
    assert [cloud.status(one) for one in (device, twin)] == ["INACTIVE", "PENDING_ACTIVATION"]


@pytest.mark.parametrize("authority", [factory(), issue_ca(key=rsa_key(owner="ca"))], ids=["EC", "RSA"])
def test_a_signature_with_unused_bits_is_no_third_form(authority: Authority) -> None:
    """Every second signature ends in a zero bit, which could be said to be unused."""
    pem = next(pem for pem in (authority.leaf() for _ in range(64)) if der_of(pem)[-1] % 2 == 0)
    der = der_of(pem)
    signature = load_pem_x509_certificate(pem.encode()).signature
    at = len(der) - len(signature) - 1
    loose = ssl.DER_cert_to_PEM_cert(der[:at] + b"\1" + der[at + 1 :])
    with pytest.raises(Rejected) as refusal:
        Certificate.from_pem(loose)
    assert refusal.value.reason is Reason.ENCODING_REFUSED


def test_an_entry_that_denies_a_certificate_denies_its_twin(cloud: Cloud) -> None:
    pem = factory().leaf()
    cloud.enroll(of_device(certificate_id(pem), EntryRule.DENY))
    twin = cloud.knock(twin_of(pem))
    assert handle_event(cloud, twin) == []
    assert (recall_decision(cloud, twin).reason, cloud.status(twin)) == (Reason.ENTRY_DENIES, "INACTIVE")


def test_an_entry_that_allows_a_certificate_speaks_of_it_in_either_form(cloud: Cloud) -> None:
    cloud.under(rules_for(cloud.authority, thing_groups=(), enrollment=EnrollmentRule.LISTED))
    pem = factory().leaf()
    cloud.enroll(of_device(certificate_id(pem)))
    twin = cloud.knock(twin_of(pem))
    assert handle_event(cloud, twin) == []
    assert cloud.status(twin) == "ACTIVE"


def test_where_a_thing_is_shared_a_certificate_has_one_share_and_not_two(cloud: Cloud) -> None:
    cloud.under(rules_for(cloud.authority, thing_groups=(), on_replacement=OnReplacement.SHARE))
    pem = factory().leaf()
    another, device = cloud.knock(factory().leaf()), cloud.knock(pem)
    assert handle_event(cloud, another) == []
    assert handle_event(cloud, device) == []
    twin = cloud.knock(twin_of(pem))
    assert handle_event(cloud, twin) == []
    assert [cloud.status(one) for one in (another, device)] == ["ACTIVE", "ACTIVE"]
    assert (recall_decision(cloud, twin).reason, cloud.status(twin)) == (Reason.NOT_A_ROTATION, "PENDING_ACTIVATION")


def test_a_verdict_on_the_twin_that_comes_while_we_work_stops_the_claim(cloud: Cloud) -> None:
    pem = factory().leaf()
    twin = cloud.knock(twin_of(pem))
    apply = cloud.aws_iot.apply

    def denied_meanwhile(step: IotStep) -> None:
        apply(step)
        if (
            isinstance(step, AttachPolicy)
            and cloud.registry.recall([certificate_id(pem)])[certificate_id(pem)].verdict is None
        ):
            deny(cloud, certificate_id(pem))

    cloud.aws_iot.apply = denied_meanwhile  # type: ignore[method-assign]
    record = cloud.record(cloud.event(twin))
    assert cloud.batch(record) == [record["messageId"]]
    assert cloud.status(twin) == "PENDING_ACTIVATION"
    assert cloud.batch(record) == []
    assert recall_decision(cloud, twin).reason is Reason.OPERATOR_VERDICT


@pytest.mark.parametrize("by", ["thing name", "certificate", "twin"])
def test_an_entry_that_denies_and_comes_while_we_work_stops_the_claim(cloud: Cloud, by: str) -> None:
    pem = factory().leaf()
    device = cloud.knock(pem)
    denial = {
        "thing name": of_thing(EntryRule.DENY),
        "certificate": of_device(device, EntryRule.DENY),
        "twin": of_device(certificate_id(twin_of(pem)), EntryRule.DENY),
    }[by]
    apply, written = cloud.aws_iot.apply, list[Entry]()

    def denied_meanwhile(step: IotStep) -> None:
        apply(step)
        if isinstance(step, AttachPolicy) and not written:
            written.append(denial)
            cloud.enroll(denial)

    cloud.aws_iot.apply = denied_meanwhile  # type: ignore[method-assign]
    record = cloud.record(cloud.event(device))
    assert cloud.batch(record) == [record["messageId"]]
    assert cloud.status(device) == "PENDING_ACTIVATION"
    assert cloud.batch(record) == []
    assert (recall_decision(cloud, device).reason, cloud.status(device)) == (Reason.ENTRY_DENIES, "INACTIVE")


def test_an_entry_that_changes_without_denying_costs_one_more_look(cloud: Cloud) -> None:
    device = cloud.knock()
    allowed = of_device(device)
    cloud.enroll(allowed)
    apply, written = cloud.aws_iot.apply, list[Entry]()

    def changed_meanwhile(step: IotStep) -> None:
        apply(step)
        if isinstance(step, AttachPolicy) and not written:
            written.append(allowed)
            cloud.now += MINUTE / 60
            cloud.enroll(replace(allowed, note="again", at=cloud.now))

    cloud.aws_iot.apply = changed_meanwhile  # type: ignore[method-assign]
    record = cloud.record(cloud.event(device))
    assert cloud.batch(record) == [record["messageId"]]
    assert cloud.batch(record) == []
    assert cloud.status(device) == "ACTIVE"
