"""The second reader: what it reads, that it reads the same as the library, and that single extensions fail alone."""

import random
from datetime import UTC, datetime
from typing import cast

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from jitr.errors import Reason, Rejected
from jitr.x509 import library_reader, second_reader
from jitr.x509.certificate import Certificate, Reader
from jitr.x509.contents import Contents
from jitr.x509.encoding import Encoded
from jitr.x509.parsing import Damaged
from tests.support.cases.der import (
    BIT_STRING,
    BMP,
    COMMON_NAME,
    IA5,
    NUMERIC,
    OCTET_STRING,
    OID,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    SEQUENCE,
    T61,
    UNIVERSAL,
    UTF8,
    VISIBLE,
    as_pem,
    attribute,
    distinguished_name,
    integer,
    sensor,
    signed,
    tbs_with,
    tlv,
)
from tests.support.cases.issuing import applying, factory
from tests.support.cases.mutation import mutant, shapes

BASIC_CONSTRAINTS, KEY_USAGE, SAN, SKI, CRL_POINTS, AKI = (
    bytes.fromhex(oid) for oid in ("551d13", "551d0f", "551d11", "551d0e", "551d1f", "551d23")
)
FALSE, ONE, TRUE = b"\x01\x01\x00", b"\x01\x01\x01", b"\x01\x01\xff"
UNDERSCORE = attribute(b"\x55\x04\x05", b"00_17", kind=PRINTABLE)  # which PrintableString does not have


def extension(oid: bytes, value: bytes, critical: bytes = b"") -> bytes:
    return tlv(SEQUENCE, tlv(OID, oid), critical, tlv(OCTET_STRING, value))


def extensions(*some: bytes) -> bytes:
    return tlv(0xA3, tlv(SEQUENCE, *some))


def read(**replaced: bytes) -> Certificate:
    """The valid leaf with some parts replaced, signed, as it is read; any reader."""
    return Certificate.from_der(signed(tbs_with(**replaced)))


def both(der: bytes) -> tuple[Contents | None, Contents | None]:
    """What each reader makes of a certificate, None where it refuses it."""
    found: list[Contents | None] = []
    try:
        encoded = Encoded.of(der)
    except (Damaged, Rejected):
        return None, None
    for reader in (library_reader, second_reader):
        try:
            found.append(reader.read(encoded))
        except Damaged:
            found.append(None)
    return cast("tuple[Contents | None, Contents | None]", tuple(found))


STRINGS = {
    **dict.fromkeys((UTF8, T61, IA5, VISIBLE, OCTET_STRING), "utf-8"),
    **dict.fromkeys((PRINTABLE, NUMERIC), "ascii"),
    BMP: "utf-16-be",
    UNIVERSAL: "utf-32-be",
}
texts = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=70) | st.sampled_from(
    ("", " ", "#a", " a ", 'a,b+c"d\\e;f<g>h', "\0", "a\0", "sensor-0001")
)
strings = st.sampled_from(tuple(STRINGS)).flatmap(
    lambda kind: texts.map(lambda text: (kind, text.encode(STRINGS[kind], "ignore")))
)
attributes = st.tuples(
    st.sampled_from((COMMON_NAME, ORGANIZATIONAL_UNIT, b"\x55\x04\x05", b"\x55\x04\x0a", b"\x2a\x03\x81\x01")), strings
).map(lambda one: attribute(one[0], one[1][1], kind=one[1][0]))
names = st.lists(st.lists(attributes, min_size=1, max_size=2, unique=True), max_size=4).map(
    lambda rdns: distinguished_name(*(sorted(rdn) for rdn in rdns))
)
general_names = st.one_of(
    st.tuples(st.sampled_from((0x81, 0x82, 0x86)), texts).map(lambda one: tlv(one[0], one[1].encode())),
    names.map(lambda name: tlv(0xA4, name)),
    st.sampled_from((bytes(4), bytes(16))).map(lambda address: tlv(0x87, address)),
)
listed = st.lists(
    st.one_of(
        general_names.map(lambda name: extension(SAN, tlv(SEQUENCE, name))),
        st.sampled_from((b"", TRUE)).map(lambda ca: extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, ca), TRUE)),
        st.sampled_from(("03020780", "03020106", "0303078080")).map(
            lambda bits: extension(KEY_USAGE, bytes.fromhex(bits))
        ),
        st.binary(max_size=30).map(lambda identifier: extension(SKI, tlv(OCTET_STRING, identifier))),
        general_names.map(lambda name: extension(CRL_POINTS, tlv(SEQUENCE, tlv(SEQUENCE, tlv(0xA0, tlv(0xA0, name)))))),
        st.binary(max_size=9).map(lambda value: extension(b"\x2a\x03\x04", value)),
    ),
    max_size=4,
    unique_by=lambda one: one[2:7],
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(subject=names, some=listed, serial=st.integers(-(2**170), 2**170))
def test_where_both_readers_can_read_they_read_the_same(subject: bytes, some: list[bytes], serial: int) -> None:
    library, second = both(signed(tbs_with(subject=subject, extensions=extensions(*some), serial=integer(serial))))
    if library:
        assert second == library


def test_the_readers_agree_on_thousands_of_mutants_and_read_all_that_the_library_reads() -> None:
    dice, kinds = random.Random(19), list(shapes().values())  # noqa: S311 -- the same damage every time
    agreed = read_again = 0
    for _ in range(2000):
        der = mutant(dice.choice(kinds), dice)
        library, second = both(der)
        if library:
            assert second == library, der.hex()
            agreed += 1
        read_again += second is not None and library is None
    assert agreed > 200
    assert read_again > 100


@pytest.mark.parametrize("name", list(shapes()))
def test_the_value_is_the_same_whichever_reader_made_it(name: str) -> None:
    library, second = both(shapes()[name])
    assert second is not None
    assert library in (second, None)  # one has a SET out of order, which the library refuses


@pytest.mark.parametrize(
    ("subject", "common_name"),
    [
        (sensor("fühler".encode("latin-1"), kind=T61), "fühler"),
        (sensor("fühler".encode(), kind=T61), "fühler"),
        (sensor(b"sensor_1", kind=PRINTABLE), "sensor_1"),
        (sensor(b"sensor-*", kind=PRINTABLE), "sensor-*"),
        (sensor("fühler".encode("latin-1"), kind=IA5), "fühler"),
        (sensor("fühler".encode("utf-16-be"), kind=BMP), "fühler"),
        (sensor("fühler".encode("utf-32-be"), kind=UNIVERSAL), "fühler"),
    ],
)
def test_any_string_type_is_read(subject: bytes, common_name: str) -> None:
    assert read(subject=subject).field_values("common_name") == (common_name,)


def test_it_is_told_which_reader_it_was() -> None:
    assert read().reader is Reader.LIBRARY
    assert read(subject=sensor(b"sensor_1", kind=PRINTABLE)).reader is Reader.SECOND
    assert read(subject=sensor(b"sensor_1", kind=PRINTABLE)).was_read_again


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"subject": sensor(b"\0a\0", kind=BMP)}, "subject, common name: its value is not valid in its string type"),
        ({"subject": sensor(b"", kind=SEQUENCE)}, "subject, common name: its value is of ASN.1 type 0x30"),
        ({"issuer": distinguished_name([attribute(b"\x55\x04\x0a", b"\xff")])}, "issuer, organization: its value"),
        ({"subject": tlv(SEQUENCE, tlv(0x31))}, "subject: a relative name is empty"),
        ({"serial": tlv(2, b"\0\5")}, "serial number: a number is written in more bytes than it needs"),
        ({"version": bytes.fromhex("a003020103")}, "version: it is not a version of X.509"),
        ({"validity": tlv(SEQUENCE, tlv(0x17, b"2610310000Z"), tlv(0x17, b"301031000000Z"))}, "validity, notBefore: "),
        (
            {"validity": tlv(SEQUENCE, tlv(0x18, b"20260230000000Z"), tlv(0x17, b"301031000000Z"))},
            "the time does not exist",
        ),
        ({"key": tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, b"\x2a\x03")), tlv(BIT_STRING, b"\0"))}, "public key: "),
        ({"extensions": extensions() + tlv(0x05)}, "extensions: the parts at the end are not"),
        ({"extensions": extensions() * 2}, "extensions: the parts at the end are not"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_and_where(replaced: dict[str, bytes], said: str) -> None:
    with pytest.raises(Rejected) as refusal:
        read(**replaced)
    assert refusal.value.reason is Reason.UNREADABLE
    assert not refusal.value.reason.final
    assert said in refusal.value.detail
    assert "ParseError" not in refusal.value.detail


@pytest.mark.parametrize("critical", [b"", FALSE, TRUE, ONE])
@pytest.mark.parametrize(("value", "is_ca"), [(b"", False), (FALSE, False), (TRUE, True), (ONE, True)])
def test_written_out_defaults_and_booleans_of_01_are_read(critical: bytes, value: bytes, is_ca: bool) -> None:  # noqa: FBT001 -- a table
    found = read(extensions=extensions(extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, value), critical))).extensions
    assert found.is_ca is is_ca
    assert found.critical == (("2.5.29.19",) if critical in (TRUE, ONE) else ())
    assert found.unreadable == {}


def test_a_version_1_that_is_written_out_is_read() -> None:
    assert read(version=bytes.fromhex("a003020100")).reader is Reader.SECOND


def test_null_behind_ecdsa_is_read_and_its_signature_verified() -> None:
    algorithm = bytes.fromhex("300c06082a8648ce3d0403020500")
    certificate = read(algorithm=algorithm)
    assert certificate.reader is Reader.SECOND
    assert certificate.signature.hashes == ("sha256",)
    assert certificate.is_issued_by(Certificate.from_pem(factory().pem))


def test_an_extension_that_cannot_be_read_leaves_the_others_readable() -> None:
    san = extension(SAN, tlv(UTF8, b"a"))
    usage = extension(KEY_USAGE, bytes.fromhex("03020520"))
    found = read(extensions=extensions(san, usage, extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, TRUE)))).extensions
    assert list(found.unreadable) == ["2.5.29.17"]
    assert (found.signs, found.is_ca) == (False, True)
    assert found.why_unreadable("2.5.29.15") is None
    assert found.why_unreadable("2.5.29.15", "2.5.29.17") is not None


def test_one_that_stands_there_twice_is_none() -> None:
    twice = [extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, ca)) for ca in (TRUE, b"")]
    found = read(extensions=extensions(*twice)).extensions
    assert found.unreadable == {"2.5.29.19": "it is there twice"}
    assert found.is_ca is None


def test_nothing_is_known_of_any_where_one_has_no_name() -> None:
    found = read(extensions=extensions(tlv(SEQUENCE, tlv(OCTET_STRING)))).extensions
    why = "the list of extensions cannot be read: an extension has no object identifier"
    assert found.why_unreadable("2.5.29.15") == why


def test_a_directory_name_with_an_underscore_is_read_as_trust_and_go_writes_it() -> None:
    san = tlv(SEQUENCE, tlv(0xA4, distinguished_name([UNDERSCORE])))
    certificate = read(extensions=extensions(extension(SAN, san)))
    assert certificate.policy_values()["alternative names"] == ("2.5.4.5=00_17",)


def test_what_is_read_again_is_admitted_like_any_other() -> None:
    der = signed(
        tbs_with(extensions=extensions(extension(SAN, tlv(SEQUENCE, tlv(0xA4, distinguished_name([UNDERSCORE]))))))
    )
    examination = applying(as_pem(der)).examine()
    assert examination.certificate
    assert examination.certificate.reader is Reader.SECOND
    assert examination.admit().identity.thing_name == "sensor-0001"


def test_times_are_in_utc_and_in_the_right_century() -> None:
    der = signed(tbs_with(validity=tlv(SEQUENCE, tlv(0x17, b"500101000000Z"), tlv(0x17, b"491231235959Z"))))
    contents = second_reader.read(Encoded.of(der))
    assert contents.not_before == datetime(1950, 1, 1, tzinfo=UTC)
    assert contents.not_after == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_the_library_alone_reads_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Encoded) -> Contents:
        raise AssertionError("the second reader was asked")

    monkeypatch.setattr(second_reader, "read", refuse)
    assert (
        Certificate.from_pem(factory().leaf(extensions=[x509.BasicConstraints(ca=False, path_length=None)])).reader
        is Reader.LIBRARY
    )


LONG_ARC, LONGEST = b"\x55\x1d" + b"\xff" * 64 + b"\x01", b"\x55\x1d" + b"\xff" * 2500 + b"\x01"


def test_an_object_identifier_with_a_number_of_thousands_of_digits_is_damage() -> None:
    """Python writes no number of more than 4300 digits."""
    with pytest.raises(Rejected, match="subject: an object identifier has 2503 bytes") as refused:
        read(subject=distinguished_name([attribute(LONGEST, b"x")]))
    assert refused.value.reason is Reason.UNREADABLE

    with pytest.raises(Rejected, match="signature algorithm: an object identifier has 2503 bytes"):
        read(algorithm=tlv(SEQUENCE, tlv(OID, LONGEST)))

    unread = read(extensions=extensions(extension(LONGEST, b""))).extensions
    assert unread.problem
    assert "an object identifier has 2503 bytes" in unread.problem


def test_a_damaged_critical_extension_with_an_oid_the_library_refuses_is_named() -> None:
    twice = extensions(*[extension(LONG_ARC, b"", critical=TRUE)] * 2)
    with pytest.raises(Rejected, match=r"extension 2\.5\.29\.\d+ cannot be read: it is there twice") as refused:
        applying(as_pem(signed(tbs_with(extensions=twice)))).admit()
    assert refused.value.reason is Reason.EXTENSIONS_UNREADABLE


def test_an_empty_field_names_no_thing() -> None:
    """Else all devices with an empty one would ask for one name, and follow each other as rotations."""
    empty = extensions(extension(SKI, tlv(OCTET_STRING)))
    device = applying(as_pem(signed(tbs_with(extensions=empty)))).with_rules(thing_name="d-{subject_key_identifier}")
    with pytest.raises(Rejected, match=r"thing name uses \{subject_key_identifier\}, and it is empty") as refused:
        device.admit()
    assert refused.value.reason is Reason.SUBJECT_FIELD_MISSING
