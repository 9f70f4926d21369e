"""Builds the two assets for Lambda: the directory of the functions, and the layer with their dependencies.

Both are built before `Code.from_asset`, without Docker and without the network: CDK's own bundling caches by source
path and options, so two stages would get the first one's rules. The layer is the same for all functions and stages of a
target, and is built once; a function's directory is the source and the stage's rules.json.

Asset hashes are computed from the inputs (sources, rules, wheels, target), not from the result, so that neither a
`__pycache__` nor a file time makes a new version.
"""

import compileall
import hashlib
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from types import MappingProxyType

from aws_cdk import aws_lambda as lambda_

from jitr.rules import RULES_FILE, Rules
from jitr_cdk.target import Target

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
WHEELS = ROOT / ".wheels"
BUILD = ROOT / "build"


class AssetError(Exception):
    """An asset cannot be built; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A directory that is ready to be zipped, and the hash of what it was made from."""

    directory: Path
    hash: str

    def code(self) -> lambda_.Code:
        # With a custom hash CDK copies the directory to cdk.out/asset.<hash>, and does not hash it.
        return lambda_.Code.from_asset(str(self.directory), asset_hash=self.hash)


def function_asset(rules: Rules, target: Target, more: Mapping[str, str] = MappingProxyType({})) -> Asset:
    """functions/ as it will be under /var/task, with the stage's rules.json beside the package.

    `more` are other files there: name → text.
    """
    sources = sorted(path for path in FUNCTIONS.rglob("*.py") if path.is_file())
    beside = {RULES_FILE: rules.to_json(), **more}
    parts = [part for path in sources for part in (path.relative_to(FUNCTIONS).as_posix().encode(), path.read_bytes())]
    key = _hash(
        [*parts, *(part.encode() for one in sorted(beside.items()) for part in one), _byte_code(target).encode()]
    )
    return Asset(_build(f"function-{key}", target, lambda out: _fill_function(out, sources, beside)), key)


def layer_asset(target: Target) -> Asset:
    """The functions' dependencies, unpacked from the wheels that `make wheels` fetched for the target.

    Raises AssetError when there are none.
    """
    wheels = sorted((WHEELS / target.wheels).glob("*.whl"))
    if not wheels:
        raise AssetError(f"no wheels in {WHEELS / target.wheels}: run `make wheels` once, with the network")
    key = _hash([target.wheels.encode(), *(wheel.name.encode() for wheel in wheels), _byte_code(target).encode()])
    return Asset(_build(f"layer-{key}", target, lambda out: _fill_layer(out, wheels)), key)


def explain_missing_byte_code(target: Target) -> str | None:
    """The warning that the assets are built without byte-code; None if they have it."""
    if _byte_code(target):
        return None
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"this is {ours}, so the functions have no byte-code for {target.runtime.name}: everything works, but each "
        f"cold start compiles what it imports, some 0.3 s; `make PYTHON={target.runtime.name} setup` avoids that"
    )


def _byte_code(target: Target) -> str:
    """The interpreter whose byte-code the asset holds: this one, if it is the target's; else the empty string.

    Without byte-code every cold start compiles what it imports, since /var/task and /opt are read-only: some 0.3 s.
    """
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return ours if target.runtime.name == ours else ""


def _fill_function(out: Path, sources: Iterable[Path], beside: Mapping[str, str]) -> None:
    for path in sources:
        copy = out / path.relative_to(FUNCTIONS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for name, text in beside.items():
        (out / name).write_text(text, encoding="utf-8")


def _fill_layer(out: Path, wheels: Iterable[Path]) -> None:
    """Unpack wheels; that is the same as installing them, since they hold only modules.

    pip would check every tag, and add scripts and byte-code of its own interpreter.
    """
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            if any(".data/purelib/" in name or ".data/platlib/" in name for name in names):
                raise AssetError(f"{wheel.name} must be installed, not unpacked: pin another version of it")
            # Scripts for a terminal are of no use in a function.
            archive.extractall(out / "python", [name for name in names if ".data/" not in name])


def _build(name: str, target: Target, fill: Callable[[Path], None]) -> Path:
    """Build into a temporary directory and move it into place, so that a directory that exists is complete."""
    directory = BUILD / name
    if directory.is_dir():
        return directory
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
        out = Path(temporary) / name
        out.mkdir()
        fill(out)
        if _byte_code(target):
            # The CDK CLI dates every zip entry 1980, so byte-code that is checked by file times would be stale.
            mode = PycInvalidationMode.UNCHECKED_HASH
            compileall.compile_dir(out, quiet=1, force=True, invalidation_mode=mode, stripdir=str(out))
        try:
            out.rename(directory)
        except OSError:
            if not directory.is_dir():  # another synth was first, with the same content
                raise
    return directory


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:32]
