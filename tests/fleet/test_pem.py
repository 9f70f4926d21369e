"""The certificates that a fleet names: one slip is one problem, and no key ever shows."""

import subprocess
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from jitr_fleet.parse import FleetError
from tests.support.fleet.drafts import CODE, NOW, Draft, Issuer

BEGIN = b"-----BEGIN "
KEY_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


def ca_without_constraints(issuer: Issuer) -> bytes:
    return issuer.certificate(x509.SubjectKeyIdentifier(b"1"))


def leaf(issuer: Issuer) -> bytes:
    return issuer.certificate(x509.BasicConstraints(ca=False, path_length=None))


def ca_that_may_not_sign(issuer: Issuer) -> bytes:
    usage = x509.KeyUsage(**{**KEY_USAGE, "digital_signature": True})
    return issuer.certificate(x509.BasicConstraints(ca=True, path_length=None), usage)


def ca_that_may_sign(issuer: Issuer) -> bytes:
    usage = x509.KeyUsage(**{**KEY_USAGE, "key_cert_sign": True})
    return issuer.certificate(x509.BasicConstraints(ca=True, path_length=0), usage)


def expired(issuer: Issuer) -> bytes:
    return issuer.certificate(ends=NOW - timedelta(seconds=1))


def future(issuer: Issuer) -> bytes:
    return issuer.certificate(begins=NOW + timedelta(seconds=1))


def huge(issuer: Issuer) -> bytes:
    """49,200 bytes of extension are more than 65,536 characters of PEM."""
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(49_200))
    return issuer.certificate(x509.BasicConstraints(ca=True, path_length=None), padding)


def damaged(issuer: Issuer) -> bytes:
    lines = issuer.certificate().splitlines()
    return b"\n".join([lines[0], *lines[2:]]) + b"\n"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (ca_without_constraints, "names factory.pem, which is not a CA certificate; name the certificate of the CA"),
        (leaf, "names factory.pem, which is not a CA certificate"),
        (ca_that_may_not_sign, "names factory.pem, a CA that may not sign certificates"),
        (expired, "names factory.pem, which expired at 2026-11-01 11:59:59 UTC; issue it again"),
        (future, "names factory.pem, which is not valid before 2026-11-01 12:00:01 UTC"),
        (huge, "characters; AWS IoT accepts 65536"),
        (damaged, "names factory.pem, which cannot be used: the certificate cannot be read: it"),
        (lambda it: it.certificate() + Issuer("x").certificate(), "names factory.pem, which holds 2 certificates"),
        (lambda _: b"", "names factory.pem, which holds no certificate; name a file with a certificate"),
        (lambda _: b"\x30\x82\xff\x00", "names factory.pem, which holds no certificate"),
        (lambda _: BEGIN + b"CERTIFICATE REQUEST-----\n", "no certificate, but a certificate request"),
        (lambda it: it.private_key(), "names factory.pem, which holds a private key"),
        (lambda it: it.certificate() + it.private_key(), "names factory.pem, which holds a private key"),
        (lambda _: BEGIN + b"RSA PRIVATE KEY-----\n", "names factory.pem, which holds a private key"),
        (lambda _: BEGIN + b"ENCRYPTED PRIVATE KEY-----\n", "names factory.pem, which holds a private key"),
    ],
)
def test_a_ca_that_cannot_be_registered(draft: Draft, make: Callable[[Issuer], bytes], said: str) -> None:
    draft.write("factory.pem", make(draft.issuer))
    line, text = draft.problem()
    assert text.startswith("ca.factory.certificate names")
    assert said in text
    assert line == draft.line('certificate = "factory.pem"')


def test_a_ca_is_good_in_the_first_and_the_last_second_of_its_life(draft: Draft) -> None:
    draft.write("factory.pem", draft.issuer.certificate(begins=NOW, ends=NOW))
    draft.load(NOW)


def test_a_ca_with_key_usage_may_sign_when_it_says_so(draft: Draft) -> None:
    draft.write("factory.pem", ca_that_may_sign(draft.issuer))
    draft.load()


def test_an_odd_name_is_no_problem_and_no_warning(draft: Draft) -> None:
    with pytest.warns(UserWarning, match="length"):
        country = x509.NameAttribute(NameOID.COUNTRY_NAME, "Germany", _validate=False)
    draft.issuer = Issuer()
    draft.issuer.name = x509.Name([country])
    draft.write("factory.pem", draft.issuer.certificate())
    draft.write("dev.pem", draft.issuer.verification())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draft.load()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "has an RSA key of 1024 bits"),  # noqa: S505
        (lambda: ec.generate_private_key(ec.SECP256K1()), "has a key on secp256k1"),
        (ed25519.Ed25519PrivateKey.generate, "has a key of type Ed25519"),
    ],
)
def test_a_ca_key_that_aws_does_not_take(
    draft: Draft, key: Callable[[], ec.EllipticCurvePrivateKey], said: str
) -> None:
    issuer = Issuer(key=key())
    draft.write("factory.pem", issuer.certificate())
    draft.write("dev.pem", issuer.verification())
    assert said in draft.problem()[1]


def test_a_v1_root_is_told_that_it_cannot_be_a_ca(draft: Draft) -> None:
    folder = draft.folder
    request = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=v1", "-keyout", "v1.key"]
    subprocess.run([*request, "-out", "v1.csr"], cwd=folder, check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-in", "v1.csr", "-signkey", "v1.key", "-days", "9", "-out", "factory.pem"]
    subprocess.run(sign, cwd=folder, check=True, capture_output=True)
    certificate = x509.load_pem_x509_certificate((folder / "factory.pem").read_bytes())
    assert certificate.version is x509.Version.v1
    line, text = draft.problem(now=datetime.now(UTC))
    assert "names factory.pem, an X.509 v1 certificate, which cannot be marked as a CA; issue it again" in text
    assert line == draft.line('certificate = "factory.pem"')


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda it: it.verification(begins=NOW + timedelta(days=1)), "which is not valid before 2026-11-02"),
        (lambda _: Issuer("Other CA").verification(), "which this CA has not signed"),
        (lambda _: Issuer("Factory CA").verification(), "which this CA has not signed"),  # same name, other key
        (lambda it: it.certificate(), "names dev.pem, the CA certificate itself"),
        (lambda it: it.verification("sensor-1"), "whose common name is not a registration code"),
        (lambda it: it.verification(CODE[:-1]), "whose common name is not a registration code"),
        (lambda it: it.private_key(), "which holds a private key"),
        (lambda it: it.verification() * 2, "which holds 2 certificates"),
        (
            lambda it: it.verification() + it.certificate(),
            "which holds 2 certificates; keep the one with the registration code",
        ),
    ],
)
def test_a_verification_certificate_that_proves_nothing(
    draft: Draft, make: Callable[[Issuer], bytes], said: str
) -> None:
    own = draft.folder / "factory.pem"
    draft.write("dev.pem", own.read_bytes() if "itself" in said else make(draft.issuer))
    line, text = draft.problem()
    assert text.startswith("account.dev.ca.factory.verification_certificate names dev.pem")
    assert said in text
    assert line == draft.line('verification_certificate = "dev.pem"')


def test_a_bad_ca_does_not_put_its_verification_certificate_in_doubt(draft: Draft) -> None:
    draft.write("factory.pem", leaf(Issuer("Other")))
    assert draft.problem()[1].startswith("ca.factory.certificate")


@pytest.mark.parametrize("file", ["factory.pem", "dev.pem", "device.json", "fleet.toml"])
def test_no_line_of_a_private_key_is_ever_shown(draft: Draft, file: str) -> None:
    key = draft.issuer.private_key().decode()
    if file == "fleet.toml":
        for good in ('"factory.pem"', '"dev.pem"', '"device.json"', '"{common_name}"', '"sensor"', '"A:1"', '"5m"'):
            draft.replace(good, f'"""{key}"""')
    else:
        draft.write(file, key.encode())
    with pytest.raises(FleetError) as caught:
        draft.load()
    assert caught.value.problems
    for line in key.splitlines()[1:-1]:
        assert line[:16] not in str(caught.value)


def test_paths_are_relative_to_the_folder_of_the_file(
    draft: Draft, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert draft.load().cas[0].certificate_path == draft.folder / "factory.pem"
    assert not Path("factory.pem").exists()
