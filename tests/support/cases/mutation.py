"""Damage to certificates: mostly such that the encoding stays whole, so that reading goes on.

The encoding is taken apart into its elements, some of them are changed, and it is put together again, with true
lengths; then the CA signs it once more, or does not. A part of the mutants is damaged byte by byte instead.
"""

import math
import random
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.cases.der import (
    BIT_STRING,
    BMP,
    COMMON_NAME,
    GENERALIZED_TIME,
    IA5,
    INTEGER,
    OCTET_STRING,
    OID,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    SEQUENCE,
    SET,
    UNIVERSAL,
    UTC_TIME,
    UTF8,
    attribute,
    content_of,
    distinguished_name,
    elements,
    integer,
    rsa_key_of,
    signed,
    tbs_with,
    tlv,
)
from tests.support.cases.issuing import SENSOR, Authority, issue_ca, name
from tests.support.cases.usage import key_usage
from tests.support.cases.weakness import is_probably_prime

_TAGS = (
    *(1, INTEGER, BIT_STRING, OCTET_STRING, 5, OID, 10, UTF8, PRINTABLE, 0x14, IA5, UTC_TIME, GENERALIZED_TIME),
    *(BMP, UNIVERSAL, SEQUENCE, SET, 0x80, 0x82, 0x86, 0xA0, 0xA3, 0xA4),
)
_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 65_537, 2**31, 2**63, 2**64, 2**159, 2**160, 2**2048 + 1, 2**8192 + 1)
_TEXTS = (
    *(b"", b"\0", b"*", b"sensor-0002", b"sensor-0001\0", b"gateway-1", b"${iot:ClientId}", b"\xff\xfe", b"x" * 65),
    *(b"x" * 300, "fühler-0001".encode(), "fühler".encode("latin-1"), b"\xd8\x00", b"\xf4\x90\x80\x80"),
)
_TIMES = (
    *(b"260101000000Z", b"20260101000000Z", b"500101000000Z", b"491231235959Z", b"99991231235959Z", b"00000101000000Z"),
    *(b"20260230000000Z", b"260101000060Z", b"2601010000Z", b"260101000000+0100", b"", b"261101120001Z"),
)
# Curves, algorithms, attribute types, extensions and purposes: what an OID can be put in the place of another one for.
_OIDS = tuple(
    bytes.fromhex(oid)
    for oid in (
        *("2a8648ce3d030107", "2a8648ce3d030101", "2b81040022", "2b81040023", "2b8104000a", "2a8648ce3d0201"),
        *("2a864886f70d010101", "2a864886f70d01010a", "2a864886f70d010105", "2a8648ce3d040302", "2a8648ce3d0401"),
        *("550403", "55040b", "550405", "55040a", "550408", "55042e", "0992268993f22c640119", "55042d"),
        *("551d13", "551d0f", "551d25", "551d11", "551d1e", "551d20", "551d0e"),
        *("2b06010505070301", "2b06010505070302", "551d2500", "2b6570", "2b656e", "2a", "ff", ""),
    )
)


@dataclass(slots=True)
class Node:
    """One element: its tag, and its content, or the elements that it is made of."""

    tag: int
    content: bytes = b""  # before the children, if there are any
    children: list["Node"] = field(default_factory=list)

    @classmethod
    def parse(cls, der: bytes) -> "Node":
        """Take an encoding apart, also what hides in the strings of keys and extensions."""
        tag, content = der[0], content_of(der)
        if tag & 0x20:
            return cls(tag, children=[cls.parse(child) for child in elements(der)])
        if tag == OCTET_STRING and content[:1] in (b"\x30", b"\x03", b"\x04"):
            return cls(tag, children=[cls.parse(content)])
        if (
            tag == BIT_STRING
            and content[:2] == b"\0\x30"
            and len(content) == len(tlv(SEQUENCE, content_of(content[1:]))) + 1
        ):
            return cls(tag, content[:1], [cls.parse(content[1:])])
        return cls(tag, content)

    def encode(self) -> bytes:
        return tlv(self.tag, self.content, *(child.encode() for child in self.children))

    def copy(self) -> "Node":
        return Node(self.tag, self.content, [child.copy() for child in self.children])

    def everything(self) -> list["Node"]:
        """The node and all below it, each before its children."""
        found = [self]
        for child in self.children:
            found += child.everything()
        return found


@cache
def fuzzed_ca() -> Authority:
    """The CA of all shapes, with the same key every time."""
    return issue_ca(key=ec.derive_private_key(20261101, ec.SECP256R1()))


@cache
def shapes() -> dict[str, bytes]:
    """Signed certificates of devices as they differ most, in DER, by name; the same bytes every time."""
    p_256, p_384, p_521 = (ec.derive_private_key(5, curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))
    rsa = rsa_key_of(math.prod(_prime(dice) for dice in (random.Random(1), random.Random(2))))  # noqa: S311 -- no secret
    ca, client = x509.BasicConstraints(ca=False, path_length=None), ExtendedKeyUsageOID.CLIENT_AUTH
    uri, dns = x509.UniformResourceIdentifier("urn:acme:sensor-0001"), x509.DNSName("sensor.example")
    directory, mail = x509.DirectoryName(name(SENSOR)), x509.RFC822Name("a@example.com")
    every: list[x509.ExtensionType] = [
        ca,
        x509.ExtendedKeyUsage([client]),
        x509.SubjectAlternativeName([directory, mail, dns]),
        x509.SubjectKeyIdentifier.from_public_key(p_384.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(fuzzed_ca().key.public_key()),
        x509.CRLDistributionPoints([x509.DistributionPoint([uri], None, None, None)]),
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]),
    ]
    by_uri, long = x509.SubjectAlternativeName([uri, dns]), [(NameOID.DOMAIN_COMPONENT, f"dc{n}") for n in range(8)]
    joined = [attribute(COMMON_NAME, b"sensor-0001"), attribute(ORGANIZATIONAL_UNIT, b"Mark-2", kind=PRINTABLE)]
    leaf = partial(fuzzed_ca().leaf, key=p_256)
    return {
        "P-256, no extensions": _again(leaf()),
        "version 1, RSA": _again(leaf(), version=b"", key=rsa),
        "P-384, every extension": _again(leaf(key=p_384, extensions=every, critical=[key_usage("digital_signature")])),
        "P-521, named by a URI": _again(leaf((), key=p_521, critical=[by_uri, ca])),
        "Ed25519": _again(leaf(key=ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), extensions=[by_uri])),
        "RSA, long subject": _again(leaf((*SENSOR, *long, (NameOID.TITLE, "t")), extensions=every[:2]), key=rsa),
        "several fields in one name": _again(leaf(), subject=distinguished_name(joined)),
    }


def _again(pem: str, **replaced: bytes) -> bytes:
    """The certificate with a serial number and a signature that are no dice's."""
    return signed(tbs_with(pem, **({"serial": integer(7)} | replaced)), authority=fuzzed_ca())


def _prime(dice: random.Random) -> int:
    return next(
        number for number in iter(lambda: dice.getrandbits(1024) | 3 << 1022 | 1, 0) if is_probably_prime(number)
    )


def mutant(der: bytes, dice: random.Random) -> bytes:
    """The certificate with some damage; three in four are whole as an encoding, and most of those signed anew."""
    if dice.random() < 0.25:
        return _damaged_bytes(der, dice)
    certificate = _parsed(der).copy()
    tbs = certificate.children[0]
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        _damage(tbs if dice.random() < 0.9 else certificate, dice)
    if dice.random() < 0.2 or certificate.children[:1] != [tbs]:
        return certificate.encode()
    try:
        return signed(tbs.encode(), authority=fuzzed_ca())
    except (IndexError, KeyError, ValueError):  # no algorithm is left to sign with
        return certificate.encode()


@lru_cache(maxsize=32)
def _parsed(der: bytes) -> Node:
    return Node.parse(der)


def _damage(root: Node, dice: random.Random) -> None:
    """Change one element, anywhere below the root."""
    parent = dice.choice([node for node in root.everything() if node.children] or [root])
    if not parent.children:
        return
    place = dice.randrange(len(parent.children))
    target = parent.children[place]
    match dice.randrange(13):
        case 0:
            del parent.children[place]
        case 1:
            parent.children.insert(place, target)
        case 2:
            parent.children.insert(dice.randrange(len(parent.children)), parent.children.pop(place))
        case 3:
            target.tag = dice.choice(_TAGS)
        case 5:
            parent.children.insert(
                place, dice.choice((Node(1, b"\xff"), Node(INTEGER, b"\1"), Node(5), Node(SEQUENCE)))
            )
        case 4:
            stranger = dice.choice(root.everything())
            if target not in stranger.everything():
                parent.children[place] = stranger
        case _:
            _change_content(target, dice)


def _change_content(target: Node, dice: random.Random) -> None:
    if target.children:
        _change_content(dice.choice(target.children), dice)
        return
    match target.tag:
        case 0x30:  # an empty one: CA:FALSE is written so
            target.children.append(Node(1, b"\xff"))
        case 0x02 if dice.random() < 0.8:
            number = dice.choice(_NUMBERS) * dice.choice((1, 1, -1))
            target.content = number.to_bytes(number.bit_length() // 8 + 1, signed=True)
        case 0x06 if dice.random() < 0.9:
            target.content = dice.choice(_OIDS)
        case 0x17 | 0x18 if dice.random() < 0.9:
            target.content = dice.choice(_TIMES)
        case 0x0C | 0x13 | 0x16 if dice.random() < 0.8:
            target.content = dice.choice(_TEXTS)
        case _:
            target.content = _damaged_bytes(target.content, dice) if target.content else dice.randbytes(2)


def _damaged_bytes(content: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4))):
        position = dice.randrange(len(damaged) or 1)
        match dice.randrange(5):
            case 0 | 1 if damaged:
                damaged[position] ^= 1 << dice.randrange(8)
            case 2 if damaged:
                damaged[position] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            case 3:
                del damaged[position : position + dice.randint(1, 3)]
            case _:
                damaged[position:position] = dice.randbytes(dice.randint(1, 3))
    return bytes(damaged)
