"""Fetches the wheels of the functions' dependencies once, so that `cdk synth` needs no network.

    python -m jitr_cdk.wheels

The dependencies are `[project].dependencies` of pyproject.toml, at the versions in constraints.txt: once for AWS's
runtime and processor, and once for this machine's, on which the local AWS runs the functions.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

from jitr_cdk.asset import ROOT, WHEELS
from jitr_cdk.target import AWS, local

# Amazon Linux 2023 has glibc 2.34, so manylinux up to 2_34 runs there.
_AWS_PLATFORMS = ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = AWS.runtime.name.removeprefix("python")
    platforms = [option for platform in _AWS_PLATFORMS for option in ("--platform", platform)]
    _fetch(WHEELS / AWS.wheels, project["dependencies"], ["--python-version", version, *platforms])
    _fetch(WHEELS / local().wheels, project["dependencies"], [])
    return 0


def _fetch(directory: Path, requirements: list[str], options: list[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for wheel in directory.glob("*.whl"):
        wheel.unlink()  # of another version, perhaps
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--disable-pip-version-check"),
            *("--dest", str(directory), "--constraint", str(ROOT / "constraints.txt"), *options, *requirements),
        ],
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())
