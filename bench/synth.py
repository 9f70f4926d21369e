"""How long `cdk synth` takes for a large fleet, and how much memory: 50 accounts, 2 Regions each, 4 CAs in all of them.

    python bench/synth.py [ACCOUNTS]

Makes the fleet file and its CAs in a temporary directory, runs app.py on it as the CDK CLI does, and adds up the memory
of Python and of the Node process behind it, as the kernel shares it out (PSS), ten times a second.
"""

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

ROOT = Path(__file__).parents[1]
ACCOUNTS, REGIONS, CAS = 50, ("eu-central-1", "us-east-1"), 4
MOST_SECONDS, MOST_MEGABYTES = 60, 1500


def main() -> int:
    accounts = int(sys.argv[1]) if len(sys.argv) > 1 else ACCOUNTS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fleet_file = write_fleet(folder, accounts)
        began = time.monotonic()
        megabytes = synthesized(fleet_file, folder / "cdk.out")
        seconds = time.monotonic() - began
        stacks = len(list((folder / "cdk.out").glob("*.template.json")))
        layers = len({path.name for path in (folder / "cdk.out").glob("asset.*") if (path / "python").is_dir()})
        functions = len({path.name for path in (folder / "cdk.out").glob("asset.*") if (path / "jitr").is_dir()})
    print(f"{accounts} accounts, {len(REGIONS)} Regions each, {CAS} CAs: {stacks} stacks")  # noqa: T201 -- its purpose
    print(f"{seconds:.1f} s and {megabytes:.0f} MB at most, on {os.cpu_count()} cores")  # noqa: T201
    print(f"{layers} layer, {functions} function assets")  # noqa: T201
    return int(seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES)


def write_fleet(folder: Path, accounts: int) -> Path:
    """A fleet file with its CAs' certificates; the keys are gone as soon as they have signed."""
    lines = ["[fleet]", 'name = "large"']
    for number in range(CAS):
        (folder / f"ca-{number}.pem").write_bytes(_certificate(f"CA {number}"))
        lines += [
            f"[ca.factory-{number}]",
            f'certificate = "ca-{number}.pem"',
            f'common_name = "device-{number}-[0-9]+"',
            f'thing_type = "type-{number}"',
            f'thing_groups = ["group-{number}"]',
        ]
    for account in range(accounts):
        lines += [f"[account.account-{account}]", f'id = "{100_000_000_000 + account}"']
        lines += ['regions = ["' + '", "'.join(REGIONS) + '"]']
        lines += [f'ca.factory-{number} = {{ mode = "SNI_ONLY" }}' for number in range(CAS)]
    path = folder / "fleet.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def synthesized(fleet_file: Path, out: Path) -> float:
    """Run app.py as the CDK CLI does; the most memory of its processes together, in MB."""
    environ = os.environ | {"CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": f'{{"fleet": "{fleet_file}"}}'}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environ)
    most = 0.0
    while process.poll() is None:
        most = max(most, sum(map(_megabytes, _tree(process.pid))))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    if process.returncode:
        raise SystemExit(f"app.py failed with {process.returncode}")
    return most


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    pids = [pid]
    for one in pids:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        except OSError:  # it has ended meanwhile
            continue
    return pids


def _megabytes(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _certificate(common_name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


if __name__ == "__main__":
    sys.exit(main())
