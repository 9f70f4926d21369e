"""Writes a real run of `jitrctl prove` on the local AWS into docs/prove.md, and what interrupted runs leave.

python tools/prove.py        takes four minutes; starts a local AWS, and stops it
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from jitrctl.localaws import accounts
from jitrctl.localaws.account import LocalAccount
from jitrctl.localaws.workspace import Workspace
from jitrctl.prove.probes import PROBES

PAGE = Path(__file__).parents[1] / "docs" / "prove.md"
BEGIN, END = "<!-- transcript: make docs -->\n", "<!-- end of transcript -->"
PROBES_BEGIN, PROBES_END = "<!-- probes: make docs -->\n", "<!-- end of probes -->"
ENDS_BEGIN, ENDS_END = "<!-- ends: make docs -->\n", "<!-- end of ends -->"
ARGUMENTS = ["prove", "--fleet", ".local/fleet.toml", "--account", "dev", "--account", "prod", "--yes"]
_CTRL_C_AT = (1, 3, 6, 9, 11)  # probes
_KILLED_AT = 6
_CALLS = re.compile(r"(\d+) calls")


def main() -> int:
    _put(PROBES_BEGIN, PROBES_END, render_probes())
    workspace = Workspace()
    started = accounts.up(workspace.directory, [place.spec() for place in workspace.find_places()])
    try:
        workspace.prepare(started)
        whole = _run([])
        rows = [("the last probe", "nothing", _calls(whole), _things(started))]
        for number in _CTRL_C_AT:
            output = _run([], at=number, by=signal.SIGINT)
            rows.append((f"Ctrl-C in probe {number}", "nothing", _calls(output), _things(started)))
        _run([], at=_KILLED_AT, by=signal.SIGKILL)
        left = _things(started)
        output = _run(["--clean"])
        rows.append((f"SIGKILL in probe {_KILLED_AT}, then `--clean`", str(left), _calls(output), _things(started)))
    finally:
        accounts.down(workspace.directory)
    shown = f"```console\n$ jitrctl {' '.join(ARGUMENTS)}\n{whole}\n```\n\n"
    shown += "After a SIGKILL in the sixth probe:\n\n"
    shown += f"```console\n$ jitrctl prove --fleet .local/fleet.toml --clean\n{output}\n```\n"
    _put(BEGIN, END, shown)
    ends = ["| ended by | left by it | calls, with cleaning | things left |", "|---|---|---|---|"]
    ends += [f"| {end} | {by_it} | {calls} | {things} |" for end, by_it, calls, things in rows]
    _put(ENDS_BEGIN, ENDS_END, "\n".join(ends) + "\n")
    return 0 if all(things == 0 for *_, things in rows) else 1


def render_probes() -> str:
    """The table of probes; a test compares it."""
    rows = ["| probe | question | makes | accounts | local AWS |", "|---|---|---|---|---|"]
    rows += [
        f"| `{one.name}` | {one.question} | {one.makes} | {one.accounts} | {one.not_local or 'answers'} |"
        for one in PROBES
    ]
    return "\n".join(rows) + "\n"


def _run(more: list[str], *, at: int = 0, by: signal.Signals | None = None) -> str:
    """Run the command; send it the signal `by` when it begins the probe with number `at`."""
    as_terminal = {"COLUMNS": "120", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}
    environ = os.environ | as_terminal | {"PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "jitrctl", *ARGUMENTS, *more],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout  # noqa: S101 -- a pipe was asked for
        for line in process.stdout:
            lines.append(line.rstrip())
            if by and line.startswith(f"{at} of "):
                process.send_signal(by)
                by = None
    return "\n".join(lines).strip()


def _calls(output: str) -> str:
    found = _CALLS.findall(output)
    return str(found[-1]) if found else "-"


def _things(started: tuple[LocalAccount, ...]) -> int:
    """How many CAs, certificates, things, policies and roles the accounts have."""
    return sum(len(found) for account in started for found in _lists(account))


def _lists(account: LocalAccount) -> list[Any]:
    iot, iam = account.client("iot"), account.client("iam")
    return [
        iot.list_ca_certificates()["certificates"],
        iot.list_certificates()["certificates"],
        iot.list_things()["things"],
        iot.list_policies()["policies"],
        iam.list_roles()["Roles"],
    ]


def _put(begin: str, end: str, text: str) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
