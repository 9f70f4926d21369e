"""How jitr answers, beside openssl: whether it reads a certificate, and whether nothing but names would be asked of it.

The rules here are as lenient as fleet.toml can make them: only what X.509 itself asks for is enforced. So whoever is
refused here for good is refused under all rules, and whoever openssl refuses has no other check to be caught by.
"""

import hashlib
from collections.abc import Collection
from enum import StrEnum
from functools import cache
from itertools import combinations

from jitr.admission.check_list import CHECK_NAMES
from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.rules import CheckMode
from jitr.x509.certificate import Certificate
from jitr.x509.der import dotted
from jitr.x509.extensions import PROCESSED
from tests.support.cases.der import BIT_STRING, SEQUENCE, as_pem, content_of, elements, sensor, signed, tbs_with, tlv
from tests.support.cases.issuing import Application, applying
from tests.support.cases.mutation import fuzzed_ca, shapes
from tests.support.differential.odd_extensions import AKI, ISSUER_NAMES, SAN, SKI
from tests.support.differential.openssl import OpenSSL

_ENFORCED = ("identity", "issuance", "key", "extensions")
_CURVES = ("P-256", "P-384", "P-521")
_NOT_READ = {Reason.UNREADABLE, Reason.ENCODING_REFUSED, Reason.EXTENSIONS_UNREADABLE}
ECDSA_SHA256 = tlv(SEQUENCE, bytes.fromhex("06082a8648ce3d040302"))


class Difference(StrEnum):
    """Where jitr and openssl do not agree, in the words of the list."""

    NOT_READ = "openssl verifies it, jitr does not read it"
    REFUSED = "openssl verifies it, jitr refuses it"
    ADMITTED = "openssl refuses it, jitr admits it"
    ADMITTED_UNREAD = "openssl does not read it, jitr admits it"


class Cure(StrEnum):
    """What has to go from a certificate that jitr admits until openssl verifies it, too."""

    NAMES = "the subject: a string type that openssl does not take in a name, and cryptography does"
    SAN = "subjectAltName: it cannot be read, or not by openssl; it is not critical, and no rule here needs it"
    IDENTIFIERS = "a key identifier or issuerAltName, critical or of another key: it describes, and asks nothing of us"

    UNREADABLE = "an extension that nobody has to know cannot be read, and is not critical"


_REMOVED = {Cure.SAN: (SAN,), Cure.IDENTIFIERS: (SKI, AKI, ISSUER_NAMES)}


@value
class Answer:
    """What jitr says of a certificate: nothing against it, or a reason."""

    refusal: Rejected | None

    @property
    def is_read(self) -> bool:
        return self.refusal is None or self.refusal.reason not in _NOT_READ

    @property
    def why(self) -> str:
        """Why it is refused; empty when it is not."""
        return self.refusal.detail.removeprefix("the certificate cannot be read: ") if self.refusal else ""

    def beside(self, openssl: OpenSSL) -> Difference | None:
        """How it differs from openssl's answer on the same certificate."""
        if openssl is OpenSSL.VERIFIED:
            if self.refusal is None:
                return None
            return Difference.REFUSED if self.is_read else Difference.NOT_READ
        if self.refusal:
            return None
        return Difference.ADMITTED if openssl is OpenSSL.REFUSED else Difference.ADMITTED_UNREAD


def answer(der: bytes) -> Answer:
    """Have jitr judge a certificate in DER under the CA of all oddities."""
    device = _lenient().with_device(pem=as_pem(der), certificate_id=hashlib.sha256(der).hexdigest())
    return Answer(refusal=device.examine().refusal)


def under_our_ca(der: bytes) -> bytes | None:
    """Somebody's certificate with our CA as its issuer, signed by it; all else inside is theirs.

    None where its signed part is not even made of elements.
    """
    try:
        issuer = elements(elements(shapes()["P-256, no extensions"])[0])[3]
        return signed(tbs_with(der, issuer=issuer, algorithm=ECDSA_SHA256), authority=fuzzed_ca())
    except (IndexError, KeyError, ValueError):
        return None


def signature_of(der: bytes) -> tuple[bytes, bytes]:
    """The signed part, and the signature over it."""
    tbs, _, bits = elements(der)
    assert bits[0] == BIT_STRING
    return tbs, content_of(bits)[1:]


def cures(der: bytes) -> dict[tuple[Cure, ...], bytes]:
    """A certificate without what jitr takes and openssl may not, signed again; fewest cures first."""
    return {some: _cured(der, some) for count in range(1, len(Cure) + 1) for some in combinations(Cure, count)}


def _cured(der: bytes, some: tuple[Cure, ...]) -> bytes:
    oids = [dotted(oid) for cure in some for oid in _REMOVED.get(cure, ())]
    if Cure.UNREADABLE in some:
        oids += Certificate.from_der(der).extensions.unreadable.keys() - PROCESSED
    replaced = {"extensions": _without(_part(elements(der)[0], 0xA3), oids)}
    if Cure.NAMES in some:
        replaced["subject"] = sensor(b"sensor-0001")
    return signed(tbs_with(der, **replaced), authority=fuzzed_ca())


def _part(tbs: bytes, tag: int) -> bytes:
    return next((part for part in elements(tbs) if part[0] == tag), b"")


def _without(extensions: bytes, oids: Collection[str]) -> bytes:
    if not extensions:
        return b""
    kept = [one for one in elements(elements(extensions)[0]) if dotted(content_of(elements(one)[0])) not in oids]
    return tlv(0xA3, tlv(SEQUENCE, *kept)) if kept else b""


@cache
def _lenient() -> Application:
    application = applying(as_pem(shapes()["P-256, no extensions"]), authority=fuzzed_ca())
    return application.with_rules(
        common_name=".*",
        thing_name="{certificate_id}",
        attributes={},
        rsa_bits=(1, 1 << 16),
        curves=_CURVES,
        checks={check: CheckMode.OFF for check in CHECK_NAMES if check not in _ENFORCED},
    )
