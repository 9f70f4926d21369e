"""Writes the differences that the contract tests know into divergences.md, between its two markers.

python tools/differences.py
"""

import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "divergences.md"
BEGIN, END = "<!-- differences: make docs -->\n", "\n<!-- end of differences -->"


def read_table() -> str:
    """The table in the document."""
    return DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> int:
    checkout = DOCUMENT.parents[1]
    sys.path[:0] = [str(checkout), str(checkout / "functions")]
    from tests.support.contract.differences import rows  # noqa: PLC0415 -- the checkout is on the path only now

    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}{rows()}{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
