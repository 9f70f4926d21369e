"""Device certificates: what their status may become, deleting and listing them; docs/aws-facts.md §4."""

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.support.cases.der import (
    COMMON_NAME,
    PRINTABLE,
    SEQUENCE,
    T61,
    as_pem,
    attribute,
    der_of,
    distinguished_name,
    signed,
    tbs_with,
    tlv,
)
from tests.support.cases.families import KEY_USAGE, ONE, SAN, SERIAL_NUMBER, SIGNS, extension, extensions
from tests.support.cases.issuing import Authority
from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer, new_name
from tests.support.contract.registered import Ca

if TYPE_CHECKING:
    from mypy_boto3_iot.literals import CertificateStatusType

INVALID = ("InvalidRequestException", 400)
NOT_FOUND = ("ResourceNotFoundException", 404)
CONFLICT = ("DeleteConflictException", 409)
UNKNOWN = "0" * 64
MILLISECOND = timedelta(milliseconds=1)


def test_the_validity_is_described(place: Place, ca: Ca) -> None:
    described = ca.registered()

    parsed = x509.load_pem_x509_certificate(described["certificatePem"].encode())
    validity = {"notBefore": parsed.not_valid_before_utc, "notAfter": parsed.not_valid_after_utc}
    assert described.get("validity") == expected(place, validity, certificate_validity_missing=None)


def test_an_unknown_certificate_is_not_found(place: Place) -> None:
    assert answer(lambda: place.iot.describe_certificate(certificateId=UNKNOWN)) == NOT_FOUND
    assert answer(lambda: place.iot.update_certificate(certificateId=UNKNOWN, newStatus="ACTIVE")) == NOT_FOUND
    assert answer(lambda: place.iot.delete_certificate(certificateId=UNKNOWN)) == NOT_FOUND


# That REVOKED may become something else is not refused by any documentation; jitr must not rely on a refusal.
@pytest.mark.parametrize("before", ["PENDING_ACTIVATION", "ACTIVE", "INACTIVE", "REVOKED"])
@pytest.mark.parametrize("after", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_a_status_can_be_set_from_any_and_again(
    place: Place, ca: Ca, before: "CertificateStatusType", after: "CertificateStatusType"
) -> None:
    certificate_id = ca.registered()["certificateId"]
    if before != "PENDING_ACTIVATION":
        place.iot.update_certificate(certificateId=certificate_id, newStatus=before)

    for _ in range(2):
        assert answer(lambda: place.iot.update_certificate(certificateId=certificate_id, newStatus=after)) == OK

    described = place.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    assert described["status"] == after


def modified_at(place: Place, certificate_id: str) -> datetime:
    """When AWS IoT says that the certificate was last modified, as botocore reads it."""
    described = place.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    return described["lastModifiedDate"]


def test_each_status_that_is_set_dates_the_certificate_also_the_same_again(place: Place, ca: Ca) -> None:
    registered = ca.registered()
    certificate_id, dates = registered["certificateId"], [registered["lastModifiedDate"]]
    assert abs(dates[0] - registered["creationDate"]) < MILLISECOND
    statuses: tuple[CertificateStatusType, ...] = ("INACTIVE", "INACTIVE", "ACTIVE", "REVOKED")

    for status in statuses:
        place.wait_for(lambda: place.now() > dates[-1] + 10 * MILLISECOND, "a later moment")
        before = place.now()
        place.iot.update_certificate(certificateId=certificate_id, newStatus=status)
        dates.append(modified_at(place, certificate_id))
        assert before - MILLISECOND <= dates[-1] <= place.now() + MILLISECOND

    assert dates == sorted(set(dates))


def test_a_status_that_is_refused_does_not_date_the_certificate(place: Place, ca: Ca) -> None:
    certificate_id = ca.registered()["certificateId"]
    place.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    before = modified_at(place, certificate_id)
    place.wait_for(lambda: place.now() > before + 10 * MILLISECOND, "a later moment")

    def update() -> object:
        return place.iot.update_certificate(certificateId=certificate_id, newStatus="RETIRED")  # type: ignore[arg-type]

    assert answer(update) == INVALID
    assert modified_at(place, certificate_id) == before


# docs/decisions/0010-release-orders.md rests on it; AWS does not document that nothing else is a modification.
def test_what_is_attached_to_a_certificate_does_not_date_it(place: Place, ca: Ca) -> None:
    certificate, thing, policy = ca.registered(), new_name("thing"), new_name("policy")
    arn, certificate_id = certificate["certificateArn"], certificate["certificateId"]
    place.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    before = modified_at(place, certificate_id)
    place.wait_for(lambda: place.now() > before + 10 * MILLISECOND, "a later moment")

    place.iot.create_thing(thingName=thing)
    place.iot.attach_thing_principal(thingName=thing, principal=arn)
    place.iot.create_policy(policyName=policy, policyDocument='{"Version": "2012-10-17", "Statement": []}')
    place.iot.attach_policy(policyName=policy, target=arn)

    assert modified_at(place, certificate_id) == before


def test_pending_cannot_be_set(place: Place, ca: Ca) -> None:
    certificate_id = ca.registered()["certificateId"]
    place.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")

    def pend() -> object:
        return place.iot.update_certificate(certificateId=certificate_id, newStatus="PENDING_ACTIVATION")

    assert answer(pend) == expected(place, INVALID, pending_settable=OK)


def test_a_status_that_there_is_not_is_refused(place: Place, ca: Ca) -> None:
    certificate_id = ca.registered()["certificateId"]

    def update() -> object:
        return place.iot.update_certificate(certificateId=certificate_id, newStatus="RETIRED")  # type: ignore[arg-type]

    assert answer(update) == INVALID


def test_an_active_certificate_is_not_deleted(place: Place, ca: Ca) -> None:
    certificate_id = ca.registered()["certificateId"]
    place.iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")

    def delete() -> object:
        return place.iot.delete_certificate(certificateId=certificate_id)

    assert answer(delete) == ("CertificateStateException", 406)


@pytest.mark.parametrize("status", [None, "INACTIVE", "REVOKED"])
def test_a_free_certificate_is_deleted_whatever_it_is_but_active(
    place: Place, ca: Ca, status: "CertificateStatusType | None"
) -> None:
    certificate_id = ca.registered()["certificateId"]
    if status:
        place.iot.update_certificate(certificateId=certificate_id, newStatus=status)

    assert answer(lambda: place.iot.delete_certificate(certificateId=certificate_id)) == OK
    assert answer(lambda: place.iot.describe_certificate(certificateId=certificate_id)) == NOT_FOUND


def test_a_certificate_with_a_policy_is_not_deleted_until_it_is_detached(place: Place, ca: Ca) -> None:
    certificate = ca.registered()
    arn, certificate_id, policy = certificate["certificateArn"], certificate["certificateId"], new_name("policy")
    place.iot.create_policy(policyName=policy, policyDocument='{"Version": "2012-10-17", "Statement": []}')
    place.iot.attach_policy(policyName=policy, target=arn)

    assert answer(lambda: place.iot.delete_certificate(certificateId=certificate_id)) == CONFLICT
    place.iot.detach_policy(policyName=policy, target=arn)
    assert answer(lambda: place.iot.delete_certificate(certificateId=certificate_id)) == OK


def test_a_certificate_on_a_thing_is_deleted_some_time_after_it_was_detached(place: Place, ca: Ca) -> None:
    certificate, thing = ca.registered(), new_name("thing")
    arn, certificate_id = certificate["certificateArn"], certificate["certificateId"]
    place.iot.create_thing(thingName=thing)
    place.iot.attach_thing_principal(thingName=thing, principal=arn, thingPrincipalType="EXCLUSIVE_THING")

    def delete() -> object:
        return place.iot.delete_certificate(certificateId=certificate_id)

    assert answer(delete) == CONFLICT
    place.iot.detach_thing_principal(thingName=thing, principal=arn)
    assert answer(delete) == expected(place, CONFLICT, detached_at_once=OK)
    place.wait_for(lambda: answer(delete) in (OK, NOT_FOUND), "the deletion")
    assert answer(lambda: place.iot.describe_certificate(certificateId=certificate_id)) == NOT_FOUND


def registered_one_after_another(place: Place, ca: Ca, number: int) -> list[str]:
    """The ids of that many certificates, each registered at another moment; the earliest first."""
    ids = []
    for _ in range(number):
        certificate = ca.registered()
        ids.append(certificate["certificateId"])
        place.wait_for(
            lambda: (place.now() - certificate["creationDate"]).total_seconds() > 0.01,  # noqa: B023 -- waited out here
            "a later moment",
        )
    return ids


@pytest.mark.parametrize("ascending", [False, True])
def test_a_cas_certificates_are_listed_in_order_by_pages(place: Place, ca: Ca, *, ascending: bool) -> None:
    ids = registered_one_after_another(place, ca, 5)
    pages = []
    answered = place.iot.list_certificates_by_ca(
        caCertificateId=ca.certificate_id, pageSize=2, ascendingOrder=ascending
    )
    while True:
        pages.append([one.get("certificateId") for one in answered["certificates"]])
        if "nextMarker" not in answered:
            break
        answered = place.iot.list_certificates_by_ca(
            caCertificateId=ca.certificate_id, pageSize=2, ascendingOrder=ascending, marker=answered["nextMarker"]
        )

    ordered = ids if ascending else ids[::-1]
    assert pages == [ordered[:2], ordered[2:4], ordered[4:]]


def test_a_full_last_page_has_no_marker_and_a_listing_is_newest_first_unless_told(place: Place, ca: Ca) -> None:
    ids = registered_one_after_another(place, ca, 2)

    answered = place.iot.list_certificates_by_ca(caCertificateId=ca.certificate_id, pageSize=2)

    assert [one.get("certificateId") for one in answered["certificates"]] == ids[::-1]
    assert "nextMarker" not in answered


def test_what_is_deleted_or_registered_between_two_pages_shifts_nothing(place: Place, ca: Ca) -> None:
    ids = registered_one_after_another(place, ca, 4)
    page = place.iot.list_certificates_by_ca(caCertificateId=ca.certificate_id, pageSize=2, ascendingOrder=False)
    place.iot.delete_certificate(certificateId=ids[3])
    place.iot.delete_certificate(certificateId=ids[2])  # the last one shown, at which the marker stands
    ca.registered()

    rest = place.iot.list_certificates_by_ca(
        caCertificateId=ca.certificate_id, pageSize=2, ascendingOrder=False, marker=page["nextMarker"]
    )

    assert [one.get("certificateId") for one in rest["certificates"]] == [ids[1], ids[0]]


def test_a_listing_has_status_and_date_of_every_certificate(place: Place, ca: Ca) -> None:
    certificate = ca.registered()
    place.iot.update_certificate(certificateId=certificate["certificateId"], newStatus="REVOKED")

    (listed,) = place.iot.list_certificates_by_ca(caCertificateId=ca.certificate_id)["certificates"]

    assert listed.get("certificateArn") == certificate["certificateArn"]
    assert listed.get("status") == "REVOKED"
    assert listed.get("creationDate") == certificate["creationDate"]


def test_a_ca_without_certificates_has_an_empty_listing_also_when_it_is_unknown(place: Place, ca: Ca) -> None:
    assert place.iot.list_certificates_by_ca(caCertificateId=ca.certificate_id)["certificates"] == []
    assert place.iot.list_certificates_by_ca(caCertificateId=UNKNOWN)["certificates"] == []


def test_a_page_holds_250_at_most(place: Place, ca: Ca) -> None:
    def listed(size: int) -> object:
        return place.iot.list_certificates_by_ca(caCertificateId=ca.certificate_id, pageSize=size)

    assert answer(lambda: listed(250)) == OK
    assert answer(lambda: listed(251)) == INVALID


# Inside the part that the CA signs; openssl verifies each, and TLS ends well with it.
ODD = {
    "an underscore in PrintableString, in the alternative name": {
        "extensions": extensions(
            extension(
                SAN,
                tlv(
                    SEQUENCE, tlv(0xA4, distinguished_name([attribute(SERIAL_NUMBER, b"eui48_0004A3", kind=PRINTABLE)]))
                ),
            )
        )
    },
    "BOOLEAN TRUE as 01": {"extensions": extensions(extension(KEY_USAGE, SIGNS, ONE))},
    "NULL behind ecdsa-with-SHA256": {"algorithm": bytes.fromhex("300c06082a8648ce3d0403020500")},
    "an ampersand in PrintableString, in the subject": {
        "subject": distinguished_name([attribute(COMMON_NAME, b"A & B", kind=PRINTABLE)])
    },
    "Latin-1 in T61String, in the subject": {
        "subject": distinguished_name([attribute(COMMON_NAME, b"f\xfchler", kind=T61)])
    },
}


# What cryptography does not read, or verify, of what a connection is asked for.
UNREAD = {
    "BOOLEAN TRUE as 01",
    "NULL behind ecdsa-with-SHA256",
    "an ampersand in PrintableString, in the subject",
}


@pytest.mark.parametrize("how", ODD)
def test_an_odd_certificate_is_registered(place: Place, ca: Ca, how: str) -> None:
    device = ca.device()
    der = signed(
        tbs_with(der_of(device.certificate.read_text()), **ODD[how]),
        authority=Authority(ca.authority.pem, ca.authority.key),
    )
    device.certificate.write_text(as_pem(der))
    place.connect(device)
    found = answer(lambda: place.iot.describe_certificate(certificateId=hashlib.sha256(der).hexdigest()))
    assert found == (expected(place, OK, odd_certificates_unread=NOT_FOUND) if how in UNREAD else OK)
