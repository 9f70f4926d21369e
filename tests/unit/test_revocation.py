"""CRLs: what is read, what is refused and with which words, and that the index says what pyca's own lookup says."""

import base64
import random
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from jitr.errors import UnusableCrl
from jitr.x509.certificate import Certificate
from jitr.x509.crl import RevocationList
from jitr.x509.crl_entries import RevocationReason
from tests.support.cases.issuing import DAY, NOW, Authority, ec_key, factory, issue_ca, name, pem_of, rsa_key
from tests.support.cases.revoking import (
    CERTIFICATE_ISSUER,
    DELTA_INDICATOR,
    ECDSA_SHA1,
    INVALIDITY_DATE,
    ISSUING_POINT,
    REASON_CODE,
    UNKNOWN,
    entry,
    extension,
    integer,
    issue_crl,
    moment,
    reason,
    tlv,
)

GENERALIZED_TIME = 0x18


def ca_of(authority: Authority) -> Certificate:
    return Certificate.from_pem(authority.pem)


def read(data: bytes, authority: Authority | None = None) -> RevocationList:
    return RevocationList.read(data, ca_of(authority or factory()))


def in_pem(der: bytes, label: str = "X509 CRL") -> bytes:
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def with_key_usage(*, crl_sign: bool) -> Authority:
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    key, subject = ec_key(owner="ca"), factory().subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=crl_sign, encipher_only=False, decipher_only=False),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(pem_of(certificate), key)


def test_a_list_says_its_dates_its_number_and_how_long_it_is() -> None:
    crl = read(issue_crl(factory(), [entry(7), entry(0x0102030405060708)], number=300))

    assert (crl.this_update, crl.next_update, crl.number, crl.size) == (NOW - DAY, NOW + 7 * DAY, 300, 2)


def test_what_is_not_listed_is_not_revoked_whatever_its_width() -> None:
    crl = read(issue_crl(factory(), [entry(7), entry(2**100)]))

    assert crl.reason_of(7) is RevocationReason.unspecified
    assert crl.reason_of(2**100) is RevocationReason.unspecified
    assert [crl.reason_of(serial) for serial in (0, 6, 8, 2**100 - 1, 2**100 + 1, 2**159, -7)] == [None] * 7


def test_an_empty_list_revokes_nothing() -> None:
    crl = read(issue_crl(factory()))

    assert (crl.size, crl.reason_of(1)) == (0, None)


@pytest.mark.parametrize("known", RevocationReason)
def test_each_reason_is_told(known: RevocationReason) -> None:
    assert read(issue_crl(factory(), [entry(7, reason(known.value))])).reason_of(7) is known


def test_only_a_hold_can_be_lifted() -> None:
    assert [one for one in RevocationReason if not one.is_for_good] == [RevocationReason.certificateHold]


@pytest.mark.parametrize("codes", [(6, 1), (1, 6)])
def test_of_two_entries_for_one_certificate_the_final_one_counts(codes: tuple[int, int]) -> None:
    crl = read(issue_crl(factory(), [entry(7, reason(code)) for code in codes]))

    assert crl.reason_of(7) is RevocationReason.keyCompromise


def test_an_invalidity_date_and_what_is_unknown_and_not_critical_change_nothing() -> None:
    date = extension(INVALIDITY_DATE, tlv(GENERALIZED_TIME, b"20260101000000Z"))
    crl = read(issue_crl(factory(), [entry(7, date, extension(UNKNOWN, b"\5\0"), reason(4))]))

    assert crl.reason_of(7) is RevocationReason.superseded


def test_pem_is_read_with_whatever_text_is_around_it() -> None:
    der = issue_crl(factory(), [entry(7)])

    assert read(b"Certificate Revocation List (CRL):\n    Version 2\n" + in_pem(der)) == read(der)


def test_a_list_of_version_1_is_read_which_is_what_openssl_makes_unasked() -> None:
    crl = read(issue_crl(factory(), [entry(7)], version=1, number=None))

    assert (crl.number, crl.reason_of(7)) == (None, RevocationReason.unspecified)


def test_a_list_by_an_rsa_key_is_read() -> None:
    authority = issue_ca(key=rsa_key(owner="ca"))

    assert read(issue_crl(authority, [entry(7)]), authority).reason_of(7)


def test_a_ca_with_key_usage_may_sign_lists_only_if_it_says_so() -> None:
    assert read(issue_crl(factory(), [entry(7)]), with_key_usage(crl_sign=True)).reason_of(7)
    with pytest.raises(UnusableCrl, match="keyUsage without cRLSign"):
        read(issue_crl(factory(), [entry(7)]), with_key_usage(crl_sign=False))


def test_a_list_for_users_certificates_only_is_read_for_devices_are_users() -> None:
    only_users = extension(ISSUING_POINT, tlv(0x30, b"\x81\x01\xff"), critical=True)

    assert read(issue_crl(factory(), [entry(7)], extensions=[only_users])).reason_of(7)


def for_point(uri: bytes) -> bytes:
    return extension(ISSUING_POINT, tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, uri)))), critical=True)


def test_a_list_for_a_distribution_point_covers_those_that_name_it() -> None:
    crl = read(issue_crl(factory(), [entry(7)], extensions=[for_point(b"http://ca.example/1.crl")]))

    def leaf(*uris: str) -> Certificate:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        points = x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)])
        return Certificate.from_pem(factory().leaf(extensions=[points]))

    assert crl.covers(leaf("http://other.example/1.crl", "http://ca.example/1.crl"))
    assert not crl.covers(leaf("http://ca.example/2.crl"))
    assert not crl.covers(Certificate.from_pem(factory().leaf()))
    assert read(issue_crl(factory())).covers(Certificate.from_pem(factory().leaf()))


@dataclass(frozen=True)
class Unusable:
    """A CRL that must be refused, and the words that it is refused with."""

    make: Callable[[], bytes]
    says: str


def listing(*entries: bytes) -> Callable[[], bytes]:
    return lambda: issue_crl(factory(), entries)


def scoped(*fields: bytes) -> Callable[[], bytes]:
    point = extension(ISSUING_POINT, tlv(0x30, *fields), critical=True)
    return lambda: issue_crl(factory(), extensions=[point])


UNUSABLE = {
    "of another CA": Unusable(
        lambda: issue_crl(factory(), issuer=name([(x509.NameOID.COMMON_NAME, "Acmé CA")]).public_bytes()),
        r"its issuer is 'CN=Acm\\xe9 CA', and the CA is 'CN=Acme factory CA,O=Acme'",
    ),
    "signed by another key": Unusable(
        lambda: issue_crl(factory(), signer=ec_key(owner="impostor")), "not by the key of the CA"
    ),
    "signed by another kind of key": Unusable(
        lambda: issue_crl(factory(), signer=rsa_key(owner="impostor")), "not by the key of the CA"
    ),
    "changed after signing": Unusable(
        lambda: issue_crl(factory(), [entry(0x77777777)]).replace(b"\x77" * 4, b"\x76" * 4), "not by the key of the CA"
    ),
    "signed with SHA-1": Unusable(
        lambda: issue_crl(factory(), algorithm=ECDSA_SHA1), "sha1; SHA-256 or better is required"
    ),
    "naming two algorithms": Unusable(
        lambda: issue_crl(factory(), algorithm=ECDSA_SHA1, outer_algorithm=bytes.fromhex("300a06082a8648ce3d040302")),
        "two signature algorithms",
    ),
    "without nextUpdate": Unusable(lambda: issue_crl(factory(), next_update=None), "no nextUpdate"),
    "a delta": Unusable(
        lambda: issue_crl(factory(), extensions=[extension(DELTA_INDICATOR, integer(1), critical=True)]), "delta CRL"
    ),
    "a delta that hides it": Unusable(
        lambda: issue_crl(factory(), extensions=[extension(DELTA_INDICATOR, integer(1))]), "delta CRL"
    ),
    "indirect": Unusable(scoped(b"\x84\x01\xff"), "indirect CRL"),
    "for some reasons": Unusable(scoped(tlv(0x83, b"\x06\x40")), "some reasons"),
    "for CAs' certificates": Unusable(scoped(b"\x82\x01\xff"), "only CA or attribute certificates"),
    "for attribute certificates": Unusable(scoped(b"\x85\x01\xff"), "only CA or attribute certificates"),
    "for a point of a relative name": Unusable(
        scoped(tlv(0xA0, tlv(0xA1, tlv(0x30, bytes.fromhex("0603550403"), tlv(0x0C, b"ca"))))), "relative name"
    ),
    "for a point without a URI": Unusable(scoped(tlv(0xA0, tlv(0xA0, tlv(0x82, b"ca.example")))), "without a URI"),
    "with an unknown critical extension": Unusable(
        lambda: issue_crl(factory(), extensions=[extension(UNKNOWN, b"\5\0", critical=True)]),
        r"critical extension 1\.2\.3\.4, which jitr does not support",
    ),
    "with two numbers": Unusable(
        lambda: issue_crl(factory(), extensions=[extension("551d14", integer(2))]), "not a valid X.509 CRL"
    ),
    "an entry of another CA": Unusable(
        listing(entry(1), entry(2, extension(CERTIFICATE_ISSUER, tlv(0x30, tlv(0x82, b"x")), critical=True))),
        "certificateIssuer",
    ),
    "an entry with an unknown critical extension": Unusable(
        listing(entry(1, extension(UNKNOWN, b"\5\0", critical=True))), "an entry has a critical extension"
    ),
    "an entry that takes back": Unusable(listing(entry(1, reason(8))), "removeFromCRL"),
    "an entry with reason 7": Unusable(listing(entry(1, reason(7))), "reasonCode that RFC 5280 does not define"),
    "an entry with a reason that is none": Unusable(
        listing(entry(1, extension(REASON_CODE, integer(1)))), "reasonCode that RFC 5280 does not define"
    ),
    "an entry with an empty reason": Unusable(listing(entry(1, extension(REASON_CODE, b""))), "not a valid X.509 CRL"),
    "empty": Unusable(lambda: b"", "neither DER nor a PEM"),
    "a certificate": Unusable(factory().pem.encode, "neither DER nor a PEM"),
    "two lists in PEM": Unusable(lambda: 2 * in_pem(issue_crl(factory())), "it holds 2 of them"),
    "a PEM without end": Unusable(lambda: in_pem(issue_crl(factory()))[:-30], "not a valid X.509 CRL"),
    "cut off": Unusable(lambda: issue_crl(factory())[:-1], "not a valid X.509 CRL"),
    "longer than its length": Unusable(lambda: issue_crl(factory()) + b"\0", "not a valid X.509 CRL"),
    "dated the 31st of February": Unusable(
        lambda: issue_crl(factory()).replace(moment(NOW - DAY), b"\x17\x0d260231000000Z"), "not a valid X.509 CRL"
    ),
}


@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_leaves_a_doubt_is_refused_with_a_sentence(unusable: Unusable) -> None:
    with pytest.raises(UnusableCrl, match=unusable.says) as refusal:
        read(unusable.make())
    assert str(refusal.value).isascii()
    assert str(refusal.value).isprintable()


def test_a_file_that_would_not_fit_into_the_function_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitr.x509.crl.GREATEST_SIZE", 100)

    with pytest.raises(UnusableCrl, match="the limit is 100"):
        read(issue_crl(factory()))


serials = st.one_of(st.integers(1, 300), st.integers(1, 2**159 - 1))
codes = st.sampled_from([None, *(one.value for one in RevocationReason)])


@given(listed=st.dictionaries(serials, codes, max_size=40), asked=st.lists(serials, max_size=20))
@settings(max_examples=150, deadline=None)
def test_the_index_agrees_with_pycas_lookup(listed: dict[int, int | None], asked: list[int]) -> None:
    entries = [entry(serial, *([] if code is None else [reason(code)])) for serial, code in listed.items()]
    der = issue_crl(factory(), entries)
    crl, pyca = read(der), x509.load_der_x509_crl(der)

    assert crl.size == len(pyca)
    neighbours = [serial + step for serial in listed for step in (-1, 1)]
    for serial in {*listed, *asked, *neighbours}:
        theirs = pyca.get_revoked_certificate_by_serial_number(serial)
        ours = crl.reason_of(serial)
        assert (ours is None) == (theirs is None), serial
        if ours and theirs and listed[serial] is not None:
            assert theirs.extensions.get_extension_for_class(x509.CRLReason).value.reason.name == _snake(ours.name)


# Where a number's width in two's complement changes: on both sides of every power of two.
edges = st.builds(
    lambda bits, step, negative: (-1 if negative else 1) * 2**bits + step,
    st.integers(0, 158),
    st.sampled_from([-1, 0, 1]),
    st.booleans(),
)


@given(listed=st.sets(edges, min_size=1, max_size=20), asked=st.sets(edges, max_size=20))
@settings(max_examples=100, deadline=None)
def test_negative_serial_numbers_and_powers_of_two_are_found_as_pyca_reads_them(
    listed: set[int], asked: set[int]
) -> None:
    der = issue_crl(factory(), [entry(serial) for serial in sorted(listed)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography warns of a serial number that is not positive
        theirs = {one.serial_number for one in x509.load_der_x509_crl(der)}
    assert theirs == listed
    crl = read(der)
    for serial in listed | asked | {-one for one in listed} | {~one for one in listed}:
        assert (crl.reason_of(serial) is not None) == (serial in theirs), serial


def _snake(camel: str) -> str:
    return {
        "cACompromise": "ca_compromise",
        "aACompromise": "aa_compromise",
        "certificateHold": "certificate_hold",
    }.get(camel, "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel))


@pytest.mark.parametrize("signed_by_the_ca", [False, True])
def test_no_damage_to_a_crl_raises_anything_but_the_domains_error(
    monkeypatch: pytest.MonkeyPatch,
    signed_by_the_ca: bool,  # noqa: FBT001 -- pytest passes it by name
) -> None:
    """Bytes of a right CRL changed, cut and doubled; also as if the CA itself had signed the damage."""
    date = extension(INVALIDITY_DATE, tlv(GENERALIZED_TIME, b"20260101000000Z"))
    point = for_point(b"http://ca.example/1.crl")
    whole = issue_crl(factory(), [entry(7), entry(2**150, date, reason(1))], extensions=[point])
    rng, ca = random.Random(5280), ca_of(factory())  # noqa: S311 -- the same damage every time
    if signed_by_the_ca:
        monkeypatch.setattr("jitr.x509.crl.is_signed_by", lambda *_: True)
    outcomes = set()
    for number in range(4000):
        data = damaged(whole, rng)
        if data == whole:
            continue
        try:
            RevocationList.read(data if number % 8 else in_pem(data), ca).reason_of(7)
            outcomes.add("read")
        except UnusableCrl as refusal:
            outcomes.add(" ".join(str(refusal).split()[:4]))
    assert {"its signature is not", "read"} & outcomes == {"read" if signed_by_the_ca else "its signature is not"}
    assert "it is not a" in outcomes


def damaged(whole: bytes, rng: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 4)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 8)]
            case 3:
                data[at] ^= 1 << rng.randrange(8)
    return bytes(data)
