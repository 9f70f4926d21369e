"""The index of a CRL's entries: built in one pass, searched by serial number (RFC 5280 §5.1.2.6, §5.3).

pyca has parsed the DER strictly before; here it is only walked.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache

from jitr.errors import UnusableCrl
from jitr.x509.der import BOOLEAN, ENUMERATED, element, elements, number_width

_LONG_FORM = 0x80
# The extensions of an entry, by the content of their object identifiers (RFC 5280 §5.3).
_REASON_CODE = bytes.fromhex("551d15")
_INVALIDITY_DATE = bytes.fromhex("551d18")
_CERTIFICATE_ISSUER = bytes.fromhex("551d1d")

_ROWS_AT_ONCE = 10_000


class RevocationReason(Enum):
    """Why a certificate is listed: the CRLReason of RFC 5280 §5.3.1, by its code."""

    unspecified = 0
    keyCompromise = 1  # noqa: N815 -- RFC 5280's names, which openssl prints
    cACompromise = 2  # noqa: N815
    affiliationChanged = 3  # noqa: N815
    superseded = 4
    cessationOfOperation = 5  # noqa: N815
    certificateHold = 6  # noqa: N815
    privilegeWithdrawn = 9  # noqa: N815
    aACompromise = 10  # noqa: N815

    @property
    def is_for_good(self) -> bool:
        """Whether it is final; only a hold can be lifted (RFC 5280 §5.3.1)."""
        return self is not RevocationReason.certificateHold


_REMOVED = 8  # removeFromCRL
# A hold has the greatest code, so that of two entries for one serial number the final one is found first.
_HOLD_ROW = 0xFF
_ROW_OF = {reason.value: reason.value if reason.is_for_good else _HOLD_ROW for reason in RevocationReason}
_NO_REASON = bytes([_ROW_OF[RevocationReason.unspecified.value]])
_REASON_OF = {_ROW_OF[reason.value]: reason for reason in RevocationReason}


def reason_in(rows: Mapping[int, bytes], serial: int) -> RevocationReason | None:
    """Why the certificate with this serial number is listed, or None; `rows` come from `index_of`."""
    width = number_width(serial)
    content = serial.to_bytes(width, "big", signed=True)
    some = rows.get(width)
    if some is None:
        return None
    step = width + 1
    at = step * bisect_left(range(len(some) // step), content, key=lambda row: some[row * step : row * step + width])
    return _REASON_OF[some[at + width]] if some[at : at + width] == content else None


def index_of(der: bytes, begin: int, end: int) -> Mapping[int, bytes]:
    """The entries between two offsets in a CRL's DER, by the width of their serial numbers in bytes.

    For each width: sorted rows of the serial number and one byte for the reason, without gaps.

    Raises UnusableCrl for an entry that means something else than that this certificate is revoked.
    """
    by_width: defaultdict[int, list[bytes]] = defaultdict(list)
    at = begin
    # This loop runs a million times, so it calls as little as possible.
    while at < end:
        length = der[at + 1]
        at += 2
        if length & _LONG_FORM:
            bytes_of_length = length ^ _LONG_FORM
            length = int.from_bytes(der[at : at + bytes_of_length], "big")
            at += bytes_of_length
        stop = at + length
        serial = at + 2
        date = serial + der[at + 1]
        extensions = date + 2 + der[date + 1]
        row = der[serial:date] + (_row_of(der[extensions:stop]) if extensions < stop else _NO_REASON)
        by_width[date - serial].append(row)
        at = stop
    return {width: _joined(some) for width, some in by_width.items()}


def _joined(rows: list[bytes]) -> bytes:
    """Sort and join, some thousands at a time: join needs 80 bytes of memory per part."""
    rows.sort()
    return b"".join(b"".join(rows[start : start + _ROWS_AT_ONCE]) for start in range(0, len(rows), _ROWS_AT_ONCE))


@lru_cache(maxsize=256)
def _row_of(extensions: bytes) -> bytes:
    """The reason in an entry's extensions, as one byte; cached, since few variants repeat a million times.

    Raises UnusableCrl for extensions that change the meaning of the entry.
    """
    reason = _NO_REASON
    _, _, begin, end = element(extensions, 0, len(extensions))
    for _, _, start, stop in elements(extensions, begin, end):
        parts = [(tag, extensions[at:to]) for tag, _, at, to in elements(extensions, start, stop)]
        (_, identifier), (_, value) = parts[0], parts[-1]
        if identifier == _CERTIFICATE_ISSUER:
            raise UnusableCrl("an entry has a certificateIssuer, which makes it an indirect CRL; publish this CA's own")
        if identifier == _REASON_CODE:
            reason = _row_of_reason(value)
        elif identifier != _INVALIDITY_DATE and (BOOLEAN, b"\xff") in parts:
            raise UnusableCrl("an entry has a critical extension that jitr does not support")
    return reason


def _row_of_reason(value: bytes) -> bytes:
    tag, length, code = value
    if (tag, length) != (ENUMERATED, 1) or code not in _ROW_OF.keys() | {_REMOVED}:
        raise UnusableCrl("an entry has a reasonCode that RFC 5280 does not define")
    if code == _REMOVED:
        raise UnusableCrl("an entry has the reason removeFromCRL, which only a delta CRL may use")
    return bytes([_ROW_OF[code]])
