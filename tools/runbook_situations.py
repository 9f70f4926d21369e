"""Scenes of docs/runbook.md that need two accounts: a stolen device, a CA that leaked, an account that is added.

Both accounts are deployed. The CAs are registered in dev at first, since a scene registers them in prod.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tools.runbook import _PATIENCE, Runbook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jitrctl.mqtt.client import Connection
    from tests.support.local.deployed import Deployed

SITUATIONS = frozenset({"new-account", "stolen", "moved", "rotated-early", "another-maker", "leaked-ca"})
_PARTNERS = 'common_name  = "gateway-[0-9]{4,}"'


class Situations(Runbook):
    """The scenes, in the order in which they build on each other; `fleet` is dev."""

    def __init__(self, dev: Deployed, prod: Deployed) -> None:
        super().__init__(dev)
        self.accounts = {"dev": dev, "prod": prod}

    def scenes(self) -> dict[str, Callable[[], Iterator[str]]]:
        return {
            "new-account": self.new_account,
            "stolen": self.stolen,
            "moved": self.moved,
            "rotated-early": self.rotated_early,
            "another-maker": self.another_maker,
            "leaked-ca": self.leaked_ca,
        }

    def new_account(self) -> Iterator[str]:
        """Dev denies a name and has revoked a device; prod is deployed, and has no CA yet."""
        stolen = self.issue("sensor-0901")
        self.connect_until_accepted("sensor-0901", "dev")
        self.fleet.run("device", "revoke", stolen, "--note", "on a stolen laptop", "--yes")
        self.fleet.run("enrollment", "deny", "sensor-0902", "--note", "lost in transit", "--yes")
        yield self.run_command("jitrctl ca plan --account prod")
        yield self.run_command("jitrctl ca apply --account prod --yes")
        yield self.run_command("jitrctl enrollment list --account prod --denied")
        yield self.run_command("jitrctl fleet copy-denials")

    def stolen(self) -> Iterator[str]:
        self.issue("sensor-0101")
        with ExitStack() as sessions:
            for account in self.accounts:
                sessions.enter_context(self.stay_connected("sensor-0101", account))
            yield self.run_command('jitrctl device revoke sensor-0101 --note "stolen, ticket 4711" --yes')
        yield self.run_command('jitrctl enrollment deny sensor-0101 --note "stolen, ticket 4711" --yes')
        yield self.run_command("jitrctl device where sensor-0101")

    def moved(self) -> Iterator[str]:
        self.issue("sensor-0102")
        self.connect_until_accepted("sensor-0102", "dev")
        yield self.run_command('jitrctl enrollment allow sensor-0102 --belongs-to prod --note "sold to hall 2" --yes')
        self.connect_until_accepted("sensor-0102", "prod")
        yield self.run_command("jitrctl device where sensor-0102")
        yield self.run_command('jitrctl device remove sensor-0102 --account dev --forget --note "is in prod now" --yes')
        yield self.run_command("jitrctl device where sensor-0102")

    def rotated_early(self) -> Iterator[str]:
        self.issue("sensor-0103")
        self.connect_until_accepted("sensor-0103", "dev")
        self.connect_refused("sensor-0103", file="sensor-0103-new")
        yield self.run_command("jitrctl device show sensor-0103 --account dev")
        yield self.run_command(
            'jitrctl enrollment allow sensor-0103-new.pem --may-follow --note "its key was in a log" --yes'
        )
        self.connect_until_accepted("sensor-0103", "dev", file="sensor-0103-new")
        yield self.run_command("jitrctl device where sensor-0103 --account dev")

    def another_maker(self) -> Iterator[str]:
        """The device's next certificate is of a CA that does not succeed the first one's."""
        self.issue("sensor-0104")
        self.connect_until_accepted("sensor-0104", "dev")
        yield self.run_command("jitrctl enrollment allow sensor-0104 --yes")
        self.connect_refused("sensor-0104", ca="partner", file="sensor-0104-partner")
        yield self.run_command("jitrctl device show sensor-0104 --account dev")
        yield self.run_command("jitrctl device remove sensor-0104.pem --account dev --yes")
        yield self.run_command("jitrctl device release sensor-0104-partner.pem --account dev --yes")
        self.connect_until_accepted("sensor-0104", "dev", file="sensor-0104-partner")
        yield self.run_command("jitrctl device where sensor-0104 --account dev")

    def leaked_ca(self) -> Iterator[str]:
        yield self.run_command('jitrctl ca revoke partner --note "its key leaked, incident 4711" --yes')
        yield self.run_command("jitrctl ca status --ca partner", code=1)
        yield self.run_command("jitrctl ca plan --account dev", code=1)
        yield self.run_command('jitrctl ca revoke partner --lift --note "false alarm" --yes')

    def connect_until_accepted(self, name: str, account: str, *, file: str | None = None) -> None:
        self.stay_connected(name, account, file=file).close()

    def stay_connected(self, name: str, account: str, *, file: str | None = None) -> Connection:
        endpoint = self.accounts[account].local.endpoint
        return self.device(name, file).connect_until_accepted(endpoint, patience=_PATIENCE)[0]


@contextmanager
def two_accounts(directory: Path) -> Iterator[Situations]:
    """Start both accounts, deploy both, and register the CAs in the first."""
    from jitrctl.localaws import accounts  # noqa: PLC0415 -- the checkout is on the path only now
    from jitrctl.localaws.stage import LocalStage  # noqa: PLC0415
    from jitrctl.localaws.workspace import Workspace  # noqa: PLC0415
    from tests.support.local.deployed import Deployed  # noqa: PLC0415

    workspace = Workspace(directory=directory)
    places = workspace.find_places()
    started = accounts.up(workspace.directory, [place.spec() for place in places])
    try:
        _, cas = workspace.prepare(started)
        text = workspace.fleet_file.read_text(encoding="utf-8")
        before, after = text.split(_PARTNERS, 1)
        text = f'{before}common_name  = "(gateway|sensor)-[0-9]{{4,}}"{after}'
        workspace.fleet_file.write_text(text, encoding="utf-8")
        fleet = workspace.load_fleet()
        made = [
            Deployed(workspace, LocalStage(account, place, fleet), cas)
            for account, place in zip(started, places, strict=True)
        ]
        for one in made:
            one.deploy()
        for name, ca in cas.items():
            made[0].local.register_ca(name, ca)
        yield Situations(*made)
    finally:
        accounts.down(workspace.directory)
