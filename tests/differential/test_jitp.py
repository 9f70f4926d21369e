"""A provisioning template's translation beside JITP itself: what jitr plans under it is what the simulated JITP makes.

The two share no line: simulation/iot/template_evaluation.py evaluates a template for one certificate, jitrctl/jitp
translates it to the keys of fleet.toml, which jitr fills. Left out is what is known to differ: a certificate that lacks
a declared parameter is left pending by JITP, and admitted by jitr if no key uses that field.
"""

import json
import re
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import assume, given, settings

from jitr.admission.identity import Identity, identity_of
from jitr.errors import Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.provisioning import OWNER_ATTRIBUTE, AddThingToThingGroup, AttachPolicy, CreateThing, plan
from jitr.rules import CaRules
from jitr.x509.certificate import Certificate
from jitrctl.jitp.template import Translation, translate
from simulation import Authority, Aws, Leaf
from simulation.iot.template_evaluation import PARAMETERS
from tests.support.jitp.corpus import ACCOUNT, ALL, BODIES, CORPUS, REGION, SUBJECTS

_OIDS = {
    "Country": NameOID.COUNTRY_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "StateName": NameOID.STATE_OR_PROVINCE_NAME,
    "CommonName": NameOID.COMMON_NAME,
    "SerialNumber": NameOID.SERIAL_NUMBER,
}
WHOLE = {name: f"{name.lower()}-1" for name in _OIDS} | {"Country": "CH"}
AUTHORITY = Authority.new("Pumps CA")
_TRANSLATED = "translated"
ALLOWS = '{"Version": "2012-10-17", "Statement": []}'


def issue(subject: dict[str, str]) -> Leaf:
    names = [
        x509.NameAttribute(_OIDS[name], value) for name, value in subject.items() if name != "CommonName" and value
    ]
    return AUTHORITY.issue(subject["CommonName"] or "unnamed", subject=names)


def provision(body: str, leaf: Leaf) -> dict[str, Any] | str:
    """What JITP makes of a device; or why it leaves it pending."""
    aws = Aws()
    account = aws.account(ACCOUNT)
    iot, things = account.iot, account.iot.things
    things.types |= {"pump"}
    things.groups |= {"hall-1", "pumps"}
    things.billing_groups |= {"east"}
    iot.policies.create_policy({"policyName": "pumps", "policyDocument": ALLOWS})
    iot.cas.register_ca_certificate(
        {
            "caCertificate": AUTHORITY.pem,
            "certificateMode": "SNI_ONLY",
            "setAsActive": True,
            "allowAutoRegistration": True,
            "registrationConfig": {"templateBody": body},
        }
    )
    account.connect(leaf, client_id="device")
    aws.clock.advance(10)
    if leaf.certificate_id in iot.just_in_time.failed:
        return iot.just_in_time.failed[leaf.certificate_id]
    certificate = iot.certificates.by_id[leaf.certificate_id]
    assert certificate.status == "ACTIVE"
    (thing,) = things.of_principal(certificate.arn).values()
    (policy,) = iot.policies.of_target(certificate.arn)
    return {
        "thing": (thing.name, thing.type_name, thing.attributes, thing.billing_group),
        "groups": sorted(thing.groups),
        "policy": policy.name if policy.name == "pumps" else json.loads(policy.document),
    }


def rules_of(found: Translation) -> CaRules:
    assert found.thing_name is not None
    return CaRules(
        name="pumps",
        certificate_id=AUTHORITY.certificate_id,
        certificate_pem=AUTHORITY.pem,
        thing_name=found.thing_name,
        thing_type=found.thing_type,
        thing_groups=found.thing_groups,
        attributes=dict(found.attributes),
        billing_group=found.billing_group,
        policy=found.policies[0].name or _TRANSLATED,
    )


def planned(found: Translation, leaf: Leaf) -> dict[str, Any] | str:
    """What jitr plans for the device under the translated block; or why it refuses it."""
    certificate = Certificate.from_pem(leaf.pem)
    try:
        identity = identity_of(rules_of(found), certificate)
    except Rejected as refusal:
        return str(refusal)
    steps = plan(identity, registration(leaf, identity))
    (thing,) = (one for one in steps if isinstance(one, CreateThing))
    (policy,) = (one for one in steps if isinstance(one, AttachPolicy))
    attributes = {name: value for name, value in thing.attributes.items() if name != OWNER_ATTRIBUTE and value}
    return {
        "thing": (thing.thing_name, thing.thing_type, attributes, thing.billing_group),
        "groups": sorted(one.thing_group for one in steps if isinstance(one, AddThingToThingGroup)),
        "policy": document(found, certificate) if policy.policy == _TRANSLATED else policy.policy,
    }


def registration(leaf: Leaf, _: Identity) -> DeviceRegistration:
    return DeviceRegistration(
        certificate_id=leaf.certificate_id,
        arn=f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{leaf.certificate_id}",
        status=Status.PENDING_ACTIVATION,
        pem=leaf.pem,
        ca_certificate_id=AUTHORITY.certificate_id,
        created_at=leaf.not_before,
    )


def document(found: Translation, certificate: Certificate) -> Any:
    """The translated policy as AWS IoT evaluates it for the device: its variables filled."""
    text = str(found.policies[0].document)
    values = {name: certificate.field_values(field) for name, field in PARAMETERS.items()}

    def fill(variable: re.Match[str]) -> str:
        return str(values["Id" if variable[1] == "iot:CertificateId" else variable[1].rpartition(".")[2]][0])

    return json.loads(re.sub(r"\$\{(iot:[^}]+)\}", fill, text))


@pytest.mark.parametrize("name", CORPUS)
def test_jitr_plans_what_jitp_makes_under_the_templates_of_the_guide_and_public_ones(name: str) -> None:
    found = translate(CORPUS[name])
    assert found.missing == ()
    leaf = issue(WHOLE)
    made = provision(CORPUS[name], leaf)
    assert isinstance(made, dict), made
    assert planned(found, leaf) == made


@settings(max_examples=120, deadline=None)
@given(body=BODIES, subject=SUBJECTS)
def test_jitr_plans_what_jitp_makes_under_random_templates(body: str, subject: dict[str, str]) -> None:
    found = translate(body)
    assume(not found.missing)
    leaf = issue(subject)
    made, plans = provision(body, leaf), planned(found, leaf)
    if isinstance(made, dict):
        assert plans == made
    elif "the certificate has no" not in made:
        assert isinstance(plans, str), f"JITP leaves it pending ({made}), and jitr plans {plans}"


def test_every_parameter_of_the_guide_is_in_the_corpus() -> None:
    assert set(ALL) == set(PARAMETERS)
