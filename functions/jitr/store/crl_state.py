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
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import batch_get, calling
from jitr.crl_progress import (
    REFUSED,
    WAITS,
    AppliedCrl,
    ApprovedCrl,
    CrlState,
    CrlWalk,
    CrlWork,
    GrowingRegistry,
    Place,
    RefusedCrl,
    SeenCrl,
    WaitingCrl,
)
from jitr.store import lease
from jitr.store.dynamodb import deserialize, key, set_attributes, values
from jitr.store.outcome_index import LISTED_AS, LISTED_AT
from jitr.store.registry_items import SCHEMA, milliseconds, moment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PREFIX = "crl#"
_NUMBERS = ("ended", "lifted", "devices", "number", "later")
_TIMES = ("at", "this_update", "next_update", "began_at", "found_at", "until")


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
