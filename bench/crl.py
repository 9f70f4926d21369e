"""Measures what a CRL costs: reading and indexing it once, and each lookup, against pyca's lookup.

    python -m bench.crl --entries 1000 100000 1000000

Each size is measured in a process of its own, for its memory; on Linux. Lambda gives a function of 512 MB a third of a
processor: what takes a second here takes some three there.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from jitr.x509.certificate import Certificate
from jitr.x509.crl import RevocationList
from tests.support.cases.issuing import Authority, issue_ca, rsa_key
from tests.support.cases.revoking import entry, issue_crl, reason

_LOOKS = 10_000
_PYCA_LOOKS = 20
_BITS = 127  # of a serial number, 16 bytes; openssl makes 20, most CAs 16


def main() -> int:
    """Measure each size, and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, type=Path, metavar=("CRL", "CA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        sys.stdout.write(json.dumps(_measure(*options.measure)))
        return 0
    authority = issue_ca(key=rsa_key(owner="ca"))
    rows = [_measure_apart(authority, number) for number in options.entries]
    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if options.json else _table(rows))
    return 0


def _measure_apart(authority: Authority, number: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        crl, ca = Path(directory) / "ca.crl", Path(directory) / "ca.pem"
        crl.write_bytes(_crl(authority, number))
        ca.write_text(authority.pem, encoding="utf-8")
        command = [sys.executable, "-m", "bench.crl", "--measure", str(crl), str(ca)]
        found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return found


def _crl(authority: Authority, number: int) -> bytes:
    """A CRL with `number` entries in random order, every third one with a reason."""
    rng = random.Random(number)  # noqa: S311 -- the same list every time
    one_reason = reason(1)
    return issue_crl(
        authority, [entry(rng.getrandbits(_BITS), *([] if at % 3 else [one_reason])) for at in range(number)]
    )


def _measure(crl_path: Path, ca_path: Path) -> dict[str, float]:
    ca = Certificate.from_pem(ca_path.read_text(encoding="utf-8"))
    data = crl_path.read_bytes()
    before = peak_megabytes()
    began = time.perf_counter()
    crl = RevocationList.read(data, ca)
    cold = time.perf_counter() - began
    peak = peak_megabytes()
    pyca = x509.load_der_x509_crl(data)
    rng = random.Random(0)  # noqa: S311 -- the same looks every time
    asked = [rng.getrandbits(_BITS) for _ in range(_LOOKS)]
    return {
        "entries": crl.size,
        "megabytes": len(data) / 1e6,
        "cold_seconds": cold,
        "peak_megabytes_above_the_file": peak - before,
        "kept_megabytes": sum(map(len, crl.rows.values())) / 1e6,
        "microseconds_per_look": _median(crl.reason_of, asked),
        "microseconds_per_look_of_pyca": _median(
            pyca.get_revoked_certificate_by_serial_number, [serial | 1 for serial in asked[:_PYCA_LOOKS]]
        ),
    }


def _median(look: Callable[[int], object], asked: list[int]) -> float:
    spans = []
    for serial in asked:
        began = time.perf_counter_ns()
        look(serial)
        spans.append(time.perf_counter_ns() - began)
    return statistics.median(spans) / 1000


def peak_megabytes() -> float:
    """The process's peak memory in MB; getrusage would include its parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def _table(rows: list[dict[str, float]]) -> str:
    lines = ["| entries | file | cold: read, verify, index | memory, peak | memory, kept | a look | pyca's |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [
        f"| {row['entries']:,} | {row['megabytes']:.1f} MB | {row['cold_seconds']:.2f} s "
        f"| {row['peak_megabytes_above_the_file']:.0f} MB | {row['kept_megabytes']:.1f} MB "
        f"| {row['microseconds_per_look']:.1f} µs | {row['microseconds_per_look_of_pyca']:,.0f} µs |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
