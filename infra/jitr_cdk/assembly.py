"""The output folder of `cdk synth`: what an earlier synthesis left there, of another fleet file, is deleted.

CDK writes over what has the same name and leaves everything else. So the stacks of a fleet that was synthesized before
would still be linted, and uploaded with the assembly of a pipeline.
"""

import json
import shutil
from pathlib import Path

# Of each stack; CDK names them <artifact id><suffix>.
_SUFFIXES = (".template.json", ".assets.json", ".metadata.json")


def remove_stale(assembly: Path) -> None:
    """Delete the stacks' files and the assets that the assembly's manifest does not lead to; nothing else."""
    artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    stacks = {name for name, one in artifacts.items() if one["type"] == "aws:cloudformation:stack"}
    for suffix in _SUFFIXES:
        for file in assembly.glob(f"*{suffix}"):
            if file.name.removesuffix(suffix) not in stacks:
                file.unlink()
    assets = {
        Path(one["source"]["path"]).name
        for manifest in assembly.glob("*.assets.json")
        for one in json.loads(manifest.read_text(encoding="utf-8")).get("files", {}).values()
    }
    for asset in assembly.glob("asset.*"):
        if asset.name not in assets:
            shutil.rmtree(asset) if asset.is_dir() else asset.unlink()
