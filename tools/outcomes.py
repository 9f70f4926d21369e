"""Writes the failure matrix's table of outcomes into how-it-works.md, between its two markers.

python tools/outcomes.py
"""

import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "how-it-works.md"
BEGIN, END = "<!-- outcomes: make docs -->\n", "\n<!-- end of outcomes -->"


def read_table() -> str:
    """The table in the document."""
    return DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> int:
    sys.path[:0] = [str(DOCUMENT.parents[1])]
    from tests.support.survival.matrix import outcome_table  # noqa: PLC0415 -- the checkout is on the path only now

    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}{outcome_table()}{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
