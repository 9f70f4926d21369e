"""Makes a throw-away CA of the same shape as a CA whose public certificate alone is here.

A fleet's CA keys are with their makers, and are not available for trying something. The local AWS has a CA with
subject, issuer, validity, extensions, kind of key (RSA of that size, or that curve) and signature hash, and with a key
of its own. So it has another certificate id, and no real device is accepted under it.

An intermediate CA stays one: its issuer's key is made, signs it, and is thrown away. AWS IoT needs no chain, nor does
the local AWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.issuing import IssuingCa

if TYPE_CHECKING:
    from pathlib import Path

    from jitr_fleet.model import Ca

_Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_EXPONENTS = (3, 65537)  # what cryptography makes keys with
# What cryptography signs with; a CA that was signed with SHA-1 is signed with the first of them here.
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def create_like(ca: Ca, directory: Path) -> IssuingCa:
    """Make the throw-away CA, `<name>.key` and `<name>.pem`, in the directory.

    Takes a second for RSA of 4096 bits, and most of a minute for 8192.

    Raises LocalAwsError when the certificate is encoded so that cryptography cannot read it.
    """
    try:
        real = x509.load_pem_x509_certificate(ca.certificate_pem.encode("ascii"))
        key = _make_key(real)
        certificate = _copy(real, key)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.UnsupportedGeneralNameType) as error:
        raise LocalAwsError(
            f"a CA like {ca.certificate_path} cannot be made for the local AWS ({error}): leave ca.{ca.name} out of a "
            "copy of the fleet file, or name a CA of `jitrctl ca create` there"
        ) from error
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = IssuingCa(certificate=directory / f"{ca.name}.pem", key=directory / f"{ca.name}.key")
    made.key.unlink(missing_ok=True)
    made.key.touch(mode=0o600)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return made


def _make_key(real: x509.Certificate) -> _Key:
    public = real.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        exponent = public.public_numbers().e
        return rsa.generate_private_key(exponent if exponent in _EXPONENTS else _EXPONENTS[-1], public.key_size)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return ec.generate_private_key(public.curve)
    raise TypeError(f"its key is {type(public).__name__}")  # the fleet file's check lets none through


def _copy(real: x509.Certificate, key: _Key) -> x509.Certificate:
    signer = key if real.issuer == real.subject else _make_key(real)
    builder = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(real.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
    )
    for extension in real.extensions:
        builder = builder.add_extension(_of_this_key(extension.value, key, signer), critical=extension.critical)
    asked = real.signature_hash_algorithm
    return builder.sign(signer, asked if isinstance(asked, _HASHES) else _HASHES[0]())


def _of_this_key(value: x509.ExtensionType, key: _Key, signer: _Key) -> x509.ExtensionType:
    """The extension's value; the two that name keys name the new ones."""
    if isinstance(value, x509.SubjectKeyIdentifier):
        return x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    if isinstance(value, x509.AuthorityKeyIdentifier):
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return value
