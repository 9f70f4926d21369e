"""What is shipped, without what is not: the function and layer as built, imported where there is nothing else."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from aws_cdk import aws_lambda as lambda_

from jitr.handlers.hub import HUB_TABLE
from jitr.hub.locations import HOMES_FILE
from jitr.rules import Rules
from jitr.settings import Settings
from jitr_cdk.asset import ROOT, explain_missing_byte_code, function_asset, layer_asset
from jitr_cdk.target import AWS, Target, local
from jitr_fleet.parse import load

# What Lambda's Python runtime brings (and nothing of it may come from the asset).
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six", "jmespath")
HANDLERS = ("jitr.handlers.register", "jitr.handlers.sweep", "jitr.handlers.hub")
MAXIMUM_ZIPPED = 9_000_000  # bytes, function and layer together

SETTINGS = Settings(
    fleet="acme",
    account_id="111111111111",
    region="eu-central-1",
    registry_table="jitr-acme-registry",
    crl_bucket="jitr-acme-crl-111111111111-eu-central-1",
    enrollment_table="jitr-acme-enrollment",
    registrations_queue_url="https://sqs.eu-central-1.amazonaws.com/111111111111/jitr-acme-registrations",
    dead_letter_queue_url="https://sqs.eu-central-1.amazonaws.com/111111111111/jitr-acme-dead-letters",
    crl_queue_url="https://sqs.eu-central-1.amazonaws.com/111111111111/jitr-acme-crls",
    event_bus="default",
    activations_per_second=10,
    max_concurrency=5,
)


@pytest.fixture(scope="module")
def rules() -> Rules:
    fleet = load(ROOT / "fleet.toml")
    return fleet.rules(fleet.accounts[0], "eu-central-1")


@pytest.fixture(scope="module")
def beside() -> dict[str, str]:
    """What stands beside the rules where the hub is."""
    return {HOMES_FILE: load(ROOT / "fleet.toml").homes().to_json()}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the runtime's packages alone."""
    directory = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_PACKAGES:
        spec = find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)
    return directory


@pytest.fixture(scope="module")
def shipped(rules: Rules, beside: dict[str, str], runtime: Path) -> tuple[Path, ...]:
    """What a built function has to import from: itself, its layer, and the runtime."""
    target = local()
    return function_asset(rules, target, beside).directory, layer_asset(target).directory / "python", runtime


def _isolated(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run code with these directories and the standard library to import from, in Lambda's order."""
    prelude = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", prelude + code],
        env=SETTINGS.to_environ()
        | {
            HUB_TABLE: "jitr-acme-hub",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("handler", HANDLERS)
def test_the_built_asset_starts_with_nothing_but_its_layer_and_the_runtime(
    handler: str, shipped: tuple[Path, ...]
) -> None:
    done = _isolated(f"import {handler} as shipped; print(callable(shipped.handler))", *shipped)

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["True"]), done.stderr


def test_the_test_above_would_see_a_missing_dependency(rules: Rules, runtime: Path) -> None:
    done = _isolated("import jitr.handlers.register", function_asset(rules, local()).directory, runtime)

    assert "No module named 'aws_lambda_powertools'" in done.stderr


@pytest.mark.parametrize("handler", HANDLERS)
def test_no_garbage_is_looked_for_while_a_function_starts_and_none_of_it_is_looked_through_again(
    handler: str, shipped: tuple[Path, ...]
) -> None:
    code = (
        "import gc, jitr.handlers\n"
        "def looks(): return sum(generation['collections'] for generation in gc.get_stats())\n"
        "before = looks()\n"
        f"import {handler}\n"
        "print(looks() - before, gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )

    done = _isolated(code, *shipped)

    assert done.stdout.splitlines()[-1:] == ["0 True True"], done.stderr


def test_the_function_asset_is_the_package_and_its_rules_alone(rules: Rules) -> None:
    directory = function_asset(rules, AWS).directory

    assert sorted(path.name for path in directory.iterdir()) == ["jitr", "rules.json"]
    assert {path.suffix for path in (directory / "jitr").rglob("*") if path.is_file()} == {".py"}
    assert Rules.load(directory) == rules


def test_rules_that_differ_make_another_asset_and_the_same_rules_the_same(rules: Rules) -> None:
    other = Rules(fleet=rules.fleet, cas=rules.cas, pending_after=rules.pending_after + 1)

    assert function_asset(rules, AWS) == function_asset(rules, AWS)
    assert function_asset(other, AWS).hash != function_asset(rules, AWS).hash
    assert function_asset(other, AWS).directory != function_asset(rules, AWS).directory


def test_byte_code_makes_another_asset(rules: Rules) -> None:
    """Compiled for one interpreter, for another one, or not at all: never under the same hash."""
    compiled = local()
    elsewhere = replace(compiled, runtime=lambda_.Runtime("python3.99", lambda_.RuntimeFamily.PYTHON))

    assert function_asset(rules, compiled).hash != function_asset(rules, elsewhere).hash
    assert layer_asset(compiled).hash != layer_asset(elsewhere).hash


def test_other_versions_and_another_runtime_or_processor_make_another_layer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("jitr_cdk.asset.WHEELS", tmp_path)
    monkeypatch.setattr("jitr_cdk.asset.BUILD", tmp_path / "build")

    def with_wheel(folder: str, version: str) -> str:
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
        (tmp_path / folder).mkdir()
        with zipfile.ZipFile(tmp_path / folder / f"one-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("one.py", "")
        return layer_asset(replace(AWS, wheels=folder)).hash

    hashes = [with_wheel("python3.13-aarch64", "1.0"), with_wheel("python3.13-aarch64", "1.1")]
    hashes += [with_wheel("python3.13-x86_64", "1.0"), with_wheel("python3.14-aarch64", "1.0")]
    assert len(set(hashes)) == 4
    assert with_wheel("python3.13-aarch64", "1.0") == hashes[0]


def test_running_python_in_the_tree_does_not_change_the_asset(rules: Rules) -> None:
    before = function_asset(rules, AWS).hash
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-f", str(ROOT / "functions")], check=True)

    assert function_asset(rules, AWS).hash == before


def test_the_runtimes_boto3_is_not_shipped() -> None:
    names = {path.name for path in (layer_asset(AWS).directory / "python").iterdir()}

    assert not names & {"boto3", "botocore", "s3transfer"}
    assert {"aws_lambda_powertools", "cryptography"} <= names


def test_compiled_modules_are_for_the_targets_processor() -> None:
    compiled = [path.name for path in layer_asset(AWS).directory.rglob("*.so")]

    assert compiled
    assert not [name for name in compiled if "x86_64" in name]


def test_function_and_layer_stay_small(rules: Rules, tmp_path: Path) -> None:
    size = sum(_zipped(asset.directory, tmp_path) for asset in (function_asset(rules, AWS), layer_asset(AWS)))

    assert size < MAXIMUM_ZIPPED


def _zipped(directory: Path, tmp_path: Path) -> int:
    archive = tmp_path / f"{directory.name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(directory.rglob("*")):
            out.write(path, path.relative_to(directory))
    return archive.stat().st_size


def test_byte_code_is_used_whatever_the_files_times_are(rules: Rules) -> None:
    target: Target = local()
    function = function_asset(rules, target).directory
    (compiled,) = (function / "jitr" / "__pycache__").glob("errors.*.pyc")

    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")

    assert flags == 0b01, "hash-based, and not checked against the source (PEP 552)"


def test_without_wheels_the_error_says_what_to_run() -> None:
    from jitr_cdk.asset import AssetError  # noqa: PLC0415

    missing = Target(runtime=AWS.runtime, architecture=AWS.architecture, wheels="nowhere")

    with pytest.raises(AssetError, match="make wheels"):
        layer_asset(missing)


def test_rules_in_the_asset_are_readable_json(rules: Rules) -> None:
    document = json.loads((function_asset(rules, AWS).directory / "rules.json").read_text(encoding="utf-8"))

    assert document["fleet"] == "acme"
    assert document["cas"][0]["certificate_mode"] == "DEFAULT"


# Imports the handlers where compiling any source of the assets is an error.
_WITHOUT_COMPILING = """
from importlib.machinery import SourceFileLoader
ours = tuple(sys.path[:2])
compile_it = SourceFileLoader.source_to_code
def refuse(loader, data, path, **options):
    if str(path).startswith(ours):
        raise AssertionError(f"compiled {path}")
    return compile_it(loader, data, path, **options)
SourceFileLoader.source_to_code = refuse
import jitr.handlers.register, jitr.handlers.sweep, jitr.handlers.hub
print(len([one for one in sys.modules.values() if (getattr(one, "__file__", None) or "").startswith(ours)]))
"""


def _dated_1980(directory: Path, copy: Path) -> Path:
    """A copy whose files all have the time that the CDK CLI gives to the entries of its archives."""
    shutil.copytree(directory, copy)
    for path in copy.rglob("*"):
        os.utime(path, (315_532_800, 315_532_800))
    return copy


def test_no_source_is_compiled_at_a_cold_start_though_all_files_are_dated_1980(
    rules: Rules, beside: dict[str, str], runtime: Path, tmp_path: Path
) -> None:
    function = _dated_1980(function_asset(rules, local(), beside).directory, tmp_path / "function")
    layer = _dated_1980(layer_asset(local()).directory / "python", tmp_path / "layer")

    done = _isolated(_WITHOUT_COMPILING, function, layer, runtime)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 50, "modules of ours and of the layer were imported"


def test_the_test_above_would_see_a_source_compiled(rules: Rules, runtime: Path, tmp_path: Path) -> None:
    function = _dated_1980(function_asset(rules, local()).directory, tmp_path / "function")
    layer = layer_asset(local()).directory / "python"
    for compiled in (function / "jitr" / "__pycache__").glob("errors.*"):
        compiled.unlink()

    done = _isolated(_WITHOUT_COMPILING, function, layer, runtime)

    assert "jitr/errors.py" in done.stderr


def test_whoever_builds_without_the_targets_interpreter_is_told() -> None:
    other = replace(AWS, runtime=lambda_.Runtime("python3.99", lambda_.RuntimeFamily.PYTHON))

    assert explain_missing_byte_code(local()) is None
    assert "no byte-code for python3.99" in (explain_missing_byte_code(other) or "")
