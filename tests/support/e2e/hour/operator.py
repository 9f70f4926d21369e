"""Reads what commands print, and does what they say; the steps are written in these words.

Also breaks things, in ways that an operator does not: by calls to the local AWS.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from jitr_fleet.resources import ResourceNames
from jitrctl.localaws import accounts
from tests.support.e2e.hour.outcome import HourError
from tests.support.e2e.hour.printed import find_commands, find_cures, find_sentence
from tests.support.e2e.hour.terminal import Printed, Terminal
from tests.support.e2e.stage_devices import restart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jitrctl.localaws.account import LocalAccount
    from tests.support.e2e.hour.checkout import Checkout

FILE = ".local/fleet.toml"
ACCEPTED = "CONNACK: accepted"


class Operator:
    """An operator in a checkout, at a terminal."""

    def __init__(self, checkout: Checkout, columns: int) -> None:
        self.checkout = checkout
        self.names = ResourceNames("acme")
        self._terminal = Terminal(folder=checkout.folder, environ=checkout.environ(), columns=columns)
        self._running: dict[str, LocalAccount] = {}
        self.said, self.cures = "", list[str]()
        self.transcript: list[Printed] = []

    def begin_step(self) -> None:
        """Forget what the step before read."""
        self.said, self.cures, self.transcript = "", [], []

    # What an operator does.

    def run(self, command: str, *, code: int | None = 0) -> Printed:
        """Run a command as it is; it has to end with this exit code, unless any will do.

        Raises HourError.
        """
        printed = self._terminal.run(command)
        self.transcript.append(printed)
        if code is not None and printed.code != code:
            raise HourError(f"exit code {printed.code}, not {code}: {command}\n{printed.text}")
        return printed

    def jitrctl(self, words: str, *, code: int | None = 0) -> Printed:
        """Run a command of jitrctl on the local fleet."""
        return self.run(f"jitrctl {words} --fleet {FILE}", code=code)

    def read(self, printed: Printed, phrase: str) -> str:
        """The line that has the phrase, which is what the command said in this step.

        Raises HourError when none has it.
        """
        found = find_sentence(printed.text, phrase)
        if found is None:
            raise HourError(f"{phrase!r} is not in what was printed: {printed.command}\n{printed.text}")
        self.said = self.said or found
        return found

    def follow(self, printed: Printed, *, only: str = "") -> list[Printed]:
        """Run the cures that a command printed; `only` those with this text, where the operator has to choose.

        Raises HourError when none is printed, or one fails.
        """
        found = [one for one in find_cures(printed.text) if only in one]
        if not found:
            raise HourError(f"no cure {only!r} is printed: {printed.command}\n{printed.text}")
        self.cures += found
        return [self.run(one) for one in found]

    def follow_words(self, words: str, command: str) -> Printed:
        """Do what a cure says in words, by a command of the operator's own."""
        self.cures.append(words)
        return self.run(command)

    def ask_why(self, refused: Printed) -> Printed:
        """Run the doctor's command that `local connect` printed when the device was refused.

        Raises HourError when it was let in, or nothing was printed.
        """
        if refused.code == 0:
            raise HourError(f"the device came in all the same: {refused.command}\n{refused.text}")
        commands = [one for one in find_commands(refused.text) if one.startswith("jitrctl doctor ")]
        if not commands:
            raise HourError(f"nothing says why: {refused.command}\n{refused.text}")
        return self.run(commands[-1], code=None)

    # What a device does.

    def connect(self, device: str, account: str = "dev", *, ca: str = "factory", more: str = "") -> Printed:
        """Connect a device for a few seconds, whatever comes of it."""
        return self.run(
            f"jitrctl local connect {device} --account {account} --ca {ca} --patience 4 {more}".strip(), code=None
        )

    def comes_in(self, device: str, account: str = "dev", *, ca: str = "factory") -> str:
        """Connect a device until it is accepted; what came of it.

        Raises HourError.
        """
        words = f"jitrctl local connect {device} --account {account} --ca {ca} --patience 40"
        printed = self.run(words, code=None)
        if printed.code or ACCEPTED not in printed.text:
            raise HourError(f"it does not come in: {words}\n{printed.text}")
        (accepted,) = (line.split() for line in printed.text.splitlines() if ACCEPTED in line)
        return f"{device} comes in ({accepted[0]} s)"

    # How things are broken.

    def account(self, name: str) -> LocalAccount:
        if not self._running:
            running = accounts.find_running(self.checkout.workspace.directory)
            self._running = {one.name: one for one in running}
        return self._running[name]

    def client(self, service: str, account: str = "dev") -> Any:
        return self.account(account).client(service)

    @property
    def devices(self) -> Path:
        return self.checkout.workspace.devices

    def file(self, device: str) -> str:
        """The path of a device's certificate, as it is pasted."""
        return shlex.quote(str((self.devices / f"{device}.pem").relative_to(self.checkout.folder)))

    def certificate_id(self, device: str, ca: str = "factory") -> str:
        found = self.issuing_ca(ca).find_issued(self.devices, device)
        assert found, device
        return str(found.certificate_id)

    def issuing_ca(self, name: str) -> Any:
        fleet = self.checkout.workspace.load_fleet()
        return self.checkout.workspace.issuing_ca(next(one for one in fleet.cas if one.name == name))

    def ca_id(self, name: str = "factory") -> str:
        return str(self.issuing_ca(name).certificate_id)

    def let_a_minute_pass(self) -> None:
        """Have `register` start anew in dev: what it remembers of CAs and CRLs for a minute is forgotten."""
        restart(self.client("lambda"), self.names.register_function)

    def change_fleet(self, change: Callable[[str], str]) -> None:
        """Edit the user's fleet file."""
        path = self.checkout.fleet_file
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before
        path.write_text(after, encoding="utf-8")
