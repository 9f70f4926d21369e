"""Registration at the first CONNECT, and its event; docs/aws-facts.md §1 and §2."""

import json
from collections.abc import Callable

import pytest

from tests.support.contract.differences import expected
from tests.support.contract.places import Place, answer, new_name
from tests.support.contract.registered import Ca
from tests.support.local.authority import Authority, certificate_id

NOT_FOUND = ("ResourceNotFoundException", 404)
# Nothing else is read from an event; AWS may add fields.
FIELDS = {
    "awsAccountId",
    "caCertificateId",
    "certificateId",
    "certificateRegistrationTimestamp",
    "certificateStatus",
    "timestamp",
}


def test_the_first_connect_is_refused_and_leaves_the_certificate_pending(place: Place, ca: Ca) -> None:
    device = ca.device()

    assert place.connect(device) == "refused"
    described = ca.described(device)

    assert described["certificateId"] == certificate_id(device)
    assert described["certificateArn"] == f"arn:aws:iot:{place.region}:{place.account_id}:cert/{certificate_id(device)}"
    assert described["certificatePem"].strip() == device.certificate.read_text().strip()
    assert described["status"] == "PENDING_ACTIVATION"
    assert described["caCertificateId"] == ca.certificate_id
    assert described["certificateMode"] == "SNI_ONLY"
    assert described["ownedBy"] == place.account_id
    assert abs((place.now() - described["creationDate"]).total_seconds()) < 60


def test_the_event_names_certificate_ca_and_account_and_no_registration_time(place: Place, ca: Ca) -> None:
    created = ca.registered()["creationDate"]

    (event,) = ca.events(1)

    assert set(event) >= FIELDS
    assert event["caCertificateId"] == ca.certificate_id
    assert event["certificateStatus"] == "PENDING_ACTIVATION"
    assert event["awsAccountId"] == place.account_id
    assert event["certificateRegistrationTimestamp"] is None
    assert isinstance(event["timestamp"], int)
    assert abs(event["timestamp"] / 1000 - created.timestamp()) < 60


def test_the_event_comes_again_with_every_connect_while_pending_with_the_registration_time(
    place: Place, ca: Ca
) -> None:
    device = ca.device()
    for _ in range(3):
        assert place.connect(device) == "refused"
    created = ca.described(device)["creationDate"]

    events = ca.events(3)

    assert {event["certificateId"] for event in events} == {certificate_id(device)}
    times = [event["certificateRegistrationTimestamp"] for event in events]
    assert times.count(None) == 1
    for text in times:
        assert text is None or (isinstance(text, str) and abs(int(text) / 1000 - created.timestamp()) < 0.01)


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_pending_gives_no_event(place: Place, ca: Ca, status: str) -> None:
    device, another = ca.device(), ca.device()
    place.connect(device)
    ca.events(1)
    place.iot.update_certificate(certificateId=certificate_id(device), newStatus=status)  # type: ignore[arg-type]

    assert place.connect(device) == "refused"  # ACTIVE too, without a policy
    place.connect(another)

    assert [event["certificateId"] for event in ca.events(1)] == [certificate_id(another)]


@pytest.mark.parametrize("change", [{"newStatus": "INACTIVE"}, {"newAutoRegistrationStatus": "DISABLE"}])
def test_a_ca_that_is_inactive_or_does_not_register_registers_nobody(
    place: Place, ca: Ca, change: dict[str, str]
) -> None:
    device = ca.device()
    place.iot.update_ca_certificate(certificateId=ca.certificate_id, **change)  # type: ignore[arg-type]

    assert place.connect(device) == "refused"
    assert answer(lambda: ca.described(device)) == NOT_FOUND


def test_a_device_of_an_unknown_ca_is_refused_and_not_registered(
    place: Place, make_authority: Callable[[], Authority]
) -> None:
    device = make_authority().device(new_name("stranger"))

    assert place.connect(device) == "refused"
    assert answer(lambda: place.iot.describe_certificate(certificateId=certificate_id(device))) == NOT_FOUND


def test_without_sni_only_a_ca_in_default_mode_registers(
    place: Place, ca: Ca, make_authority: Callable[[], Authority]
) -> None:
    authority = make_authority()
    place.iot.register_ca_certificate(
        caCertificate=authority.pem,
        verificationCertificate=authority.verification(place.iot.get_registration_code()["registrationCode"]),
        setAsActive=True,
        allowAutoRegistration=True,
    )
    sni_only, default = ca.device(), authority.device(new_name("sensor"))

    assert place.connect(sni_only, sni=False) == "refused"
    assert place.connect(default, sni=False) == "refused"

    assert answer(lambda: ca.described(sni_only)) == NOT_FOUND
    described = ca.described(default)
    assert (described["status"], described["certificateMode"]) == ("PENDING_ACTIVATION", "DEFAULT")


def test_a_ca_with_a_template_provisions_the_device_and_publishes_no_event(place: Place, ca: Ca) -> None:
    template = {
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": new_name("thing")}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"Status": "ACTIVE"}},
        }
    }
    place.iot.update_ca_certificate(
        certificateId=ca.certificate_id,
        registrationConfig={"templateBody": json.dumps(template), "roleArn": "arn:aws:iam::111111111111:role/jitp"},
    )
    device = ca.device()
    assert place.connect(device) == "refused"
    at = place.now()
    place.wait_for(lambda: (place.now() - at).total_seconds() > 3, "what JITP takes")

    assert ca.described(device)["status"] == expected(place, "ACTIVE", jitp_not_run="PENDING_ACTIVATION")
    answered = place.sqs.receive_message(QueueUrl=ca.queue_url)
    assert len(answered.get("Messages", [])) == expected(place, 0, jitp_not_run=1)


def test_a_certificate_that_is_deleted_and_comes_back_is_a_new_registration(place: Place, ca: Ca) -> None:
    device = ca.device()
    place.connect(device)
    place.connect(device)
    ca.events(2)
    first = ca.described(device)["creationDate"]
    place.iot.update_certificate(certificateId=certificate_id(device), newStatus="REVOKED")
    place.iot.delete_certificate(certificateId=certificate_id(device))
    place.wait_for(lambda: (place.now() - first).total_seconds() > 0.01, "a later moment")

    assert place.connect(device) == "refused"

    described = ca.described(device)
    assert described["status"] == "PENDING_ACTIVATION"
    assert described["creationDate"] > first
    assert [event["certificateRegistrationTimestamp"] for event in ca.events(1)] == [None]


def test_only_an_active_certificate_with_a_policy_and_the_thing_that_it_speaks_of_is_accepted(
    place: Place, ca: Ca
) -> None:
    device = ca.device()
    place.connect(device)
    certificate = ca.described(device)
    arn, name = certificate["certificateArn"], device.client_id
    policy = new_name("policy")
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": (
                    f"arn:aws:iot:{place.region}:{place.account_id}:client/${{iot:Connection.Thing.ThingName}}"
                ),
            }
        ],
    }
    place.iot.create_policy(policyName=policy, policyDocument=json.dumps(document))

    place.iot.attach_policy(policyName=policy, target=arn)
    assert place.connect(device) == "refused", "pending"
    place.iot.update_certificate(certificateId=certificate["certificateId"], newStatus="ACTIVE")
    assert place.connect(device) == "refused", "the policy's variable has no thing"
    place.iot.create_thing(thingName=name)
    place.iot.attach_thing_principal(thingName=name, principal=arn)
    assert place.connect(device) == "accepted"
    place.iot.detach_policy(policyName=policy, target=arn)
    assert place.connect(device) == "refused", "no policy"
    place.iot.attach_policy(policyName=policy, target=arn)
    assert place.connect(device) == "accepted"
    place.iot.update_certificate(certificateId=certificate["certificateId"], newStatus="INACTIVE")
    assert place.connect(device) == "refused"
