"""Installs what the project needs into the checkout, and says what it does: `make setup`, and for the demo `make demo`.

    python3 tools/set_up.py [--demo]

Runs before anything is installed, so on Python's own library alone. Python packages and Node's are installed at the
same time. With --demo what only tests need is left out, which is most of it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LEAST_PYTHON = (3, 11)
FOR_DEMO, FOR_TESTS = "deploy,cli,local", "deploy,cli,local,test"
# Without byte-code, which takes two minutes of a processor, most of it for the CDK's 237 MB. The demo imports a sixth
# of that, and Python compiles it at the first import.
PIP_INSTALL = [
    "install",
    "--disable-pip-version-check",
    "--no-compile",
    "--no-input",
    "--constraint",
    "constraints.txt",
]
HEARTBEAT = 5.0  # seconds between two signs of life
LONGEST_LINE = 80

_began = time.monotonic()
_collected = re.compile(r"Collecting (?P<name>[A-Za-z0-9_.-]+)")


class SetUpError(Exception):
    """A step failed; the text says what to do."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--demo", action="store_true", help="leave out what only tests need")
    for_demo = options.parse_args().demo
    try:
        check_tools()
        say("setting up in this folder only: .venv, node_modules, .wheels; once, and again when a version changes")
        failed: list[SetUpError] = []
        node = threading.Thread(target=run_keeping_error, args=(install_node_packages, failed))
        node.start()
        try:
            install_python_packages(FOR_DEMO if for_demo else FOR_TESTS)
            if not for_demo:
                compile_packages()
        finally:
            if node.is_alive():
                say("waiting for npm …")
            node.join()
        if failed:
            raise failed[0]
        fetch_wheels()
    except SetUpError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return 130
    say("set up")
    return 0


def check_tools() -> None:
    """Check what must be there before.

    Raises SetUpError.
    """
    if sys.version_info < LEAST_PYTHON:
        raise SetUpError("Python 3.11 or newer is needed: make PYTHON=python3.12")
    if shutil.which("npm") is None:
        raise SetUpError("npm is needed, with Node 20 or newer: install both")


def install_python_packages(extras: str) -> None:
    """Make .venv and install the project with these extras, editable."""
    if not PYTHON.exists():
        say(f"Python {sys.version.partition(' ')[0]}: making .venv")
        run([sys.executable, "-m", "venv", str(VENV)], "the virtual environment could not be made")
    say("Python packages: the CDK, boto3, ministack (the local AWS); then the functions' wheels")
    pip([*PIP_INSTALL, "--editable", f".[{extras}]"])


def install_node_packages() -> None:
    say("Node packages: the CDK CLI, at the same time")
    run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--no-update-notifier"], "npm ci failed")
    say("Node packages: installed")


def fetch_wheels() -> None:
    say("what the Lambda functions are shipped with: powertools, cryptography")
    run([str(PYTHON), "-m", "jitr_cdk.wheels"], "the wheels could not be fetched")


def compile_packages() -> None:
    """Compile what pip installed, on all processors; pip does it on one, and takes half of its time for it.

    For tests, which take a warning at a package's first import for an error. Files that are no Python 3 are left.
    """
    say("compiling the packages, for the tests")
    (packages,) = VENV.glob("lib/*/site-packages")
    command = [str(PYTHON), "-W", "ignore", "-m", "compileall", "-qq", "-j", "0", str(packages)]
    subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)


def run(command: list[str], failure: str) -> None:
    """Run a command; raises SetUpError with its output when it fails."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetUpError(f"{failure}:\n{done.stdout}{done.stderr}")


def pip(words: list[str]) -> None:
    """Run pip; each package is named when it is fetched, and then counted as it is installed.

    Raises SetUpError with pip's last lines.
    """
    output: list[str] = []
    over = threading.Event()
    threading.Thread(target=give_signs_of_life, args=(over, output), daemon=True).start()
    with subprocess.Popen(
        [str(PYTHON), "-m", "pip", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            for line in running.stdout or ():
                output.append(line)
                if found := _collected.match(line):
                    say(f"    {found['name']}")
        finally:
            over.set()
            if sys.exc_info()[0]:  # Ctrl-C, for instance; `with` waits for its end
                running.terminate()
    if running.returncode:
        raise SetUpError(f"pip failed:\n{''.join(output[-20:])}")


def give_signs_of_life(over: threading.Event, output: list[str]) -> None:
    """Say what goes on while pip says nothing: what it does, or how many packages are there."""
    before = -1
    while not over.wait(HEARTBEAT):
        if len(output) == before:
            last = output[-1].strip() if output else "pip starts"
            there = len(list(VENV.glob("lib/*/site-packages/*.dist-info")))
            installing = last.startswith("Installing collected packages")
            say(f"    {there} packages installed" if installing else f"    {last[:LONGEST_LINE]}")
        before = len(output)


def run_keeping_error(work: Callable[[], None], failed: list[SetUpError]) -> None:
    try:
        work()
    except SetUpError as error:
        failed.append(error)


def say(text: str) -> None:
    print(f"[{time.monotonic() - _began:4.0f} s] {text}", flush=True)  # noqa: T201 -- what it is for


if __name__ == "__main__":
    sys.exit(main())
