"""The first reader of certificates: cryptography, which accepts what RFC 5280 allows, and parses lazily.

It reports damage only when a field is first read. So every field that jitr uses is read here, once, in one call that
turns all of the library's errors into Damaged.
"""

from cryptography import x509

from jitr.x509.contents import SUBJECT_FIELDS, Contents
from jitr.x509.encoding import Encoded
from jitr.x509.extensions import Extensions
from jitr.x509.parsing import call_cryptography


def read(encoded: Encoded) -> Contents:
    """Read the fields of the signed part.

    Raises Damaged, in the library's words.
    """
    return call_cryptography(lambda: _read(x509.load_der_x509_certificate(encoded.der)))


def _read(certificate: x509.Certificate) -> Contents:
    subject = certificate.subject
    return Contents(
        subject=subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        public_key=certificate.public_key(),
        extensions=Extensions.of(certificate),
        subject_fields={
            name: tuple(_as_text(attribute) for attribute in subject.get_attributes_for_oid(oid))
            for name, oid in SUBJECT_FIELDS.items()
        },
    )


def _as_text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value.decode("latin-1") if isinstance(value, bytes) else value
