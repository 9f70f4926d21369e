"""The device's side: docs/aws-facts.md §1 and §2."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from simulation import Authority, Aws, SimulatedAccount
from simulation.clock import START
from simulation.queue import Queue
from simulation.quotas import AUTO_REGISTRATION, TokenBucket

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@pytest.fixture
def queue(account: SimulatedAccount, authority: Authority) -> Queue:
    queue = account.sqs.create("registrations")
    account.add_rule(authority.certificate_id, queue.url)
    return queue


@pytest.fixture
def ca(iot: "IoTClient", authority: Authority) -> str:
    return iot.register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )["certificateId"]


def events(queue: Queue) -> list[dict[str, Any]]:
    return [json.loads(str(message.body)) for message in queue.messages]


def test_the_first_connect_registers_and_is_refused(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority, queue: Queue, ca: str
) -> None:
    leaf = authority.issue("sensor-1")
    assert account.connect(leaf, client_id="sensor-1") == "refused"
    described = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]
    assert (described["status"], described["caCertificateId"]) == ("PENDING_ACTIVATION", ca)
    assert described["certificateMode"] == "SNI_ONLY"
    assert events(queue) == [
        {
            "certificateId": leaf.certificate_id,
            "caCertificateId": ca,
            "timestamp": START.timestamp() * 1000,
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": "111111111111",
            "certificateRegistrationTimestamp": None,
        }
    ]


def test_every_further_connect_while_pending_publishes_with_the_registration_time(
    aws: Aws, account: SimulatedAccount, authority: Authority, queue: Queue, ca: str
) -> None:
    assert ca
    leaf = authority.issue("sensor-1")
    for _ in range(3):
        account.connect(leaf, client_id="sensor-1")
        aws.clock.advance(60)
    registered = str(round(START.timestamp() * 1000))
    assert [event["certificateRegistrationTimestamp"] for event in events(queue)] == [None, registered, registered]
    assert [event["timestamp"] - int(registered) for event in events(queue)] == [0, 60_000, 120_000]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda iot, ca: iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE"),
        lambda iot, ca: iot.update_ca_certificate(certificateId=ca, newAutoRegistrationStatus="DISABLE"),
    ],
)
def test_only_an_active_ca_that_registers_does(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority, queue: Queue, ca: str, spoil: Callable[..., None]
) -> None:
    spoil(iot, ca)
    leaf = authority.issue("sensor-1")
    assert account.connect(leaf, client_id="sensor-1") == "refused"
    assert events(queue) == []
    assert leaf.certificate_id not in account.iot.certificates.by_id


def test_an_unknown_cas_device_is_refused_and_leaves_nothing(account: SimulatedAccount, queue: Queue, ca: str) -> None:
    assert ca
    stranger = Authority.new("Factory CA").issue("sensor-1")  # the same name, another key
    for form in (stranger, stranger.pem, "no certificate"):
        assert account.connect(form, client_id="sensor-1") == "refused"
    assert not account.iot.certificates.by_id
    assert events(queue) == []


def test_a_certificate_can_be_given_as_pem_or_der(account: SimulatedAccount, authority: Authority, ca: str) -> None:
    assert ca
    one, two = authority.issue("sensor-1"), authority.issue("sensor-2")
    account.connect(one.pem, client_id="sensor-1")
    account.connect(x509.load_pem_x509_certificate(two.pem.encode()).public_bytes(Encoding.DER), client_id="sensor-2")
    assert set(account.iot.certificates.by_id) == {one.certificate_id, two.certificate_id}


def test_active_with_a_policy_and_its_thing_is_accepted(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority, ca: str
) -> None:
    assert ca
    leaf = authority.issue("sensor-1")
    account.connect(leaf, client_id="sensor-1")
    arn = account.iot.certificates.arn(leaf.certificate_id)
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    assert account.connect(leaf, client_id="sensor-1") == "refused"  # no policy: closed without CONNACK
    iot.create_policy(policyName="device", policyDocument='{"Resource": "${iot:Connection.Thing.ThingName}"}')
    iot.attach_policy(policyName="device", target=arn)
    assert account.connect(leaf, client_id="sensor-1") == "refused"  # the policy's variable has no thing
    iot.create_thing(thingName="sensor-1")
    iot.attach_thing_principal(thingName="sensor-1", principal=arn)
    assert account.connect(leaf, client_id="another") == "refused"
    assert account.connect(leaf, client_id="sensor-1") == "accepted"
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="REVOKED")
    assert account.connect(leaf, client_id="sensor-1") == "refused"


def test_an_exclusive_thing_is_the_connections_whatever_the_client_id(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    leaf = authority.issue("sensor-1")
    certificate = account.iot.certificates.register(leaf, status="ACTIVE", mode="SNI_ONLY")
    iot.create_policy(policyName="device", policyDocument='{"Resource": "${iot:Connection.Thing.ThingName}"}')
    iot.create_thing(thingName="sensor-1")
    iot.create_thing_group(thingGroupName="all")
    iot.add_thing_to_thing_group(thingName="sensor-1", thingGroupName="all")
    iot.attach_thing_principal(thingName="sensor-1", principal=certificate.arn, thingPrincipalType="EXCLUSIVE_THING")
    assert account.connect(leaf, client_id="any") == "refused"
    group = iot.describe_thing_group(thingGroupName="all")["thingGroupArn"]
    iot.attach_policy(policyName="device", target=group)  # inherited by the group's things
    assert account.connect(leaf, client_id="any") == "accepted"


def test_without_sni_only_default_mode_works(account: SimulatedAccount, authority: Authority, ca: str) -> None:
    assert ca
    leaf = authority.issue("sensor-1")
    assert account.connect(leaf, client_id="sensor-1", sni=False) == "refused"
    assert not account.iot.certificates.by_id


def test_an_expired_certificate_is_not_accepted(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    leaf = replace(authority.issue("sensor-1"), not_after=START)
    certificate = account.iot.certificates.register(leaf, status="ACTIVE", mode="SNI_ONLY")
    iot.create_policy(policyName="open", policyDocument="{}")
    iot.attach_policy(policyName="open", target=certificate.arn)
    assert account.connect(leaf, client_id="sensor-1") == "accepted"
    aws.clock.advance(1)
    assert account.connect(leaf, client_id="sensor-1") == "refused"


def test_a_deleted_certificate_that_comes_back_is_a_new_registration(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority, ca: str
) -> None:
    assert ca
    leaf = authority.issue("sensor-1")
    account.connect(leaf, client_id="sensor-1")
    iot.delete_certificate(certificateId=leaf.certificate_id)
    aws.clock.advance(5)
    account.connect(leaf, client_id="sensor-1")
    described = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]
    assert (described["creationDate"] - START).total_seconds() == 5


def test_a_disabled_rule_delivers_nothing(
    account: SimulatedAccount, authority: Authority, queue: Queue, ca: str
) -> None:
    account.iot.broker.rules[ca][0].enabled = False
    account.connect(authority.issue("sensor-1"), client_id="sensor-1")
    assert account.iot.broker.published == 1
    assert events(queue) == []


def test_automatic_registration_can_be_bounded(
    aws: Aws, account: SimulatedAccount, authority: Authority, ca: str
) -> None:
    assert ca
    account.quotas[AUTO_REGISTRATION] = TokenBucket(aws.clock, 15)
    for number in range(20):
        account.connect(authority.issue(f"sensor-{number}"), client_id="x")
    assert len(account.iot.certificates.by_id) == 15
    assert account.throttled[AUTO_REGISTRATION] == 5
