"""Makes CRLs of a simulated CA that list certificates of its devices."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags

from simulation import Authority, Leaf


def make_crl(ca: Authority, issued: datetime, entries: Mapping[Leaf, ReasonFlags], *, number: int | None) -> bytes:
    """A CRL in DER that lists these certificates, in force for a month."""
    issued = issued.replace(microsecond=0)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject)
    builder = builder.last_update(issued).next_update(issued + timedelta(days=30))
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for leaf, reason in entries.items():
        serial = x509.load_pem_x509_certificate(leaf.pem.encode()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(issued)
        builder = builder.add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
