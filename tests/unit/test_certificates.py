"""Certificates as values: what they say of themselves."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitr.errors import Reason, Rejected
from jitr.rules import TEMPLATE_FIELDS
from jitr.x509.certificate import Certificate, Reader
from jitr.x509.contents import KeyFacts
from jitr.x509.extensions import Extensions
from tests.support.cases.der import (
    BMP,
    ORGANIZATIONAL_UNIT,
    T61,
    as_pem,
    attribute,
    distinguished_name,
    integer,
    sensor,
    signed,
    tbs_with,
)
from tests.support.cases.issuing import DAY, NOW, SENSOR, PrivateKey, ec_key, factory, issue_ca, name, pem_of, rsa_key
from tests.support.cases.usage import damaged_extension

ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def panic(text: str) -> BaseException:
    """What cryptography's Rust part raises when it panics: no Exception, and importable from nowhere."""
    return cast("BaseException", type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})(text))


def raise_it(error: BaseException, *_: object) -> NoReturn:
    raise error


def test_every_field_is_read() -> None:
    pem = factory().leaf(begins=NOW - DAY, ends=NOW + DAY)
    parsed = x509.load_pem_x509_certificate(pem.encode())
    certificate = Certificate.from_pem(pem)
    assert certificate.fingerprint == parsed.fingerprint(hashes.SHA256()).hex()
    assert int(certificate.serial, 16) == parsed.serial_number
    assert certificate.serial == certificate.serial.lower()
    assert certificate.subject == "CN=sensor-0001,OU=Mark-2,O=Acme"
    assert certificate.issuer == "CN=Acme factory CA,O=Acme"
    assert (certificate.not_before, certificate.not_after) == (NOW - DAY, NOW + DAY)
    assert certificate.key == KeyFacts("EC", 256, "P-256")


def test_times_are_in_utc() -> None:
    assert Certificate.from_pem(factory().pem).not_after.tzinfo is UTC
    assert Certificate.from_pem(factory().leaf(ends=datetime(2050, 1, 1, tzinfo=UTC))).not_after.year == 2050


@pytest.mark.parametrize(
    ("make", "facts", "words"),
    [
        (rsa_key, KeyFacts("RSA", 2048), "RSA 2048"),
        (partial(ec_key, ec.SECP384R1), KeyFacts("EC", 384, "P-384"), "EC P-384"),
        (partial(ec_key, ec.SECP521R1), KeyFacts("EC", 521, "P-521"), "EC P-521"),
        (partial(ec_key, ec.SECP256K1), KeyFacts("EC", 256, "secp256k1"), "EC secp256k1"),
    ],
)
def test_a_key_is_named_by_algorithm_and_size(make: Callable[[], PrivateKey], facts: KeyFacts, words: str) -> None:
    certificate = Certificate.from_pem(factory().leaf(key=make()))
    assert certificate.key == facts
    assert str(certificate.key) == words


def test_a_key_of_another_kind_is_named_by_its_algorithm() -> None:
    certificate = Certificate.from_pem(factory().leaf(key=ed25519.Ed25519PrivateKey.generate()))
    assert certificate.key.algorithm == "Ed25519"


@pytest.mark.parametrize("field", TEMPLATE_FIELDS)
def test_every_template_field_can_be_asked_for(field: str) -> None:
    values = Certificate.from_pem(factory().leaf()).field_values(field)
    assert all(isinstance(value, str) for value in values)


def test_values_of_a_field_come_in_the_order_of_the_subject() -> None:
    pem = factory().leaf((*SENSOR, (NameOID.LOCALITY_NAME, "b"), (NameOID.LOCALITY_NAME, "a")))
    certificate = Certificate.from_pem(pem)
    assert certificate.field_values("locality") == ("b", "a")
    assert certificate.field_values("organization") == ("Acme",)
    assert certificate.field_values("country") == ()


def test_the_certificates_own_fields_are_its_serial_and_its_id() -> None:
    certificate = Certificate.from_pem(factory().leaf())
    assert certificate.field_values("certificate_serial") == (certificate.serial,)
    assert certificate.field_values("certificate_id") == (certificate.fingerprint,)


@pytest.mark.parametrize(
    "form", [_ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.T61String, _ASN1Type.BMPString], ids=str
)
def test_a_common_name_reads_the_same_in_every_string_type(form: _ASN1Type) -> None:
    key = ec_key(owner="ca")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-0001", form)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY)
    certificate = Certificate.from_pem(pem_of(builder.sign(key, hashes.SHA256())))
    assert certificate.field_values("common_name") == ("sensor-0001",)


def test_text_around_the_certificate_is_passed_over() -> None:
    pem = factory().leaf()
    assert Certificate.from_pem(f"subject=CN = sensor-0001\n{pem}\n") == Certificate.from_pem(pem)
    assert Certificate.from_pem(pem.replace("\n", "\r\n")) == Certificate.from_pem(pem)


@pytest.mark.parametrize(("is_ca", "answer"), [(True, True), (False, False), (None, False)])
def test_only_basic_constraints_make_a_ca(is_ca: bool | None, answer: bool) -> None:  # noqa: FBT001 -- a table
    assert Certificate.from_pem(issue_ca(is_ca=is_ca).pem).is_ca() is answer


def test_issuance_takes_the_name_and_the_key() -> None:
    leaf = Certificate.from_pem(factory().leaf())
    assert leaf.is_issued_by(Certificate.from_pem(factory().pem))
    assert leaf.is_issued_by(Certificate.from_pem(issue_ca().pem))
    assert not leaf.is_issued_by(Certificate.from_pem(issue_ca("Another name").pem))
    assert not leaf.is_issued_by(Certificate.from_pem(issue_ca(key=ec_key(owner="another key")).pem))


def test_a_refusal_does_not_repeat_the_certificate() -> None:
    pem = factory().leaf().replace("A", "!")
    with pytest.raises(Rejected) as refusal:
        Certificate.from_pem(pem)
    assert refusal.value.reason is Reason.UNREADABLE
    assert "\n" not in refusal.value.detail
    assert len(refusal.value.detail) < 300
    assert not any(line in str(refusal.value) for line in pem.splitlines() if line)


@pytest.mark.parametrize("raised", [ValueError("x"), TypeError(), OverflowError(), panic("range end out")])
def test_what_cryptography_raises_while_it_reads_is_left_to_the_second_reader(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = factory().leaf()
    expected = Certificate.from_pem(pem)
    monkeypatch.setattr("jitr.x509.library_reader._read", partial(raise_it, raised))
    assert Certificate.from_pem(pem) == replace(expected, reader=Reader.SECOND)


@pytest.mark.parametrize(
    "failure", [MemoryError(), RecursionError(), AttributeError("x"), KeyError("x"), SystemError()]
)
@pytest.mark.parametrize("reader", ["x509.library_reader._read", "x509.second_reader.load_der_public_key"])
def test_a_failure_of_ours_or_of_the_machine_says_nothing_of_the_certificate(
    reader: str, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = as_pem(signed(tbs_with(subject=sensor("f\xfchler".encode("latin-1"), kind=T61))))
    monkeypatch.setattr(f"jitr.{reader}", partial(raise_it, failure))
    with pytest.raises(type(failure)):
        Certificate.from_pem(pem)


@pytest.mark.parametrize("raised", [ValueError("x"), panic("called `unwrap()` on a `None` value")])
def test_whatever_cryptography_raises_over_a_signature_is_no_issuance(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf, ca = Certificate.from_pem(factory().leaf()), Certificate.from_pem(factory().pem)
    assert leaf.is_issued_by(ca)
    monkeypatch.setattr("jitr.x509.signatures._verify", partial(raise_it, raised))
    assert not leaf.is_issued_by(ca)


def test_the_key_and_the_name_are_told_apart() -> None:
    leaf = Certificate.from_pem(factory().leaf())
    renamed = Certificate.from_pem(issue_ca("Another name").pem)
    assert leaf.is_signed_by(renamed)
    assert not leaf.names_as_issuer(renamed)
    assert leaf.names_as_issuer(Certificate.from_pem(issue_ca("ACME  factory ca").pem))


def test_an_interruption_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitr.x509.library_reader._read", partial(raise_it, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        Certificate.from_pem(factory().leaf())


def test_no_warning_of_cryptography_comes_out() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        certificate = Certificate.from_pem(as_pem(signed(tbs_with(serial=integer(-5)))))
    assert certificate.serial == "-5"


def test_extensions_that_are_not_there_say_nothing() -> None:
    assert Certificate.from_pem(factory().leaf()).extensions == Extensions()


def test_extensions_are_read() -> None:
    names = [x509.UniformResourceIdentifier("urn:a"), x509.DNSName("b"), x509.RFC822Name("c@d"), x509.DNSName("a")]
    extensions: list[x509.ExtensionType] = [
        x509.SubjectAlternativeName([*names, x509.DirectoryName(name(SENSOR[:1])), x509.RegisteredID(ANY)]),
        x509.ExtendedKeyUsage([ANY]),
    ]
    pem = factory().leaf(extensions=extensions, critical=[x509.BasicConstraints(ca=False, path_length=None)])
    assert Certificate.from_pem(pem).extensions == Extensions(
        is_ca=False,
        purposes=frozenset({ANY.dotted_string}),
        critical=("2.5.29.19",),
        alternative_uris=("urn:a",),
        alternative_dns_names=("b", "a"),
        other_alternative_names=("c@d", "O=Acme"),
    )


def test_damaged_extensions_leave_the_rest_readable_and_say_why() -> None:
    certificate = Certificate.from_pem(damaged_extension().device.pem)
    assert certificate.extensions.why_unreadable("2.5.29.19")
    assert certificate.extensions.why_unreadable("2.5.29.15") is None
    assert certificate.field_values("common_name") == ("sensor-0001",)


def test_a_certificate_is_frozen() -> None:
    certificate = Certificate.from_pem(factory().leaf())
    with pytest.raises(AttributeError):
        certificate.serial = "0"  # type: ignore[misc]
    assert replace(certificate, serial="0").serial == "0"


@pytest.mark.parametrize("reader", list(Reader))
def test_a_name_is_one_line_whatever_the_device_put_into_it(reader: Reader) -> None:
    forged = "Acme\r\n\x1b[2K\u202eok \\".encode()
    latin = [attribute(ORGANIZATIONAL_UNIT, b"M\xfcller", kind=T61)] if reader is Reader.SECOND else []
    subject = distinguished_name([attribute(b"\x55\x04\x0a", forged), *latin])
    certificate = Certificate.from_der(signed(tbs_with(subject=subject)))
    assert certificate.reader is reader
    assert certificate.subject.startswith("O=Acme\\0D\\0A\\1B[2K\\E2\\80\\AEok \\\\")
    assert certificate.subject.isprintable()


def test_a_name_of_tens_of_thousands_of_characters_is_cut_for_the_record() -> None:
    subject = distinguished_name([attribute(b"\x55\x04\x0a", b"\0\x07" * 20_000, kind=BMP)])
    certificate = Certificate.from_der(signed(tbs_with(subject=subject)))
    assert len(certificate.subject) < 30_000
    assert certificate.subject.endswith("\\07...")
