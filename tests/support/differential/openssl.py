"""What openssl says of certificates: thousands in one process, 0.4 ms each."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from tests.support.cases.der import as_pem

# Trust the CA alone, as an anchor whatever it is; the time is jitr's to judge.
_VERIFY = ("verify", "-CAfile", "ca.pem", "-no-CApath", "-no-CAstore", "-partial_chain", "-no_check_time")
_BATCH = 2000  # files; their names fit a command line


class OpenSSL(StrEnum):
    """How openssl answers."""

    UNREAD = "unread"  # `openssl x509` cannot load it
    REFUSED = "refused"  # read, and not verified under the CA
    VERIFIED = "verified"


@cache
def version() -> str:
    """As `3.0.19`."""
    return subprocess.run(["openssl", "version"], check=True, capture_output=True, text=True).stdout.split()[1]


def ask(certificates: Mapping[str, bytes], ca: str) -> dict[str, OpenSSL]:
    """Have `openssl verify` judge certificates in DER under a CA in PEM; answers under the same names."""
    answers: dict[str, OpenSSL] = {}
    names = list(certificates)
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        answers |= zip(some, _ask([certificates[name] for name in some], ca), strict=True)
    return answers


def _ask(ders: list[bytes], ca: str) -> list[OpenSSL]:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "ca.pem").write_text(ca)
        for number, der in enumerate(ders):
            (folder / str(number)).write_text(as_pem(der))
        files = map(str, range(len(ders)))
        told = subprocess.run(["openssl", *_VERIFY, *files], cwd=folder, capture_output=True, check=False)
    verified = _numbers(rb"^(\d+): OK$", told.stdout)
    refused = _numbers(rb"^error (\d+): verification failed$", told.stderr)
    unread = _numbers(rb"^Could not (?:read|find) (?:any )?certificate file from (\d+)$", told.stderr)
    # An openssl that words this otherwise is to be noticed, not believed.
    assert sorted((*verified, *refused, *unread)) == list(range(len(ders))), told.stderr[-2000:]
    answers = dict.fromkeys(verified, OpenSSL.VERIFIED) | dict.fromkeys(refused, OpenSSL.REFUSED)
    return [answers.get(number, OpenSSL.UNREAD) for number in range(len(ders))]


def _numbers(pattern: bytes, output: bytes) -> list[int]:
    return [int(number) for number in re.findall(pattern, output, re.MULTILINE)]
