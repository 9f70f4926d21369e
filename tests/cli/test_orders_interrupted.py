"""Ctrl-C during an order on several devices: one is finished, no other is begun, and the report says which."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitrctl.terminal import err
from simulation.faults import Call, Moment
from tests.support.cli.simulated import DEV, Simulated, simulated

NAMES = ["sensor-0001", "sensor-0002", "sensor-0003"]
PATIENCE = 20  # seconds


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_ctrl_c_lets_one_device_finish_begins_no_other_and_reports_both(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    leaves = [fleet.issue(name) for name in NAMES]
    for name, leaf in zip(NAMES, leaves, strict=True):
        assert fleet.knock(DEV, leaf, name) == "accepted"
    heard = threading.Event()

    printed = err.print

    def hear(*words: Any, **form: Any) -> None:
        printed(*words, **form)
        if "Finishing what is under way" in str(words):
            heard.set()

    def press(call: Call, _: Moment) -> None:
        if call.name == "iot:UpdateCertificate" and not heard.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            assert heard.wait(PATIENCE)

    monkeypatch.setattr(err, "print", hear)
    fleet.aws.fault = press

    waited = fleet.aws.clock.monotonic()
    said = fleet.say("device", "revoke", *NAMES, "--account", DEV, "--yes", *flags, code=130)

    assert [fleet.status(DEV, leaf) for leaf in leaves] == ["REVOKED", "ACTIVE", "ACTIVE"]
    assert "REVOKED" in said
    assert "not begun, since it was interrupted: the same command again does the rest" in said
    assert "whether a device has connected again was not looked at" in said
    assert fleet.aws.clock.monotonic() == waited
