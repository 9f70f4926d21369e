"""Verifies JSON Web Signatures with ES256 against the certificates of the makers that the operator trusts.

    signing input = protected "." payload                                        (RFC 7515 §5.2)
    signature     = r and s, 32 bytes each, over P-256 and SHA-256               (RFC 7518 §3.4)

The header names its signer by `x5t#S256` (SHA-256 of the certificate, RFC 7515 §4.1.8) or `kid` (here the subject key
identifier, as Microchip defines it). The operator's file decides who is trusted; a certificate inside the signed file
never does. A signer's own validity is not checked: a manifest stays good after its signer has expired.

Library: cryptography, which verifies ES256. A JOSE library would add algorithms that must then be refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from jitrctl.manifests.rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_SIGNATURE = 64  # bytes
_SHOWN = 16  # characters of a signer's hash in a message


@dataclass(frozen=True, slots=True)
class Signers:
    """The makers' certificates that signatures are verified against; none: signatures are not verified."""

    by_thumbprint: Mapping[str, ec.EllipticCurvePublicKey] = field(default_factory=dict)
    by_key_id: Mapping[str, ec.EllipticCurvePublicKey] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_thumbprint)

    @classmethod
    def of(cls, certificates: Iterable[bytes]) -> Signers:
        """The signers with these certificates, in DER.

        Raises BadRow when one cannot be read, or has no P-256 key.
        """
        thumbprints: dict[str, ec.EllipticCurvePublicKey] = {}
        key_ids: dict[str, ec.EllipticCurvePublicKey] = {}
        for der in certificates:
            certificate = x509.load_der_x509_certificate(der)
            key = certificate.public_key()
            if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
                raise BadRow("has no P-256 key, and manifests are signed with ES256")
            thumbprints[encode(hashlib.sha256(der).digest())] = key
            if identifier := _key_id(certificate):
                key_ids[encode(identifier)] = key
        return cls(thumbprints, key_ids)

    def find(self, header: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
        """The key that a header names.

        Raises BadRow when it is not among the signers, or the header names none.
        """
        thumbprint, key_id = header.get("x5t#S256"), header.get("kid")
        if isinstance(thumbprint, str):
            key = self.by_thumbprint.get(thumbprint)
            other = self.by_key_id.get(key_id) if isinstance(key_id, str) else None
            if key and other and key != other:
                raise BadRow("its signature names two signers")
        elif isinstance(key_id, str):
            key = self.by_key_id.get(key_id)
        else:
            raise BadRow("its signature names no signer")
        if key is None:
            raise BadRow(f"it was signed by another certificate ({_describe(thumbprint, key_id)}) than --signer's")
        return key


def verify(protected: str, payload: str, signature: str, signers: Signers) -> None:
    """Verify one signature.

    Raises BadRow, saying why it is not good.
    """
    header = read_json(decode(protected), "its protected header")
    if not isinstance(header, dict):
        raise BadRow("its protected header is no JSON object")
    if header.get("alg") != "ES256":
        raise BadRow("its signature is not ES256")
    if "crit" in header or header.get("b64", True) is not True:
        raise BadRow("its signature asks for extensions that are unknown")
    key = signers.find(header)
    raw = decode(signature)
    if len(raw) != _SIGNATURE:
        raise BadRow("its signature is not 64 bytes long")
    half = _SIGNATURE // 2
    try:
        key.verify(
            encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:])),
            f"{protected}.{payload}".encode("ascii"),
            ec.ECDSA(SHA256()),
        )
    except InvalidSignature as error:
        raise BadRow("its signature is forged or damaged") from error


def decode(text: str) -> bytes:
    """Base64url without padding (RFC 7515 §2); raises BadRow."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise BadRow("it is not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def read_json(content: bytes | str, what: str) -> Any:
    """A JSON text of any depth; raises BadRow."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise BadRow(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise BadRow(f"{what} is not JSON") from error


def _key_id(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, ValueError):
        return None


def _describe(thumbprint: object, key_id: object) -> str:
    named = thumbprint if isinstance(thumbprint, str) else str(key_id)
    if not _BASE64URL.fullmatch(named):
        return "an unreadable name"
    try:
        return f"SHA-256 {decode(named).hex()[:_SHOWN]}…" if named is thumbprint else f"key id {decode(named).hex()}"
    except ValueError:
        return "an unreadable name"
