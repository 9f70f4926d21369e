"""Turns a fleet file into the one that the local AWS runs: the same fleet at other addresses.

Pure: from the file's document to another document, and sentences on what the two do not share. What stays is the
user's: names, ids, Regions, patterns, templates, policies, checks, times. What changes:

    certificates         those of throw-away CAs (ca_shape.py), below the workspace
    policies             the user's own file, by its whole path, so that a change to it is deployed next time
    accounts, Regions    those that were chosen; each has the address of its process
    what AWS has and the local AWS lacks   left out: hooks, keys, topics, boundaries, roles
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.rules import CertificateMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jitr_fleet.model import Ca, Fleet, Origin, Source

# Keys of an account that are about AWS alone.
_OF_AWS = ("role_arn", "kms_key")


@dataclass(frozen=True, slots=True)
class Choice:
    """The accounts of a fleet that are to run, each with its Regions; in the fleet file's order."""

    fleet: Fleet
    regions: Mapping[str, Sequence[str]]  # by the account's name

    def cas(self) -> tuple[Ca, ...]:
        """The CAs that these accounts have, and those that they succeed."""
        names = [
            deployment.ca.name
            for account in self.fleet.accounts
            if account.name in self.regions
            for deployment in account.cas
        ]
        by_id = {ca.certificate_id: ca for ca in self.fleet.cas}
        by_name = {ca.name: ca for ca in self.fleet.cas}
        for name in names:  # grows while it is gone through: a CA may succeed one that succeeds another
            before = by_name[name].succeeds
            if before and by_id[before].name not in names:
                names.append(by_id[before].name)
        return tuple(ca for ca in self.fleet.cas if ca.name in names)

    def sources(self) -> tuple[Source, ...]:
        """The sources of certificates registered without a CA that these accounts have."""
        names = {one.name for account in self.fleet.accounts if account.name in self.regions for one in account.sources}
        return tuple(one for one in self.fleet.sources if one.name in names)

    @property
    def has_hub(self) -> bool:
        hub = self.fleet.hub
        return hub is not None and hub.region in self.regions.get(hub.account, ())


def find_differences(choice: Choice) -> list[str]:
    """What the local fleet lacks, one sentence each, with the reason; nothing of what was not chosen."""
    fleet, cas = choice.fleet, choice.cas()
    found = [*_of_cas(choice, cas)]
    if fleet.stack.kms_key or any(one.kms_key for one in fleet.accounts if one.name in choice.regions):
        found.append("kms_key is left out: your KMS keys are not there")
    if fleet.stack.permission_boundary:
        found.append("[stack] permission_boundary is left out: your managed policies are not there")
    if fleet.alarms.topic:
        found.append(
            "[alarms] topic is left out: your topics are not there; `aws cloudwatch describe-alarms` shows alarms"
        )
    if fleet.hub and choice.has_hub:
        found.append(
            f"[hub] in {fleet.hub.account}/{fleet.hub.region} gets the events of its own stage alone: the local AWS "
            "drops events to another account's bus"
        )
    elif fleet.hub:
        found.append(f"[hub] is left out: {fleet.hub.account}/{fleet.hub.region} was not chosen")
    return found


def _of_cas(choice: Choice, cas: Sequence[Ca]) -> Iterator[str]:
    kept = {ca.name for ca in cas}
    if unused := [ca.name for ca in choice.fleet.cas if ca.name not in kept]:
        yield f"CA {', '.join(unused)}: left out, no account that was chosen has it"
    named = [(f"ca.{ca.name}", ca) for ca in cas] + [(f"registered.{one.name}", one) for one in choice.sources()]
    for name, origin in named:
        if origin.hook:
            yield f"{name}.hook is left out: your function is not there, and devices are admitted without it"
        if origin.existing:
            yield f"{name}.existing is false: the stack makes the thing type and groups, which are not there"
    for account in choice.fleet.accounts:
        for name in (one.ca.name for one in account.cas if one.jitp and account.name in choice.regions):
            yield f"account.{account.name}.ca.{name}.jitp is left out: no provisioning template is on the CA there"
    ids = {account.id for account in choice.fleet.accounts if account.name in choice.regions}
    for ca in cas:
        if ca.home and not set(ca.home) <= ids:
            yield f"ca.{ca.name}.home names only the accounts that were chosen"


def translate(document: Mapping[str, Any], choice: Choice, addresses: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """The document of the local fleet file.

    `addresses` has the URL of each account (name) and Region. Certificates are named as `ca_path` and `proof_path` say,
    relative to the workspace's directory.
    """
    fleet, cas = choice.fleet, choice.cas()
    local: dict[str, Any] = {name: copy.deepcopy(table) for name, table in document.items()}
    local["ca"] = {ca.name: _ca(local["ca"][ca.name], ca, choice) for ca in cas}
    if "registered" in local:
        local["registered"] = {one.name: _origin(local["registered"][one.name], one) for one in choice.sources()}
        if not local["registered"]:
            del local["registered"]
    local["account"] = {
        account.name: _account(local["account"][account.name], account.name, choice, addresses)
        for account in fleet.accounts
        if account.name in choice.regions
    }
    _drop(local, "stack", "kms_key", "permission_boundary")
    _drop(local, "alarms", "topic")
    if not choice.has_hub:
        local.pop("hub", None)
    return local


def ca_path(ca: str) -> str:
    return f"ca/{ca}.pem"


def proof_path(account: str, ca: str) -> str:
    """The verification certificate of an account; no CA's name has a dot, so none is another's file."""
    return f"ca/{ca}.{account}.pem"


def _ca(table: dict[str, Any], ca: Ca, choice: Choice) -> dict[str, Any]:
    table["certificate"] = ca_path(ca.name)
    if "home" in table:
        table["home"] = [name for name in table["home"] if name in choice.regions]
    return _origin(table, ca)


def _origin(table: dict[str, Any], origin: Origin) -> dict[str, Any]:
    if origin.policy:
        table["policy"] = str(origin.policy.resolve())
    for key in ("hook", "existing"):
        table.pop(key, None)
    return table


def _account(
    table: dict[str, Any], name: str, choice: Choice, addresses: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    for key in _OF_AWS:
        table.pop(key, None)
    regions = list(choice.regions[name])
    urls = {region: addresses[name, region] for region in regions}
    table |= {"regions": regions, "endpoint_url": urls[regions[0]] if len(regions) == 1 else urls}
    for ca, registration in table.get("ca", {}).items():
        if registration["mode"] == CertificateMode.DEFAULT:
            registration["verification_certificate"] = proof_path(name, ca)
        registration.pop("jitp", None)
    return table


def _drop(local: dict[str, Any], table: str, *keys: str) -> None:
    for key in keys:
        local.get(table, {}).pop(key, None)
