"""CAs and device certificates, as boto3 sees them; docs/aws-facts.md §3 and §4."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from simulation import Authority, Aws, SimulatedAccount
from simulation.clock import START

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.literals import CertificateStatusType


def register(iot: "IoTClient", authority: Authority, mode: str) -> str:
    if mode == "SNI_ONLY":
        answer = iot.register_ca_certificate(caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True)
    else:
        proof = authority.verification(iot.get_registration_code()["registrationCode"])
        answer = iot.register_ca_certificate(
            caCertificate=authority.pem, verificationCertificate=proof, setAsActive=True
        )
    return answer["certificateId"]


def test_a_ca_is_default_in_one_account_of_a_region_and_sni_only_in_many(aws: Aws, authority: Authority) -> None:
    one, two, three, elsewhere = (
        aws.account(account, region).client("iot")
        for account, region in (
            ("111111111111", "eu-central-1"),
            ("222222222222", "eu-central-1"),
            ("333333333333", "eu-central-1"),
            ("222222222222", "us-east-1"),
        )
    )
    ids = {register(one, authority, "DEFAULT"), register(two, authority, "SNI_ONLY")}
    ids |= {register(three, authority, "SNI_ONLY"), register(elsewhere, authority, "DEFAULT")}
    assert ids == {authority.certificate_id}  # the same everywhere (aws-facts §4)
    two.update_ca_certificate(certificateId=authority.certificate_id, newStatus="INACTIVE")
    two.delete_ca_certificate(certificateId=authority.certificate_id)
    with pytest.raises(two.exceptions.ResourceAlreadyExistsException):
        register(two, authority, "DEFAULT")


def test_default_needs_a_proof_and_sni_only_must_have_none(iot: "IoTClient", authority: Authority) -> None:
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.register_ca_certificate(caCertificate=authority.pem)
    code = iot.get_registration_code()["registrationCode"]
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.register_ca_certificate(
            caCertificate=authority.pem,
            certificateMode="SNI_ONLY",
            verificationCertificate=authority.verification(code),
        )
    with pytest.raises(iot.exceptions.RegistrationCodeValidationException):
        iot.register_ca_certificate(
            caCertificate=authority.pem, verificationCertificate=authority.verification("another code")
        )
    with pytest.raises(iot.exceptions.CertificateValidationException):
        iot.register_ca_certificate(
            caCertificate=authority.pem, verificationCertificate=Authority.new("Factory CA").verification(code)
        )


def test_a_ca_is_described_changed_listed_and_deleted_once_inactive(iot: "IoTClient", authority: Authority) -> None:
    ca_id = register(iot, authority, "SNI_ONLY")
    described = iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]
    assert (described["status"], described["autoRegistrationStatus"]) == ("ACTIVE", "DISABLE")
    assert (described["certificateMode"], described["creationDate"]) == ("SNI_ONLY", START)
    iot.update_ca_certificate(certificateId=ca_id, newAutoRegistrationStatus="ENABLE")
    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.delete_ca_certificate(certificateId=ca_id)
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        register(iot, authority, "SNI_ONLY")
    assert [ca.get("certificateId") for ca in iot.list_ca_certificates()["certificates"]] == [ca_id]
    iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=ca_id)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_ca_certificate(certificateId=ca_id)


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_a_status_can_be_set_from_any_and_again(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority, status: "CertificateStatusType"
) -> None:
    for before in ("PENDING_ACTIVATION", "ACTIVE", "INACTIVE", "REVOKED"):
        leaf = authority.issue("sensor-1")
        account.iot.certificates.register(leaf, status=before, mode="SNI_ONLY")
        for _ in range(2):
            iot.update_certificate(certificateId=leaf.certificate_id, newStatus=status)
        described = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]
        assert described["status"] == status


def test_revoked_stays_revoked_if_aws_should_refuse(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    account.aws.undocumented.revoked_may_become_active = False
    leaf = authority.issue("sensor-1")
    account.iot.certificates.register(leaf, status="REVOKED", mode="SNI_ONLY")
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="REVOKED")
    with pytest.raises(iot.exceptions.CertificateStateException) as raised:
        iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 406


@pytest.mark.parametrize("status", ["PENDING_ACTIVATION", "PENDING_TRANSFER", "BANANA"])
def test_internal_and_unknown_statuses_cannot_be_set(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority, status: "CertificateStatusType"
) -> None:
    leaf = authority.issue("sensor-1")
    account.iot.certificates.register(leaf, status="ACTIVE", mode="SNI_ONLY")
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.update_certificate(certificateId=leaf.certificate_id, newStatus=status)


def test_deleting_needs_a_certificate_that_is_inactive_and_free(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    leaf = authority.issue("sensor-1")
    certificate = account.iot.certificates.register(leaf, status="ACTIVE", mode="SNI_ONLY")
    iot.create_thing(thingName="sensor-1")
    iot.create_policy(policyName="device", policyDocument="{}")
    iot.attach_policy(policyName="device", target=certificate.arn)
    iot.attach_thing_principal(thingName="sensor-1", principal=certificate.arn)
    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.delete_certificate(certificateId=leaf.certificate_id, forceDelete=True)
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="INACTIVE")
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_certificate(certificateId=leaf.certificate_id, forceDelete=True)
    iot.detach_thing_principal(thingName="sensor-1", principal=certificate.arn)
    aws.clock.advance(10)
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_certificate(certificateId=leaf.certificate_id)
    iot.delete_certificate(certificateId=leaf.certificate_id, forceDelete=True)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_certificate(certificateId=leaf.certificate_id)


@pytest.mark.parametrize("ascending", [True, False])
def test_a_cas_certificates_are_listed_by_date_in_pages_that_nothing_shifts(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority, *, ascending: bool
) -> None:
    leaves = [authority.issue(f"sensor-{number}") for number in range(8)]
    for leaf in leaves[:7]:
        aws.clock.advance(1)
        account.iot.certificates.register(leaf, status="INACTIVE", mode="SNI_ONLY", ca_certificate_id="c" * 64)
    pages = []
    page = iot.list_certificates_by_ca(caCertificateId="c" * 64, pageSize=3, ascendingOrder=ascending)
    while True:
        pages.append([one.get("certificateId") for one in page["certificates"]])
        if "nextMarker" not in page:
            break
        if len(pages) == 1:  # between two pages one that was shown goes, and a new one comes
            iot.delete_certificate(certificateId=str(pages[0][0]))
            account.iot.certificates.register(leaves[7], status="INACTIVE", mode="SNI_ONLY", ca_certificate_id="c" * 64)
        page = iot.list_certificates_by_ca(
            caCertificateId="c" * 64, pageSize=3, ascendingOrder=ascending, marker=page["nextMarker"]
        )
    expected = [leaf.certificate_id for leaf in (leaves if ascending else reversed(leaves[:7]))]
    assert [certificate_id for shown in pages for certificate_id in shown] == expected
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.list_certificates_by_ca(caCertificateId="c" * 64, pageSize=251)


def test_creation_dates_have_milliseconds(
    aws: Aws, account: SimulatedAccount, iot: "IoTClient", authority: Authority
) -> None:
    aws.clock.advance(0.1239)
    leaf = authority.issue("sensor-1")
    account.iot.certificates.register(leaf, status="ACTIVE", mode="SNI_ONLY")
    described = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]
    assert described["creationDate"] == START + timedelta(milliseconds=123)


@pytest.mark.parametrize(("mode", "is_told"), [("DEFAULT", True), ("SNI_ONLY", False)])
def test_whether_aws_says_whose_an_sni_only_certificate_is_can_be_chosen(
    account: SimulatedAccount, iot: "IoTClient", authority: Authority, mode: str, *, is_told: bool
) -> None:
    account.iot.certificates.register(
        leaf := authority.issue("sensor-0001"),
        status="PENDING_ACTIVATION",
        mode=mode,
        ca_certificate_id=authority.certificate_id,
    )

    def told() -> tuple[str | None, int, int]:
        described = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]
        of_ca = iot.list_certificates_by_ca(caCertificateId=authority.certificate_id)["certificates"]
        return described.get("caCertificateId"), len(of_ca), len(iot.list_certificates()["certificates"])

    assert told() == (authority.certificate_id, 1, 1)
    account.aws.undocumented.hide_sni_only_cas()
    assert told() == ((authority.certificate_id, 1, 1) if is_told else (None, 0, 1))
