"""A fleet with a source of certificates registered without a CA, for tests of `jitrctl device import`."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.admission.enrollment import Entry
from jitr.rules import source_id
from jitr.store.enrollment_table import EntryChange
from jitrctl.device import import_plan, imports
from simulation import Leaf
from tests.support.cli.simulated import DEV, RULES, Simulated, simulated

SOURCE = source_id("maker")


def deploy_with_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """A fleet of which both accounts have the source `maker`; while an import waits, the functions work."""
    fleet = simulated(tmp_path, monkeypatch)
    fleet.write(RULES, source=RULES)
    fleet.deploy()

    at_once = threading.Lock()

    def sleep(seconds: float) -> None:
        with at_once:  # both accounts are worked on at once, and share the clock
            fleet.aws.clock.advance(seconds)
            for deployment in fleet.deployments.values():
                deployment.mapping().drain()

    monkeypatch.setattr(imports, "time", SimpleNamespace(sleep=sleep, monotonic=fleet.aws.clock.monotonic))
    monkeypatch.setattr(import_plan, "now", fleet.aws.clock.now)
    return fleet


def bundle(fleet: Simulated, *leaves: Leaf) -> str:
    path = fleet.directory / "bundle.pem"
    path.write_text("".join(leaf.pem for leaf in leaves))
    return str(path)


def take(fleet: Simulated, *words: str, code: int = 0) -> dict[str, Any]:
    return fleet.ask("device", "import", *words, "--yes", code=code)


def calls(fleet: Simulated, operation: str) -> int:
    return sum(call.operation == operation for call in fleet.aws.calls)


def enter(fleet: Simulated, entry: Entry) -> None:
    fleet.stage(DEV).enrollment.change([EntryChange(entry=entry, replaces=None)], by="ann", at=fleet.aws.clock.now())
