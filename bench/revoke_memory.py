"""Measures what a large CRL takes of the function `revoke`: its peak memory and time, in a process of its own; Linux.

The process imports what the function imports, reads the CRL and the one that was applied before, as the function does
at the same time, and finds what they differ in. Lambda gives a function of 512 MB a third of a processor: what takes a
second here takes some three there.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.crl import peak_megabytes
from tests.support.cases.issuing import issue_ca, rsa_key
from tests.support.cases.revoking import entry, issue_crl

_SERIALS = 2**120  # of 16 bytes, as most CAs'


def main() -> int:
    """Measure what the arguments name; used by `measure_apart`."""
    parser = argparse.ArgumentParser(prog="python -m bench.revoke_memory")
    parser.add_argument("files", nargs=3, type=Path, metavar="FILE", help="the CA, the CRL, the CRL before")
    sys.stdout.write(json.dumps(_measure(*parser.parse_args().files)))
    return 0


def measure_apart(entries: int, hits: int) -> dict[str, Any]:
    """A CRL with so many entries, after one that lacks the hits, in another process."""
    authority = issue_ca(key=rsa_key(owner="ca"))
    rows = [entry(_SERIALS + number) for number in range(entries)]
    with tempfile.TemporaryDirectory() as directory:
        ca, new, old = (Path(directory) / name for name in ("ca.pem", "new.crl", "old.crl"))
        ca.write_text(authority.pem, encoding="utf-8")
        new.write_bytes(issue_crl(authority, rows))
        old.write_bytes(issue_crl(authority, rows[hits:]))
        del rows
        command = [sys.executable, "-m", "bench.revoke_memory", str(ca), str(new), str(old)]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def _measure(ca_path: Path, new_path: Path, old_path: Path) -> dict[str, Any]:
    import boto3  # noqa: PLC0415 -- what the function imports counts, and nothing that the parent imports

    from jitr.handlers import revoke  # noqa: F401, PLC0415
    from jitr.revocation.candidates import count_changed  # noqa: PLC0415
    from jitr.x509.certificate import Certificate  # noqa: PLC0415
    from jitr.x509.crl import RevocationList  # noqa: PLC0415

    session = boto3.Session(region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
    clients = [session.client(name) for name in ("iot", "dynamodb", "events", "sqs", "s3", "iot-data")]
    ca = Certificate.from_pem(ca_path.read_text(encoding="utf-8"))
    began = time.perf_counter()
    new = RevocationList.read(new_path.read_bytes(), ca)
    old = RevocationList.read(old_path.read_bytes(), ca)
    changed = count_changed(new, old)
    return {
        "entries": new.size,
        "changed": changed,
        "megabytes_of_the_file": new_path.stat().st_size / 1e6,
        "clients": len(clients),
        "seconds": time.perf_counter() - began,
        "peak_megabytes": peak_megabytes(),
    }


if __name__ == "__main__":
    sys.exit(main())
