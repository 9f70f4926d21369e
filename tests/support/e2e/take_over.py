"""The take-over of two old accounts as an operator does it: the console blocks of docs/migrate.md, by name.

`tools/migrate.py` writes them into the page; the end-to-end test carries out the same commands, and compares.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from jitrctl.__main__ import main
from tests.support.e2e.old_accounts import JITP, OF_AWS, PROVISIONED, WITHOUT_CA
from tests.support.e2e.stage_devices import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitrctl.localaws.issuing import DeviceFiles
    from tests.support.e2e.old_accounts import OldAccounts

PAGE = Path(__file__).parents[3] / "docs" / "migrate.md"
BLOCK = re.compile(r"(?<=<!-- run: )([a-z-]+)( -->\n).*?(?=<!-- end of run -->)", re.DOTALL)
# What the output looks like on a terminal; for the process that calls `main`.
TERMINAL = {"COLUMNS": "110", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
# That calls do not go to AWS, and which fleet file there is: an operator with one fleet file on AWS sees neither.
_NOTICES = re.compile(r"^(?:.*, not AWS|fleet acme, .*)$\n?", re.MULTILINE)
# What differs from run to run: ids, times and addresses.
_IDS = re.compile(r"[0-9a-f]{8,}…?|[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9:]{5}Z)?|[0-9]+\.[0-9]+(?=\s)")


class TakeOver:
    """The scenes, in the order of the page."""

    def __init__(self, old: OldAccounts) -> None:
        self.old = old
        self.new: dict[str, DeviceFiles] = {}  # the devices' next certificates

    def scenes(self) -> Iterator[tuple[str, str]]:
        """Each block's name and text, when it has been carried out; the fleet file's folder is the working directory.

        Raises AssertionError when a command ends with another exit code.
        """
        yield "survey", self.run("jitrctl fleet survey all.survey")
        self.old.deploy()
        yield "plan", self.run("jitrctl fleet adopt plan all.plan --survey all.survey", "cat all.plan")
        yield (
            "apply",
            self.run(
                *(f"sed -i '/{name}/s/^review/adopt /' all.plan" for name in (WITHOUT_CA, OF_AWS, PROVISIONED)),
                f"sed -i '/dev.*{JITP}/s/^adopt/align/' all.plan",
                'jitrctl fleet adopt apply all.plan --note "factory 1" --yes',
                "jitrctl fleet adopt apply all.plan --yes",
                f"jitrctl device show {JITP} --account dev",
            ),
        )
        self.old.take_template_off()
        self.come_with_a_new_certificate(JITP)
        yield "follow", self.run(f"jitrctl device where {JITP} --account dev")
        allowed = self.run(
            f'jitrctl enrollment allow {OF_AWS} {WITHOUT_CA} --may-follow --account dev --note "ours" --yes'
        )
        for name in (OF_AWS, WITHOUT_CA):
            self.come_with_a_new_certificate(name)
        yield "follow-elsewhere", allowed + self.run(f"jitrctl device where {OF_AWS} --account dev")
        self.connect_again(PROVISIONED)
        yield "revoke", self.run(f'jitrctl device revoke {PROVISIONED} --note "stolen" --yes')

    def come_with_a_new_certificate(self, name: str, ca: str = "factory") -> None:
        """Let a device connect with its next certificate."""
        self.new[name] = self.old.fleet.cas[ca].issue(self.old.directory / "new", name)
        connect(self.old.stage, self.new[name], name).close()

    def connect_again(self, name: str) -> None:
        self.old.sessions[name].close()
        self.old.sessions[name] = connect(self.old.stage, self.old.devices[name], name)

    def run(self, *lines: str) -> str:
        """Run commands, each with its output, as on a terminal of 110 columns."""
        return "".join(f"$ {line}\n{self._output(line)}" for line in lines)

    def _output(self, line: str) -> str:
        words, said = shlex.split(line), StringIO()
        if words[0] != "jitrctl":
            done = subprocess.run(words, cwd=self.old.directory, capture_output=True, text=True, check=True)
            return f"{done.stdout}\n" if done.stdout else ""
        with redirect_stdout(said), redirect_stderr(said):
            code = main(words[1:])
        assert code == 0, f"{line}: {said.getvalue()}"
        told = _NOTICES.sub("", said.getvalue()).strip("\n")
        return "\n".join(part.rstrip() for part in told.splitlines()) + "\n\n"


def blocks_of(page: str) -> dict[str, str]:
    """The blocks of a page, by name."""
    return {match[1]: match[0] for match in BLOCK.finditer(page)}


def as_block(name: str, text: str) -> str:
    """A block as it is in the page, between its markers."""
    return f"{name} -->\n```console\n{text.strip()}\n```\n"


def without_ids(text: str) -> list[str]:
    """The words of a block, for comparing two runs: without ids and times, and whatever the order of certificates."""
    return sorted(_IDS.sub("ID", text).split())
