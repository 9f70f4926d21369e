"""`cdk synth` on a plane: app.py runs with networking cut off, without credentials and without Docker."""

import json
import os
import subprocess
import sys
from pathlib import Path

from jitr_cdk.asset import ROOT

# Runs app.py with every way out closed: only the pipe to jsii's Node process, no socket to anything but this machine's
# own files. Node gets its own: an unusable proxy and no DNS are not enough, so the whole process has no network.
_CUT_OFF = """
import runpy, socket, sys
def refuse(*args, **kwargs):
    raise OSError("the network is cut off in this test")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


def _environment(out: Path) -> dict[str, str]:
    """Nothing of the user's: no HOME with credentials, no AWS_*, no Docker."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(ROOT / one) for one in ("functions", "fleet", "infra", "")),
        "HOME": str(out / "home"),
        # jsii unpacks aws-cdk-lib into a cache, 20 s long, unless it has one.
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache"),
        "CDK_OUTDIR": str(out / "cdk.out"),
        "DOCKER_HOST": "unix:///nowhere",
        "NODE_OPTIONS": f"--require={out / 'cut-off.cjs'}",
    }


def test_synth_needs_no_network_no_credentials_and_no_docker(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "cut-off.cjs").write_text(
        "const refuse = () => { throw new Error('the network is cut off in this test'); };\n"
        "require('net').Socket.prototype.connect = refuse;\nrequire('dns').lookup = refuse;\n",
        encoding="utf-8",
    )

    done = subprocess.run(
        [sys.executable, "-c", _CUT_OFF],
        cwd=ROOT,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    artifacts = json.loads((tmp_path / "cdk.out" / "manifest.json").read_text(encoding="utf-8"))["artifacts"].values()
    stacks = {one["displayName"] for one in artifacts if one["type"] == "aws:cloudformation:stack"}
    assert {"dev/eu-central-1", "prod/eu-central-1"} <= stacks


def test_a_wrong_fleet_file_is_reported_with_file_and_line_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text('[fleet]\nname = "acme"\nnmae = "twice"\n', encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | {"CDK_CONTEXT_JSON": json.dumps({"fleet": str(tmp_path / "fleet.toml")})},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert f"{tmp_path / 'fleet.toml'}:3:" in done.stderr
    assert "Traceback" not in done.stderr
