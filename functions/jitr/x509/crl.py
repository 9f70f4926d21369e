"""Reads, verifies and indexes a CA's CRL (RFC 5280 §5).

`RevocationList.read` accepts a complete CRL that the CA itself signed. It refuses everything that could change which
certificates the CRL covers: delta and indirect CRLs, CRLs for some reasons or other certificates only, and unknown
critical extensions. checks.py decides on one certificate, and whether the CRL is in force.

A CRL may hold a million entries, in a function of 512 MB. pyca's lookup scans all of them each time, and its iteration
makes an object of each. So pyca parses the structure strictly, and the signature is verified over the same bytes that
are then indexed once, in sorted rows of fixed width (crl_entries.py). bench/crl.py measures the cost.

Decisions where RFC 5280 leaves a choice: a CA certificate with a keyUsage must have cRLSign (§6.3.3 (f)); one without
keyUsage may sign. A CRL must have a nextUpdate (§5.1.2.5), since without it the CRL would never be stale. It may be of
version 1 and without a number, which are the defaults of `openssl ca -gencrl`.
"""

import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from jitr.errors import UnusableCrl
from jitr.frozen import value
from jitr.x509.certificate import Certificate, are_same_names
from jitr.x509.crl_entries import RevocationReason, index_of, reason_in
from jitr.x509.der import BIT_STRING, INTEGER, SEQUENCE, element, elements, encode
from jitr.x509.parsing import Damaged, call_cryptography
from jitr.x509.signatures import is_signed_by, signature_facts

# Bytes. Fits well into a function of 512 MB (bench/crl.py); it is 1.6 million entries of the usual size.
GREATEST_SIZE = 64 * 2**20

_HASHES = ("sha256", "sha384", "sha512")
_PLAIN_ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
# Extensions of a CRL that do not change the meaning of its entries, so they may be critical.
_HARMLESS = frozenset(
    {
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,  # checked in _read_scope
    }
)

_PEM_BEGIN, _PEM_END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"


@value
class RevocationList:
    """One CRL of one CA; made by `read` only."""

    this_update: datetime
    next_update: datetime
    number: int | None
    size: int  # entries
    # URIs of the distribution point that the CRL is limited to; empty: it covers all certificates of the CA.
    distribution_points: frozenset[str]
    # Width of a serial number in DER, in bytes → sorted rows of the number and one byte for the reason, without gaps.
    rows: Mapping[int, bytes]

    @classmethod
    def read(cls, data: bytes, ca: Certificate) -> Self:
        """Read a CRL, in DER or in PEM, that this CA signed.

        Raises UnusableCrl, saying why.
        """
        refuse_size(len(data))
        try:
            return call_cryptography(lambda: cls._read(data if data[:1] == bytes([SEQUENCE]) else _from_pem(data), ca))
        except Damaged as error:
            raise UnusableCrl(f"it is not a valid X.509 CRL: {error}") from error

    @classmethod
    def _read(cls, der: bytes, ca: Certificate) -> Self:
        fields = _Fields.of(der)
        crl = _parsed(der, fields)
        _refuse_others_signature(der, fields, ca)
        number, distribution_points = _read_extensions(crl.extensions)
        if crl.next_update_utc is None:
            raise UnusableCrl("it has no nextUpdate, so it would never be stale; RFC 5280 requires one")
        rows = index_of(der, *fields.entries)
        return cls(
            this_update=crl.last_update_utc,
            next_update=crl.next_update_utc,
            number=number,
            size=sum(len(some) // (width + 1) for width, some in rows.items()),
            distribution_points=distribution_points,
            rows=rows,
        )

    def reason_of(self, serial: int) -> RevocationReason | None:
        """Why the certificate with this serial number is listed, or None; takes microseconds."""
        return reason_in(self.rows, serial)

    def covers(self, certificate: Certificate) -> bool:
        """Whether the CRL covers this certificate (RFC 5280 §6.3.3 (b) (2) (i)).

        A CRL that is limited to a distribution point covers only certificates that name the point.
        """
        named = certificate.extensions.distribution_points
        return not self.distribution_points or not self.distribution_points.isdisjoint(named)


@dataclass(frozen=True, slots=True)
class CrlProblem:
    """What is published as a CRL cannot be used, and why."""

    why: str


# What is published for a CA: a CRL, something unusable, or nothing.
Revocations = RevocationList | CrlProblem | None


def refuse_size(size: int) -> None:
    """Refuse a CRL of this many bytes if it does not fit into the function's memory.

    Raises UnusableCrl.
    """
    if size > GREATEST_SIZE:
        raise UnusableCrl(f"it has {size} bytes, the limit is {GREATEST_SIZE}")


@value
class _Fields:
    """The parts of a CRL (RFC 5280 §5.1): bytes, or offsets of beginning and end in its DER."""

    signed: tuple[int, int]  # tbsCertList, with its header
    signed_rest: tuple[int, int]  # the part of tbsCertList after the issuer
    version: bytes
    algorithm: bytes  # AlgorithmIdentifier
    issuer: bytes  # Name
    signature: bytes
    entries: tuple[int, int]  # the content of revokedCertificates; (0, 0): none

    @classmethod
    def of(cls, der: bytes) -> Self:
        """Find the parts.

        Raises Damaged.
        """
        outermost, _, begin, end = element(der, 0, len(der))
        whole = elements(der, begin, end)
        if [tag for tag, *_ in whole] != [SEQUENCE, SEQUENCE, BIT_STRING] or (outermost, end) != (SEQUENCE, len(der)):
            raise Damaged("it does not hold a signed part, an algorithm and a signature")
        _, _, at, signed_end = whole[0]
        _, _, start, stop = whole[2]
        parts = elements(der, at, signed_end)
        version = b""
        if parts and parts[0][0] == INTEGER:  # absent in version 1
            _, start_of_version, _, end_of_version = parts.pop(0)
            version = der[start_of_version:end_of_version]
        if [tag for tag, *_ in parts[:2]] != [SEQUENCE, SEQUENCE]:
            raise Damaged("its signed part does not begin with an algorithm and an issuer")
        # The rest: thisUpdate, nextUpdate, entries, extensions; only the entries are a SEQUENCE.
        (_, algorithm, _, issuer), (_, _, _, issuer_end), *rest = parts
        _, outer, _, outer_end = whole[1]
        if der[algorithm:issuer] != der[outer:outer_end]:
            raise Damaged("it names two signature algorithms")
        if der[start : start + 1] != b"\0":
            raise Damaged("its signature is not a whole number of bytes")
        return cls(
            signed=(begin, signed_end),
            signed_rest=(issuer_end, signed_end),
            version=version,
            algorithm=der[algorithm:issuer],
            issuer=der[issuer:issuer_end],
            signature=der[start + 1 : stop],
            entries=next(((start, stop) for tag, _, start, stop in rest if tag == SEQUENCE), (0, 0)),
        )


def _parsed(der: bytes, fields: _Fields) -> x509.CertificateRevocationList:
    """Parse the CRL strictly, with pyca.

    If only the second reader can read a CA's certificate, its CRLs have the same kind of issuer name or algorithm,
    which pyca refuses. These two are read from their own bytes; pyca parses the CRL with plain ones in their place.

    Raises Damaged.
    """
    try:
        return call_cryptography(lambda: x509.load_der_x509_crl(der))
    except Damaged:
        others = (fields.version, _PLAIN_ALGORITHM, encode(SEQUENCE), der[slice(*fields.signed_rest)])
        plain = encode(SEQUENCE, encode(SEQUENCE, *others), _PLAIN_ALGORITHM, encode(BIT_STRING, b"\0"))
        return call_cryptography(lambda: x509.load_der_x509_crl(plain))


def _refuse_others_signature(der: bytes, fields: _Fields, ca: Certificate) -> None:
    if not are_same_names(fields.issuer, ca.encoded.subject):
        raise UnusableCrl(f"its issuer is {_quote_name(fields.issuer)}, and the CA is {ca.subject!a}")
    if why := ca.extensions.why_unreadable(ExtensionOID.KEY_USAGE.dotted_string):
        raise UnusableCrl(f"keyUsage of the CA certificate cannot be read, so it may not sign CRLs: {why}")
    if ca.extensions.signs_crls is False:
        raise UnusableCrl("the CA certificate has a keyUsage without cRLSign, so this CA may not sign CRLs")
    facts = signature_facts(fields.algorithm)
    if not facts.hashes or facts.hashes[0] not in _HASHES:
        hashed = facts.hashes[0] if facts.hashes else "no known hash"
        raise UnusableCrl(f"it is signed with {hashed}; SHA-256 or better is required")
    # The index is made of the same bytes.
    if not is_signed_by(ca.public_key, fields.signature, der[slice(*fields.signed)], facts):
        raise UnusableCrl("its signature is not by the key of the CA certificate")


def _quote_name(name: bytes) -> str:
    from jitr.x509 import distinguished_names  # noqa: PLC0415 -- rarely needed

    try:
        return ascii(distinguished_names.rfc4514(distinguished_names.read(name)))
    except Damaged as error:
        return f"a name that cannot be read ({error})"


def _read_extensions(extensions: x509.Extensions) -> tuple[int | None, frozenset[str]]:
    """The CRL's number, and the URIs of the distribution point that it is limited to.

    Raises UnusableCrl for extensions that change the meaning of the entries.
    """
    number, distribution_points = None, frozenset[str]()
    for extension in extensions:
        match extension.value:
            case x509.DeltaCRLIndicator():
                raise UnusableCrl("it is a delta CRL, which holds changes only; publish complete CRLs")
            case x509.IssuingDistributionPoint() as point:
                distribution_points = _read_scope(point)
            case x509.CRLNumber() as numbered:
                number = numbered.crl_number
        if extension.critical and extension.oid not in _HARMLESS:
            raise UnusableCrl(
                f"it has the critical extension {extension.oid.dotted_string}, which jitr does not support"
            )
    return number, distribution_points


def _read_scope(point: x509.IssuingDistributionPoint) -> frozenset[str]:
    if point.indirect_crl:
        raise UnusableCrl("it is an indirect CRL, which lists other CAs' certificates; publish this CA's own")
    if point.only_some_reasons is not None:
        raise UnusableCrl("it is for some reasons of revocation only (onlySomeReasons); publish one for all")
    if point.only_contains_ca_certs or point.only_contains_attribute_certs:
        raise UnusableCrl("it covers only CA or attribute certificates; publish one that covers devices")
    if point.relative_name is not None:
        raise UnusableCrl("it is limited to a distribution point with a relative name; publish one for all")
    uris = _uris(point.full_name)
    if point.full_name is not None and not uris:
        raise UnusableCrl("it is limited to a distribution point without a URI; publish one for all")
    return uris


def _uris(names: Iterable[x509.GeneralName] | None) -> frozenset[str]:
    return frozenset(name.value for name in names or () if isinstance(name, x509.UniformResourceIdentifier))


def _from_pem(data: bytes) -> bytes:
    """The DER of the one CRL in a PEM text; other text around it is ignored."""
    if data.count(_PEM_BEGIN) != 1:
        raise UnusableCrl(f"it is neither DER nor a PEM text with one CRL: it holds {data.count(_PEM_BEGIN)} of them")
    begin = data.index(_PEM_BEGIN) + len(_PEM_BEGIN)
    return binascii.a2b_base64(memoryview(data)[begin : data.index(_PEM_END, begin)])
