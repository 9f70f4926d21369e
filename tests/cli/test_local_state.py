"""What a run of the local AWS leaves behind is out of the way at once, and then removed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jitrctl.localaws import state

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0  # seconds


def test_files_are_moved_aside_and_removed_by_another_process(tmp_path: Path) -> None:
    for name in ("jitr-local-0123-dev", state.EXTRACTED, "cdk", ".removed-by-a-run-that-was-killed"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").touch()
    for name in (state.ACCOUNTS, state.SOURCE, "dev-eu-central-1.log", "dev-eu-central-1.broker-ca.pem"):
        (tmp_path / name).touch()

    state.forget(tmp_path)

    kept = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".removed-")}
    assert kept == {"dev-eu-central-1.log"}
    deadline = time.monotonic() + PATIENCE
    while list(tmp_path.glob(".removed-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {path.name for path in tmp_path.iterdir()} == {"dev-eu-central-1.log"}


def test_nothing_to_remove_starts_nothing(tmp_path: Path) -> None:
    state.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []
