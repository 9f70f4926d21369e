"""Names: which are the same to RFC 5280 §7.1, and how they are written."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from jitr.x509 import distinguished_names
from jitr.x509.distinguished_names import are_same
from tests.support.cases.der import (
    BMP,
    IA5,
    OCTET_STRING,
    PRINTABLE,
    T61,
    UNIVERSAL,
    UTF8,
    attribute,
    distinguished_name,
)

ORGANIZATION, COMMON_NAME = b"\x55\x04\x0a", b"\x55\x04\x03"
ACME = distinguished_name([attribute(ORGANIZATION, b"Acme")], [attribute(COMMON_NAME, b"Factory CA")])


def ca(organization: bytes = b"Acme", common_name: bytes = b"Factory CA", kind: int = UTF8) -> bytes:
    return distinguished_name(
        [attribute(ORGANIZATION, organization, kind=kind)], [attribute(COMMON_NAME, common_name, kind=kind)]
    )


def wide(encoding: str, kind: int) -> bytes:
    return ca("Acme".encode(encoding), "Factory CA".encode(encoding), kind)


@pytest.mark.parametrize(
    "name",
    [
        *(ca(kind=kind) for kind in (UTF8, PRINTABLE, T61, IA5)),
        wide("utf-16-be", BMP),
        wide("utf-32-be", UNIVERSAL),
        ca(b"ACME", b"factory ca"),
        ca(b" Acme  ", b"Factory   CA"),
        ca(b"Acme", b"Factory\tCA"),
    ],
)
def test_string_types_case_and_spaces_do_not_count(name: bytes) -> None:
    assert are_same(ACME, name)
    assert are_same(name, ACME)


@pytest.mark.parametrize(
    "name",
    [
        ca(b"Acme", b"FactoryCA"),
        ca(b"Acme", b"Factory CB"),
        ca(b"Acme", b"Factory C A"),
        ca(kind=OCTET_STRING),
        distinguished_name([attribute(COMMON_NAME, b"Factory CA")], [attribute(ORGANIZATION, b"Acme")]),
        distinguished_name([attribute(ORGANIZATION, b"Acme"), attribute(COMMON_NAME, b"Factory CA")]),
        distinguished_name([attribute(ORGANIZATION, b"Acme")]),
        distinguished_name(
            [attribute(ORGANIZATION, b"Acme")],
            [attribute(COMMON_NAME, b"Factory CA"), attribute(COMMON_NAME, b"Factory CA")],
        ),
        distinguished_name(),
        ACME[:-1],
        b"",
    ],
)
def test_everything_else_counts(name: bytes) -> None:
    assert not are_same(ACME, name)
    assert not are_same(name, ACME)


def test_letters_of_other_alphabets_are_folded_too() -> None:
    assert are_same(ca("Straße".encode()), ca(b"STRASSE"))
    assert are_same(ca("Ångström".encode()), ca("Ångström".lower().encode()))


def test_the_order_of_attributes_in_one_set_does_not_count() -> None:
    one, other = attribute(ORGANIZATION, b"Acme"), attribute(COMMON_NAME, b"a")
    assert are_same(distinguished_name([one, other]), distinguished_name([other, one]))


def test_what_cannot_be_read_is_the_same_as_equal_bytes_only() -> None:
    assert are_same(b"\x30", b"\x30")
    assert not are_same(b"\x30", b"\x31")


@given(
    st.lists(st.tuples(st.sampled_from((ORGANIZATION, COMMON_NAME, b"\x55\x04\x05")), st.text(min_size=1, max_size=9)))
)
def test_a_name_is_written_as_cryptography_writes_it(values: list[tuple[bytes, str]]) -> None:
    der = distinguished_name(*([attribute(oid, text.encode())] for oid, text in values))
    assert distinguished_names.rfc4514(distinguished_names.read(der)) == x509.Name.from_bytes(der).rfc4514_string()


def test_names_that_take_long_to_fold_are_the_same_as_equal_bytes_only() -> None:
    long, other = ca(b"Acme" + b" " * 4096), ca(b"ACME" + b" " * 4096)
    assert are_same(long, long)
    assert not are_same(long, other)
