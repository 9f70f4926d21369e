"""Runs code in new processes that have what Lambda gives a function: its directory, layer and boto3; no network."""

import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")  # before the CDK is imported

from bench.situation import SETTINGS, Situation
from jitr_cdk.asset import function_asset, layer_asset
from jitr_cdk.target import local

# What Lambda's Python runtime brings, byte-compiled.
_RUNTIME = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six", "jmespath")
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "canned",
    "AWS_SECRET_ACCESS_KEY": "canned",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "PATH": "/usr/bin:/bin",
}
_PRELUDE = """
import sys
sys.path[:0] = {paths!r}
import json
from pathlib import Path
import canned
situation = json.loads(Path({situation!r}).read_text())
wire = canned.Canned(**situation["canned"])
wire.install()

class Context:
    aws_request_id = "00000000-0000-0000-0000-000000000000"
    get_remaining_time_in_millis = staticmethod(lambda: 60_000)

"""


class Sandbox:
    """Directories to import from, and the situation that code finds there."""

    def __init__(self, paths: list[str], situation: Path) -> None:
        self._paths = paths
        self._situation = situation

    def run(self, code: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run code in a new process, with the names `situation`, `wire` (canned.Canned) and `Context`.

        Raises SystemExit with its error output if it fails.
        """
        prelude = _PRELUDE.format(paths=self._paths, situation=str(self._situation))
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", *options, "-c", prelude + code],
            env=SETTINGS.to_environ() | _ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"a measured process failed:\n{done.stderr}")
        return done

    def measure(self, code: str) -> dict[str, float]:
        """Run code whose last line of output is a JSON object of numbers; returns that object."""
        found: dict[str, float] = json.loads(self.run(code).stdout.splitlines()[-1])
        return found


@contextmanager
def sandboxes(here: Situation) -> Iterator[dict[bool, Sandbox]]:
    """Two sandboxes: with byte-code in the function's directory and its layer, and without."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        runtime = root / "runtime"
        runtime.mkdir()
        for name in _RUNTIME:
            source = _installed(name)
            (runtime / source.name).symlink_to(source)
        (root / "situation.json").write_text(json.dumps(here.document), encoding="utf-8")
        yield {
            byte_code: Sandbox([*_directories(here, root, byte_code=byte_code), str(runtime)], root / "situation.json")
            for byte_code in (True, False)
        }


def _installed(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed: run `make setup`")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _directories(here: Situation, root: Path, *, byte_code: bool) -> list[str]:
    mine = root / f"byte-code-{byte_code}"
    shutil.copytree(function_asset(here.rules, local()).directory, mine / "function")
    shutil.copytree(layer_asset(local()).directory / "python", mine / "layer")
    for name in ("canned.py", "floor.py"):
        shutil.copy(Path(__file__).with_name(name), mine / "function")
    for cache in [] if byte_code else list(mine.rglob("__pycache__")):
        shutil.rmtree(cache)
    if byte_code:
        compileall.compile_dir(mine, quiet=1)
    return [str(mine / "function"), str(mine / "layer")]
