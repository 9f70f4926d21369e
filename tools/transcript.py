"""Writes a real run of `jitrctl demo` into docs/demo.md, and three of its steps into the README.

python tools/transcript.py
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README, WHOLE = ROOT / "README.md", ROOT / "docs" / "demo.md"
BEGIN, END = "<!-- transcript: make docs -->\n", "<!-- end of transcript -->"
# The README's steps: a device connects, moves with the same certificate, and others are refused.
TURNS = ("A new device connects", "The same device", "Devices that must not get in")


def put(page: Path, lines: str) -> None:
    """Write the lines into the page, between its two markers."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}```console\n$ make demo\n{lines}\n```\n{END}{after}", encoding="utf-8")


def shorten(lines: str) -> str:
    """The three steps of the README.

    Raises ValueError if the demo has no step of such a title.
    """
    steps = re.split(r"\n\n(?=[0-9]+  |Done in )", lines)
    chosen = [step for turn in TURNS for step in steps if re.match(rf"[0-9]+  {turn}", step)]
    if len(chosen) != len(TURNS):
        raise ValueError(f"the demo's steps are no longer called {', '.join(TURNS)}")
    return "\n\n".join(["…", *chosen, "…"])


def main() -> int:
    demo = Path(sys.executable).parent / "jitrctl"
    environ = os.environ | {"COLUMNS": "100", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([demo, "demo"], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    lines = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    put(WHOLE, lines)
    put(README, shorten(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
