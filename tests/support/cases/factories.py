"""Certificates as the usual tools make them, command by command; docs/devices.md shows the same commands."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.issuing import Application, Authority, SigningKey, applying, ec_key, factory, openssl
from tests.support.cases.usage import key_usage

KEY = "ecparam -name prime256v1 -genkey -noout -out device.key"
REQUEST = "req -new -key device.key -out device.csr -subj /O=Acme/OU=Mark-2/CN=sensor-0001"
SIGN = "x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -sha256"
WITH_EXTENSIONS = f"{SIGN} -extfile device.cnf -out device.pem"
EXTENSIONS = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
"""


@contextmanager
def openssl_factory() -> Iterator[Path]:
    """A folder with a root that `openssl req -x509` made, and a device's P-256 key and request."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        root = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj"
        openssl(folder, *root.split(), "/O=Acme/CN=Acme root")
        openssl(folder, *KEY.split())
        openssl(folder, *REQUEST.split())
        (folder / "device.cnf").write_text(EXTENSIONS)
        yield folder


def knocking(folder: Path) -> Application:
    """The device in the folder, in the first second of its life, since openssl 3.0 cannot be told another one."""
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, SigningKey)
    pem = (folder / "device.pem").read_text()
    begins = x509.load_pem_x509_certificate(pem.encode()).not_valid_before_utc
    return applying(pem, authority=Authority((folder / "ca.pem").read_text(), key), now=begins)


@admitted
def x509_req_with_extensions() -> Application:
    """`openssl x509 -req` with an extension file: what docs/devices.md recommends."""
    with openssl_factory() as folder:
        openssl(folder, *WITH_EXTENSIONS.split())
        return knocking(folder)


@admitted
def req_x509_of_a_device() -> Application:
    """`openssl req -x509 -CA` in one command, told that the device is no CA."""
    with openssl_factory() as folder:
        sign = "req -x509 -CA ca.pem -CAkey ca.key -in device.csr -days 3650 -out device.pem"
        extensions = ("basicConstraints=critical,CA:FALSE", "keyUsage=digitalSignature", "extendedKeyUsage=clientAuth")
        openssl(folder, *sign.split(), *(word for one in extensions for word in ("-addext", one)))
        return knocking(folder)


@refused(Reason.IS_A_CA)
def req_x509_left_alone() -> Application:
    """`openssl req -x509 -CA` without more: openssl's own configuration makes every such certificate a CA's."""
    with openssl_factory() as folder:
        sign = "req -x509 -CA ca.pem -CAkey ca.key -in device.csr -days 3650 -out device.pem"
        openssl(folder, *sign.split(), "-addext", "basicConstraints=critical,CA:TRUE")
        return knocking(folder)


def by_step(subject: list[tuple[x509.ObjectIdentifier, str]]) -> Application:
    """What step-ca makes of this template, with the URI as the certificate's only SAN.

    {"subject": {{ toJson .Subject }}, "sans": {{ toJson .SANs }},
     "keyUsage": ["digitalSignature"], "extKeyUsage": ["serverAuth", "clientAuth"]}
    """
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:acme:sensor-0001")])
    provisioner = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.37476.9000.64.1"), b"\x30\x00")
    described: list[x509.ExtensionType] = [
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.SubjectKeyIdentifier.from_public_key(ec_key().public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(factory().key.public_key()),
        provisioner,
    ]
    # RFC 5280 §4.2.1.6: critical where there is no subject.
    usage: list[x509.ExtensionType] = [key_usage("digital_signature")]
    more, critical = ([*described, names], usage) if subject else (described, [*usage, names])
    return applying(factory().leaf(subject, extensions=more, critical=critical)).with_rules(attributes={})


@admitted
def step_with_a_common_name() -> Application:
    """A step-style certificate: a common name, a SAN URI, usage of servers and clients, step's own extension."""
    return by_step([(NameOID.COMMON_NAME, "sensor-0001")])


@admitted
def step_with_a_uri_alone() -> Application:
    """A step-style certificate with an empty subject, under a CA whose devices are named by their SAN URI."""
    return by_step([]).with_rules(common_name=None, san_uri="urn:acme:sensor-[0-9]{4,}", thing_name="{san_uri}")
