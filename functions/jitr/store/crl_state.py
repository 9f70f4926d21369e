"""Keeps how far the CRL of each CA was applied to ACTIVE devices, in the registry table.

    crl#<caCertificateId>   seen       the CRL that the function `revoke` last read: its dates, for the alarm
                            applied    the CRL that was applied last, as a whole
                            work       the CRL that is being applied, since when, and whether the brake has let it pass
                            refused    a CRL that may not follow the applied one, and why
                            walk       how far the CA's certificates were gone through, by runs that had no time left
                            waits      a CRL that waits for an operator's yes, and on which numbers
                            grows      until when the sweep records certificates of the CA that were not known before
                            approved   the CRL that an operator has approved; jitrctl writes it
    lease#crl#<caCertificateId>        which run applies the CA's CRL

A CRL is named by its version, the object's ETag. If an item is lost, the CRL is applied anew from its beginning: what
was done is found in the certificates' records.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import batch_get, calling
from jitr.frozen import value
from jitr.store import lease
from jitr.store.dynamodb import deserialize, key, set_attributes, values
from jitr.store.outcome_index import LISTED_AS, LISTED_AT
from jitr.store.registry_items import SCHEMA, milliseconds, moment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PREFIX = "crl#"
# What an operator may say yes to: the parts of the state with that name.
WAITS, REFUSED = "waits", "refused"
_NUMBERS = ("ended", "lifted", "devices", "number", "later")
_TIMES = ("at", "this_update", "next_update", "began_at", "found_at", "until")


@value
class SeenCrl:
    """The CRL that was read last, applied or not."""

    version: str
    this_update: datetime
    next_update: datetime
    at: datetime


@value
class AppliedCrl:
    """A CRL that was applied, or in the mode `observe` compared."""

    version: str
    version_id: str | None = None  # of the object in the bucket
    number: int | None = None
    this_update: datetime
    mode: str  # rules.CheckMode
    at: datetime
    found_at: datetime  # when the last search for its certificates began
    is_complete: bool  # all records of the CA were in the indexes
    ended: int = 0  # certificates that it revoked or suspended; in the mode `observe`, that are ACTIVE against it
    lifted: int = 0


@value
class CrlWork:
    """A CRL that is being applied."""

    version: str
    mode: str
    began_at: datetime
    at: datetime  # of the last run
    has_passed: bool = False  # the brake let it pass
    follows_unfinished: bool = False  # the CRL before was begun and never finished: what that one did is in no list
    ended: int = 0
    lifted: int = 0
    number: int | None = None
    this_update: datetime | None = None  # None: an earlier version began it


# Where a walk goes on: {"outcome": …, "after": …} by record, {"skipped": …} by serial number, {} at its beginning
# (revocation/candidates.py).
Place = Mapping[str, Any]


@value
class CrlWalk:
    """A walk over the certificates on which a CRL has something to say, across runs."""

    version: str
    mode: str
    aim: str  # revocation.walk.Aim
    by_serial: bool
    began_at: datetime
    at: datetime  # of the last run
    place: Place  # where the next run goes on
    ended: int = 0  # certificates that the CRL takes out, so far
    later: int = 0  # certificates that have to be tried again, so far


class Refusal(StrEnum):
    """Why a CRL is refused."""

    OLDER = "older"  # than the one before; an operator may approve it
    EARLY = "early"  # it is not in force yet
    UNUSABLE = "unusable"


@value
class RefusedCrl:
    """A CRL that was not applied."""

    version: str
    why: str
    at: datetime
    cause: str = Refusal.OLDER.value
    until: datetime | None = None  # when it comes into force, and is applied


@value
class WaitingCrl:
    """A CRL that takes out too many devices at once."""

    version: str
    ended: int  # ACTIVE certificates that it lists
    devices: int  # of the CA
    at: datetime


@value
class ApprovedCrl:
    """An operator's yes to one CRL."""

    version: str
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock
    note: str = ""
    # What was seen: REFUSED lets an older CRL follow, and the brake may still stop it; WAITS lets it pass the brake.
    # Empty: by an earlier version of jitrctl, whose yes was for both.
    of: str = ""


@value
class GrowingRegistry:
    """The sweep records certificates that no record was of (identification.py)."""

    until: datetime


@value
class CrlState:
    """The state of one CA's CRL in one account and Region."""

    seen: SeenCrl | None = None
    applied: AppliedCrl | None = None
    work: CrlWork | None = None
    walk: CrlWalk | None = None
    refused: RefusedCrl | None = None
    waits: WaitingCrl | None = None
    grows: GrowingRegistry | None = None
    approved: ApprovedCrl | None = None

    def is_approved(self, version: str) -> bool:
        """Whether an operator has approved exactly this CRL, so that it may follow a newer one.

        The yes to the number of devices is none to that, except while the CRL waits for it: it came so far.
        """
        if self.approved is None or self.approved.version != version:
            return False
        return self.approved.of != WAITS or (self.waits is not None and self.waits.version == version)

    def passes_brake(self, version: str) -> bool:
        """Whether an operator has seen how many devices exactly this CRL takes out, and approved it."""
        return self.approved is not None and self.approved.version == version and self.approved.of != REFUSED

    def asks_for(self, version: str, mode: str, *, is_complete: bool, now: datetime) -> bool:
        """Whether the published CRL is still to be applied, and nothing that only an operator can change forbids it.

        `is_complete`: whether all records are in the indexes now.
        """
        refused, waits = self.refused, self.waits
        if refused is not None and refused.version == version and not self.is_approved(version):
            return refused.until is not None and refused.until <= now
        if waits is not None and waits.version == version and not self.passes_brake(version):
            return False
        if self.work is not None and self.work.version != version:
            return True  # another one was begun since
        done = self.applied
        if done is None or (done.version, done.mode) != (version, mode):
            return True
        return is_complete and not self.is_whole

    def was_at_work_since(self, moment: datetime) -> bool:
        """Whether a run has written its state since then: one is probably under way."""
        return any(one is not None and one.at > moment for one in (self.work, self.walk))

    @property
    def is_whole(self) -> bool:
        """Whether all certificates that are known now were searched for by the CRL that was applied last."""
        applied, grows = self.applied, self.grows
        if applied is None or not applied.is_complete:
            return False
        return grows is None or applied.found_at >= grows.until


_PARTS: Mapping[str, Any] = {
    "seen": SeenCrl,
    "applied": AppliedCrl,
    "work": CrlWork,
    "walk": CrlWalk,
    "refused": RefusedCrl,
    "waits": WaitingCrl,
    "grows": GrowingRegistry,
    "approved": ApprovedCrl,
}


class CrlStates:
    """The states of one fleet's CRLs in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, ca_certificate_ids: Iterable[str]) -> dict[str, CrlState]:
        """The state of each of these CAs' CRLs, by CA certificate id, read consistently.

        Raises Unavailable.
        """
        ids = sorted(set(ca_certificate_ids))
        states = {one: CrlState() for one in ids}
        for item in batch_get(self._client, self._table, [key(f"{_PREFIX}{one}") for one in ids]):
            fields = deserialize(item)
            states[fields["id"].removeprefix(_PREFIX)] = _to_state(fields)
        return states

    def keep(self, ca_certificate_id: str, **parts: Any) -> None:
        """Write some parts of a state; None removes what a part said.

        Raises Unavailable.
        """
        written = {name: _from_part(part) if part is not None else None for name, part in parts.items()}
        with calling("UpdateItem"):
            self._client.update_item(
                **set_attributes(self._table, f"{_PREFIX}{ca_certificate_id}", **written, schema=SCHEMA)
            )

    def note_growth(self, ca_certificate_ids: Iterable[str], *, until: datetime) -> None:
        """Note that certificates of these CAs are recorded until then that were not known before.

        Raises Unavailable.
        """
        for ca_certificate_id in ca_certificate_ids:
            self.keep(ca_certificate_id, grows=GrowingRegistry(until=until))

    def approve(self, ca_certificate_id: str, approved: ApprovedCrl) -> bool:
        """Write an operator's yes to the CRL that waits, or is refused; False when it does not wait any more.

        Raises Unavailable.
        """
        try:
            with calling("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=key(f"{_PREFIX}{ca_certificate_id}"),
                    UpdateExpression="SET approved = :approved, #schema = :schema",
                    ConditionExpression={
                        WAITS: "waits.#version = :version",
                        REFUSED: "refused.#version = :version",
                    }.get(approved.of, "waits.#version = :version OR refused.#version = :version"),
                    ExpressionAttributeNames={"#schema": "schema", "#version": "version"},
                    ExpressionAttributeValues=values(
                        approved=_from_part(approved), version=approved.version, schema=SCHEMA
                    ),
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def end_approval(self, ca_certificate_id: str, version: str) -> None:
        """Remove the yes to a CRL, since another one follows; a yes to yet another one stays.

        Raises Unavailable.
        """
        with suppress(self._client.exceptions.ConditionalCheckFailedException), calling("UpdateItem"):
            self._client.update_item(
                TableName=self._table,
                Key=key(f"{_PREFIX}{ca_certificate_id}"),
                UpdateExpression="REMOVE approved",
                ConditionExpression="approved.#version = :version",
                ExpressionAttributeNames={"#version": "version"},
                ExpressionAttributeValues=values(version=version),
            )

    def take_lease(self, ca_certificate_id: str, who: str, now: datetime, *, seconds: float) -> bool:
        """Take the lease on a CA's CRL for so many seconds; False while another run has it.

        Raises Unavailable.
        """
        return lease.take(self._client, self._table, f"{_PREFIX}{ca_certificate_id}", who, now, seconds=seconds)

    def give_back_lease(self, ca_certificate_id: str, who: str) -> None:
        """Give the lease back, so that the next run can begin at once.

        Raises Unavailable.
        """
        lease.give_back(self._client, self._table, f"{_PREFIX}{ca_certificate_id}", who)


def _from_part(part: Any) -> dict[str, Any]:
    fields = {
        name: milliseconds(one) if name in _TIMES and one is not None else one for name, one in asdict(part).items()
    }
    if fields.get("number") is not None:
        fields["number"] = str(fields["number"])  # up to 20 octets, which DynamoDB's numbers do not hold
    return {name: one for name, one in fields.items() if one is not None}


def _to_state(fields: Mapping[str, Any]) -> CrlState:
    return CrlState(**{name: _to_part(made, fields[name]) for name, made in _PARTS.items() if fields.get(name)})


def _to_place(fields: Mapping[str, Any]) -> Place:
    """A place, whose position in the index DynamoDB takes only with exactly its keys."""
    place = {name: fields[name] for name in ("outcome", "skipped") if name in fields}
    if after := fields.get("after"):
        place["after"] = {name: after[name] for name in ("id", LISTED_AS, LISTED_AT) if name in after}
    return place


def _to_part(made: Any, fields: Mapping[str, Any]) -> Any:
    """One part, without what a later version added; None for one that this version cannot read."""
    names = made.__dataclass_fields__
    known: dict[str, Any] = {}
    for name, one in fields.items():
        if name not in names:
            continue
        if name in _TIMES:
            known[name] = moment(one)
        elif name == "place":
            known[name] = _to_place(one)
        elif name in _NUMBERS:
            known[name] = int(one)
        else:
            known[name] = one
    try:
        return made(**known)
    except TypeError:
        return None
