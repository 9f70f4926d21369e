"""Writes real output into docs/migrate.md: every console block between markers, from one take-over on the local AWS.

python tools/migrate.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    sys.path[:0] = [str(ROOT / "functions"), str(ROOT)]
    os.environ |= {"COLUMNS": "110", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
    from tests.support.e2e.old_accounts import old_accounts  # noqa: PLC0415 -- the checkout is on the path only now
    from tests.support.e2e.take_over import BLOCK, PAGE, TakeOver, as_block  # noqa: PLC0415 -- the same

    with tempfile.TemporaryDirectory() as directory, old_accounts(Path(directory) / "local") as old:
        for variable, file in (("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")):
            os.environ[variable] = str(old.directory / file)
        os.chdir(old.directory)
        blocks = dict(TakeOver(old).scenes())
        os.chdir(ROOT)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda match: as_block(match[1], blocks[match[1]]), page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
