"""The request for a verification certificate, and the certificate that the holder of the CA's key makes of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from jitr_fleet.model import Ca
from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.ca.proof import read_key, request, verification_certificate
from jitrctl.errors import Unusable
from tests.support.cases.issuing import Authority, issue_ca

CODE = "c0de" * 16
NOW = datetime.now(UTC)


@pytest.fixture
def declared(fleet_file: Path) -> Ca:
    return load(fleet_file).cas[0]


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: str = "") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption(),
    )


def nobody() -> str:
    pytest.fail("asked for a password")


def test_the_certificate_is_what_aws_iot_asks_for(ca: Authority, declared: Ca) -> None:
    csr, private = request(CODE)
    made = x509.load_pem_x509_certificate(verification_certificate(csr, declared, ca.key, days=30, now=NOW))

    made.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.pem.encode()))
    (name,) = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == CODE
    assert made.not_valid_before_utc < NOW < made.not_valid_after_utc < NOW + timedelta(days=30)
    own = serialization.load_pem_private_key(private, password=None)
    assert own.public_key() == made.public_key()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_the_signature_is_as_strong_as_the_key(fleet_file: Path, curve: ec.EllipticCurve) -> None:
    stronger = issue_ca(key=ec.generate_private_key(curve), begins=NOW - timedelta(days=1))
    (fleet_file.parent / "factory.pem").write_text(stronger.pem)
    made = verification_certificate(request(CODE)[0], load(fleet_file).cas[0], stronger.key, days=1)
    algorithm = x509.load_pem_x509_certificate(made).signature_hash_algorithm
    assert algorithm
    assert algorithm.digest_size == {256: 32, 384: 48, 521: 64}[curve.key_size]


def test_an_encrypted_key_asks_for_its_password_and_another_does_not(ca: Authority) -> None:
    assert read_key(pem(ca.key), nobody).public_key() == ca.key.public_key()
    assert read_key(pem(ca.key, "secret"), lambda: "secret").public_key() == ca.key.public_key()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no key", "cannot be read"),
        (pem(ec.generate_private_key(ec.SECP256R1()), "secret"), "its password"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "AWS IoT takes CAs with RSA and EC keys"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(Unusable, match=said):
        read_key(content, lambda: "wrong")


def test_another_cas_key_is_refused(declared: Ca) -> None:
    with pytest.raises(Unusable, match="the key is not that of CA factory"):
        verification_certificate(request(CODE)[0], declared, ec.generate_private_key(ec.SECP256R1()), days=1)


def other_request(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("csr", [b"nothing", other_request("Root CA"), other_request("c0de")])
def test_the_cas_key_signs_nothing_but_requests_for_registration_codes(ca: Authority, declared: Ca, csr: bytes) -> None:
    with pytest.raises(Unusable, match="`jitrctl ca csr` wrote"):
        verification_certificate(csr, declared, ca.key, days=1)


def test_a_fleet_file_need_not_name_a_verification_certificate_before_there_is_one(
    fleet_file: Path, ca: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet_file.write_text(fleet_file.read_text().replace('mode = "SNI_ONLY"', 'mode = "DEFAULT"', 1))
    (tmp_path / "dev.csr").write_bytes(request(CODE)[0])
    (tmp_path / "ca.key").write_bytes(pem(ca.key, "secret"))
    (tmp_path / "password").write_text("secret\n")
    out = tmp_path / "dev.pem"
    options = ["--csr", str(tmp_path / "dev.csr"), "--ca-key", str(tmp_path / "ca.key"), "-o", str(out)]
    password = ["--password-file", str(tmp_path / "password")]

    assert main(["ca", "verification", "--fleet", str(fleet_file), *options, *password]) == 0

    x509.load_pem_x509_certificate(out.read_bytes()).verify_directly_issued_by(
        x509.load_pem_x509_certificate(ca.pem.encode())
    )
    assert main(["ca", "verification", "--fleet", str(fleet_file), *options]) == 2
    assert "nobody to ask: say --password-file" in capsys.readouterr().err
    assert main(["ca", "plan", "--fleet", str(fleet_file)]) == 2
    assert "is in DEFAULT mode without a verification_certificate" in capsys.readouterr().err


def test_a_password_that_is_not_given_is_told_and_nothing_is_signed(
    fleet_file: Path, ca: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dev.csr").write_bytes(request(CODE)[0])
    (tmp_path / "ca.key").write_bytes(pem(ca.key, "secret"))
    out = tmp_path / "dev.pem"

    def left(_: str) -> str:
        raise EOFError  # Ctrl-D

    monkeypatch.setattr("jitrctl.commands.ca.proof.can_ask", lambda: True)
    monkeypatch.setattr("getpass.getpass", left)
    options = ["--csr", str(tmp_path / "dev.csr"), "--ca-key", str(tmp_path / "ca.key"), "-o", str(out)]

    assert main(["ca", "verification", "--fleet", str(fleet_file), *options]) == 2

    assert "no password was given" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.usefixtures("aws")
def test_a_request_is_for_one_account_and_its_key_is_kept_only_if_wanted(
    fleet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csr, key = tmp_path / "dev.csr", tmp_path / "dev.key"
    common = ["ca", "csr", "--fleet", str(fleet_file), "-o", str(csr)]

    assert main(common) == 2
    assert "say which one with --account" in capsys.readouterr().err
    assert not csr.exists()

    assert main([*common, "--account", "dev", "--key", str(key)]) == 0
    asked = x509.load_pem_x509_csr(csr.read_bytes())
    assert len(asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)) == 1
    assert key.stat().st_mode & 0o777 == 0o600
    kept = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert kept.public_key() == asked.public_key()


@pytest.mark.usefixtures("aws")
def test_a_key_that_is_there_is_not_overwritten(
    fleet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "factory.key"
    key.write_text("the CA's")

    assert main(["ca", "csr", "--fleet", str(fleet_file), "--account", "dev", "--key", str(key)]) == 2

    assert "name another file" in capsys.readouterr().err
    assert key.read_text() == "the CA's"
