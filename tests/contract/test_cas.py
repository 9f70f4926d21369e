"""CAs: registering them in either mode, and what may be done to them later; docs/aws-facts.md §3."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer
from tests.support.contract.registered import Ca
from tests.support.local.authority import Authority

if TYPE_CHECKING:
    from mypy_boto3_iot.type_defs import RegistrationConfigTypeDef

INVALID = ("InvalidRequestException", 400)
NOT_FOUND = ("ResourceNotFoundException", 404)
BAD_CERTIFICATE = ("CertificateValidationException", 400)

# The smallest: the certificate becomes ACTIVE.
TEMPLATE = json.dumps({"Resources": {"certificate": {"Type": "AWS::IoT::Certificate", "Properties": {}}}})

MakeAuthority = Callable[[], Authority]


def code(place: Place) -> str:
    return place.iot.get_registration_code()["registrationCode"]


def test_the_registration_code_stays_the_same(place: Place) -> None:
    assert code(place) == code(place)
    assert len(code(place)) == 64


def test_default_mode_wants_a_verification_certificate_and_is_what_is_meant_without_a_mode(
    place: Place, make_authority: MakeAuthority
) -> None:
    authority = make_authority()

    assert answer(lambda: place.iot.register_ca_certificate(caCertificate=authority.pem)) == INVALID
    registered = place.iot.register_ca_certificate(
        caCertificate=authority.pem, verificationCertificate=authority.verification(code(place))
    )

    certificate_id = authority.certificate.fingerprint(hashes.SHA256()).hex()
    assert registered["certificateId"] == certificate_id
    assert registered["certificateArn"] == f"arn:aws:iot:{place.region}:{place.account_id}:cacert/{certificate_id}"
    described = place.iot.describe_ca_certificate(certificateId=certificate_id)["certificateDescription"]
    assert described["certificateMode"] == "DEFAULT"
    assert (described["status"], described["autoRegistrationStatus"]) == ("INACTIVE", "DISABLE")


def test_a_verification_certificate_must_have_the_code_and_the_cas_signature(
    place: Place, make_authority: MakeAuthority
) -> None:
    authority = make_authority()

    def register(verification: str) -> object:
        return place.iot.register_ca_certificate(caCertificate=authority.pem, verificationCertificate=verification)

    assert answer(lambda: register(authority.verification("another code"))) == (
        "RegistrationCodeValidationException",
        400,
    )
    assert answer(lambda: register(make_authority().verification(code(place)))) == BAD_CERTIFICATE
    assert answer(lambda: register(authority.verification(code(place)))) == OK


def test_sni_only_refuses_a_verification_certificate(place: Place, make_authority: MakeAuthority) -> None:
    authority = make_authority()

    refused = answer(
        lambda: place.iot.register_ca_certificate(
            caCertificate=authority.pem,
            verificationCertificate=authority.verification(code(place)),
            certificateMode="SNI_ONLY",
        )
    )

    assert refused == INVALID


def test_an_unknown_mode_is_refused(place: Place, make_authority: MakeAuthority) -> None:
    authority = make_authority()

    def register() -> object:
        return place.iot.register_ca_certificate(caCertificate=authority.pem, certificateMode="BOTH")  # type: ignore[arg-type]

    assert answer(register) == INVALID


def test_what_is_no_certificate_is_refused(place: Place) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"

    refused = answer(lambda: place.iot.register_ca_certificate(caCertificate=pem, certificateMode="SNI_ONLY"))

    assert refused == BAD_CERTIFICATE


def test_a_ca_outside_its_validity_is_refused(place: Place) -> None:
    refused = answer(lambda: place.iot.register_ca_certificate(caCertificate=_expired_ca(), certificateMode="SNI_ONLY"))

    assert refused == expected(place, BAD_CERTIFICATE, expired_ca_registered=OK)


def test_a_ca_is_registered_once_whatever_the_mode(place: Place, ca: Ca) -> None:
    with pytest.raises(place.iot.exceptions.ResourceAlreadyExistsException) as again:
        place.iot.register_ca_certificate(caCertificate=ca.authority.pem, certificateMode="SNI_ONLY")
    answered: Any = again.value.response
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert answered["resourceId"] == ca.certificate_id
    assert answered["resourceArn"].endswith(f":cacert/{ca.certificate_id}")

    with pytest.raises(place.iot.exceptions.ResourceAlreadyExistsException):
        place.iot.register_ca_certificate(
            caCertificate=ca.authority.pem, verificationCertificate=ca.authority.verification(code(place))
        )


def test_a_ca_is_described(place: Place, ca: Ca) -> None:
    described = place.iot.describe_ca_certificate(certificateId=ca.certificate_id)["certificateDescription"]

    assert described["certificateId"] == ca.certificate_id
    assert described["certificatePem"].strip() == ca.authority.pem.strip()
    assert described["certificateMode"] == "SNI_ONLY"
    assert (described["status"], described["autoRegistrationStatus"]) == ("ACTIVE", "ENABLE")
    assert described["ownedBy"] == place.account_id
    assert abs((place.now() - described["creationDate"]).total_seconds()) < 60
    parsed = ca.authority.certificate
    validity = {"notBefore": parsed.not_valid_before_utc, "notAfter": parsed.not_valid_after_utc}
    assert described.get("validity") == expected(place, validity, ca_validity_missing=None)


def test_a_template_is_put_on_a_ca_and_taken_off_alone(place: Place, ca: Ca) -> None:
    config: RegistrationConfigTypeDef = {"templateBody": TEMPLATE, "roleArn": "arn:aws:iam::111111111111:role/jitp"}
    place.iot.update_ca_certificate(certificateId=ca.certificate_id, registrationConfig=config)
    assert place.iot.describe_ca_certificate(certificateId=ca.certificate_id)["registrationConfig"] == config

    place.iot.update_ca_certificate(certificateId=ca.certificate_id, removeAutoRegistration=True)

    found = place.iot.describe_ca_certificate(certificateId=ca.certificate_id)
    assert found.get("registrationConfig") == expected(place, None, template_kept=config)
    registers = found["certificateDescription"]["autoRegistrationStatus"]
    assert registers == expected(place, "ENABLE", template_kept="DISABLE")


def test_a_change_of_a_ca_is_dated(place: Place, ca: Ca) -> None:
    def modified() -> datetime | None:
        described = place.iot.describe_ca_certificate(certificateId=ca.certificate_id)["certificateDescription"]
        return described.get("lastModifiedDate")

    before, at = modified(), place.now()
    place.wait_for(lambda: (place.now() - at).total_seconds() > 0.01, "a later moment")
    place.iot.update_ca_certificate(certificateId=ca.certificate_id, newAutoRegistrationStatus="DISABLE")
    after = modified()

    found = "later" if before and after and after > before else "no date"
    assert found == expected(place, "later", ca_changes_undated="no date")


def test_an_unknown_ca_is_not_found(place: Place) -> None:
    unknown = "0" * 64

    assert answer(lambda: place.iot.describe_ca_certificate(certificateId=unknown)) == NOT_FOUND
    assert answer(lambda: place.iot.update_ca_certificate(certificateId=unknown, newStatus="ACTIVE")) == NOT_FOUND
    assert answer(lambda: place.iot.delete_ca_certificate(certificateId=unknown)) == NOT_FOUND


def test_status_and_auto_registration_change_each_by_itself(place: Place, ca: Ca) -> None:
    def now() -> tuple[str, str]:
        described = place.iot.describe_ca_certificate(certificateId=ca.certificate_id)["certificateDescription"]
        return described["status"], described["autoRegistrationStatus"]

    place.iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
    assert now() == ("INACTIVE", "ENABLE")
    place.iot.update_ca_certificate(certificateId=ca.certificate_id, newAutoRegistrationStatus="DISABLE")
    assert now() == ("INACTIVE", "DISABLE")
    place.iot.update_ca_certificate(
        certificateId=ca.certificate_id, newStatus="ACTIVE", newAutoRegistrationStatus="ENABLE"
    )
    assert now() == ("ACTIVE", "ENABLE")


@pytest.mark.parametrize("change", [{"newStatus": "REVOKED"}, {"newAutoRegistrationStatus": "MAYBE"}])
def test_what_a_ca_cannot_be_is_refused(place: Place, ca: Ca, change: dict[str, str]) -> None:
    def update() -> object:
        return place.iot.update_ca_certificate(certificateId=ca.certificate_id, **change)  # type: ignore[arg-type]

    assert answer(update) == INVALID


def test_only_an_inactive_ca_is_deleted_and_may_then_come_back_in_the_other_mode(place: Place, ca: Ca) -> None:
    def delete() -> object:
        return place.iot.delete_ca_certificate(certificateId=ca.certificate_id)

    assert answer(delete) == ("CertificateStateException", 406)
    place.iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
    assert answer(delete) == OK
    assert answer(lambda: place.iot.describe_ca_certificate(certificateId=ca.certificate_id)) == NOT_FOUND

    place.iot.register_ca_certificate(
        caCertificate=ca.authority.pem, verificationCertificate=ca.authority.verification(code(place))
    )
    described = place.iot.describe_ca_certificate(certificateId=ca.certificate_id)["certificateDescription"]
    assert described["certificateMode"] == "DEFAULT"


def _expired_ca() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Expired")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
