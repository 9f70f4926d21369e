"""Issues a CA and devices' certificates for the local AWS, with the openssl commands of AWS's multi-account article.

For the demo and tests only: a real CA's key is its maker's, and nothing else in this project touches a private key.
Those commands make a root with basicConstraints and no other extension, and device certificates of X.509 v1; real
fleets have both.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.admission.naming import THING_NAME
from jitr.x509.certificate import Certificate
from jitrctl.localaws.errors import LocalAwsError

if TYPE_CHECKING:
    from pathlib import Path

_ROOT_DAYS, _VERIFICATION_DAYS = 1024, 500
_ROOT_CONFIGURATION = "[ v3_ca ]\nbasicConstraints = CA:TRUE\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFiles:
    """A device's certificate and private key, PEM files."""

    certificate: Path
    key: Path

    @property
    def certificate_id(self) -> str:
        return Certificate.from_pem(self.certificate.read_text(encoding="utf-8")).fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuingCa:
    """A CA with its private key; made by `create`."""

    certificate: Path
    key: Path

    @classmethod
    def create(cls, directory: Path, name: str) -> IssuingCa:
        """Make a root CA's key and certificate, `<name>.key` and `<name>.pem`, in the directory.

        Raises LocalAwsError when openssl is missing or fails.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = cls(certificate=directory / f"{name}.pem", key=directory / f"{name}.key")
        request, configuration = directory / f"{name}.csr", directory / f"{name}_openssl.conf"
        configuration.write_text(_ROOT_CONFIGURATION, encoding="utf-8")
        _openssl("genrsa", "-out", ca.key, "2048")
        _openssl("req", "-new", "-sha256", "-key", ca.key, "-nodes", "-subj", f"/O=Acme/CN={name}", "-out", request)
        _openssl(
            *("x509", "-req", "-sha256", "-days", _ROOT_DAYS),
            *("-extfile", configuration, "-extensions", "v3_ca"),
            *("-in", request, "-signkey", ca.key, "-out", ca.certificate),
        )
        return ca

    @property
    def pem(self) -> str:
        return self.certificate.read_text(encoding="utf-8")

    @property
    def certificate_id(self) -> str:
        return Certificate.from_pem(self.pem).fingerprint

    def issue_verification_certificate(self, registration_code: str, out: Path) -> Path:
        """Issue the proof of the CA's key for one account: a certificate with the registration code as common name.

        Raises LocalAwsError.
        """
        key, request = out.with_suffix(".key"), out.with_suffix(".csr")
        _openssl("genrsa", "-out", key, "2048")
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={registration_code}", "-out", request)
        return self._sign(request, out, days=_VERIFICATION_DAYS)

    def find_issued(self, directory: Path, common_name: str) -> DeviceFiles | None:
        """The files that `issue` made earlier; None if there are none, or another CA signed them."""
        files = _device_files(directory, common_name)
        if not (files.certificate.exists() and files.key.exists()):
            return None
        ca = Certificate.from_pem(self.pem)
        certificate = Certificate.from_pem(files.certificate.read_text(encoding="utf-8"))
        return files if certificate.is_issued_by(ca) else None

    def issue(
        self, directory: Path, common_name: str, *, days: int = 365, subject: str | None = None, san: str | None = None
    ) -> DeviceFiles:
        """Make a device's P-256 key and certificate, `<common name>.key` and `.pem`.

        `subject` and `san` (subjectAltName) are as openssl writes them: "/O=Acme/CN=sensor-1", "URI:urn:dev:1". With
        `san` the certificate is of X.509 v3.

        Raises LocalAwsError.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not THING_NAME.fullmatch(common_name):
            raise LocalAwsError(f"{common_name!r} is no device name here: use letters, digits and : _ -")
        device = _device_files(directory, common_name)
        request = directory / f"{common_name}.csr"
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", device.key)
        _openssl(
            "req", "-new", "-key", device.key, "-subj", subject or f"/O=Acme/OU=S1/CN={common_name}", "-out", request
        )
        self._sign(request, device.certificate, days=days, san=san)
        return device

    def _sign(self, request: Path, out: Path, *, days: int, san: str | None = None) -> Path:
        extensions: list[object] = []
        if san:
            configuration = request.with_suffix(".conf")
            configuration.write_text(f"[ device ]\nsubjectAltName = {san}\n", encoding="utf-8")
            extensions = ["-extfile", configuration, "-extensions", "device"]
        _openssl(
            *("x509", "-req", "-sha256", "-in", request, "-CA", self.certificate, "-CAkey", self.key),
            *("-CAcreateserial", "-out", out, "-days", days, *extensions),
        )
        return out


def _device_files(directory: Path, common_name: str) -> DeviceFiles:
    return DeviceFiles(certificate=directory / f"{common_name}.pem", key=directory / f"{common_name}.key")


def _openssl(*arguments: object) -> None:
    if shutil.which("openssl") is None:
        raise LocalAwsError("openssl is not installed: install it (Debian: apt-get install openssl)")
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise LocalAwsError(f"openssl {arguments[0]} failed: {last}")
