"""What an earlier synthesis of another fleet left in the output folder is deleted, and nothing else."""

import subprocess
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as assets

from jitr_cdk.assembly import remove_stale
from jitr_cdk.asset import ROOT


def synthesize(out: Path, *stacks: str, shipping: Path) -> set[str]:
    """Make stacks with an asset, into the folder; what is in it then."""
    app = cdk.App(outdir=str(out), analytics_reporting=False)
    for name in stacks:
        assets.Asset(cdk.Stack(app, name), "Asset", path=str(shipping))
    remove_stale(Path(app.synth().directory))
    return {path.name for path in out.iterdir()}


def test_the_stacks_and_assets_of_another_fleet_go_and_a_users_own_files_stay(tmp_path: Path) -> None:
    out, old, new = tmp_path / "cdk.out", tmp_path / "old", tmp_path / "new"
    for code in (old, new):
        code.mkdir()
        (code / "code.py").write_text(code.name)
    first = synthesize(out, "kept", "gone", shipping=old)
    (out / "notes.txt").write_text("a user's")
    assert {"gone.template.json", "gone.assets.json"} <= first

    second = synthesize(out, "kept", shipping=new)

    assert not [name for name in second if name.startswith("gone")]
    assert {"kept.template.json", "kept.assets.json", "manifest.json", "notes.txt"} <= second
    (stale,) = {name for name in first if name.startswith("asset.")}
    (shipped,) = {name for name in second if name.startswith("asset.")}
    assert stale != shipped


def test_make_synth_takes_another_fleet_file() -> None:
    shown = [
        subprocess.run(["make", "-n", "synth", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for words in ([], ["FLEET=fleets/two accounts.toml"])
    ]
    assert ["fleet=" in one for one in shown] == [False, True]
    assert "-c 'fleet=fleets/two accounts.toml'" in shown[1]


def test_npm_says_nothing_of_funding_audits_and_its_own_versions() -> None:
    lines = (ROOT / ".npmrc").read_text(encoding="utf-8").splitlines()
    assert {"audit=false", "fund=false", "update-notifier=false"} <= set(lines)
