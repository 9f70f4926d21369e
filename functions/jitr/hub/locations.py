"""Reads the fleet's decision events for the hub, and decides whether a device is in an account where it belongs.

A place is one account in one Region. Events arrive late, repeatedly and in any order, so each is a statement with a
time, and the latest one on a certificate in a place holds. A device's accounts come from its enrollment entries, or
else from its CA in the fleet file.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from jitr.admission.enrollment import Entry, EntryRule
from jitr.errors import Misconfigured, UnreadableEvent
from jitr.events import CERTIFICATE_ID
from jitr.frozen import value

HOMES_FILE = "hub.json"
_VERSION = "1"  # of the events' details; within a version, fields are only added
_ACTIVE = "ACTIVE"


@value
class Statement:
    """One event: the status of a certificate in a place, as of a time."""

    certificate_id: str
    account_id: str
    region: str
    status: str  # of the certificate in AWS IoT; "" when it is not registered there
    at: datetime
    event_id: str
    ca: str | None = None  # its name in the fleet file
    thing_name: str | None = None

    @property
    def place(self) -> str:
        return f"{self.account_id}/{self.region}"

    @property
    def is_active(self) -> bool:
        return self.status == _ACTIVE

    @classmethod
    def parse(cls, text: str, *, fleet: str) -> Self:
        """Read one of jitr's events as EventBridge delivers it.

        EventBridge writes the sender's account into the envelope; a detail with another account is forged.

        Raises UnreadableEvent with the reason.
        """
        try:
            envelope = json.loads(text)
            detail = envelope["detail"]
            version, certificate_id = detail["version"], detail["certificate_id"]
            statement = cls(
                certificate_id=certificate_id,
                account_id=detail["account"],
                region=detail["region"],
                status=detail.get("status", ""),
                at=datetime.fromisoformat(detail.get("decided_at") or detail["at"]).astimezone(UTC),
                event_id=detail["id"],
                ca=detail.get("ca"),
                thing_name=detail.get("thing_name"),
            )
        except (ValueError, RecursionError) as error:
            raise UnreadableEvent(f"not JSON, or no time: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise UnreadableEvent(f"not an event of jitr: {type(error).__name__} {error}") from error
        if version != _VERSION:
            raise UnreadableEvent(f"the detail has version {version!r}; only {_VERSION} can be read")
        if not isinstance(certificate_id, str) or not CERTIFICATE_ID.fullmatch(certificate_id):
            raise UnreadableEvent("certificate_id is not 64 hexadecimal digits")
        if detail["fleet"] != fleet:
            raise UnreadableEvent("of another fleet")
        if envelope.get("account") != statement.account_id or envelope.get("region") != statement.region:
            raise UnreadableEvent(f"sent by {envelope.get('account')}, but the detail names {statement.account_id}")
        return statement


@dataclass(frozen=True, slots=True)
class Homes:
    """The accounts that each CA's devices belong to: CA name → account ids; for other CAs: any account.

    `accounts` are all of the fleet's: the bus may accept events of a whole organization, so others are refused here.
    """

    by_ca: Mapping[str, Collection[str]]
    accounts: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises Misconfigured.
        """
        try:
            document = json.loads(text)
            return cls(
                {ca: tuple(accounts) for ca, accounts in document["homes"].items()}, frozenset(document["accounts"])
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Misconfigured(f"{HOMES_FILE} cannot be read ({error}): deploy again") from error

    def to_json(self) -> str:
        homes = {ca: sorted(accounts) for ca, accounts in sorted(self.by_ca.items())}
        return json.dumps({"homes": homes, "accounts": sorted(self.accounts)})

    def of(self, ca: str | None, entries: Collection[Entry]) -> frozenset[str]:
        """The accounts that a device belongs to; empty: any account.

        Entries that allow the device and name accounts take precedence over the CA's accounts.
        """
        named = [entry.accounts for entry in entries if entry.rule is EntryRule.ALLOW and entry.accounts]
        if named:
            return frozenset(account for accounts in named for account in accounts)
        return frozenset(self.by_ca.get(ca or "", ()))


def is_out_of_place(statement: Statement, homes: frozenset[str]) -> bool:
    """Whether a certificate is ACTIVE in an account where its device does not belong."""
    return statement.is_active and bool(homes) and statement.account_id not in homes


def out_of_place_detail(statement: Statement, homes: frozenset[str], *, fleet: str) -> dict[str, Any]:
    """The detail of the event `Device Out Of Place`, version 1; it has the id of the event that caused it."""
    detail = {
        "version": _VERSION,
        "id": statement.event_id,
        "fleet": fleet,
        "account": statement.account_id,
        "region": statement.region,
        "certificate_id": statement.certificate_id,
        "ca": statement.ca,
        "thing_name": statement.thing_name,
        "belongs_to": sorted(homes),
        "at": statement.at.isoformat(timespec="milliseconds"),
    }
    return {name: value for name, value in detail.items() if value is not None}
