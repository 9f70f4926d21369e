"""The second reader of certificates: reads from DER what cryptography refuses.

Factories issue certificates that the library does not accept (docs/decisions/0009-second-reader.md): with characters
that a string type does not allow, T61String in Latin-1, explicit defaults, BOOLEANs of 01, NULL after
ecdsa-with-SHA256, or single damaged extensions. This reader accepts signed bytes that have one meaning, and refuses
those that have two: lengths and numbers in BER, repeated parts, extra bytes. If both readers can read a certificate,
they read the same (tests/unit/test_second_reader.py).

All functions raise Damaged with the place and the reason, as `subject, organization: …`.
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
_CENTURY = 50  # a UTCTime with a smaller year is in this century (RFC 5280 §4.1.2.5.1)


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
    """Refuse versions other than 1 to 3; version 1 may be explicit, and version 2 is read like version 3."""
    if not version:
        return
    (tag, begin, _, end), *more = der.children(version, _VERSION) or [(0, 0, 0, 0)]
    if tag != INTEGER or more or der.integer(der.content(version[begin:end], INTEGER)) not in _VERSIONS:
        raise Damaged("it is not a version of X.509")


def _times(validity: bytes) -> tuple[datetime, datetime]:
    parts = der.children(validity, SEQUENCE)
    if len(parts) != 2:  # noqa: PLR2004 -- notBefore and notAfter
        raise Damaged("it does not hold two times")
    begins, ends = ((tag, validity[start:end]) for tag, _, start, end in parts)
    return _place("notBefore", lambda: _time(*begins)), _place("notAfter", lambda: _time(*ends))


def _time(tag: int, octets: bytes) -> datetime:
    """Read UTCTime or GeneralizedTime in the form of RFC 5280 §4.1.2.5: with seconds, in UTC, without fractions."""
    digits = {_UTC_TIME: 12, _GENERALIZED_TIME: 14}.get(tag)
    if digits is None or not re.fullmatch(rb"[0-9]{%d}Z" % digits, octets):
        raise Damaged("it is not in the form of RFC 5280, 4.1.2.5")
    text = octets[:-1].decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < _CENTURY else "19") + text
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise Damaged("the time does not exist") from error


def _public_key(key: bytes) -> CertificatePublicKeyTypes:
    try:
        return call_cryptography(lambda: load_der_public_key(key))  # type: ignore[return-value]  # a certificate's are among them
    except Damaged as error:
        raise Damaged("public key: it is damaged, or of an unsupported type or curve") from error


def _list_of_extensions(rest: tuple[tuple[int, bytes], ...]) -> bytes | None:
    """The SEQUENCE of extensions, after the unique ids; None when there is none.

    Raises Damaged for a part that RFC 5280 §4.1 does not list, a repeated part, or another order.
    """
    tags = [tag for tag, _ in rest]
    if tags != [tag for tag in (_ISSUER_ID, _SUBJECT_ID, _EXTENSIONS) if tag in tags]:
        raise Damaged("extensions: the parts at the end are not those of RFC 5280, 4.1")
    return _place("extensions", lambda: der.content(rest[-1][1], _EXTENSIONS)) if _EXTENSIONS in tags else None
