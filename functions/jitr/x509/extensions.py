"""A certificate's extensions as a value, without a decision on them.

`Extensions.of` reads them with cryptography. If one is damaged, second_extensions.py reads each on its own. A version 1
certificate has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, Self

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from jitr.frozen import value
from jitr.x509.parsing import Damaged, call_cryptography

# Critical extensions that jitr processes, or that require nothing: policies bind only a verifier that requires a policy
# (RFC 5280 §6.1.1 (c): any-policy), the others only describe.
UNDERSTOOD = frozenset(
    oid.dotted_string
    for oid in (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    )
)

# Extensions that a verifier has to process if it recognizes them (RFC 5280 §4.2), critical or not: OpenSSL refuses a
# certificate in which one of these is damaged or repeated. Whether subjectAltName is needed is decided in naming.py.
PROCESSED = tuple(
    oid.dotted_string
    for oid in (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    )
)

# If the CA's CRL is enforced, the check `revocation` processes the distribution points.
UNDERSTOOD_WITH_REVOCATION = frozenset({ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string})


@value
class Extensions:
    """The extensions that admission uses; None for one that the certificate does not have."""

    problem: str | None = None  # why the whole list could not be read
    unreadable: Mapping[str, str] = field(default_factory=dict)  # OID of an unreadable extension → why
    is_ca: bool | None = None  # basicConstraints
    signs: bool | None = None  # keyUsage has digitalSignature
    signs_certificates: bool | None = None  # keyUsage has keyCertSign
    signs_crls: bool | None = None  # keyUsage has cRLSign
    purposes: frozenset[str] | None = None  # extKeyUsage, OIDs
    critical: tuple[str, ...] = ()  # OIDs of the critical ones
    alternative_uris: tuple[str, ...] = ()  # subjectAltName, in the certificate's order
    alternative_dns_names: tuple[str, ...] = ()
    other_alternative_names: tuple[str, ...] = ()  # mail addresses and directory names
    subject_key_identifier: tuple[str, ...] = ()  # one at most, lower-case hex
    distribution_points: frozenset[str] = frozenset()  # URIs of cRLDistributionPoints

    def why_unreadable(self, *oids: str) -> str | None:
        """Why one of these extensions (dotted OIDs) cannot be read, in one line; None: all present ones were read."""
        if self.problem:
            return self.problem
        return next((self.unreadable[oid] for oid in oids if oid in self.unreadable), None)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Read a certificate's extensions.

        Raises what cryptography raises for damaged ones.
        """
        fields: dict[str, Any] = {}
        critical = []
        for extension in certificate.extensions:
            if extension.critical:
                critical.append(extension.oid.dotted_string)
            match extension.value:
                case x509.BasicConstraints() as constraints:
                    fields["is_ca"] = constraints.ca
                case x509.KeyUsage() as usage:
                    fields["signs"] = usage.digital_signature
                    fields["signs_certificates"] = usage.key_cert_sign
                    fields["signs_crls"] = usage.crl_sign
                case x509.ExtendedKeyUsage() as purposes:
                    fields["purposes"] = frozenset(purpose.dotted_string for purpose in purposes)
                case x509.SubjectKeyIdentifier() as identifier:
                    fields["subject_key_identifier"] = (identifier.digest.hex(),)
                case x509.CRLDistributionPoints() as points:
                    fields["distribution_points"] = frozenset[str]().union(*(_uris(one.full_name) for one in points))
                case x509.SubjectAlternativeName() as names:
                    fields |= _alternative_names(names)
        return cls(**fields, critical=tuple(critical))


def extension_name(oid: str) -> str:
    """An extension's name, as `basicConstraints`, or its OID if it has no name."""
    try:
        name = call_cryptography(lambda: x509.ObjectIdentifier(oid)._name)  # noqa: SLF001 -- there is no public way
    except Damaged:  # cryptography does not accept every OID that the second reader accepts
        return f"extension {oid}"
    return f"extension {oid}" if name == "Unknown OID" else name


def _alternative_names(names: x509.SubjectAlternativeName) -> Mapping[str, tuple[str, ...]]:
    return {
        "alternative_uris": tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        "alternative_dns_names": tuple(names.get_values_for_type(x509.DNSName)),
        "other_alternative_names": (
            *names.get_values_for_type(x509.RFC822Name),
            *(name.rfc4514_string() for name in names.get_values_for_type(x509.DirectoryName)),
        ),
    }


def _uris(names: Iterable[x509.GeneralName] | None) -> Iterator[str]:
    return (name.value for name in names or () if isinstance(name, x509.UniformResourceIdentifier))
