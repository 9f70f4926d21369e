"""Measures `jitrctl device import --dry-run` of a large bundle: peak memory and time, in a process of its own; Linux.

    python -m bench.import_check --certificates 100000

The real command on the simulated AWS, with two accounts: the bundle is read, records are asked for, and each
certificate is checked under the rules of each account. Its memory is counted above what the process has before.
"""

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from bench.crl import peak_megabytes
from bench.table import markdown
from jitrctl.__main__ import main as jitrctl
from simulation.authority import Authority
from tests.support.cli.importing import deploy_with_source
from tests.support.cli.simulated import DAY, IDS, NOW, Simulated

_NUMBER = 8  # digits in a name


def main() -> int:
    """Measure, and print a table; with a file, measure its import in this process, for `measure_apart`."""
    parser = argparse.ArgumentParser(prog="python -m bench.import_check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument("--file", type=Path, help="measure the import of this file in this process")
    options = parser.parse_args()
    if options.file:
        sys.stdout.write(json.dumps(_measure(options.file)))
        return 0
    one = measure_apart(options.certificates)
    heading = ("certificates", "accounts", "file, MB", "read and checked, s", "memory, MB")
    row = [f"{one['planned']:,}", len(IDS), round(one["megabytes_of_the_file"]), round(one["seconds"])]
    sys.stdout.write(markdown(heading, [[*row, round(one["megabytes"])]]) + "\n")
    return 0


def measure_apart(certificates: int) -> dict[str, Any]:
    """Import a bundle of so many certificates as a dry run, in another process; what `_measure` found."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "bundle.pem"
        write_bundle(file, certificates)
        command = [sys.executable, "-m", "bench.import_check", "--file", str(file)]
        done = subprocess.run(command, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_bundle(path: Path, certificates: int) -> None:
    """Certificates that differ in their names and have one signature: nothing verifies a signature without a CA."""
    leaf = Authority.new("Maker").issue(f"sensor-{'0' * _NUMBER}", not_before=NOW - DAY, not_after=NOW + 365 * DAY)
    body = base64.b64decode("".join(leaf.pem.splitlines()[1:-1]))
    before, name, after = body.partition(b"0" * _NUMBER)
    assert name  # noqa: S101 -- it was just written
    with path.open("w", encoding="ascii") as file:
        for number in range(certificates):
            made = base64.encodebytes(before + b"%0*d" % (_NUMBER, number) + after).decode("ascii")
            file.write(f"-----BEGIN CERTIFICATE-----\n{made}-----END CERTIFICATE-----\n")


def _measure(file: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        fleet: Simulated = deploy_with_source(Path(directory), patch)
        patch.setattr(fleet.aws, "_keep_calls", False)
        said, beside = StringIO(), StringIO()
        before, began = peak_megabytes(), time.perf_counter()
        with redirect_stdout(said), redirect_stderr(beside):
            ended = jitrctl(["device", "import", str(file), "--dry-run", "--json", "--fleet", str(fleet.file)])
        seconds, after = time.perf_counter() - began, peak_megabytes()
    if ended != 0:
        raise RuntimeError(said.getvalue()[:2000] + beside.getvalue()[:2000])
    planned = {stage["planned"] for stage in json.loads(said.getvalue())["stages"]}
    return {
        "planned": min(planned),
        "megabytes_of_the_file": file.stat().st_size / 1e6,
        "seconds": seconds,
        "megabytes": after - before,
    }


if __name__ == "__main__":
    sys.exit(main())
