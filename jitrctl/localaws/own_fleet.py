"""Has the local AWS run a user's fleet file: which accounts and Regions, its throw-away CAs, its local copy.

`jitrctl local up --fleet F` chooses and prepares. `source.json` keeps what was chosen, so that `jitrctl local deploy`
reads the user's file again, as it is then, for the processes that run.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.rules import CertificateMode
from jitr_fleet.names import partition_of
from jitr_fleet.parse import load
from jitrctl.errors import Unusable
from jitrctl.localaws import ca_shape, state
from jitrctl.localaws.account import AccountSpec
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.toml_text import write_toml
from jitrctl.localaws.translation import Choice, find_differences, proof_path, translate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitr_fleet.model import Fleet
    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.issuing import IssuingCa
    from jitrctl.localaws.workspace import Workspace

MOST_PROCESSES = 6  # each takes 100 MB, and a second of a processor now and then
_HEADER = """\
# Made by jitrctl from {source}.
# Change that file, not this one: `jitrctl local deploy` writes this one anew.

"""


def find_source(workspace: Workspace) -> Path | None:
    """The user's fleet file that runs; None when it is the checkout's example, or nothing runs."""
    path = workspace.directory / state.SOURCE
    return Path(json.loads(path.read_text(encoding="utf-8"))["fleet"]) if path.exists() else None


@dataclass(frozen=True)
class OwnFleet:
    """A user's fleet file, and the accounts and Regions of it that run locally; made by `read`."""

    source: Path
    choice: Choice

    @classmethod
    def read(cls, path: Path, accounts: Sequence[str] = (), regions: Sequence[str] = ()) -> OwnFleet:
        """The fleet of a file, restricted to these accounts and Regions; without names, all.

        Verification certificates of real accounts are not read: they may not be there yet.

        Raises FleetError when the file is wrong; Unusable when the local AWS cannot run what was chosen.
        """
        fleet = load(path, proven=False)
        known = {account.name for account in fleet.accounts}
        for name in accounts:
            if name not in known:
                raise Unusable(f"{path} has no account {name}: it has {', '.join(sorted(known))}")
        chosen = {
            account.name: [region for region in account.regions if not regions or region in regions]
            for account in fleet.accounts
            if not accounts or account.name in accounts
        }
        chosen = {name: here for name, here in chosen.items() if here}
        missing = [region for region in regions if not any(region in here for here in chosen.values())]
        if missing or not chosen:
            raise Unusable(f"no account that was chosen from {path} has the Region {', '.join(missing)}")
        own = cls(source=path.resolve(), choice=Choice(fleet, chosen))
        own._refuse_what_cannot_run()
        return own

    @classmethod
    def find(cls, workspace: Workspace) -> OwnFleet | None:
        """The user's fleet file that runs, as it is now; None when the checkout's example runs.

        Raises FleetError, Unusable.
        """
        path = workspace.directory / state.SOURCE
        if not path.exists():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls.read(Path(kept["fleet"]), kept["accounts"], kept["regions"])

    @property
    def fleet(self) -> Fleet:
        return self.choice.fleet

    @cached_property
    def specs(self) -> tuple[AccountSpec, ...]:
        """The processes to start, one for each account and Region."""
        return tuple(self._specs())

    def describe_differences(self) -> list[str]:
        """What the local AWS lacks of this fleet, and accounts and Regions that were not chosen; one sentence each."""
        stages = [f"{account.name}/{region}" for account in self.fleet.accounts for region in account.regions]
        running = {spec.stage for spec in self.specs}
        left = [stage for stage in stages if stage not in running]
        return [*([f"{', '.join(left)}: left out, not chosen"] if left else []), *find_differences(self.choice)]

    def prepare(self, workspace: Workspace, started: Sequence[LocalAccount]) -> Fleet:
        """Make the CAs and verification certificates that are missing, and the local fleet file.

        Raises LocalAwsError; FleetError when the local file is wrong where the user's is right.
        """
        running = {account.stage: account for account in started}
        if other := {spec.stage for spec in self.specs} ^ running.keys():
            raise LocalAwsError(
                f"{self.source} has other accounts and Regions than those that run ({', '.join(sorted(other))}): "
                "`jitrctl local down`, then `jitrctl local up --fleet FILE` again"
            )
        directory = workspace.directory
        path = directory / state.SOURCE
        before = json.loads(path.read_text(encoding="utf-8"))["cas"] if path.exists() else {}
        for ca in self.choice.cas():
            made = workspace.issuing_ca(ca)
            is_new = before.get(ca.name) != ca.certificate_id or not made.certificate.exists()
            if is_new:
                made = ca_shape.create_like(ca, directory / "ca")
            self._prove(directory, ca.name, made, running, is_new=is_new)
        document = tomllib.loads(self.source.read_text(encoding="utf-8-sig"))
        addresses = {(account.name, account.region): account.endpoint_url for account in started}
        text = _HEADER.format(source=self.source) + write_toml(translate(document, self.choice, addresses))
        workspace.fleet_file.write_text(text, encoding="utf-8")
        kept = {
            "fleet": str(self.source),
            "accounts": list(self.choice.regions),
            "regions": sorted({region for here in self.choice.regions.values() for region in here}),
            "cas": {ca.name: ca.certificate_id for ca in self.choice.cas()},
        }
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        return load(workspace.fleet_file)

    def _prove(
        self, directory: Path, ca: str, made: IssuingCa, running: dict[str, LocalAccount], *, is_new: bool
    ) -> None:
        """Issue the CA's verification certificate for each account that has it in mode DEFAULT."""
        for account in self.fleet.accounts:
            modes = {deployment.ca.name: deployment.mode for deployment in account.cas}
            path = directory / proof_path(account.name, ca)
            if account.name not in self.choice.regions or modes.get(ca) is not CertificateMode.DEFAULT:
                continue
            if is_new or not path.exists():
                # All Regions of an account have the same code: registration_codes.py.
                first = running[f"{account.name}/{self.choice.regions[account.name][0]}"]
                code = first.client("iot").get_registration_code()["registrationCode"]
                made.issue_verification_certificate(code, path)

    def _refuse_what_cannot_run(self) -> None:
        stages = [spec.stage for spec in self.specs]
        for spec in self.specs:
            partition = partition_of(spec.region)
            if partition != "aws":
                raise Unusable(
                    f"{spec.stage} is in the partition {partition}, and the local AWS knows aws alone: choose "
                    "others with --account or --region"
                )
        if len(stages) > MOST_PROCESSES:
            raise Unusable(
                f"{self.source} has {len(stages)} stages, and the local AWS runs {MOST_PROCESSES} at most, each in a "
                f"process of 100 MB ({', '.join(stages)}): choose some with --account and --region, for instance\n"
                f"  jitrctl local up --fleet {self.source} {self._choose_fewer()}"
            )

    def _choose_fewer(self) -> str:
        """Options that choose as many whole accounts as fit, or one Region of the first accounts."""
        fitting: list[str] = []
        for name, regions in self.choice.regions.items():
            if len(regions) + sum(len(self.choice.regions[one]) for one in fitting) <= MOST_PROCESSES:
                fitting.append(name)
        if fitting:
            return " ".join(f"--account {name}" for name in fitting)
        name, regions = next(iter(self.choice.regions.items()))
        return f"--account {name} --region {regions[0]}"

    def _specs(self) -> Iterator[AccountSpec]:
        taken: set[str] = set()
        for account in self.fleet.accounts:
            for region in self.choice.regions.get(account.name, ()):
                # A profile has one address; the second Region, or another account, needs another profile.
                options = (account.profile or account.name, account.name, f"{account.name}-{region}")
                profile = next((one for one in options if one not in taken), f"local-{account.name}-{region}")
                taken.add(profile)
                yield AccountSpec(name=account.name, id=account.id, region=region, profile=profile)
