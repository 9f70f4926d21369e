"""Applies a mutant to a copy of the source, and runs tests or the explorer on the copy (mutants.py)."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[3]
# The folders of packages that a mutant may change; the rest of the repository is linked beside them.
_FOLDERS = ("functions", "fleet", "infra", "jitrctl")
_PACKAGES = "functions/jitr/"


class Moved(Exception):
    """The text that a mutant replaces is not there exactly once."""


@dataclass(frozen=True, slots=True)
class Change:
    """A text in a file, and what is put in its place; `file` is below functions/jitr, or begins with another folder."""

    file: str
    old: str
    new: str

    @property
    def path(self) -> str:
        """The path of the file from the root of the repository."""
        return self.file if self.file.startswith(_FOLDERS) else _PACKAGES + self.file

    def apply(self, copy: Path) -> None:
        """Change the file in a copy of the source.

        Raises Moved, SyntaxError.
        """
        path = copy / self.path
        source = path.read_text()
        if source.count(self.old) != 1:
            raise Moved(f"{self.file} has {source.count(self.old)} times, and not once:\n{self.old}")
        changed = source.replace(self.old, self.new)
        ast.parse(changed)
        path.write_text(changed)


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is left out, and the tests that must fail."""

    name: str
    changes: tuple[Change, ...]
    killed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mend:
    """What is taken out again, and the pair of acts in which the explorer finds it."""

    name: str
    changes: tuple[Change, ...]
    pair: str
    promise: str  # the one that is broken


@contextmanager
def mutated(changes: Sequence[Change]) -> Iterator[Path]:
    """A copy of the source with these changes, for as long as it is needed.

    Raises Moved.
    """
    with TemporaryDirectory(prefix="jitr-mutant-") as folder:
        copy = Path(folder)
        changed = {change.path.partition("/")[0] for change in changes}
        for one in ROOT.iterdir():
            if one.name in changed:
                shutil.copytree(one, copy / one.name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                (copy / one.name).symlink_to(one)
        for change in changes:
            change.apply(copy)
        yield copy


def failing_tests(copy: Path, tests: Sequence[str]) -> set[str]:
    """Which of these tests fail on a copy of the source; of parametrized ones, in at least one case.

    Raises RuntimeError when the tests could not be run.
    """
    run = _python(copy, "-m", "pytest", "-n0", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider",
                  "-o", f"pythonpath={' '.join(_import_path(copy))}", *tests)  # fmt: skip
    if run.returncode not in (0, 1) or re.search(r"\d+ errors?\b", run.stdout):
        raise RuntimeError(run.stdout + run.stderr)
    failed = re.findall(r"^FAILED (\S+?)(?:\[| |$)", run.stdout, flags=re.MULTILINE)
    return {one for one in tests if one in failed}


def survivors(mutant: Mutant) -> list[str]:
    """The tests that pass although they must fail under a mutant."""
    with mutated(mutant.changes) as copy:
        failed = failing_tests(copy, mutant.killed_by)
    return [one for one in mutant.killed_by if one not in failed]


def explored(mend: Mend) -> str:
    """What the explorer prints of a pair with a mend taken out, up to the first schedule that breaks a promise."""
    with mutated(mend.changes) as copy:
        run = _python(copy, "-m", "tests.support.survival.explorer", mend.pair, "first")
    if run.returncode:
        raise RuntimeError(run.stdout + run.stderr)
    return run.stdout


def _import_path(copy: Path) -> list[str]:
    return [str(copy / name) for name in ("functions", "fleet", "infra", "")]


def _python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ":".join(_import_path(copy)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
