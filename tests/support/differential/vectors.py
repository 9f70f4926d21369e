"""The certificates of cryptography-vectors, read from the installed package: 56 MB, and nobody's to copy."""

import base64
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cryptography_vectors

_BLOCK = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END", re.DOTALL)
_IN_DER = (".der", ".crt")


@cache
def vectors() -> dict[str, bytes]:
    """All certificates in DER, by file below its folder x509, and by number where a file holds several."""
    root = Path(cryptography_vectors.__file__).parent / "x509"
    return {
        f"{path.relative_to(root)} {number}".removesuffix(" 0"): der
        for path in sorted(root.rglob("*"))
        if path.is_file()
        for number, der in enumerate(_in_file(path))
    }


def _in_file(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    blocks = _BLOCK.findall(content)
    if not blocks and path.suffix in _IN_DER and b"-----BEGIN" not in content:
        yield content
    for block in blocks:
        # Old files have headers, as RFC 1421 had them.
        yield base64.b64decode(b"".join(line for line in block.splitlines() if b":" not in line))
