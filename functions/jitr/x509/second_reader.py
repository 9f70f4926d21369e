"""The second reader: the fields of a certificate that cryptography refuses, read from the DER of its signed part.

Factories write what the library does not take (docs/decisions/0009-second-reader.md): characters that a string type
does not have, T61String in Latin-1, defaults that are written out, BOOLEANs of 01, NULL behind ecdsa-with-SHA256,
single extensions that are damaged. What the CA signed is read here where it has one meaning, and is refused where it
has two: lengths and numbers in BER, a part that stands there twice, bytes where nothing belongs. Where both readers
can read a certificate, they read the same (tests/unit/test_second_reader.py).

Everything raises Damaged with what and where, as `subject, organization: …`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from jitr.x509 import der, distinguished_names
from jitr.x509.contents import SUBJECT_FIELDS, Contents
from jitr.x509.der import INTEGER, SEQUENCE
from jitr.x509.encoding import Encoded
from jitr.x509.parsing import Damaged, call_cryptography
from jitr.x509.second_extensions import read_extensions

_Read = TypeVar("_Read")

_VERSION, _ISSUER_ID, _SUBJECT_ID, _EXTENSIONS = 0xA0, 0x81, 0x82, 0xA3
_VERSIONS = range(3)  # 1 to 3, as they are written
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_CENTURY = 50  # a UTCTime of a smaller year is in this century (RFC 5280 §4.1.2.5.1)


def read(encoded: Encoded) -> Contents:
    """Read the fields of the signed part.

    Raises Damaged.
    """
    _place("version", lambda: _refuse_other_version(encoded.version))
    not_before, not_after = _place("validity", lambda: _times(encoded.validity))
    issuer = _place("issuer", lambda: distinguished_names.read(encoded.issuer))
    subject = _place("subject", lambda: distinguished_names.read(encoded.subject))
    return Contents(
        subject=distinguished_names.rfc4514(subject),
        issuer=distinguished_names.rfc4514(issuer),
        not_before=not_before,
        not_after=not_after,
        public_key=_public_key(encoded.public_key),
        extensions=read_extensions(_list_of_extensions(encoded.rest)),
        subject_fields={
            name: tuple(one.text for relative in subject for one in relative if one.oid == oid.dotted_string)
            for name, oid in SUBJECT_FIELDS.items()
        },
    )


def _place(place: str, read_it: Callable[[], _Read]) -> _Read:
    try:
        return read_it()
    except Damaged as error:
        joint = ", " if ": " in str(error) else ": "
        raise Damaged(f"{place}{joint}{error}") from error


def _refuse_other_version(version: bytes) -> None:
    """Version 1 may be written out; version 2 has no other fields than version 3."""
    if not version:
        return
    (tag, begin, _, end), *more = der.children(version, _VERSION) or [(0, 0, 0, 0)]
    if tag != INTEGER or more or der.integer(der.content(version[begin:end], INTEGER)) not in _VERSIONS:
        raise Damaged("it is none that X.509 has")


def _times(validity: bytes) -> tuple[datetime, datetime]:
    parts = der.children(validity, SEQUENCE)
    if len(parts) != 2:  # noqa: PLR2004 -- notBefore and notAfter
        raise Damaged("it is not two times")
    begins, ends = ((tag, validity[start:end]) for tag, _, start, end in parts)
    return _place("notBefore", lambda: _time(*begins)), _place("notAfter", lambda: _time(*ends))


def _time(tag: int, octets: bytes) -> datetime:
    """UTCTime and GeneralizedTime as RFC 5280 §4.1.2.5 has them: with seconds, in UTC, without fractions."""
    digits = {_UTC_TIME: 12, _GENERALIZED_TIME: 14}.get(tag)
    if digits is None or not re.fullmatch(rb"[0-9]{%d}Z" % digits, octets):
        raise Damaged("it is not written as RFC 5280, 4.1.2.5 has times")
    text = octets[:-1].decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < _CENTURY else "19") + text
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise Damaged("it is a time that there is not") from error


def _public_key(key: bytes) -> CertificatePublicKeyTypes:
    try:
        return call_cryptography(lambda: load_der_public_key(key))  # type: ignore[return-value]  # a certificate's are among them
    except Damaged as error:
        raise Damaged("public key: it is damaged, or of a type or curve that is not known here") from error


def _list_of_extensions(rest: tuple[tuple[int, bytes], ...]) -> bytes | None:
    """The SEQUENCE of extensions behind the unique ids; None when there is none.

    Raises Damaged when a part stands there that RFC 5280 §4.1 does not list, or twice, or in another order.
    """
    tags = [tag for tag, _ in rest]
    if tags != [tag for tag in (_ISSUER_ID, _SUBJECT_ID, _EXTENSIONS) if tag in tags]:
        raise Damaged("extensions: what is in their place, or behind them, is not what RFC 5280, 4.1 lists")
    return _place("extensions", lambda: der.content(rest[-1][1], _EXTENSIONS)) if _EXTENSIONS in tags else None
