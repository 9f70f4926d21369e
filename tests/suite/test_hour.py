"""The hour's own parts: what it takes out of printed text, its table, and that it ends what it started."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jitrctl.terminal import Output
from tests.support.e2e.hour import kept, report
from tests.support.e2e.hour.__main__ import main
from tests.support.e2e.hour.outcome import HourError, Outcome, Step
from tests.support.e2e.hour.printed import as_shown, find_commands, find_cures, find_sentence
from tests.support.e2e.hour.run import STEPS, run_hour
from tests.support.e2e.hour.terminal import Terminal
from tests.support.e2e.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.e2e.hour.operator import Operator

PATIENCE = 10  # seconds
HERE = "--account dev --region eu-central-1 --fleet .local/fleet.toml"
DOCTOR = f"""\
20  certificate status    broken   INACTIVE, denied by ann

dev/eu-central-1: certificate status is broken: INACTIVE, denied by ann, as `jitrctl device show x` says.
  Cure: if it is to be let in: `jitrctl device release ab {HERE}`, and `jitrctl sweep {HERE}`.

dev/eu-central-1: beside that, mapping: `jitrctl ca resume {HERE}`.
"""
STATUS = """\
NOT OK: the stage needs you.

dev/eu-central-1: the function `register` is missing: devices wait.
    node_modules/.bin/cdk deploy dev/eu-central-1 --revert-drift
dev/eu-central-1: 1 dead letter.
    jitrctl dlq list --account dev
    jitrctl dlq redrive --all --account dev
    docs/runbook.md#dead-letters

stage             deployed  CAs
dev/eu-central-1  15s       2/2
"""


def test_cures_of_doctor_are_the_commands_of_its_cures_alone() -> None:
    assert find_cures(DOCTOR) == (
        f"jitrctl device release ab {HERE}",
        f"jitrctl sweep {HERE}",
        f"jitrctl ca resume {HERE}",
    )
    assert "jitrctl device show x" in find_commands(DOCTOR)


def test_cures_of_fleet_status_are_its_indented_commands() -> None:
    assert find_cures(STATUS) == (
        "node_modules/.bin/cdk deploy dev/eu-central-1 --revert-drift",
        "jitrctl dlq list --account dev",
        "jitrctl dlq redrive --all --account dev",
    )


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("closed; why: `jitrctl doctor a.pem --account dev`", "jitrctl doctor a.pem --account dev"),
        ("dev/x: what to do: `jitrctl doctor ab`", "jitrctl doctor ab"),
        (
            "  Cure: `A_KEY=1 aws iot enable-topic-rule --rule-name r`; then it comes.",
            "A_KEY=1 aws iot enable-topic-rule --rule-name r",
        ),
    ],
)
def test_a_command_is_taken_wherever_a_cure_is_named(line: str, command: str) -> None:
    assert find_cures(line) == (command,)


def test_what_only_shows_something_is_no_cure() -> None:
    assert find_cures("see `jitrctl fleet status`\nNext:\n  jitrctl local down  stop all of it\n") == ()


def test_a_sentence_is_the_line_that_has_the_phrase() -> None:
    assert find_sentence(STATUS, "1 dead letter") == "1 dead letter."
    assert find_sentence(STATUS, "2 dead letters") is None


def test_what_was_written_over_on_the_screen_is_not_read() -> None:
    spinner = "\x1b[?25l⠋ reading …\r\x1b[2K⠙ reading …\r\n\x1b[?25h\r\x1b[1A\x1b[2K"
    raw = f"{spinner}\x1b[32mOK\x1b[0m: all is well\r\n\x1b]0;title\x07a\rb\r\n"
    assert as_shown(raw) == "OK: all is well\nb"


def outcome(**given: str) -> Outcome:
    cures = (f"jitrctl ca resume {HERE}", f"jitrctl sweep {HERE}")
    fixed = {"name": "paused", "broken": "a colleague paused the account", "said": "mapping is broken"}
    commands = (("jitrctl fleet status", 1.5),)
    return Outcome(**fixed, cures=cures, result="sensor-0001 comes in", seconds=7, commands=commands, **given)


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int | None) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns or 80))
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if columns else "0")
    printed = Output(highlight=False)
    monkeypatch.setattr(report, "out", printed)
    monkeypatch.setattr("jitrctl.terminal.out", printed)
    report.show_table([outcome(), outcome(error="it is refused")], 14)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in capsys.readouterr().out.splitlines()]


def test_in_a_pipe_each_step_is_one_line_with_all_its_cures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capsys, None)

    assert lines[0].split() == ["step", "broken", "said", "cure", "then", "s"]
    assert f"jitrctl ca resume {HERE} jitrctl sweep {HERE}" in lines[1]
    assert "FAILED: sensor-0001 comes in" in lines[2]
    assert lines[-1] == "1 of 2 steps came out well, in 14 s; failed: paused."


@pytest.mark.parametrize("columns", [80, 100])
def test_on_a_terminal_no_line_is_cut_or_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    lines = shown(monkeypatch, capsys, columns)

    assert all(len(line.rstrip()) <= columns for line in lines)
    assert " ".join(" ".join(lines).split()).count(f"jitrctl ca resume {HERE} jitrctl sweep {HERE}") == 2
    assert "paused, 7 s" in lines[0]


def test_a_run_is_kept_for_another_table(tmp_path: Path) -> None:
    kept.write([outcome(), outcome(error="it is refused")], 14, tmp_path / "build" / "hour.json")

    assert kept.read(tmp_path / "build" / "hour.json") == ([outcome(), outcome(error="it is refused")], 14)


def test_every_step_has_a_name_of_its_own() -> None:
    names = [step.name for step in STEPS]
    assert len({*names}) == len(names)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(folder=tmp_path, environ=os.environ, columns=100)


def test_a_command_has_a_terminal_and_its_questions_are_answered(terminal: Terminal) -> None:
    script = "import os; print(input('Do it? [y/N] '), os.get_terminal_size().columns, os.getcwd())"
    printed = terminal.run(f'"{sys.executable}" -c "{script}"; exit 3')

    assert printed.code == 3
    assert printed.text.splitlines()[-1] == f"y 100 {terminal.folder}"


def running_commands() -> list[bytes]:
    """The command lines of all processes; of those that have ended meanwhile, none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((process / "cmdline").read_bytes())
    return found


def test_what_a_command_started_ends_with_the_hour(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.support.e2e.hour.terminal._read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        terminal.run("sleep 987654 & sleep 987654")

    wait_until(lambda: b"sleep\x00987654\x00" not in running_commands(), "the end of what it started")


@pytest.fixture
def _interrupts() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt; a shell starts a background job with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts")
@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_the_local_aws_is_stopped_however_the_hour_ends(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals | None
) -> None:
    stopped: list[Path] = []
    monkeypatch.setattr("tests.support.e2e.hour.run.accounts.down", stopped.append)
    folders: list[Path] = []

    def play(operator: Operator) -> str:
        folders.append(operator.checkout.folder)
        if number:
            os.kill(os.getpid(), number)
            time.sleep(PATIENCE)  # which the signal ends
        return "done"

    step = Step(name="set up", broken="-", play=play)
    monkeypatch.setattr("tests.support.e2e.hour.run.STEPS", (step,))
    monkeypatch.setattr("tests.support.e2e.hour.run.SET_UP", step)
    with pytest.raises(KeyboardInterrupt) if number else nullcontext():
        run_hour()

    assert stopped == [folders[0] / ".local"]
    assert not folders[0].exists()


def test_a_step_that_fails_makes_the_hour_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Operator) -> str:
        raise HourError("it does not come in")

    steps = (
        Step(name="set up", broken="-", play=lambda _: "done"),
        Step(name="paused", broken="-", play=fail),
        Step(name="replay", broken="-", play=lambda _: "done"),
    )
    monkeypatch.setattr("tests.support.e2e.hour.run.accounts.down", lambda _: ())
    monkeypatch.setattr("tests.support.e2e.hour.run.STEPS", steps)
    monkeypatch.setattr("tests.support.e2e.hour.run.SET_UP", steps[0])
    monkeypatch.setattr("tests.support.e2e.hour.__main__.STEPS", steps)
    monkeypatch.setattr(kept, "FILE", tmp_path / "hour.json")

    assert main([]) == 1
    assert "2 of 3 steps came out well" in capsys.readouterr().out
    assert main(["--table"]) == 1
    assert "failed: paused." in capsys.readouterr().out
    assert main(["replay"]) == 0
    assert main(["--table"]) == 0
    assert main(["nonsense"]) == 2
