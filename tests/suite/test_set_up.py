"""The set-up says what it does from the first moment on, and installs for the demo what the demo needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tools import set_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
*"pip install"*)
  echo "Collecting boto3>=1.43 (from jitr==0.1.0)"
  echo "  Downloading boto3.whl"
  echo "Collecting typer"
  echo "ERROR: no such thing"
  exit "$PIP_EXIT" ;;
esac
"""
NPM = '#!/bin/sh\necho "npm $*" >> "$LOG"\nexit "$NPM_EXIT"\n'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Set up with a Python and an npm that only keep what they are told; the exit code, and what they were told."""
    log, programs = tmp_path / "log", {"venv/bin/python": PYTHON, "bin/npm": NPM}
    log.touch()
    (tmp_path / "venv" / "lib" / "python3" / "site-packages").mkdir(parents=True)
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    monkeypatch.setattr(set_up, "VENV", tmp_path / "venv")
    monkeypatch.setattr(set_up, "PYTHON", tmp_path / "venv" / "bin" / "python")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(log))

    def run(*options: str, pip: int = 0, npm: int = 0) -> tuple[int, list[str]]:
        monkeypatch.setenv("PIP_EXIT", str(pip))
        monkeypatch.setenv("NPM_EXIT", str(npm))
        monkeypatch.setattr(sys, "argv", ["set_up.py", *options])
        return set_up.main(), log.read_text().splitlines()

    return run


def test_it_says_what_it_installs_and_names_each_package(
    run: Callable[..., tuple[int, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--demo")[0] == 0
    said = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said[0].startswith("setting up in this folder only")
    assert {"    boto3", "    typer", "Node packages: installed", "set up"} <= set(said)
    assert said[-1] == "set up"


def test_the_demo_gets_no_test_packages_and_no_byte_code(run: Callable[..., tuple[int, list[str]]]) -> None:
    _, told = run("--demo")
    (pip,) = [line for line in told if "pip install" in line]
    assert pip.endswith(".[deploy,cli,local]")
    assert "--no-compile" in pip
    assert not any("compileall" in line for line in told)
    assert "-m jitr_cdk.wheels" in told


def test_the_tests_get_all_packages_compiled(run: Callable[..., tuple[int, list[str]]]) -> None:
    _, told = run()
    assert any(line.endswith(".[deploy,cli,local,test]") for line in told)
    assert any("compileall" in line for line in told)


@pytest.mark.parametrize(("failing", "cause"), [({"pip": 1}, "ERROR: no such thing"), ({"npm": 1}, "npm ci failed")])
def test_a_step_that_fails_ends_it_with_the_cause(
    run: Callable[..., tuple[int, list[str]]],
    failing: dict[str, int],
    cause: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = run(**failing)
    assert code == 1
    assert cause in capsys.readouterr().out
    assert "-m jitr_cdk.wheels" not in told
