"""Just-in-time provisioning: the developer guide's "Just-in-time provisioning" and "Provisioning templates"."""

import json
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from simulation import Authority, Aws, Leaf, SimulatedAccount
from simulation.queue import Queue
from tests.support.jitp.corpus import body, policy, resource

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.type_defs import RegistrationConfigTypeDef

ROLE = "arn:aws:iam::111111111111:role/jitp"
ALLOWS = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'
COUNTRY = [x509.NameAttribute(NameOID.COUNTRY_NAME, "CH")]


@pytest.fixture
def queue(account: SimulatedAccount, authority: Authority) -> Queue:
    queue = account.sqs.create("registrations")
    account.add_rule(authority.certificate_id, queue.url)
    return queue


def register(iot: "IoTClient", authority: Authority, template: str, *, name: str | None = None) -> str:
    """The CA, with the template on it, by its body or a name; and what the template names."""
    config: RegistrationConfigTypeDef = {"roleArn": ROLE}
    if name:
        config["templateName"] = name
    else:
        config["templateBody"] = template
    iot.create_policy(policyName="pumps", policyDocument=ALLOWS)
    iot.create_thing_type(thingTypeName="pump")
    iot.create_thing_group(thingGroupName="hall-1")
    iot.create_billing_group(billingGroupName="east")
    return iot.register_ca_certificate(
        caCertificate=authority.pem,
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig=config,
    )["certificateId"]


GUIDE = body(
    thing={
        "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"},
        "AttributePayload": {"version": "v1", "country": {"Ref": "AWS::IoT::Certificate::Country"}},
        "ThingTypeName": "pump",
        "ThingGroups": ["hall-1"],
        "BillingGroup": "east",
    },
    policies=[{"PolicyName": "pumps"}],
    declares=("CommonName", "Country", "Id"),
)


def status(account: SimulatedAccount, leaf: Leaf) -> str:
    return account.iot.certificates.by_id[leaf.certificate_id].status


def test_a_device_is_provisioned_at_its_first_connect_and_accepted_at_the_next(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority, queue: Queue
) -> None:
    register(iot, authority, GUIDE)
    leaf = authority.issue("pump-1", subject=COUNTRY)
    assert account.connect(leaf, client_id="pump-1") == "refused"
    assert status(account, leaf) == "PENDING_ACTIVATION"
    aws.clock.advance(3)

    assert account.connect(leaf, client_id="pump-1") == "accepted"
    thing = account.iot.things.by_name["pump-1"]
    assert (thing.type_name, thing.billing_group, list(thing.groups)) == ("pump", "east", ["hall-1"])
    assert thing.attributes == {"version": "v1", "country": "CH"}
    arn = account.iot.certificates.arn(leaf.certificate_id)
    assert thing.principals[arn].kind == "NON_EXCLUSIVE_THING"
    assert [one.name for one in account.iot.policies.of_target(arn)] == ["pumps"]
    assert queue.size == 0, "the event is published besides"


def test_a_certificate_that_lacks_a_declared_parameter_stays_pending(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    register(iot, authority, GUIDE)
    leaf = authority.issue("pump-1")
    for _ in range(2):
        account.connect(leaf, client_id="pump-1")
        aws.clock.advance(3)
    assert status(account, leaf) == "PENDING_ACTIVATION"
    assert "Country" in account.iot.just_in_time.failed[leaf.certificate_id]
    assert not account.iot.things.by_name


def test_a_device_that_was_left_pending_may_be_tried_again_at_its_next_connect(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    aws.undocumented.jitp_tries_again = True
    register(iot, authority, body(thing={"ThingName": "pump-1"}, policies=[{"PolicyName": "later"}]))
    leaf = authority.issue("pump-1")
    account.connect(leaf, client_id="pump-1")
    aws.clock.advance(3)
    assert status(account, leaf) == "PENDING_ACTIVATION"
    iot.create_policy(policyName="later", policyDocument=ALLOWS)
    account.connect(leaf, client_id="pump-1")
    aws.clock.advance(3)
    assert status(account, leaf) == "ACTIVE"


def test_whether_the_event_is_published_besides_is_a_switch(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority, queue: Queue
) -> None:
    aws.undocumented.publishes_with_template = True
    register(iot, authority, GUIDE)
    account.connect(authority.issue("pump-1", subject=COUNTRY), client_id="pump-1")
    assert queue.size == 1


def test_a_policy_is_made_of_its_document_once_and_its_name_is_a_hash(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    register(iot, authority, body(thing={"ThingName": "pump-1"}, policies=[{"PolicyDocument": ALLOWS}]))
    leaves = [authority.issue(f"pump-{number}") for number in range(2)]
    for leaf in leaves:
        account.connect(leaf, client_id="pump-1")
    aws.clock.advance(3)
    attached = [account.iot.policies.of_target(account.iot.certificates.arn(one.certificate_id)) for one in leaves]
    assert attached[0] == attached[1]
    assert attached[0][0].document == ALLOWS


def test_a_template_by_name_is_the_stored_one(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    iot.create_provisioning_template(
        templateName="pumps", templateBody=GUIDE, provisioningRoleArn=ROLE, type="JITP", enabled=True
    )
    register(iot, authority, "", name="pumps")
    leaf = authority.issue("pump-1", subject=COUNTRY)
    account.connect(leaf, client_id="pump-1")
    aws.clock.advance(3)
    assert account.connect(leaf, client_id="pump-1") == "accepted"


@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_what_remove_auto_registration_does_is_two_switches(
    aws: Aws, iot: "IoTClient", authority: Authority, *, takes: bool, ends: bool
) -> None:
    aws.undocumented.removal_takes_template, aws.undocumented.removal_ends_registration = takes, ends
    ca = register(iot, authority, GUIDE)
    iot.update_ca_certificate(certificateId=ca, removeAutoRegistration=True)
    found = iot.describe_ca_certificate(certificateId=ca)
    assert ("registrationConfig" in found) is not takes
    assert (found["certificateDescription"]["autoRegistrationStatus"] == "DISABLE") is ends


def test_a_template_is_put_on_a_ca_that_is_registered(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    ca = register(iot, authority, GUIDE)
    iot.update_ca_certificate(certificateId=ca, removeAutoRegistration=True)
    iot.update_ca_certificate(
        certificateId=ca,
        registrationConfig={"templateBody": GUIDE, "roleArn": ROLE},
        newAutoRegistrationStatus="ENABLE",
    )
    leaf = authority.issue("pump-1", subject=COUNTRY)
    account.connect(leaf, client_id="pump-1")
    aws.clock.advance(3)
    assert status(account, leaf) == "ACTIVE"


def test_a_template_goes_on_with_what_it_began_after_it_was_taken_off(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    ca = register(iot, authority, GUIDE)
    leaf = authority.issue("pump-1", subject=COUNTRY)
    account.connect(leaf, client_id="pump-1")
    iot.update_ca_certificate(certificateId=ca, removeAutoRegistration=True)
    aws.clock.advance(3)
    assert status(account, leaf) == "ACTIVE"


@pytest.mark.parametrize(
    ("override", "attributes"),
    [
        (None, {"made": "before"}),
        ("REPLACE", {"made": "now"}),
        ("MERGE", {"made": "now"}),
        ("FAIL", {"made": "before"}),
    ],
)
def test_a_thing_that_exists_is_as_the_override_settings_say(
    aws: Aws,
    account: SimulatedAccount,
    iot: "IoTClient",
    authority: Authority,
    override: str | None,
    attributes: dict[str, str],
) -> None:
    made = resource("Thing", {"ThingName": "pump-1", "AttributePayload": {"made": "now"}})
    template = {"Resources": {"thing": made, "certificate": resource("Certificate", {}), "policy": policy("pumps")}}
    if override:
        made["OverrideSettings"] = {"AttributePayload": override}
    register(iot, authority, json.dumps(template))
    iot.create_thing(thingName="pump-1", attributePayload={"attributes": {"made": "before"}})
    leaf = authority.issue("pump-1")
    account.connect(leaf, client_id="pump-1")
    aws.clock.advance(3)
    assert account.iot.things.by_name["pump-1"].attributes == attributes
    assert (status(account, leaf) == "PENDING_ACTIVATION") is (override == "FAIL")
