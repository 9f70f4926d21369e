"""Whose certificate it is where AWS does not say: found by name and signature, and never guessed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from jitr.admission import procedure
from jitr.admission.applicant import Applicant
from jitr.admission.issuers import find_issuer, issuers_of, with_recorded_ca
from jitr.admission.procedure import examine
from jitr.errors import Reason
from jitr.iot_models import DeviceRegistration
from jitr.record import Record
from jitr.rules import Rules
from tests.support.cases.catalogue import CASES, Case
from tests.support.cases.der import as_pem, der_of
from tests.support.cases.issuance import unnamed_beside_renewed
from tests.support.cases.issuing import (
    Application,
    Authority,
    applying,
    device_registration,
    ec_key,
    factory,
    issue_ca,
    name,
    rsa_key,
    rules_for,
)
from tests.support.examples import ACTIVATION

RENEWED_KEY = ec_key(owner="renewed")
# What no search can tell where AWS names no CA: that a certificate is none of the CA's that AWS would have named.
ONLY_IF_NAMED = {Reason.NOT_ISSUED_BY_CA: Reason.CA_UNKNOWN, Reason.ENCODING_REFUSED: Reason.CA_UNKNOWN}

NOT_OF_A_NAMED_CA = ("ca_of_no_account", "no_ca", "two_cas_of_one_key", "issued_by_the_other_ca")
UNVERIFIABLE = ("ripemd",)  # a signature that nobody here can verify makes no CA known


def rules_of(*authorities: Authority) -> Rules:
    cas = [replace(rules_for(one).cas[0], name=f"ca-{at}") for at, one in enumerate(authorities)]
    return Rules(fleet="acme", cas=tuple(cas))


def found(pem: str, *authorities: Authority) -> DeviceRegistration:
    return find_issuer(device_registration(pem, ca_certificate_id=None), rules_of(*authorities))


def reason_of(application: Application, device: DeviceRegistration) -> Reason | None:
    refusal = examine(
        Applicant.of(device, application.rules),
        application.ca,
        revocations=application.revocations,
        enrollment=application.enrollment,
        now=application.now,
    ).refusal
    return refusal.reason if refusal else None


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in NOT_OF_A_NAMED_CA], ids=str)
def test_the_catalogue_ends_alike_where_aws_names_no_ca(case: Case) -> None:
    application = case.make()
    assert application.device.ca_certificate_id == application.ca_rules.certificate_id
    unnamed = find_issuer(replace(application.device, ca_certificate_id=None), application.rules)
    reason = reason_of(application, unnamed)
    if case.name in UNVERIFIABLE:
        assert reason is Reason.CA_UNKNOWN
        return
    assert reason in (case.expected, ONLY_IF_NAMED.get(case.expected) if case.expected else None)


@pytest.mark.parametrize("key", [ec_key(owner="one"), rsa_key(owner="one")], ids=["EC", "RSA"])
def test_the_ca_is_found_by_its_signature_among_others_of_its_name(key: object) -> None:
    others = [issue_ca(key=ec_key(owner="two")), issue_ca(key=rsa_key(owner="two"))]
    authority = issue_ca(key=key)  # type: ignore[arg-type]  # one of both kinds
    device = found(authority.leaf(), others[0], authority, others[1])
    assert (device.ca_certificate_id, device.is_ca_named) == (authority.certificate_id, False)


def test_a_ca_of_another_name_and_the_same_key_is_not_taken_for_the_issuer() -> None:
    authority, other = issue_ca(key=RENEWED_KEY), issue_ca("Another CA", key=RENEWED_KEY)
    assert found(authority.leaf(), other, authority).ca_certificate_id == authority.certificate_id


def test_a_name_alone_makes_nobody_the_issuer() -> None:
    authority, other = issue_ca(key=ec_key(owner="one")), issue_ca(key=ec_key(owner="two"))
    device = found(authority.leaf(), other)
    assert (device.ca_certificate_id, device.possible_cas) == (None, ())


def test_a_ca_that_aws_names_is_never_searched_for() -> None:
    device = device_registration(factory().leaf(), ca_certificate_id="f" * 64)
    assert find_issuer(device, rules_of(factory())) == device


def test_what_is_no_certificate_has_no_issuer() -> None:
    assert issuers_of("nothing", rules_of(factory())) == ()
    assert issuers_of(as_pem(der_of(factory().leaf())[:-9]), rules_of(factory())) == ()


def test_two_cas_of_one_name_and_key_are_both_possible() -> None:
    old, new = issue_ca(key=RENEWED_KEY), issue_ca(key=RENEWED_KEY)
    device = found(old.leaf(), old, new)
    assert (device.ca_certificate_id, device.possible_cas) == (None, (old.certificate_id, new.certificate_id))


def identifier(authority: Authority, *, key: bool = True, serial: int | None = None) -> x509.AuthorityKeyIdentifier:
    ca = x509.load_pem_x509_certificate(authority.pem.encode())
    of_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier(
        of_key.key_identifier if key else None,
        [x509.DirectoryName(ca.issuer)],
        ca.serial_number if serial is None else serial,
    )


@pytest.mark.parametrize("key", [True, False], ids=["with the key's", "alone"])
@pytest.mark.parametrize("which", [0, 1])
def test_the_authority_key_identifiers_issuer_and_serial_decide(which: int, *, key: bool) -> None:
    cas = issue_ca(key=RENEWED_KEY), issue_ca(key=RENEWED_KEY)
    device = found(cas[which].leaf(extensions=[identifier(cas[which], key=key)]), *cas)
    assert (device.ca_certificate_id, device.possible_cas) == (cas[which].certificate_id, ())


def test_a_key_identifier_alone_decides_nothing_between_cas_of_one_key() -> None:
    cas = issue_ca(key=RENEWED_KEY), issue_ca(key=RENEWED_KEY)
    of_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(RENEWED_KEY.public_key())
    assert len(found(cas[0].leaf(extensions=[of_key]), *cas).possible_cas) == 2


@pytest.mark.parametrize("serial", [7, None], ids=["another serial", "another issuer"])
def test_an_identifier_of_a_third_ca_decides_nothing(serial: int | None) -> None:
    cas = issue_ca(key=RENEWED_KEY), issue_ca(key=RENEWED_KEY)
    third = identifier(cas[0], serial=serial)
    if serial is None:
        stranger = x509.DirectoryName(name([(x509.NameOID.COMMON_NAME, "Stranger")]))
        third = x509.AuthorityKeyIdentifier(None, [stranger], third.authority_cert_serial_number)
    assert len(found(cas[0].leaf(extensions=[third]), *cas).possible_cas) == 2


def test_a_damaged_identifier_decides_nothing() -> None:
    cas = issue_ca(key=RENEWED_KEY), issue_ca(key=RENEWED_KEY)
    damaged = x509.UnrecognizedExtension(x509.OID_AUTHORITY_KEY_IDENTIFIER, b"\x30\x05\xa1\x01")
    assert len(found(cas[0].leaf(extensions=[damaged]), *cas).possible_cas) == 2


def test_a_device_of_two_possible_cas_is_held_and_both_are_named() -> None:
    application = unnamed_beside_renewed(issue_ca(key=RENEWED_KEY).leaf())
    refusal = application.examine().refusal
    assert refusal
    assert (refusal.reason, refusal.reason.final) == (Reason.CA_AMBIGUOUS, False)
    assert "CAs factory and renewed have the key" in refusal.detail


def decided(ca_certificate_id: str | None) -> Record:
    return Record(decision=replace(ACTIVATION, ca_certificate_id=ca_certificate_id))


def test_what_the_record_says_goes_before_the_search() -> None:
    cas = issue_ca(key=RENEWED_KEY), issue_ca(key=RENEWED_KEY)
    device = found(cas[0].leaf(), *cas)
    known = with_recorded_ca(device, decided(cas[1].certificate_id))
    assert (known.ca_certificate_id, known.possible_cas) == (cas[1].certificate_id, ())
    # Also a source that is none of the account's CAs: then none of these may judge it.
    other = with_recorded_ca(found(cas[0].leaf(), cas[0]), decided("0c" * 32))
    assert other.ca_certificate_id == "0c" * 32


def test_a_record_without_a_ca_leaves_what_was_found() -> None:
    device = found(factory().leaf(), factory())
    assert with_recorded_ca(device, decided(None)) == device
    assert with_recorded_ca(device, Record()) == device


def test_what_aws_names_goes_before_the_record() -> None:
    device = device_registration(factory().leaf(), ca_certificate_id=factory().certificate_id)
    assert with_recorded_ca(device, decided("0c" * 32)) == device


def test_a_weak_hash_finds_the_ca_that_then_refuses_it() -> None:
    device = found(factory().leaf(digest=hashes.SHA224()), factory())
    assert device.ca_certificate_id == factory().certificate_id


def test_the_search_makes_a_valid_application_of_a_valid_one() -> None:
    application = applying()
    unnamed = find_issuer(replace(application.device, ca_certificate_id=None), application.rules)
    assert reason_of(application, unnamed) is None


def test_register_imports_nothing_of_the_search_at_init() -> None:
    """Where AWS names the CA, a cold start costs nothing more."""
    only = ("jitr.admission.issuers", "jitr.aws.certificate_pages", "jitr.x509.distinguished_names")
    program = f"import sys, jitr.handlers.register; print([one for one in {only} if one in sys.modules])"
    folder = Path(procedure.__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
