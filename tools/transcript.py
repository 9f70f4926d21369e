"""Put a real run of `jitrctl demo` into the README, between its two markers.

python tools/transcript.py
"""

import os
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- transcript: make docs -->\n", "<!-- end of transcript -->"


def main() -> int:
    demo = Path(sys.executable).parent / "jitrctl"
    environ = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([demo, "demo"], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    lines = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}```console\n$ make demo\n{lines}\n```\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
