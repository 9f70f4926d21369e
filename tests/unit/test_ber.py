"""An AlgorithmIdentifier that a CA signed in BER: read as the same in DER, and in one form outside the signed part."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jitr.errors import Reason, Rejected
from jitr.x509.ber import to_der
from jitr.x509.certificate import Certificate, Reader
from jitr.x509.parsing import Damaged
from jitr.x509.signature_twin import twin_id
from tests.support.cases.der import SEQUENCE, as_pem, signed, tbs_with, tlv
from tests.support.cases.issuing import applying
from tests.support.cases.mutation import fuzzed_ca, shapes
from tests.support.cases.reencoding import TWIN, left_open, long_form, reencodings
from tests.support.differential.oddities import ECDSA_SHA256

IN_DER = tlv(SEQUENCE, ECDSA_SHA256)
IN_BER = {
    "a longer length": long_form(SEQUENCE, ECDSA_SHA256),
    "a length of 60 bytes": long_form(SEQUENCE, ECDSA_SHA256, more=60),
    "a length left open": left_open(SEQUENCE, ECDSA_SHA256),
    "a longer length of the OID": tlv(SEQUENCE, long_form(6, ECDSA_SHA256[2:])),
}
IN_ANY = pytest.mark.parametrize("algorithm", IN_BER.values(), ids=IN_BER)


def certificate(inside: bytes, outside: bytes | None = None) -> bytes:
    base = shapes()["P-256, no extensions"]
    return signed(tbs_with(base, algorithm=inside), authority=fuzzed_ca(), algorithm=outside or inside)


def refusal(der: bytes) -> Rejected:
    with pytest.raises(Rejected) as refused:
        Certificate.from_der(der)
    return refused.value


@IN_ANY
def test_an_algorithm_that_the_ca_signed_in_ber_is_read_as_the_same_in_der(algorithm: bytes) -> None:
    ordinary, odd = Certificate.from_der(certificate(IN_DER)), Certificate.from_der(certificate(algorithm))
    assert odd.reader is Reader.SECOND
    assert odd.signature == ordinary.signature
    assert odd.is_signed_by(Certificate.from_pem(fuzzed_ca().pem))
    assert applying(as_pem(certificate(algorithm)), authority=fuzzed_ca()).examine().refusal is None


@IN_ANY
def test_an_algorithm_in_ber_outside_of_what_the_ca_signed_in_der_is_refused_for_good(algorithm: bytes) -> None:
    assert refusal(certificate(IN_DER, algorithm)).reason is Reason.ENCODING_REFUSED


@IN_ANY
def test_an_algorithm_in_der_outside_of_what_the_ca_signed_in_ber_is_held(algorithm: bytes) -> None:
    # A CA that signs BER may write DER outside, so it may be what the CA issued; but one form only is taken.
    assert refusal(certificate(algorithm, IN_DER)).reason is Reason.UNREADABLE


def test_two_forms_of_ber_are_one_too_many() -> None:
    one, other, *_ = IN_BER.values()
    assert refusal(certificate(one, other)).reason is Reason.UNREADABLE


@pytest.mark.parametrize("how", [how for how in IN_BER if "left open" not in how])
def test_of_a_certificate_with_an_algorithm_in_ber_no_reencoding_is_read_but_its_twin(how: str) -> None:
    der, key = certificate(IN_BER[how]), fuzzed_ca().key.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    ca, taken = Certificate.from_pem(fuzzed_ca().pem), {}
    for other_how, other in reencodings(der, key).items():
        try:
            read = Certificate.from_der(other)
        except Rejected:
            continue
        if read.is_issued_by(ca):
            taken[other_how] = read.fingerprint
    assert taken == {TWIN: twin_id(Certificate.from_der(der), ca)}


def test_a_signed_part_whose_own_length_is_in_ber_is_held_since_the_ca_may_have_signed_it() -> None:
    tbs = tbs_with(shapes()["P-256, no extensions"])
    for odd in (long_form(SEQUENCE, tbs[4:]), left_open(SEQUENCE, tbs[4:])):
        assert refusal(signed(odd, authority=fuzzed_ca(), algorithm=IN_DER)).reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    "ber",
    [
        b"",
        b"\x30",
        b"\x30\x81",
        b"\x30\x82\x01",
        b"\x30\x05\x06\x01",
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x30\x80\x06\x80\x00\x00\x00\x00",
        b"\x30\x80" * 12 + b"\0\0" * 12,
        b"\x30\xff" + b"\x01" * 200,
        b"\x1f\x01\x00",
        b"\x30\x02\x30\x01",
    ],
)
def test_what_is_cut_short_nested_or_never_ends_is_damaged(ber: bytes) -> None:
    with pytest.raises(Damaged):
        to_der(ber, 0, len(ber))


def test_elements_in_der_stay_as_they_are() -> None:
    for der in (IN_DER, tlv(SEQUENCE), tlv(SEQUENCE, b"\x05\x00"), tlv(0xA0, tlv(SEQUENCE, b"\x02\x01\x05"))):
        assert to_der(b"x" + der + b"y", 1, len(der) + 2) == (der, len(der) + 1)
