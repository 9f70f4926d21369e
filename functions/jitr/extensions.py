"""What an X.509 v3 certificate's extensions say, as a value.

Reads; it judges nothing. Extensions are read all at once, so one that is damaged leaves all of them unread: `problem`
then says why, and nothing else is known. A certificate of version 1 has none, and that is no problem.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Self, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from jitr.value import value

# Critical extensions that are taken into account here, or that ask nothing of us: the policies bind only somebody who
# asks for a policy (RFC 5280 §6.1.1 (c): any-policy), the others only describe.
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

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


@value
class Extensions:
    """The extensions that admission looks at; None for one that the certificate does not have."""

    problem: str | None = None  # why the list of them could not be read; nothing is known of any then
    unreadable: Mapping[str, str] = field(default_factory=dict)  # OID of one that could not be read → why
    is_ca: bool | None = None  # basicConstraints
    signs: bool | None = None  # keyUsage has digitalSignature
    purposes: frozenset[str] | None = None  # extKeyUsage, OIDs
    critical: tuple[str, ...] = ()  # OIDs of the critical ones
    alternative_uris: tuple[str, ...] = ()  # subjectAltName, in the certificate's order
    alternative_dns_names: tuple[str, ...] = ()
    other_alternative_names: tuple[str, ...] = ()  # mail addresses and directory names
    subject_key_identifier: tuple[str, ...] = ()  # one at most, lower-case hex

    def why_unreadable(self, *oids: str) -> str | None:
        """Say why one of these extensions (dotted OIDs) cannot be read, in one line; None: all that are there were."""
        if self.problem:
            return self.problem
        return next((self.unreadable[oid] for oid in oids if oid in self.unreadable), None)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Read a certificate's extensions; raises what cryptography raises for damaged ones."""
        found = certificate.extensions
        constraints = _of_class(found, x509.BasicConstraints)
        usage = _of_class(found, x509.KeyUsage)
        purposes = _of_class(found, x509.ExtendedKeyUsage)
        names = _of_class(found, x509.SubjectAlternativeName) or x509.SubjectAlternativeName([])
        identifier = _of_class(found, x509.SubjectKeyIdentifier)
        return cls(
            is_ca=constraints.ca if constraints else None,
            signs=usage.digital_signature if usage else None,
            purposes=None if purposes is None else frozenset(purpose.dotted_string for purpose in purposes),
            critical=tuple(extension.oid.dotted_string for extension in found if extension.critical),
            alternative_uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
            alternative_dns_names=tuple(names.get_values_for_type(x509.DNSName)),
            subject_key_identifier=(identifier.digest.hex(),) if identifier else (),
            other_alternative_names=(
                *names.get_values_for_type(x509.RFC822Name),
                *(name.rfc4514_string() for name in names.get_values_for_type(x509.DirectoryName)),
            ),
        )


def _of_class(found: x509.Extensions, kind: type[_Kind]) -> _Kind | None:
    try:
        return found.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
