"""Certificate files as people have them, and the commands that take them: each shape with each command."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate

from jitr_fleet.certificate_file import UnusableFile, certificate_id_in, crl_in, read
from jitr_fleet.parse import FleetError, load
from jitrctl.__main__ import main
from jitrctl.commands.enrollment import subject_of
from jitrctl.device.search import parse_device
from jitrctl.doctor.context import DeviceContext
from jitrctl.errors import Unusable
from tests.support.cases.der import der_of
from tests.support.cases.issuing import Authority, certificate_id, issue_ca, named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[["Files", Path], str]

BEGINS = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def aws_json(pem: str) -> bytes:
    return json.dumps({"certificateDescription": {"certificatePem": pem, "status": "ACTIVE"}}, indent=4).encode()


def trusted(pem: str) -> bytes:
    """What openssl trusts a certificate for, and its alias, stand behind the certificate."""
    command = ["openssl", "x509", "-addtrust", "clientAuth", "-setalias", "a device", "-trustout"]
    return subprocess.run(command, input=pem.encode(), capture_output=True, check=True).stdout


def printed(pem: str) -> bytes:
    return subprocess.run(["openssl", "x509", "-text"], input=pem.encode(), capture_output=True, check=True).stdout


def with_headers(pem: str, headers: str) -> bytes:
    begin, _, body = pem.partition("\n")
    return f"{begin}\n{headers}{body}".encode()


BAG_ATTRIBUTES = """Bag Attributes
    localKeyID: 54 69 6D 65 20 31 36
    friendlyName: sensor -- of the line 1
subject=/CN=sensor-0001 -----
issuer=/O=Acme
"""
# One certificate, in the forms that tools and people give it.
SHAPES: dict[str, Callable[[str], bytes]] = {
    "PEM": str.encode,
    "text before and after": lambda pem: f"subject=CN = x\n0 notes\n{pem}\nbye\n".encode(),
    "openssl x509 -text": printed,
    "CRLF": lambda pem: pem.replace("\n", "\r\n").encode(),
    "old Macintosh's line ends": lambda pem: pem.replace("\n", "\r").encode(),
    "UTF-8 with a byte order mark": lambda pem: pem.encode("utf-8-sig"),
    "UTF-16, as PowerShell writes it": lambda pem: pem.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, big endian": lambda pem: b"\xfe\xff" + pem.encode("utf-16-be"),
    "no line end at the end": lambda pem: pem.strip().encode(),
    "indented, as in YAML": lambda pem: pem.replace("\n", "\n    ").encode(),
    "JSON of the AWS CLI": aws_json,
    "X509 CERTIFICATE": lambda pem: pem.replace(" CERTIFICATE", " X509 CERTIFICATE").encode(),
    "TRUSTED CERTIFICATE": trusted,
    "DER": der_of,
    "DER and a line end": lambda pem: der_of(pem) + b"\r\n",
    "header lines of RFC 1421": lambda pem: with_headers(
        pem, "Proc-Type: 4,CLEAR\nOriginator-ID: acme,\n factory-1\n\n"
    ),
    "a comment as SSH tools write it": lambda pem: with_headers(pem, "Comment: a device\n"),
    "header lines, CRLF": lambda pem: with_headers(pem, "Comment: x\n\n").replace(b"\n", b"\r\n"),
    "bag attributes, as openssl pkcs12 writes them": lambda pem: (BAG_ATTRIBUTES + pem).encode(),
    "in one line": lambda pem: pem.replace("\n", " ").encode(),
    "a string in a program": lambda pem: "".join(f'"{line}\\n" \\\n' for line in pem.splitlines()).encode(),
    "a byte order mark and CRLF": lambda pem: pem.replace("\n", "\r\n").encode("utf-8-sig"),
    "PEM in base64, as in a Kubernetes secret": lambda pem: base64.encodebytes(pem.encode()),
    "base64 in lines, CRLF": lambda pem: "\r\n".join(pem.splitlines()[1:-1]).encode(),
    "base64 alone": lambda pem: "".join(pem.splitlines()[1:-1]).encode(),
}


class Files:
    """A folder with a fleet, its CA and a device, each good."""

    def __init__(self, folder: Path, fleet: Path, ca: Authority) -> None:
        self.folder, self.fleet, self.ca = folder, fleet, ca
        self.device = ca.leaf(named("sensor-0001"), begins=BEGINS, ends=BEGINS + timedelta(days=365))
        (folder / "device.pem").write_text(self.device)
        key = ca.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "factory.key").write_bytes(key)


@pytest.fixture
def files(tmp_path: Path, fleet_file: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.chdir(tmp_path)
    return Files(tmp_path, fleet_file, ca)


def unusable_unless_0(code: int) -> None:
    if code:
        raise Unusable(f"exit code {code}")


def verify(files: Files, path: Path) -> str:
    unusable_unless_0(main(["verify", str(path), "--account", "dev", "--fleet", str(files.fleet)]))
    return certificate_id(files.device)


def doctor(_: Files, path: Path) -> str:
    certificates = read(path).certificates
    return DeviceContext(stage=None, file=path, certificates=certificates, client_id=None, now=BEGINS).certificate_id  # type: ignore[arg-type]


def of_device(_: Files, path: Path) -> str:
    (found,) = parse_device(str(path)).certificates
    return found


def of_enrollment(_: Files, path: Path) -> str:
    return subject_of(str(path)).name


def verify_ca_file(files: Files, path: Path) -> str:
    unusable_unless_0(main(["verify", str(files.folder / "device.pem"), "--ca-file", str(path)]))
    return files.ca.certificate_id


def issue(files: Files, path: Path) -> str:
    key = files.folder / "factory.key"
    unusable_unless_0(main(["device", "issue", "x", "--ca-file", str(path), "--ca-key", str(key), "-o", "made"]))
    return files.ca.certificate_id


def fleet_toml(files: Files, path: Path) -> str:
    files.fleet.write_text(files.fleet.read_text().replace('"factory.pem"', f'"{path.name}"'))
    return load(files.fleet).cas[0].certificate_id


OF_DEVICES: list[Command] = [verify, doctor, of_device, of_enrollment]
OF_CAS: list[Command] = [verify_ca_file, issue, fleet_toml]
COMMANDS = pytest.mark.parametrize("command", [*OF_DEVICES, *OF_CAS], ids=lambda command: command.__name__)


def written(files: Files, command: Command, make: Callable[[str], bytes]) -> tuple[Path, str]:
    """The file that a command is given, and the id of what is in it."""
    pem = files.device if command in OF_DEVICES else files.ca.pem
    path = files.folder / "given.file"
    path.write_bytes(make(pem))
    return path, certificate_id(pem)


@pytest.mark.parametrize("shape", SHAPES)
@COMMANDS
def test_every_command_takes_every_shape(files: Files, command: Command, shape: str) -> None:
    path, expected = written(files, command, SHAPES[shape])
    assert command(files, path) == expected


def with_key(files: Files, form: PrivateFormat, encoding: Encoding, *, encrypted: bool = False) -> bytes:
    protection = BestAvailableEncryption(b"secret") if encrypted else NoEncryption()
    return files.ca.key.private_bytes(encoding, form, protection)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("first", [True, False])
@COMMANDS
def test_a_private_key_is_refused_by_every_command_and_never_shown(
    files: Files,
    command: Command,
    form: PrivateFormat,
    encoding: Encoding,
    first: bool,  # noqa: FBT001 - a parameter of the test
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = with_key(files, form, encoding)

    def beside_key(pem: str) -> bytes:
        certificate = pem.encode() if encoding is Encoding.PEM else der_of(pem)
        return key + certificate if first else certificate + key

    path, _ = written(files, command, beside_key)
    with pytest.raises((Unusable, UnusableFile, FleetError)) as caught:
        command(files, path)
    said = f"{caught.value}{''.join(capsys.readouterr())}"
    assert "holds a private key" in said
    lines = with_key(files, PrivateFormat.PKCS8, Encoding.PEM).decode().splitlines()[1:-1]
    assert not any(line[:16] in said for line in lines)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda files: with_key(files, PrivateFormat.PKCS8, Encoding.PEM, encrypted=True), "a private key"),
        (lambda files: with_key(files, PrivateFormat.PKCS8, Encoding.DER, encrypted=True), "a private key"),
        (
            lambda files: with_key(files, PrivateFormat.PKCS8, Encoding.PEM).replace(b"PRIVATE KEY", b"CERTIFICATE"),
            "a private key",
        ),
        (
            lambda files: pkcs12.serialize_key_and_certificates(
                b"x", files.ca.key, load_pem_x509_certificate(files.ca.pem.encode()), None, NoEncryption()
            ),
            "but a PKCS#12 archive: take the certificate out of it: openssl pkcs12",
        ),
        (
            lambda files: (
                subprocess.run(
                    ["openssl", "crl2pkcs7", "-nocrl", "-certfile", files.folder / "device.pem"],
                    capture_output=True,
                    check=True,
                ).stdout
            ),
            "but a PKCS#7 archive: take the certificates out of it: openssl pkcs7",
        ),
        (
            lambda files: with_headers(files.device, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"),
            "holds an encrypted certificate: decrypt it: openssl x509",
        ),
        (lambda _: b"", "holds no certificate: name a file with a certificate, PEM or DER"),
        (lambda _: bytes(5_000_000), "has more than 4194304 bytes"),
        (lambda _: b"-----BEGIN NEW CERTIFICATE REQUEST-----\n", "but a new certificate request"),
        (lambda _: b"-----BEGIN \x1b[2KKEY-----\n", "but a [2kkey: name a file"),
    ],
)
def test_what_is_no_certificate_is_called_by_its_name(files: Files, make: Callable[[Files], bytes], said: str) -> None:
    path = files.folder / "given.file"
    path.write_bytes(make(files))
    with pytest.raises(UnusableFile) as caught:
        read(path)
    assert said in str(caught.value)


@COMMANDS
def test_an_encrypted_key_beside_the_certificate_is_refused_too(
    files: Files, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    key = files.ca.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret"))
    assert b"Proc-Type" in key
    path, _ = written(files, command, lambda pem: pem.encode() + key)
    with pytest.raises((Unusable, UnusableFile, FleetError)) as caught:
        command(files, path)
    assert "holds a private key" in f"{caught.value}{capsys.readouterr().err}"


def test_what_stands_behind_a_certificate_in_its_block_is_not_cut_off(files: Files) -> None:
    longer = base64.b64encode(der_of(files.device) + b"\0").decode()
    path, _ = written(
        files, verify, lambda _: f"-----BEGIN CERTIFICATE-----\n{longer}\n-----END CERTIFICATE-----".encode()
    )
    with pytest.raises(Unusable, match="exit code 1"):
        verify(files, path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda der: der + b"\0", "ENCODING_REFUSED: bytes follow the certificate"),
        (lambda der: b"\x30\x80" + der[4:] + bytes(2), "ENCODING_REFUSED: a length is indefinite (BER)"),
        (lambda der: der[:-5], "UNREADABLE: the certificate cannot be read: it is cut short"),
    ],
)
def test_of_a_damaged_certificate_in_der_it_is_said_what_is_wrong(
    files: Files, damage: Callable[[bytes], bytes], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = written(files, verify, lambda pem: damage(der_of(pem)))
    with pytest.raises(Unusable, match="exit code 1"):
        verify(files, path)
    assert said in " ".join("".join(capsys.readouterr()).split())


@pytest.mark.parametrize("shape", ["PEM", "DER", "UTF-16, as PowerShell writes it", "TRUSTED CERTIFICATE"])
@pytest.mark.parametrize("command", [*OF_DEVICES, verify_ca_file, issue], ids=lambda command: command.__name__)
def test_of_a_chain_the_first_is_meant_and_the_others_are_mentioned(
    files: Files, command: Command, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = issue_ca("Acme root").pem
    path, expected = written(
        files,
        command,
        lambda pem: SHAPES[shape](pem + other) if "UTF-16" in shape else SHAPES[shape](pem) + SHAPES[shape](other),
    )
    assert command(files, path) == expected
    if command is not doctor:  # its link `chain and SNI` looks at all of them
        said = " ".join("".join(capsys.readouterr()).split())
        assert "holds 2 certificates: only the first one is used" in said


def test_the_answer_in_json_says_so_too(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = written(files, verify, lambda pem: (pem + files.ca.pem).encode())
    main(["verify", str(path), "--account", "dev", "--json"])
    assert json.loads(capsys.readouterr().out)["note"].endswith("only the first one is used")


def test_in_the_fleet_file_it_has_to_be_clear_which_one_is_trusted(files: Files) -> None:
    path, _ = written(files, fleet_toml, lambda pem: (pem + issue_ca("Acme root").pem).encode())
    with pytest.raises(FleetError, match="2 certificates; keep only the one that signs the devices' certificates"):
        fleet_toml(files, path)


@pytest.mark.parametrize(
    "write",
    [
        str.upper,
        lambda one: ":".join(one[at : at + 2] for at in range(0, 64, 2)),
        lambda one: ":".join(one.upper()[at : at + 2] for at in range(0, 64, 2)),
        lambda one: "sha256 Fingerprint=" + ":".join(one.upper()[at : at + 2] for at in range(0, 64, 2)),
        lambda one: f" {one}\n",
    ],
)
def test_a_fingerprint_is_an_id_wherever_an_id_is_taken(write: Callable[[str], str]) -> None:
    one = "0aff" * 16
    word = write(one)
    assert certificate_id_in(word) == one
    assert parse_device(word).certificates == {one}
    assert subject_of(word).name == one


@pytest.mark.parametrize("word", ["", "0a" * 20, "0a:" * 32, "0g" * 32, "sensor-0001", ":".join(["0a"] * 20)])
def test_what_is_no_sha_256_is_no_id(word: str) -> None:
    assert certificate_id_in(word) is None


def test_a_crl_is_found_in_its_text_and_anything_else_is_left_as_it_is() -> None:
    pem = b"-----BEGIN X509 CRL-----\r\nMAA=\r\n-----END X509 CRL-----\r\n"
    assert crl_in(b"\xef\xbb\xbfnotes\n" + pem) == b"\x30\x00"
    assert crl_in(pem * 2) == pem * 2
    assert crl_in(b"\x30\x00") == b"\x30\x00"
