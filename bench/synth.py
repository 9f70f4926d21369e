"""Measures large fleets: time and memory of `cdk synth`, and the size of templates and rules.

    python -m bench.synth [many-stages] [many-cas] [many-accounts]

`many-stages` has 50 accounts with 2 Regions and 4 CAs each; `many-cas` one account with the hub and 100 CAs that its
stack registers; `many-accounts` 400 accounts with a hub that admits their organization. Without a name, all three.

Writes the fleet file and its CAs into a temporary directory, runs app.py on it as the CDK CLI does, and adds up the
proportional memory (PSS) of Python and its Node process ten times a second. The largest template is compared with
CloudFormation's limits (fleet/jitr_fleet/ceilings.py), time and memory with the fleet's goal; the exit code is 1 if one
is exceeded.
"""

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from jitr_fleet.ceilings import MOST_PARAMETERS, MOST_RESOURCES, MOST_TEMPLATE_BYTES

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A fleet to synthesize, and its limits on two idle cores."""

    accounts: int
    regions: tuple[str, ...] = ("eu-central-1",)
    cas: int
    ca: str = ""  # more lines for each CA; NUMBER is replaced by the CA's number
    hub: str = ""  # more lines of [hub]; without them there is none
    most_seconds: int
    most_megabytes: int = 1500


SHAPES = {
    "many-stages": Shape(
        accounts=50,
        regions=("eu-central-1", "us-east-1"),
        cas=4,
        ca='thing_type = "type-NUMBER"\nthing_groups = ["group-NUMBER"]',
        most_seconds=60,
    ),
    "many-cas": Shape(accounts=1, cas=100, ca='registered_by = "stack"', hub='account = "account-0"', most_seconds=60),
    "many-accounts": Shape(
        accounts=400,
        cas=1,
        hub='account = "account-0"\norganization = "o-a1b2c3d4e5"',
        most_seconds=240,
        most_megabytes=3000,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest:
    """The largest of each kind in one synthesized fleet."""

    template_bytes: int
    resources: int
    parameters: int
    rules_bytes: int  # of rules.json in a function's asset

    @classmethod
    def of(cls, assembly: Path) -> "Largest":
        templates = list(assembly.glob("*.template.json"))
        read = [json.loads(path.read_text(encoding="utf-8")) for path in templates]
        return cls(
            template_bytes=max(path.stat().st_size for path in templates),
            resources=max(len(one["Resources"]) for one in read),
            parameters=max(len(one.get("Parameters", {})) for one in read),
            rules_bytes=max(path.stat().st_size for path in assembly.glob("asset.*/rules.json")),
        )

    @property
    def fits(self) -> bool:
        return (
            self.template_bytes <= MOST_TEMPLATE_BYTES
            and self.resources <= MOST_RESOURCES
            and self.parameters <= MOST_PARAMETERS
        )

    def __str__(self) -> str:
        return (
            f"largest template: {self.template_bytes:,} bytes of {MOST_TEMPLATE_BYTES:,}, "
            f"{self.resources} resources of {MOST_RESOURCES}, {self.parameters} parameters of {MOST_PARAMETERS}; "
            f"largest rules.json: {self.rules_bytes:,} bytes"
        )


def main() -> int:
    names = sys.argv[1:] or list(SHAPES)
    if unknown := [name for name in names if name not in SHAPES]:
        raise SystemExit(f"no fleet is called {unknown[0]}; there are {', '.join(SHAPES)}")
    kept = [measure(name, SHAPES[name]) for name in names]  # all are measured, even if the first one fails
    return int(not all(kept))


def measure(name: str, shape: Shape) -> bool:
    """Synthesize a fleet and print its figures; returns whether it reaches its goal and fits."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fleet_file = write_fleet(folder, shape)
        began = time.monotonic()
        megabytes = synthesize(fleet_file, folder / "cdk.out")
        seconds = time.monotonic() - began
        largest = Largest.of(folder / "cdk.out")
        stacks = len(list((folder / "cdk.out").glob("*.template.json")))
        layers = len({path.name for path in (folder / "cdk.out").glob("asset.*") if (path / "python").is_dir()})
        functions = len({path.name for path in (folder / "cdk.out").glob("asset.*") if (path / "jitr").is_dir()})
    hub = ", a hub" if shape.hub else ""
    print(  # noqa: T201 -- its purpose
        f"{name}: accounts {shape.accounts}, Regions each {len(shape.regions)}, CAs {shape.cas}{hub}: {stacks} stacks\n"
        f"  {seconds:.1f} s and {megabytes:.0f} MB at most, on {os.cpu_count()} cores\n"
        f"  layers {layers}, function assets {functions}; {largest}",
        flush=True,
    )
    return largest.fits and seconds <= shape.most_seconds and megabytes <= shape.most_megabytes


def write_fleet(folder: Path, shape: Shape) -> Path:
    """Write a fleet file with its CAs' certificates; the keys are not kept."""
    lines = ["[fleet]", 'name = "large"']
    for number in range(shape.cas):
        (folder / f"ca-{number}.pem").write_bytes(_certificate(f"CA {number}"))
        lines += [
            f"[ca.factory-{number}]",
            f'certificate = "ca-{number}.pem"',
            f'common_name = "device-{number}-[0-9]+"',
            shape.ca.replace("NUMBER", str(number)),
        ]
    for account in range(shape.accounts):
        lines += [f"[account.account-{account}]", f'id = "{100_000_000_000 + account}"']
        lines += ['regions = ["' + '", "'.join(shape.regions) + '"]']
        lines += [f'ca.factory-{number} = {{ mode = "SNI_ONLY" }}' for number in range(shape.cas)]
    if shape.hub:
        lines += ["[hub]", shape.hub]
    path = folder / "fleet.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def synthesize(fleet_file: Path, out: Path) -> float:
    """Run app.py as the CDK CLI does; returns the peak memory of its processes together, in MB."""
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
