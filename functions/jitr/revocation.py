"""A CA's list of revoked certificates (X.509 CRL, RFC 5280 §5): read, verified, and indexed once.

`RevocationList.read` takes a complete CRL that the CA itself signed, and refuses whatever would leave a doubt which
certificates it speaks of: deltas, indirect CRLs, CRLs for some reasons or for other certificates only, and every
critical extension that is not known here. What a list says of one certificate, and whether it is fresh, admission.py
asks.

A list may hold a million entries, in a function of 512 MB: pyca's own lookup goes through all of them each time, and
its iteration makes an object of each. So pyca parses the whole structure strictly, and the CA's signature is checked on
the very bytes that are then walked, once, into sorted rows of fixed width (crl_entries.py). bench/crl.py shows what
that costs.

What was decided where RFC 5280 leaves it open: a CA certificate with a keyUsage must have cRLSign (§6.3.3 (f)), one
without keyUsage may sign. A CRL must have a nextUpdate (§5.1.2.5), for without one it would never be stale; it may be
of version 1, and without a number, as `openssl ca -gencrl` makes them by default.
"""

import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtensionOID

from jitr.certificates import Certificate
from jitr.crl_entries import INTEGER, SEQUENCE, RevocationReason, elements, header, index_of, reason_in
from jitr.damage import Damaged, quietly
from jitr.errors import UnusableCrl
from jitr.value import value

# A function of 512 MB reads this much with room to spare (bench/crl.py); it is 1.6 million entries of the usual size.
GREATEST_SIZE = 64 * 2**20

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# Extensions of a CRL that change nothing of what its entries mean, so they may be critical.
_HARMLESS = frozenset(
    {
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,  # looked at below
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
    # URIs of the distribution point that the list is limited to; none when it is for every certificate of the CA.
    distribution_points: frozenset[str]
    # Width of a serial number's DER content → rows of that and one byte for the reason, sorted, without gaps.
    rows: Mapping[int, bytes]

    @classmethod
    def read(cls, data: bytes, ca: Certificate) -> Self:
        """Read a CRL, in DER or in PEM, that this CA signed.

        Raises UnusableCrl, saying why.
        """
        refuse_size(len(data))
        try:
            return quietly(lambda: cls._read(data if data[:1] == bytes([SEQUENCE]) else _from_pem(data), ca))
        except Damaged as error:
            raise UnusableCrl(f"it is no CRL that X.509 allows: {error}") from error

    @classmethod
    def _read(cls, der: bytes, ca: Certificate) -> Self:
        crl = x509.load_der_x509_crl(der)
        fields = _Fields.of(der)
        _refuse_others_signature(der, crl, fields, ca)
        number, distribution_points = _read_extensions(crl.extensions)
        if crl.next_update_utc is None:
            raise UnusableCrl("it names no nextUpdate, so nobody can tell when it is stale; RFC 5280 asks for one")
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
        """Why the certificate with this serial number is listed, None when it is not; in microseconds."""
        return reason_in(self.rows, serial)

    def covers(self, certificate: Certificate) -> bool:
        """Whether the list speaks of this certificate: one for a distribution point, only if the certificate names it.

        RFC 5280 §6.3.3 (b) (2) (i). Such a list is one of many parts, or merely says where it is published.
        """
        return not self.distribution_points or bool(self.distribution_points & _named_by(certificate))


@dataclass(frozen=True, slots=True)
class Unusable:
    """In place of a list: what is published cannot be used, and why."""

    why: str


# What is published for a CA: nothing, a list, or something that is none.
Revocations = RevocationList | Unusable | None


def refuse_size(size: int) -> None:
    """Refuse a CRL of so many bytes before it is read, when the function's memory would not hold it.

    Raises UnusableCrl.
    """
    if size > GREATEST_SIZE:
        raise UnusableCrl(f"it has {size} bytes, and {GREATEST_SIZE} is the most that is read")


@value
class _Fields:
    """Where the parts of a CRL are in its DER, from and to. The whole was parsed by pyca before, strictly."""

    signed: tuple[int, int]  # tbsCertList, with its header
    entries: tuple[int, int]  # the content of revokedCertificates; empty when there are none

    @classmethod
    def of(cls, der: bytes) -> Self:
        _, begin, end = header(der, 0)
        (_, _, at, signed_end), _algorithm, _signature = elements(der, begin, end)
        parts = list(elements(der, at, signed_end))
        if parts[0][0] == INTEGER:  # the version, which a list of version 1 leaves out
            del parts[0]
        # Algorithm, issuer, thisUpdate and perhaps nextUpdate come first; of the rest only the entries are a SEQUENCE.
        _algorithm, _issuer, _this_update, *rest = parts
        return cls(
            signed=(begin, signed_end),
            entries=next(((start, stop) for tag, _, start, stop in rest if tag == SEQUENCE), (0, 0)),
        )


def _refuse_others_signature(der: bytes, crl: x509.CertificateRevocationList, fields: _Fields, ca: Certificate) -> None:
    if crl.issuer != ca.parsed.subject:
        raise UnusableCrl(f"it is by {crl.issuer.rfc4514_string()!a}, and the CA is {ca.subject!a}")
    if not _may_sign(ca):
        raise UnusableCrl("the CA certificate has a keyUsage without cRLSign, so this CA may not sign CRLs")
    algorithm = crl.signature_hash_algorithm
    if not isinstance(algorithm, _HASHES):
        raise UnusableCrl(f"it is signed with {algorithm.name if algorithm else 'no known hash'}; SHA-256 is the least")
    if not _is_signed(der[slice(*fields.signed)], crl, ca):
        raise UnusableCrl("its signature is not by the key of the CA certificate")


def _may_sign(ca: Certificate) -> bool:
    """RFC 5280 §6.3.3 (f): a keyUsage, when there is one, must have cRLSign."""
    try:
        return ca.parsed.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _is_signed(signed: bytes, crl: x509.CertificateRevocationList, ca: Certificate) -> bool:
    """Whether the CA's key signed these bytes, which are the ones that the index is made of."""
    key, parameters, algorithm = (
        ca.parsed.public_key(),
        crl.signature_algorithm_parameters,
        crl.signature_hash_algorithm,
    )
    assert algorithm is not None  # noqa: S101 -- the caller looked
    try:
        if isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PSS | padding.PKCS1v15):
            key.verify(crl.signature, signed, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(crl.signature, signed, parameters)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _read_extensions(extensions: x509.Extensions) -> tuple[int | None, frozenset[str]]:
    """The CRL's number, and the distribution points that it is limited to.

    Raises UnusableCrl for what would change what the entries mean.
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
            raise UnusableCrl(f"it has a critical extension {extension.oid.dotted_string} that jitr does not know")
    return number, distribution_points


def _read_scope(point: x509.IssuingDistributionPoint) -> frozenset[str]:
    if point.indirect_crl:
        raise UnusableCrl("it is an indirect CRL, which lists other CAs' certificates; publish this CA's own")
    if point.only_some_reasons is not None:
        raise UnusableCrl("it is for some reasons of revocation only (onlySomeReasons); publish one for all")
    if point.only_contains_ca_certs or point.only_contains_attribute_certs:
        raise UnusableCrl("it is for other certificates than devices' only; publish one that lists devices'")
    if point.relative_name is not None:
        raise UnusableCrl("it is limited to a distribution point with a relative name; publish one for all")
    uris = _uris(point.full_name)
    if point.full_name is not None and not uris:
        raise UnusableCrl("it is limited to a distribution point without a URI; publish one for all")
    return uris


def _named_by(certificate: Certificate) -> frozenset[str]:
    """The distribution points that a certificate names."""
    try:
        points = quietly(
            lambda: certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        )
    except Damaged:  # or there are none
        return frozenset()
    return frozenset[str]().union(*(_uris(point.full_name) for point in points))


def _uris(names: Iterable[x509.GeneralName] | None) -> frozenset[str]:
    return frozenset(name.value for name in names or () if isinstance(name, x509.UniformResourceIdentifier))


def _from_pem(data: bytes) -> bytes:
    """The DER of the one CRL in a PEM text, whatever text is around it."""
    if data.count(_PEM_BEGIN) != 1:
        raise UnusableCrl(f"it is neither DER nor a PEM text with one CRL: it holds {data.count(_PEM_BEGIN)} of them")
    begin = data.index(_PEM_BEGIN) + len(_PEM_BEGIN)
    return binascii.a2b_base64(memoryview(data)[begin : data.index(_PEM_END, begin)])
