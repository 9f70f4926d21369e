"""Devices as real factories make them; all of these must get in."""

import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.cases.case import admitted
from tests.support.cases.der import BIT_STRING, SEQUENCE, as_pem, tlv
from tests.support.cases.issuing import (
    Application,
    Authority,
    SigningKey,
    applying,
    ec_key,
    factory,
    issue_ca,
    named,
    openssl,
    rsa_key,
)

P_256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # SEC 2, §2.4.2
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


@admitted
def plain() -> Application:
    """X.509 v3 without any extension, P-256, under a root with basicConstraints: the case that all others vary."""
    return applying()


@admitted
def version_1_by_the_article() -> Application:
    """X.509 v1, RSA-2048, under a root with only basicConstraints: AWS's multi-account article, command by command."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        openssl(folder, "genrsa", "-out", "rootCA.key", "2048")
        (folder / "rootCA_openssl.conf").write_text(
            "[ req ]\ndistinguished_name = dn\n[ dn ]\n[ v3_ca ]\nbasicConstraints = CA:TRUE\n"
        )
        request = "req -new -sha256 -key rootCA.key -nodes -out rootCA.csr -config rootCA_openssl.conf -subj"
        openssl(folder, *request.split(), "/O=Acme/CN=Acme root")
        sign = "x509 -req -days 1024 -extfile rootCA_openssl.conf -extensions v3_ca -in rootCA.csr -signkey rootCA.key"
        openssl(folder, *sign.split(), "-out", "rootCA.pem")
        return applying_by_openssl(folder)


@admitted
def version_1_under_req_x509() -> Application:
    """X.509 v1 under a root that `openssl req -x509` made, with its key identifiers and no key usage."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        root = "req -x509 -newkey rsa:2048 -nodes -keyout rootCA.key -out rootCA.pem -days 1024 -subj"
        openssl(folder, *root.split(), "/O=Acme/CN=Acme root")
        return applying_by_openssl(folder)


@admitted
def with_extensions() -> Application:
    """X.509 v3 with subject alternative name, key usage, extended key usage, key identifiers and CA:FALSE."""
    authority = factory()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    extensions: list[x509.ExtensionType] = [
        x509.BasicConstraints(ca=False, path_length=None),
        x509.SubjectAlternativeName([x509.DNSName("sensor-0001.example.com")]),
        usage,
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.SubjectKeyIdentifier.from_public_key(ec_key().public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
    ]
    return applying(authority.leaf(extensions=extensions))


@admitted
def rsa_2048() -> Application:
    """An RSA key of 2048 bits."""
    return applying(factory().leaf(key=rsa_key()))


@admitted
def rsa_4096() -> Application:
    """An RSA key of 4096 bits, where the rules end at exactly that."""
    return applying(factory().leaf(key=rsa_key(4096))).with_rules(rsa_bits=(4096, 4096))


@admitted
def p_384() -> Application:
    """A key on P-384."""
    return applying(factory().leaf(key=ec_key(ec.SECP384R1)))


@admitted
def p_521() -> Application:
    """A key on P-521."""
    return applying(factory().leaf(key=ec_key(ec.SECP521R1)))


@admitted
def under_an_rsa_ca() -> Application:
    """A P-256 device under an RSA root."""
    authority = issue_ca(key=rsa_key(owner="ca"))
    return applying(authority.leaf(), authority=authority)


@admitted
def in_sni_only_mode() -> Application:
    """The CA is registered in SNI_ONLY mode, and fleet.toml says so."""
    return applying().with_ca(mode="SNI_ONLY").with_rules(certificate_mode="SNI_ONLY")


@admitted
def more_subject_than_used() -> Application:
    """The subject holds fields that no rule speaks of, some of them twice."""
    more = (
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.LOCALITY_NAME, "München"),
        (NameOID.DOMAIN_COMPONENT, "example"),
        (NameOID.DOMAIN_COMPONENT, "com"),
        (NameOID.SERIAL_NUMBER, "00 17"),
    )
    return applying(factory().leaf((*more, *named("sensor-0001"))))


@admitted
def the_other_signature() -> Application:
    """Of every ECDSA signature (r, s) anybody can make a second one, (r, n-s): another id, the same device."""
    pem = factory().leaf()
    signature = x509.load_pem_x509_certificate(pem.encode()).signature
    r, s = decode_dss_signature(signature)
    other = encode_dss_signature(r, P_256_ORDER - s)
    signed = x509.load_pem_x509_certificate(pem.encode()).tbs_certificate_bytes
    return applying(as_pem(tlv(SEQUENCE, signed, ECDSA_WITH_SHA256, tlv(BIT_STRING, b"\0", other))))


def applying_by_openssl(folder: Path, *options: str) -> Application:
    """A device whose certificate has no extensions, hence version 1, under the root in the folder.

    `options` say how it is signed, by default with SHA-256.

    It knocks in the first second of its life, since openssl 3.0 cannot be told another one.
    """
    openssl(folder, "genrsa", "-out", "device.key", "2048")
    subject = "/O=Acme/OU=Mark-2/CN=sensor-0001"
    openssl(folder, "req", "-new", "-key", "device.key", "-out", "device.csr", "-subj", subject)
    sign = "x509 -req -in device.csr -CA rootCA.pem -CAkey rootCA.key -CAcreateserial -out device.pem -days 500"
    openssl(folder, *sign.split(), *(options or ("-sha256",)))
    key = load_pem_private_key((folder / "rootCA.key").read_bytes(), None)
    assert isinstance(key, SigningKey)
    authority = Authority((folder / "rootCA.pem").read_text(), key)
    pem = (folder / "device.pem").read_text()
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert certificate.version is x509.Version.v1
    return applying(pem, authority=authority, now=certificate.not_valid_before_utc)
