"""Checks the certificates that fleet.toml names: whether AWS IoT would register a CA with them.

It uses only the files, which certificate_file.py reads, and the time. Whether a registration code is the account's own
is known only when the CA is registered. The content of a file never appears in a message.
"""

import re
import ssl
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr_fleet import certificate_file
from jitr_fleet.certificate_file import UnusableFile
from jitr_fleet.problems import KeyPosition

MAX_PARAMETER = 4096  # characters; CloudFormation quotas, "Parameter values"
MIN_RSA_BITS = 2048  # AWS IoT refuses a smaller CA key
CA_CURVES = ("secp256r1", "secp384r1", "secp521r1")

# GetRegistrationCode, registrationCode: 64 hex characters, the common name of a verification certificate.
REGISTRATION_CODE = re.compile(r"[0-9a-fA-F]{64}")


# Which certificate to keep in a file that holds several: in fleet.toml it must be clear which one is trusted.
KEEP_CA = "keep only the one that signs the devices' certificates"
KEEP_VERIFICATION = "keep the one with the registration code"


def read_certificate(path: Path, place: KeyPosition, *, keep: str) -> Certificate | None:
    """Read the one certificate in a file; reports a file that has none, several, or a private key.

    `keep` says which one to keep if there are several.
    """
    try:
        file = certificate_file.read(path)
    except UnusableFile as error:
        place.problem(f"names {path}, which {error.problem}", error.cure)
        return None
    if len(file.certificates) != 1:
        place.problem(f"names {path}, which holds {len(file.certificates)} certificates", keep)
        return None
    return _parse(file.pem, path, place)


def pem_of(certificate: Certificate) -> str:
    """Write a certificate as PEM, without any other text of its file."""
    return ssl.DER_cert_to_PEM_cert(certificate.der)


def check_ca(certificate: Certificate, path: Path, place: KeyPosition, *, now: datetime) -> None:
    """Report why a certificate cannot be registered as a CA: no CA, not valid now, or its key is refused."""
    _check_validity(certificate, path, place, now=now)
    _check_key(certificate, path, place)
    if not certificate.encoded.version:
        place.problem(
            f"names {path}, an X.509 v1 certificate, which cannot be marked as a CA",
            "issue it again as v3, with the extension basicConstraints = CA:TRUE",
        )
        return
    for extension in (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE):
        if why := certificate.extensions.why_unreadable(extension.dotted_string):
            place.problem(
                f"names {path}, whose {extension._name} cannot be read: {why}",  # noqa: SLF001 -- it has no other name
                "issue the CA certificate again, with the same name and key",
            )
            return
    if not certificate.is_ca():
        place.problem(
            f"names {path}, which is not a CA certificate",
            "name the certificate of the CA that signs the devices' certificates; it has basicConstraints = CA:TRUE",
        )
    elif certificate.extensions.signs_certificates is False:
        place.problem(
            f"names {path}, a CA that may not sign certificates",
            "issue it again with keyUsage = keyCertSign, or without keyUsage",
        )


def check_verification(
    certificate: Certificate, path: Path, place: KeyPosition, *, ca: Certificate | None, now: datetime
) -> None:
    """Report why a certificate cannot prove possession of the CA's key; without a readable `ca`, only its own flaws.

    An expired one is not a problem: it is used once, when the CA is registered, perhaps years ago. jitrctl reports it
    if the CA is still to be registered.
    """
    if now <= certificate.not_after:
        _check_validity(certificate, path, place, now=now)
    if ca is not None and certificate.fingerprint == ca.fingerprint:
        place.problem(
            f"names {path}, the CA certificate itself",
            "name a certificate that the CA signed for this account's registration code",
        )
        return
    if ca is not None and ca.is_ca():
        _check_issuer(certificate, ca, path, place)
    names = certificate.field_values("common_name")
    if len(names) != 1 or not REGISTRATION_CODE.fullmatch(names[0]):
        place.problem(
            f"names {path}, whose common name is not a registration code",
            "issue it for the 64 characters that aws iot get-registration-code prints for this account",
        )


def check_parameter(certificate: Certificate, path: Path, place: KeyPosition) -> None:
    """Report that a verification certificate is too long for a stack's parameter."""
    length = len(pem_of(certificate))
    if length > MAX_PARAMETER:
        place.problem(
            f"names {path}, whose PEM has {length} characters; a stack's parameter holds {MAX_PARAMETER}",
            'have a shorter one made (a smaller key, fewer extensions), or set registered_by = "jitrctl" here',
        )


def _check_issuer(certificate: Certificate, ca: Certificate, path: Path, place: KeyPosition) -> None:
    if not certificate.is_signed_by(ca):
        place.problem(
            f"names {path}, which this CA has not signed", "let the CA sign a certificate for the registration code"
        )
    elif not certificate.names_as_issuer(ca):
        place.problem(
            f"names {path}, which the CA's key has signed under another issuer name: {certificate.issuer!a}, "
            f"and the CA is {ca.subject!a}",
            "let the CA sign a certificate for the registration code under its own name",
        )


def _parse(pem: str, path: Path, place: KeyPosition) -> Certificate | None:
    try:
        return Certificate.from_pem(pem)
    except Rejected as error:
        place.problem(
            f"names {path}, which cannot be used: {error.detail}",
            "get the file from the CA again; if that one is the same, have it issued again with the same name and key",
        )
        return None


def _check_validity(certificate: Certificate, path: Path, place: KeyPosition, *, now: datetime) -> None:
    # Both ends are inclusive (RFC 5280, 4.1.2.5).
    if now > certificate.not_after:
        place.problem(f"names {path}, which expired at {certificate.not_after:%F %T} UTC", "issue it again")
    if now < certificate.not_before:
        place.problem(
            f"names {path}, which is not valid before {certificate.not_before:%F %T} UTC",
            "wait until then, or issue it again",
        )


def _check_key(certificate: Certificate, path: Path, place: KeyPosition) -> None:
    match certificate.public_key:
        case rsa.RSAPublicKey(key_size=bits) if bits < MIN_RSA_BITS:
            problem = f"an RSA key of {bits} bits"
        case ec.EllipticCurvePublicKey(curve=curve) if curve.name not in CA_CURVES:
            problem = f"a key on {curve.name}"
        case rsa.RSAPublicKey() | ec.EllipticCurvePublicKey():
            return
        case key:
            problem = f"a key of type {type(key).__name__.removesuffix('PublicKey')}"
    place.problem(
        f"names {path}, which has {problem}",
        f"AWS IoT registers CAs with RSA from {MIN_RSA_BITS} bits, P-256, P-384 or P-521: use a CA with such a key",
    )
