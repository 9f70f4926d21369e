"""Makes manifests as makers deliver them, with invented devices; the forms' sources are in jitrctl/manifests.

Each device has a certificate of one CA and a name of its own. Nothing here was copied from a real manifest.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from jitrctl.manifests.jws import encode
from tests.support.cases.issuing import Authority, certificate_id, ec_key, issue_ca, named


@dataclass(frozen=True)
class MadeDevice:
    """An invented device."""

    name: str  # what its maker calls it
    pem: str

    @property
    def certificate_id(self) -> str:
        return certificate_id(self.pem)

    @cached_property
    def x5c(self) -> str:
        """Its certificate as JSON Web Keys have it: DER in base64."""
        return b64encode(x509.load_pem_x509_certificate(self.pem.encode()).public_bytes(Encoding.DER)).decode()


def make_devices(ca: Authority, count: int, *, prefix: str = "sensor-") -> list[MadeDevice]:
    return [MadeDevice(name, ca.leaf(named(name))) for name in (f"{prefix}{number:04}" for number in range(count))]


class ManifestSigner:
    """A maker's key that signs manifests, with its certificate."""

    def __init__(self, name: str = "Invented Manifest Signer 001") -> None:
        self.key = ec_key(owner=name)
        subject_key = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.pem = Authority(issue_ca(name, key=self.key).pem, self.key).leaf(
            named(name), key=self.key, extensions=[subject_key]
        )
        self.key_id = encode(subject_key.digest)

    @cached_property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pem.encode())

    @property
    def header(self) -> dict[str, Any]:
        thumbprint = encode(self.certificate.fingerprint(SHA256()))
        return {"typ": "JWT", "alg": "ES256", "kid": self.key_id, "x5t#S256": thumbprint}

    def sign(self, element: object, *, unique_id: str = "", **header: Any) -> dict[str, Any]:
        """One signed secure element; `header` replaces members of the protected header."""
        members = {name: value for name, value in {**self.header, **header}.items() if value is not None}
        protected, payload = (encode(json.dumps(one).encode()) for one in (members, element))
        signature = self.key.sign(f"{protected}.{payload}".encode(), ec.ECDSA(SHA256()))
        r, s = decode_dss_signature(signature)
        return {
            "payload": payload,
            "protected": protected,
            "header": {"uniqueId": unique_id},
            "signature": encode(r.to_bytes(32) + s.to_bytes(32)),
        }

    def signed(self, device: MadeDevice, **changes: Any) -> dict[str, Any]:
        return self.sign(secure_element(device, **changes), unique_id=device.name)

    def manifest(self, devices: list[MadeDevice]) -> str:
        """Microchip's manifest, as Trust&GO has it: one certificate for each element."""
        return json.dumps([self.signed(device) for device in devices])


def secure_element(device: MadeDevice, *, chain: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """The payload of one element: five keys, of which the first has a certificate and, behind it, its chain."""
    maker = {"organizationName": "Invented Chips", "organizationalUnitName": "Secure Products"}
    element = {
        "version": 1,
        "model": "ATECC608B",
        "partNumber": "ATECC608B-TNGTLS",
        "manufacturer": maker,
        "provisioner": maker,
        "distributor": maker,
        "groupId": "INVENTED0GROUP01",
        "provisioningTimestamp": "2026-01-15T17:22:45.000Z",
        "uniqueId": device.name,
        "publicKeySet": {
            "keys": [jwk(device, chain=chain), *({"kid": str(slot), **_COORDINATES} for slot in range(1, 5))]
        },
        "encryptedSecretKeySet": {"keys": []},
    }
    return {name: value for name, value in {**element, **changes}.items() if value is not None}


_COORDINATES = {"kty": "EC", "crv": "P-256", "x": encode(b"\1" * 32), "y": encode(b"\2" * 32)}


def jwk(device: MadeDevice, *, slot: int = 0, chain: tuple[str, ...] = ()) -> dict[str, Any]:
    """The public key of a device as JWK with its certificate."""
    key = x509.load_pem_x509_certificate(device.pem.encode()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    numbers = key.public_numbers()
    coordinates = {"x": encode(numbers.x.to_bytes(32)), "y": encode(numbers.y.to_bytes(32))}
    return {"kid": str(slot), "kty": "EC", "crv": "P-256", **coordinates, "x5c": [device.x5c, *chain]}


def espressif_csv(devices: list[MadeDevice]) -> str:
    """Espressif's list of modules with pre-provisioned certificates."""
    rows = [(f"7CDFA1{number:06X}", device.name, device.pem) for number, device in enumerate(devices)]
    return _csv([("MAC", "cn", "cert"), *rows])


def rainmaker_csv(devices: list[MadeDevice]) -> str:
    """`node_certs.csv` of Espressif's RainMaker Admin CLI."""
    return _csv([("node_id", "certs", "qrcode"), *((one.name, one.pem, '{"ver":"v1"}') for one in devices)])


def nordic_csv(devices: list[MadeDevice]) -> str:
    """Nordic's onboarding CSV, which has no heading."""
    return _csv([(one.name, "gateway", "lab|batch-7", "APP|MODEM", one.pem) for one in devices])


def pem_bundle(devices: list[MadeDevice], *, chain: tuple[str, ...] = ()) -> str:
    return "".join(f"subject=CN = {one.name}\n{one.pem}{''.join(chain)}" for one in devices)


def infineon_files(devices: list[MadeDevice]) -> dict[str, str]:
    """The files of an unpacked bundle of Infineon's: name → content."""
    files = {f"0A091B5C0015{number:08X}_E0E0.pem": one.pem for number, one in enumerate(devices)}
    return {"README.txt": "The bundle file you retrieved contains the data of an invented reel.\n", **files}


def zipped(files: dict[str, str | bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def _csv(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
