"""The wheel that this project builds."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]


def test_the_wheel_installs_only_names_of_ours(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "jitr",
        "jitr_cdk",
        "jitr_fleet",
        "jitrctl",
    }
    assert {"jitr/handlers/register.py", "jitr_fleet/parse.py", "jitr_cdk/stage.py"} <= set(names)
