"""Where the local AWS keeps its things in a checkout, and the example fleet with local values filled in.

fleet.toml is taken over word for word, but for two times that nobody wants to wait for, and what does not run here.
Its paths are relative to the file, so a copy below .local/ finds other certificates there: those of a CA whose key is
at hand.
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

# What the fleet file says of an account: a section each, and in it where the account is.
_SECTION = re.compile(r"(?m)^(?=\[)")
_ACCOUNT = re.compile(r"\[account\.([a-z0-9-]+)")
_REGIONS = re.compile(r"(?m)^regions\s*=\s*\[[^\]]*\]")
_ELSEWHERE = re.compile(r"(?m)^(?:endpoint_url|role_arn)\s*=.*\n")
# What is written in days or minutes for the field, and would be waited for here.
_HURRIED = {"pending_after": "1s", "overlap": "1s"}


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """One account of the fleet in the Region where it runs locally."""

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

    def to_start(self) -> AccountSpec:
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

    def example(self) -> Fleet:
        """The checkout's fleet, as it is written.

        Raises FleetError.
        """
        return load(self.checkout / "fleet.toml")

    def places(self) -> tuple[LocalPlace, LocalPlace]:
        """The two accounts that the local AWS runs, one in DEFAULT and one in SNI_ONLY mode, in a Region of both.

        Raises FleetError when the checkout's fleet.toml is wrong, LocalAwsError when it holds no such pair.
        """
        accounts = self.example().accounts
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

    def prepare(self, started: Sequence[LocalAccount]) -> tuple[Fleet, dict[str, IssuingCa]]:
        """Make the CAs with their keys, the verification certificates, and the fleet file that names them.

        `started` are the accounts of `places`, which run; the fleet file says of each where it is.

        Raises LocalAwsError, FleetError.
        """
        example = self.example()
        made = {ca.name: IssuingCa.create(self.directory / "ca", ca.name) for ca in example.cas}
        for ca in example.cas:
            self._counterpart(ca.certificate_path).write_text(made[ca.name].pem, encoding="utf-8")
            if ca.policy:
                shutil.copyfile(ca.policy, self._counterpart(ca.policy))
        codes = {one.name: one.client("iot").get_registration_code()["registrationCode"] for one in started}
        for account in example.accounts:
            for registration in account.cas:
                if path := registration.verification_certificate_path:
                    # An account that does not run here has no code, and nobody will ask for its proof.
                    code = codes.get(account.name, "0" * 64)
                    made[registration.ca.name].verification_certificate(code, self._counterpart(path))
        text = _hurried(example.path.read_text(encoding="utf-8"))
        self.fleet_file.write_text(_located(text, started), encoding="utf-8")
        return load(self.fleet_file), made

    def fleet(self) -> Fleet:
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
        """Where a file of the checkout's fleet stands in ours."""
        try:
            relative = path.resolve().relative_to(self.checkout.resolve())
        except ValueError as error:
            raise LocalAwsError(
                f"{path} is outside the checkout: the local AWS needs paths below fleet.toml"
            ) from error
        counterpart = self.directory / relative
        counterpart.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return counterpart


def _located(text: str, started: Sequence[LocalAccount]) -> str:
    """The fleet file with the accounts and Regions that run here alone, and where each is.

    So nothing that is told to work on this file ever calls AWS, where the accounts may be real.
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


def _hurried(text: str) -> str:
    """The fleet file with the times that a person would have to wait for cut short."""
    for key, value in _HURRIED.items():
        text, count = re.subn(rf'(?m)^({key}\s*=\s*)"[^"]*"', rf'\1"{value}"', text)
        if not count:
            raise LocalAwsError(f"fleet.toml does not say {key}: add it, so that the local AWS can cut it short")
    return text
