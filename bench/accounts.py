"""Measures how long `jitrctl ca status` takes for a fleet of fifty accounts, each call answered after 100 ms.

    python -m bench.accounts --accounts 50 --latency 0.1

The command runs as a process of its own, against an endpoint on loopback (bench/endpoint.py) that answers over TLS, as
AWS does: opening fifty accounts is mostly Python's and OpenSSL's work, which is measured. Trusted are botocore's
certificates and the endpoint's. The endpoint works on the same processors.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.endpoint import BenchFleet, serve
from bench.table import Row, machine, markdown

GOAL = 10.0  # seconds, for fifty accounts
ACCOUNTS = 50
_NAME = "large"
_REGIONS = ("eu-central-1", "us-east-1", "us-west-2", "eu-west-1", "ap-south-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTimes:
    """`ca status` over one fleet, several times; times in seconds."""

    accounts: int
    regions: int
    cas: int
    latency: float
    runs: int
    by: str  # "profiles", one for each account, or "roles" behind one profile
    seconds: float  # the median run, from the process's start to its end
    slowest: float
    processor_seconds: float  # jitrctl's own, of the median run


def main() -> int:
    """Measure, and print a table, or JSON; returns 1 if fifty accounts take longer than the goal."""
    parser = argparse.ArgumentParser(prog="python -m bench.accounts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, ACCOUNTS])
    parser.add_argument("--regions", type=int, default=1, choices=range(1, len(_REGIONS) + 1), help="in each account")
    parser.add_argument("--cas", type=int, default=1, help="in each account")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds until a call is answered")
    parser.add_argument("--roles", action="store_true", help="one profile, and a role in each account")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [
        measure(
            accounts,
            regions=options.regions,
            cas=options.cas,
            latency=options.latency,
            runs=options.runs,
            roles=options.roles,
        )
        for accounts in options.accounts
    ]
    sys.stdout.write(json.dumps([asdict(one) for one in found], indent=2) + "\n" if options.json else table(found))
    return int(any(one.accounts <= ACCOUNTS and one.seconds > GOAL for one in found))


def table(found: list[StatusTimes]) -> str:
    """A table, with the machine's description below it."""
    rows: list[Row] = [
        [one.accounts, one.by, one.regions, one.cas, one.seconds, one.slowest, one.processor_seconds, one.latency]
        for one in found
    ]
    header = ("accounts", "opened by", "Regions each", "CAs", "seconds", "slowest", "of a processor", "seconds a call")
    return f"{markdown(header, rows)}\nMedians of {found[0].runs}, on {machine()}.\n"


def measure(
    accounts: int, *, regions: int = 1, cas: int = 1, latency: float = 0.1, runs: int = 5, roles: bool = False
) -> StatusTimes:
    """Run `jitrctl ca status --json` `runs` times over a fleet of that size.

    Raises SystemExit if it reports a stage that differs from the fleet file.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ids = {f"factory-{number}": _write_ca(folder / f"factory-{number}.pem") for number in range(cas)}
        with _endpoint(folder, BenchFleet(name=_NAME, cas=ids), latency) as url:
            fleet_file = _write_fleet(folder, accounts, regions, list(ids), roles=roles)
            _write_profiles(folder, accounts, url)
            timed = sorted(_time_one_run(fleet_file, accounts * regions) for _ in range(runs))
    return StatusTimes(
        accounts=accounts,
        regions=regions,
        cas=cas,
        latency=latency,
        runs=runs,
        by="roles" if roles else "profiles",
        seconds=median(seconds for seconds, _ in timed),
        slowest=timed[-1][0],
        processor_seconds=timed[len(timed) // 2][1],
    )


def _time_one_run(fleet_file: Path, stages: int) -> tuple[float, float]:
    """Seconds and processor seconds of one run."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ["AWS_CONFIG_FILE"] = str(fleet_file.with_name("config"))
    environ["AWS_CA_BUNDLE"] = str(fleet_file.with_name("trusted.pem"))
    environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    before, began = _children_seconds(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "jitrctl", "ca", "status", "--json", "--fleet", str(fleet_file)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    status = json.loads(done.stdout or "{}")
    if done.returncode or not status.get("ok") or len(status["stages"]) != stages:
        raise SystemExit(f"`jitrctl ca status` ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr}")
    return seconds, _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _endpoint(folder: Path, fleet: BenchFleet, latency: float) -> Iterator[str]:
    """The endpoint, in a process of its own; its URL."""
    tls = write_tls(folder)
    ours, theirs = Pipe(duplex=False)
    process = Process(target=_serve, args=(fleet, tls, latency, theirs), daemon=True)
    process.start()
    try:
        yield f"https://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(fleet: BenchFleet, tls: tuple[Path, Path], latency: float, ports: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    asyncio.run(serve(fleet, context, latency=latency, ports=ports))


def write_tls(folder: Path) -> tuple[Path, Path]:
    """The endpoint's certificate and key; also writes `trusted.pem`: it and botocore's authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = _builder("127.0.0.1", key).add_extension(x509.SubjectAlternativeName([address]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    certificate, private = folder / "endpoint.pem", folder / "endpoint.key"
    certificate.write_bytes(pem)
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "trusted.pem").write_bytes((Path(botocore.__file__).parent / "cacert.pem").read_bytes() + pem)
    return certificate, private


def _write_ca(path: Path) -> str:
    """Write a CA's certificate, whose key is not kept; returns its certificate id."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _builder(path.stem, key).sign(key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate.fingerprint(hashes.SHA256()).hex()


def _builder(common_name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]), datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )


def _write_fleet(folder: Path, accounts: int, regions: int, cas: list[str], *, roles: bool) -> Path:
    lines = ["[fleet]", f'name = "{_NAME}"']
    for ca in cas:
        lines += [f"[ca.{ca}]", f'certificate = "{ca}.pem"', f'common_name = "{ca}-[0-9]+"']
    for account in range(accounts):
        profile = _profile(0 if roles else account)
        lines += [f"[account.account-{account}]", f'id = "{_id(account)}"', f'profile = "{profile}"']
        lines += [f'role_arn = "arn:aws:iam::{_id(account)}:role/operator"'] if roles else []
        lines += [f"regions = {json.dumps(_REGIONS[:regions])}", *(f'ca.{ca} = {{ mode = "SNI_ONLY" }}' for ca in cas)]
    path = folder / "fleet.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _write_profiles(folder: Path, accounts: int, url: str) -> None:
    """Write an AWS configuration with a profile for each account, with this endpoint."""
    profiles = (
        f"[profile {_profile(account)}]\naws_access_key_id = {_id(account)}\naws_secret_access_key = none\n"
        f"endpoint_url = {url}\n"
        for account in range(accounts)
    )
    (folder / "config").write_text("".join(profiles), encoding="utf-8")


def _id(account: int) -> str:
    return str(100_000_000_000 + account)


def _profile(account: int) -> str:
    return f"large-{account}"


if __name__ == "__main__":
    sys.exit(main())
