"""Prepares the local AWS's directory in a checkout: the example fleet with local values, and its CAs with their keys.

The copy of fleet.toml differs in two times, which are cut short, and lacks the accounts and Regions that do not run
locally. Its paths are relative to the file, so the copy below .local/ names other certificates: those of CAs whose keys
are there.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.rules import CertificateMode
from jitr_fleet.parse import load
from jitrctl.localaws.account import AccountSpec
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.folder import FLEET_FILE, LOCAL
from jitrctl.localaws.issuing import IssuingCa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr_fleet.model import Account as FleetAccount
    from jitr_fleet.model import Ca, Fleet
    from jitrctl.localaws.account import LocalAccount

CHECKOUT = Path(__file__).parents[2]

# An account's sections of the fleet file, and the keys in them that say where it is.
_SECTION = re.compile(r"(?m)^(?=\[)")
_ACCOUNT = re.compile(r"\[account\.([a-z0-9-]+)")
_REGIONS = re.compile(r"(?m)^regions\s*=\s*\[[^\]]*\]")
_ELSEWHERE = re.compile(r"(?m)^(?:endpoint_url|role_arn)\s*=.*\n")
# Times that are days or minutes in the field, and that the demo would have to wait for.
_SHORT_TIMES = {"pending_after": "1s", "overlap": "1s"}


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """One account of the fleet, and the Region in which it runs locally."""

    account: FleetAccount
    region: str

    @property
    def mode(self) -> CertificateMode:
        """The mode of the fleet's first CA."""
        return self.account.cas[0].mode

    def mode_of(self, ca: str) -> CertificateMode:
        return next(registration.mode for registration in self.account.cas if registration.ca.name == ca)

    @property
    def stack(self) -> str:
        """The stack's name on the CDK command line."""
        return f"{self.account.name}/{self.region}"

    def spec(self) -> AccountSpec:
        return AccountSpec(
            name=self.account.name,
            id=self.account.id,
            region=self.region,
            profile=self.account.profile or self.account.name,
        )


@dataclass(frozen=True, slots=True)
class Workspace:
    """The checkout's .local/ directory."""

    directory: Path = CHECKOUT / LOCAL
    checkout: Path = CHECKOUT

    @property
    def fleet_file(self) -> Path:
        return self.directory / FLEET_FILE

    @property
    def devices(self) -> Path:
        return self.directory / "devices"

    @property
    def cloud_assembly(self) -> Path:
        return self.directory / "cdk.out"

    def load_example(self) -> Fleet:
        """The fleet of the checkout's fleet.toml, unchanged.

        Raises FleetError.
        """
        return load(self.checkout / "fleet.toml")

    def find_places(self) -> tuple[LocalPlace, LocalPlace]:
        """The two accounts that the local AWS runs, one in DEFAULT and one in SNI_ONLY mode, in a Region of both.

        Raises FleetError when the checkout's fleet.toml is wrong, LocalAwsError when it holds no such pair.
        """
        accounts = self.load_example().accounts
        for first in accounts:
            for second in accounts:
                shared = [region for region in first.regions if region in second.regions]
                modes = (first.cas[0].mode, second.cas[0].mode)
                if shared and modes == (CertificateMode.DEFAULT, CertificateMode.SNI_ONLY):
                    return LocalPlace(first, shared[0]), LocalPlace(second, shared[0])
        raise LocalAwsError(
            "fleet.toml has no two accounts that share a Region with the CA in DEFAULT mode in one and SNI_ONLY in the "
            "other: the local AWS shows both, so take such a pair into it"
        )

    def find_left_out(self) -> tuple[str, ...]:
        """The accounts and Regions of the checkout's fleet.toml that `find_places` leaves out: prod/us-east-1.

        Raises FleetError, LocalAwsError.
        """
        taken = {place.stack for place in self.find_places()}
        every = (f"{account.name}/{region}" for account in self.load_example().accounts for region in account.regions)
        return tuple(stage for stage in every if stage not in taken)

    def places_of(self, running: Sequence[LocalAccount]) -> tuple[LocalPlace, ...]:
        """What the local fleet file says of the accounts that run, in their order.

        Raises FleetError; LocalAwsError when that file does not have one of them.
        """
        accounts = {account.name: account for account in self.load_fleet().accounts}
        if unknown := [
            one.stage for one in running if one.region not in getattr(accounts.get(one.name), "regions", ())
        ]:
            raise LocalAwsError(
                f"{self.fleet_file} lacks {', '.join(unknown)}, which runs: `jitrctl local down`, then up"
            )
        return tuple(LocalPlace(accounts[one.name], one.region) for one in running)

    def prepare(self, started: Sequence[LocalAccount]) -> tuple[Fleet, dict[str, IssuingCa]]:
        """Make the CAs with their keys, the verification certificates, and the fleet file that names them.

        `started` are the running accounts of `find_places`; the fleet file gets the address of each.

        Raises LocalAwsError, FleetError.
        """
        example = self.load_example()
        made = {ca.name: IssuingCa.create(self.directory / "ca", ca.name) for ca in example.cas}
        for ca in example.cas:
            self._counterpart(ca.certificate_path).write_text(made[ca.name].pem, encoding="utf-8")
            if ca.policy:
                shutil.copyfile(ca.policy, self._counterpart(ca.policy))
        codes = {one.name: one.client("iot").get_registration_code()["registrationCode"] for one in started}
        for account in example.accounts:
            for registration in account.cas:
                if path := registration.verification_certificate_path:
                    # An account that does not run locally has no code, and its proof is not needed.
                    code = codes.get(account.name, "0" * 64)
                    made[registration.ca.name].issue_verification_certificate(code, self._counterpart(path))
        text = _shorten_times(example.path.read_text(encoding="utf-8"))
        self.fleet_file.write_text(_keep_local_accounts(text, started), encoding="utf-8")
        return load(self.fleet_file), made

    def load_fleet(self) -> Fleet:
        """The fleet that the local AWS runs, once it is prepared.

        Raises FleetError.
        """
        return load(self.fleet_file)

    def issuing_ca(self, ca: Ca) -> IssuingCa:
        """The CA that `prepare` made."""
        return IssuingCa(
            certificate=self.directory / "ca" / f"{ca.name}.pem", key=self.directory / "ca" / f"{ca.name}.key"
        )

    def _counterpart(self, path: Path) -> Path:
        """The path of a copy, below the directory, of a file of the checkout's fleet."""
        try:
            relative = path.resolve().relative_to(self.checkout.resolve())
        except ValueError as error:
            raise LocalAwsError(
                f"{path} is outside the checkout: the local AWS needs paths below fleet.toml"
            ) from error
        counterpart = self.directory / relative
        counterpart.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return counterpart


def _keep_local_accounts(text: str, started: Sequence[LocalAccount]) -> str:
    """The fleet file with only the accounts and Regions that run locally, and the address of each.

    So no command on this file ever calls AWS, where the accounts may be real.
    """
    kept = []
    for section in _SECTION.split(text):
        header = _ACCOUNT.match(section)
        here = next((one for one in started if header and one.name == header[1]), None)
        if header is None:
            kept.append(section)
        elif here:
            where = f'regions = ["{here.region}"]\nendpoint_url = "{here.endpoint_url}"'
            kept.append(_REGIONS.sub(where, _ELSEWHERE.sub("", section)))
    return "".join(kept)


def _shorten_times(text: str) -> str:
    """The fleet file with the times of `_SHORT_TIMES`.

    Raises LocalAwsError if the file lacks one of these keys.
    """
    for key, value in _SHORT_TIMES.items():
        text, count = re.subn(rf'(?m)^({key}\s*=\s*)"[^"]*"', rf'\1"{value}"', text)
        if not count:
            raise LocalAwsError(f"fleet.toml does not say {key}: add it, so that the local AWS can cut it short")
    return text
