"""Writes the pace's section of docs/performance.md from kept results (reached.py): goals, storms, small bursts.

python -m bench.pace
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import cost, goals, mend, reached, storm
from bench.plot import Panel, Points, svg

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
PLOTS = DOCUMENT.parent / "performance"
_BEGIN, _END = "<!-- pace: python -m bench.pace -->\n", "<!-- end of pace -->"


def main() -> int:
    """Write the section between its markers; a dash for what was not measured yet."""
    storms, mended = reached.kept_storms(), reached.kept_mended()
    (PLOTS / "bursts.svg").write_text(bursts(reached.kept_bursts()), encoding="utf-8")
    put(
        _BEGIN,
        _END,
        "100 ms a call and burst 1 s, unless it says otherwise; registrations within a second are unlimited. Of "
        f"{reached.commits()}; 10,000 devices and more by `python -m bench.reached`, the others by `make bench`.\n\n"
        f"{goals.table(storms, mended, cost.measure())}\n{storm.table(list(storms.values()))}\n"
        f"{mend.table(list(mended.values()))}\nSmall bursts, and at 0e245c8, the last commit before the account's "
        "environments shared one schedule ([bursts-before.json](performance/bursts-before.json)), where 30, 60 and 200 "
        "devices took 7.0, 4.3 and 4.5 s above the bound:\n\n![bursts](performance/bursts.svg)\n",
    )
    return 0


def put(begin: str, end: str, text: str) -> None:
    """Replace the text between two markers of the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    DOCUMENT.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def bursts(now: Mapping[int, Points]) -> str:
    """Draw devices ACTIVE over time in small bursts: now, and when each environment had a fixed share of the rate."""
    before: dict[str, list[tuple[float, float]]] = json.loads((PLOTS / "bursts-before.json").read_text("utf-8"))
    return svg(
        "small bursts, all within a second",
        [
            Panel(
                f"{devices} devices ACTIVE (dashed: what the quota allows)",
                {"shared schedule": points, "fixed shares": before[str(devices)]},
                ((0.0, 0.0), (devices / 10, float(devices))),
                "quota",
            )
            for devices, points in sorted(now.items())
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
