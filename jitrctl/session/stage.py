"""Gives commands access to a stage: one account in one Region, with its clients and tables."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitr.aws.connections import Connections
from jitr.aws.crl_bucket import Crls
from jitr.aws.crl_queue import CrlQueue
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.aws.shadows import Shadows
from jitr.store.brakes import Brakes
from jitr.store.crl_state import CrlStates
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.revoked_cas import RevokedCas
from jitr.store.sweep_state import SweepState
from jitr_fleet.resources import ResourceNames
from jitrctl.clock import now
from jitrctl.errors import AccessError
from jitrctl.session.access import Access, open_access
from jitrctl.session.cached import kept
from jitrctl.session.pace import turns_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr.rules import Rules
    from jitr_fleet.model import Account, Ca, CaDeployment, Fleet, Origin


@dataclass(kw_only=True, eq=False)
class Stage:
    """One account in one Region; clients are made at their first use, and kept.

    For one thread at a time.
    """

    fleet: Fleet
    account: Account
    region: str
    # Problems with what a command did there; shown beside its results, with exit code 1.
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The stage as the CDK calls it: dev/eu-central-1."""
        return f"{self.account.name}/{self.region}"

    @property
    def names(self) -> ResourceNames:
        return ResourceNames(self.fleet.name)

    @kept
    def rules(self) -> Rules:
        return self.fleet.rules(self.account, self.region)

    @kept
    def access(self) -> Access:
        """The opened account; raises AccessError, WrongAccount, Unusable."""
        alike = (account for account in self.fleet.accounts if account.profile == self.account.profile)
        return open_access(self.account, self.region, next(alike).regions[0])

    @property
    def is_open(self) -> bool:
        return "access" in self.__dict__

    @property
    def caller(self) -> str:
        """The ARN of the caller's identity there."""
        return self.access.caller

    @kept
    def iot(self) -> Any:
        return self.access.client("iot")

    @kept
    def aws_iot(self) -> AwsIot:
        """AWS IoT in jitr's own words; unpaced, since a person's calls on one device are few."""
        return AwsIot(self.iot, Unpaced(), clock=now, rules=self.rules, shadows=lambda: self.shadows)

    @kept
    def paced_iot(self) -> AwsIot:
        """The same for work on many devices: its calls take turns of the account's schedule."""
        return AwsIot(self.iot, turns_in(self), clock=now, rules=self.rules)

    @kept
    def connections(self) -> Connections:
        """The connections of MQTT clients, by AWS IoT's data plane."""
        return Connections(self.access.client("iot-data"))

    @kept
    def shadows(self) -> Shadows:
        """The things' shadows, by the same data plane."""
        return Shadows(self.access.client("iot-data"))

    @kept
    def lambda_(self) -> Any:
        return self.access.client("lambda")

    @kept
    def dynamodb(self) -> Any:
        return self.access.client("dynamodb")

    @kept
    def sqs(self) -> Any:
        return self.access.client("sqs")

    @kept
    def registry(self) -> Registry:
        return Registry(self.dynamodb, self.names.registry_table)

    @kept
    def outcomes(self) -> Outcomes:
        return Outcomes(self.dynamodb, self.names.registry_table)

    @kept
    def brakes(self) -> Brakes:
        return Brakes(self.dynamodb, self.names.registry_table, clock=now)

    @kept
    def enrollment(self) -> EnrollmentTable:
        return EnrollmentTable(self.dynamodb, self.names.enrollment_table)

    @kept
    def revoked_cas(self) -> RevokedCas:
        return RevokedCas(self.dynamodb, self.names.registry_table)

    @kept
    def s3(self) -> Any:
        return self.access.client("s3")

    @property
    def crl_bucket(self) -> str:
        return self.names.crl_bucket(self.account.id, self.region)

    @kept
    def crls(self) -> Crls:
        return Crls(lambda: self.s3, self.crl_bucket, self.account.id, clock=now)

    @kept
    def crl_states(self) -> CrlStates:
        return CrlStates(self.dynamodb, self.names.registry_table)

    @kept
    def crl_queue(self) -> CrlQueue:
        """The queue of the function `revoke`; raises botocore's errors when there is none."""
        return CrlQueue(self.sqs, self.sqs.get_queue_url(QueueName=self.names.crl_queue)["QueueUrl"])

    @kept
    def journal(self) -> SweepState:
        return SweepState(self.dynamodb, self.names.registry_table)


def choose(fleet: Fleet, accounts: Sequence[str], regions: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of these accounts and Regions, in the fleet file's order; without names, all.

    Raises AccessError when an account or a Region is not the fleet's.
    """
    known = [account.name for account in fleet.accounts]
    for name in accounts:
        if name not in known:
            raise AccessError(f"the fleet has no account {name}: {_nearest(name, known)}")
    chosen = [account for account in fleet.accounts if not accounts or account.name in accounts]
    stages = tuple(
        Stage(fleet=fleet, account=account, region=region)
        for account in chosen
        for region in account.regions
        if not regions or region in regions
    )
    for region in regions:
        if not any(stage.region == region for stage in stages):
            whose = f"account {chosen[0].name} has" if len(chosen) == 1 else "the accounts have"
            there = sorted({region for account in chosen for region in account.regions})
            raise AccessError(f"{whose} no stage in {region}: {_nearest(region, there)}")
    return stages


def only(stages: Sequence[Stage]) -> Stage:
    """The one stage that was chosen.

    Raises AccessError when there are several, with the options that choose one.
    """
    if len(stages) == 1:
        return stages[0]
    accounts = list(dict.fromkeys(stage.account.name for stage in stages))
    if len(accounts) > 1:
        raise AccessError(f"the fleet has accounts {', '.join(accounts)}: say which one with --account")
    regions = ", ".join(stage.region for stage in stages)
    raise AccessError(f"account {accounts[0]} has Regions {regions}: say which with --region")


def known_ca(fleet: Fleet, name: str) -> Ca:
    """The fleet's CA of that name.

    Raises AccessError when there is none.
    """
    known = {ca.name: ca for ca in fleet.cas}
    if any(name == source.name for source in fleet.sources):
        raise AccessError(
            f"{name} is a source of certificates registered without a CA, and this is for a CA: for a source's devices "
            f"there are those of `jitrctl device`, such as `jitrctl device revoke --ca {name}`"
        )
    if name not in known:
        raise AccessError(f"the fleet has no CA {name}: {_nearest(name, list(known))}")
    return known[name]


def known_origin(fleet: Fleet, name: str) -> Origin:
    """The fleet's CA or source of that name.

    Raises AccessError when there is none.
    """
    known = {one.name: one for one in fleet.origins}
    if name not in known:
        raise AccessError(f"the fleet has no CA or source {name}: {_nearest(name, list(known))}")
    return known[name]


def chosen_origins(stage: Stage, names: Sequence[str]) -> tuple[Origin, ...]:
    """The stage's CAs and sources with these names; without names, all."""
    return tuple(one for one in stage.account.origins if not names or one.name in names)


def chosen_cas(stage: Stage, names: Sequence[str]) -> tuple[CaDeployment, ...]:
    """The stage's CAs with these names, in the fleet file's order; without names, all.

    CAs that the account does not have are left out.
    """
    return tuple(one for one in stage.account.cas if not names or one.ca.name in names)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
