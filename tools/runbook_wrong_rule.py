"""Scenes of docs/runbook.md about a wrong rule that was deployed: each continues the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.local.deployed import Deployed

_RIGHT, _WRONG = '"sensor-[0-9]{4,}"', '"senzor-[0-9]{4,}"'  # patterns of the factory's devices


class WrongRule:
    """These scenes; runbook.py has what they are made with."""

    fleet: Deployed
    mistaken: dict[str, str]  # devices under a wrong pattern: name → certificate id
    deploy: Callable[[], None]
    issue: Callable[[str], str]
    connect_once: Callable[[str], None]
    run_command: Callable[..., str]
    until: Callable[..., None]

    def wrong_rule(self) -> Iterator[str]:
        """A wrong pattern is deployed, and two dozen devices connect for the first time."""
        self.change_pattern(_RIGHT, _WRONG)
        self.deploy()
        self.mistaken = {name: self.issue(name) for name in (f"sensor-{2001 + number}" for number in range(24))}
        for name in self.mistaken:
            self.connect_once(name)
        for certificate_id in self.mistaken.values():
            self.fleet.local.wait_for_decision(certificate_id, seconds=600)
        yield self.run_command("jitrctl fleet status --account dev", code=1)
        yield self.run_command("jitrctl device list --held --account dev")

    def wrong_rule_tried(self) -> Iterator[str]:
        """Continues: the pattern is corrected in the fleet file, and not deployed yet."""
        self.change_pattern(_WRONG, _RIGHT)
        yield self.run_command("jitrctl fleet try-rules --ca factory --account dev")

    def wrong_rule_held(self) -> Iterator[str]:
        """Continues: the corrected pattern is deployed; devices that the brake held are activated."""
        held = self.of_mistaken("PENDING_ACTIVATION")
        self.deploy()
        yield self.run_command("jitrctl sweep --account dev")
        self.until(lambda: self.are_active(held), seconds=600)
        yield self.run_command("jitrctl device list --held --account dev")

    def wrong_rule_rejected(self) -> Iterator[str]:
        """Continues: devices rejected before the brake engaged are released; one device was stolen meanwhile."""
        stolen, *others = self.of_mistaken("INACTIVE")
        yield self.run_command(f'jitrctl device deactivate {stolen}.pem --account dev --note "stolen" --yes')
        release = "jitrctl device release --rejected-for COMMON_NAME_REFUSED --ca factory --would-be-admitted"
        yield self.run_command(f"{release} --account dev --dry-run")
        yield self.run_command(f'{release} --account dev --note "wrong pattern" --yes')
        yield self.run_command("jitrctl sweep --account dev")
        self.until(lambda: self.are_active(others), seconds=600)
        yield self.run_command(f"{release} --account dev --dry-run")
        yield self.run_command("jitrctl fleet status --account dev")

    def of_mistaken(self, status: str) -> list[str]:
        """The names of the devices under the wrong pattern that are in that status."""
        return [name for name, one in self.mistaken.items() if self.fleet.local.status(one) == status]

    def are_active(self, names: list[str]) -> bool:
        """Whether these devices are ACTIVE; while they are not, the sweep runs once more."""
        if not (are := set(names) <= set(self.of_mistaken("ACTIVE"))):
            self.fleet.local.sweep()
        return are

    def change_pattern(self, old: str, new: str) -> None:
        file = self.fleet.workspace.fleet_file
        before, after = file.read_text(encoding="utf-8").split(old, 1)  # ValueError where it is not there
        file.write_text(before + new + after, encoding="utf-8")
