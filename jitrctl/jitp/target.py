"""Finds which CA `jitrctl ca adopt` is about, and makes a fleet where there is no fleet file yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr_fleet.model import Alarms, Fleet, Metrics, StackOptions, SweepSchedule
from jitrctl.certificate_files import names_file, read_first
from jitrctl.errors import Unusable
from jitrctl.session.access import unknown_account

if TYPE_CHECKING:
    from jitr_fleet.model import Ca

_ID = re.compile("[0-9a-fA-F]{64}")
_LONGEST_NAME = 31
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCa:
    """The CA of an order: its id, and what the fleet file calls it, or will."""

    certificate_id: str
    name: str | None  # None: what its certificate says, see `name_for`
    declared: Ca | None  # None: the fleet file does not have it


def find_target(fleet: Fleet, given: str, name: str | None) -> TargetCa:
    """The CA that a text names: its name in the fleet file, its id, or the file of its certificate.

    Raises Unusable.
    """
    by_name = next((ca for ca in fleet.cas if ca.name == given), None)
    if by_name:
        return TargetCa(certificate_id=by_name.certificate_id, name=by_name.name, declared=by_name)
    if _ID.fullmatch(given):
        certificate_id = given.lower()
    elif names_file(given):
        try:
            certificate_id = Certificate.from_pem(read_first(Path(given))).fingerprint
        except Rejected as error:
            raise Unusable(f"{given} is no certificate that can be read ({error.detail}): name a CA's") from error
    else:
        known = ", ".join(ca.name for ca in fleet.cas)
        raise Unusable(
            f"{given} is no CA of the fleet file{f' (it has {known})' if known else ''}, no CA's id of 64 hexadecimal "
            "digits, and no file: `aws iot list-ca-certificates` lists the ids"
        )
    declared = next((ca for ca in fleet.cas if ca.certificate_id == certificate_id), None)
    return TargetCa(certificate_id=certificate_id, name=declared.name if declared else name, declared=declared)


def name_for(ca_pem: str, taken: frozenset[str]) -> str:
    """A name for a CA: its common name, as far as a name in fleet.toml can be that."""
    try:
        found = Certificate.from_pem(ca_pem).field_values("common_name")
    except Rejected:
        found = ()
    words = re.sub("[^a-z0-9]+", "-", found[0].lower() if found else "").strip("-")
    name = re.sub("^[^a-z]+", "", words)[:_LONGEST_NAME].rstrip("-") or "jitp"
    number, free = 2, name
    while free in taken:
        suffix, number = f"-{number}", number + 1
        free = name[: _LONGEST_NAME - len(suffix)].rstrip("-") + suffix
    return free


def fleet_of_profile(name: str, account: str, profile: str | None, region: str) -> Fleet:
    """A fleet of one account without CAs, for what only reads.

    Raises AccessError, Unusable.
    """
    return Fleet(
        name=name,
        cas=(),
        accounts=(unknown_account(account, profile, region),),
        sweep=SweepSchedule(every=900, pending_after=600, horizon=7 * _DAY),
        alarms=Alarms(topic=None, backlog=900, rejection_rate=20, ca_expiry=90 * _DAY, device_expiry=30 * _DAY),
        stack=StackOptions(
            tags=MappingProxyType({}),
            permission_boundary=None,
            termination_protection=False,
            iot_logging=None,
            snap_start=False,
            kms_key=None,
        ),
        hub=None,
        metrics=Metrics(rejections_by_reason=False),
        path=Path("fleet.toml"),
    )
