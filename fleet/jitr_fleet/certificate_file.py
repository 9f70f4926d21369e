"""Reads the certificates in a file, in any usual form; every command, and fleet.toml, reads certificate files here.

Takes PEM with any text around it (output of `openssl x509 -text`, JSON of the AWS CLI, a chain), in UTF-8 or UTF-16,
with or without a byte order mark, with any line ends, under the labels that openssl knows, with header lines inside
(RFC 1421); DER; and bare base64 of either. Returns PEM in its usual form, one text per certificate. It does not check
the certificates. A file with a private key is refused, since it was passed by mistake, and its content never appears in
a message.
"""

import base64
import binascii
import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from jitr.errors import JitrError
from jitr.events import CERTIFICATE_ID
from jitr.x509.parsing import Damaged, call_cryptography
from jitr.x509.pem import Encrypted, without_headers

MAX_PEM = 65_536  # characters; RegisterCertificate certificatePem, RegisterCACertificate caCertificate
_MAX_FILE = 4 * 1_048_576  # bytes; a CA bundle of a whole operating system is smaller

_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[^-\r\n]*)-----(?P<body>.*?)(?=-----END |-----BEGIN |\Z)(?:-----END [^-\r\n]*-----)?",
    re.DOTALL,
)
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_TRUSTED = b"TRUSTED CERTIFICATE"  # a certificate, and behind it what openssl trusts it for
_CRL_LABEL = b"X509 CRL"
_LONGEST_LABEL = 60  # characters of it in a message
_WHITE_SPACE = re.compile(rb'\s|\\[nrt]?|"')  # also as JSON writes it, and a string in a program
_WRITTEN_LINE_END = re.compile(r"\\r\\n|\\n|\\r")
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# The output of `openssl x509 -fingerprint -sha256`, and other forms of a SHA-256 fingerprint.
_FINGERPRINT = re.compile(r"(?:sha-?256 fingerprint=)?((?:[0-9a-f]{2}:){31}[0-9a-f]{2}|[0-9a-f]{64})", re.IGNORECASE)

# DER: tags, and how lengths are written (X.690 §8.1.3).
_INTEGER, _OCTET_STRING, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_LONG_FORM, _MOST_LENGTH_OCTETS = 0x80, 4
_PKCS12 = b"\3"  # PFX, version

_CURES = {
    "a PKCS#12 archive": "take the certificate out of it: openssl pkcs12 -in FILE -clcerts -nokeys -out device.pem",
    "a PKCS#7 archive": "take the certificates out of it: openssl pkcs7 -in FILE -print_certs -out device.pem",
}


class UnusableFile(JitrError):
    """A file holds no usable certificate; `problem` follows the file's name in a message, `cure` says what to do."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f"{problem}: {cure}")
        self.problem = problem
        self.cure = cure


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """What a file holds."""

    path: Path
    certificates: tuple[str, ...]  # each in PEM, in the file's order, at least one; a damaged one is unchanged

    @property
    def pem(self) -> str:
        """The first certificate; in a chain it is the device's."""
        return self.certificates[0]

    @property
    def note(self) -> str | None:
        """A note for the user that only the first certificate is used; None when there is only one."""
        count = len(self.certificates)
        return f"{self.path} holds {count} certificates: only the first one is used" if count > 1 else None


def read(path: Path) -> CertificateFile:
    """Read the certificates in a file.

    Raises UnusableFile when it cannot be read, holds no certificate or a private key, or a certificate that is longer
    than AWS IoT accepts.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise UnusableFile(
            f"cannot be read ({error.strerror})", "name a file with a certificate, PEM or DER"
        ) from error
    if len(content) > _MAX_FILE:
        raise UnusableFile(f"has more than {_MAX_FILE} bytes", "name a file with a certificate, PEM or DER")
    certificates = _certificates(_as_bytes(content))
    if len(certificates[0]) > MAX_PEM:
        raise UnusableFile(
            f"holds a certificate of {len(certificates[0])} characters; AWS IoT accepts {MAX_PEM}",
            "have a smaller one issued",
        )
    return CertificateFile(path=path, certificates=certificates)


def crl_in(content: bytes) -> bytes:
    """The DER of the one PEM CRL in a file's content, with any text around it; else the content as it is."""
    found = [block["body"] for block in _BLOCK.finditer(_as_bytes(content)) if block["label"].strip() == _CRL_LABEL]
    return (_decode(found[0]) or content) if len(found) == 1 else content


def certificate_id_in(word: str) -> str | None:
    """The certificate id in an argument: 64 hex digits, or a fingerprint with colons; None if it is neither."""
    match = _FINGERPRINT.fullmatch(word.strip())
    found = match[1].replace(":", "").lower() if match else ""
    return found if CERTIFICATE_ID.fullmatch(found) else None


def _as_bytes(content: bytes) -> bytes:
    """The content in UTF-8 without a byte order mark; content without such a mark is left as it is."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, "replace").encode()
    return content


def _certificates(content: bytes) -> tuple[str, ...]:
    elements = _elements(content) or _elements(_decode(content) or b"")
    if elements:
        return _from_der(elements)
    blocks = [(match["label"].strip(), match["body"]) for match in _BLOCK.finditer(content)]
    if not blocks:  # PEM in base64, as in a Kubernetes secret
        blocks = [(match["label"].strip(), match["body"]) for match in _BLOCK.finditer(_decode(content) or b"")]
    labels = [label for label, _ in blocks]
    if not blocks and _begins_as_certificate(content):
        return (_as_pem(content),)  # damaged, or BER: the reader of certificates reports what is wrong
    if any(label.endswith(b"PRIVATE KEY") or _kind(_decode(body) or b"") == "a private key" for label, body in blocks):
        raise _private_key()
    found = tuple(_pem(label, body) for label, body in blocks if label in _CERTIFICATE_LABELS)
    if not found:
        raise _no_certificate(_describe_label(labels[0]) if labels else None)
    return found


def _from_der(elements: list[bytes]) -> tuple[str, ...]:
    kinds = [_kind(element) for element in elements]
    if "a private key" in kinds:
        raise _private_key()
    found = tuple(_as_pem(element) for element, kind in zip(elements, kinds, strict=True) if kind is None)
    if not found:
        raise _no_certificate(kinds[0])
    return found


def _begins_as_certificate(content: bytes) -> bool:
    """Whether content begins with a long SEQUENCE in a long SEQUENCE, as no text does."""
    if content[:1] != bytes([_SEQUENCE]) or content[1:2] < bytes([_LONG_FORM]):
        return False
    inner = content[_header(content) or len(content) :]
    return inner[:1] == bytes([_SEQUENCE]) and inner[1:2] >= bytes([_LONG_FORM])


def _kind(der: bytes) -> str | None:
    """What a DER SEQUENCE is, if it is certainly not a certificate; None if it may be one."""
    parts = _parts(der)
    tags = [part[0] for part in parts]
    if tags[:1] == [_OID]:
        return "a PKCS#7 archive"
    if tags[:1] == [_INTEGER]:
        # PFX; PrivateKeyInfo, RSAPrivateKey and ECPrivateKey begin with a version of one byte.
        return (
            "a PKCS#12 archive"
            if parts[0][2:] == _PKCS12
            else "a private key"
            if parts[0][1] == 1
            else "no certificate"
        )
    if tags == [_SEQUENCE, _OCTET_STRING]:
        return "a private key"  # EncryptedPrivateKeyInfo
    for kind, load in (("a certificate request", x509.load_der_x509_csr), ("a CRL", x509.load_der_x509_crl)):
        try:
            call_cryptography(lambda load=load: load(der))  # type: ignore[misc]
        except Damaged:
            continue
        return kind
    return None


def _private_key() -> UnusableFile:
    return UnusableFile(
        "holds a private key",
        "name a file that holds only the certificate; replace the key if others could read it",
    )


def _no_certificate(found: str | None) -> UnusableFile:
    what = f", but {found}" if found and found != "no certificate" else ""
    cure = _CURES.get(found or "", "name a file with a certificate, PEM or DER")
    return UnusableFile(f"holds no certificate{what}", cure)


def _describe_label(label: bytes) -> str:
    if label in (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS"):
        return "a PKCS#7 archive"
    shown = "".join(filter(str.isprintable, label.decode("ascii", "replace")))[:_LONGEST_LABEL]
    return f"a {shown.lower().replace('x509 crl', 'CRL')}"


def _pem(label: bytes, body: bytes) -> str:
    """A PEM block in its usual form; a damaged one is unchanged.

    Raises UnusableFile when it is encrypted.
    """
    try:
        body = without_headers(_WRITTEN_LINE_END.sub("\n", body.decode("latin-1"))).encode("latin-1")
    except Encrypted as error:
        raise UnusableFile(
            "holds an encrypted certificate",
            "decrypt it: openssl x509 -in FILE -out device.pem asks for the passphrase",
        ) from error
    der = _decode(body)
    if der is None:
        text = body.decode("ascii", "replace").strip()
        return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"
    return _as_pem(der[: _length(der) or len(der)] if label == _TRUSTED else der)


def _as_pem(der: bytes) -> str:
    written = base64.b64encode(der).decode("ascii")
    lines = "".join(f"{written[at : at + 64]}\n" for at in range(0, len(written), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"


def _decode(body: bytes) -> bytes | None:
    try:
        return base64.b64decode(_WHITE_SPACE.sub(b"", body), validate=True)
    except binascii.Error:
        return None


def _elements(content: bytes) -> list[bytes]:
    """The DER SEQUENCEs in content that holds nothing else but white space at its end; empty for other content."""
    found = []
    rest = memoryview(content)
    while rest[:1] == bytes([_SEQUENCE]) and (length := _length(rest)):
        found.append(bytes(rest[:length]))
        rest = rest[length:]
    return [] if bytes(rest).strip() else found


def _parts(der: bytes) -> list[bytes]:
    """The elements of a DER SEQUENCE, up to the first that is damaged."""
    parts = []
    rest = memoryview(der)[_header(der) or len(der) :]
    while rest and (length := _length(rest)):
        parts.append(bytes(rest[:length]))
        rest = rest[length:]
    return parts


def _length(der: bytes | memoryview) -> int | None:
    """The length in bytes of the first element, header included; None when the content is shorter."""
    header = _header(der)
    if header is None:
        return None
    length = der[1] if der[1] < _LONG_FORM else int.from_bytes(der[2:header], "big")
    return header + length if header + length <= len(der) else None


def _header(der: bytes | memoryview) -> int | None:
    if len(der) < 2:  # noqa: PLR2004 - a tag and a length
        return None
    octets = der[1] & ~_LONG_FORM if der[1] & _LONG_FORM else 0
    return 2 + octets if octets <= _MOST_LENGTH_OCTETS and len(der) >= 2 + octets else None
