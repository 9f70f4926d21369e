"""Keeps the state of the sweep in the registry table: which sweep runs, how far it got, what it counted.

lease#sweep               one sweep at a time: which one, and until when
sweep#<caCertificateId>   the daily count of a CA's list: position and counts
sweep#account             where the look back goes on; the full pass over the account's list: position and counts
sweep#rules               the rules under which held devices were last evaluated, and how far the walk over them got
sweep#enrollment          the version of the enrollment list with which held devices were last compared
sweep#crls                the versions of the CRLs with which held devices were last compared
sweep#templates           the CAs with provisioning templates with which held devices were last compared
sweep#run                 the last sweep that came to its end, for `jitrctl fleet status`
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.frozen import value
from jitr.store import lease
from jitr.store.dynamodb import deserialize, key, set_attributes
from jitr.store.index_pages import Position
from jitr.store.registry_items import SCHEMA, milliseconds, moment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ACCOUNT = "account"  # in place of a CA's certificate id: the list of all certificates
UNCLAIMED = "unclaimed"  # the same in `count_key`: certificates whose records name no CA or source of the account
_LEASED = "sweep"
_RULES = "sweep#rules"
_ENROLLMENT = "sweep#enrollment"
_CRLS = "sweep#crls"
_TEMPLATES = "sweep#templates"
_RUN = "sweep#run"


@value
class Pass:
    """A pass over every certificate of a list, a CA's or the account's; it goes on from `marker` unless finished."""

    began_at: datetime | None = None
    finished_at: datetime | None = None
    marker: str | None = None
    # Status → number of certificates; in the account's list `count_key` → number.
    counts: Mapping[str, int] = field(default_factory=dict)
    owes: bool = False  # it found certificates that it did not send, since the queue was behind
    lists: bool = False  # it put every record into the index `outcomes` (outcome_index.py)
    has_serials: bool = False  # and into the index `serials` (serial_index.py)

    @property
    def has_all(self) -> bool:
        """Whether it is finished, and put all records into the indexes, those of earlier versions too."""
        return self.finished_at is not None and self.lists and self.has_serials


@value
class Walk:
    """A walk over all held devices, across sweeps, for one version of what it looks for: the rules, the CRLs, …"""

    version: str
    began_at: datetime
    is_finished: bool = False
    after: Position | None = None  # where it goes on


@value
class LastRun:
    """The last sweep that came to its end, whatever of it failed."""

    began_at: datetime
    finished_at: datetime
    failed: tuple[str, ...] = ()  # the parts that ended in an error


class SweepState:
    """The state of one fleet's sweep in one account and Region."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def take_lease(self, who: str, now: datetime, *, seconds: float) -> bool:
        """Take the lease for so many seconds; False while another sweep has it.

        Raises Unavailable.
        """
        return lease.take(self._client, self._table, _LEASED, who, now, seconds=seconds)

    def give_back_lease(self, who: str) -> None:
        """Give the lease back, so that the next sweep can begin at once.

        Raises Unavailable.
        """
        lease.give_back(self._client, self._table, _LEASED, who)

    def look_back_marker(self, listed: str) -> str | None:
        """The list's marker at which an interrupted look back goes on; None: it begins anew."""
        return self._read(_pass_key(listed)).get("look_back_marker")

    def keep_look_back_marker(self, listed: str, marker: str | None) -> None:
        self._write(_pass_key(listed), {"look_back_marker": marker})

    def full_pass(self, listed: str) -> Pass:
        """The full pass that is under way, else the last finished one; over the list of a CA, or of the ACCOUNT."""
        item = self._read(_pass_key(listed))
        return _to_pass(item.get("full_pass") or item.get("last_pass") or {})

    def last_pass(self, listed: str) -> Pass:
        """The last finished full pass, with its counts; empty before the first."""
        return _to_pass(self._read(_pass_key(listed)).get("last_pass") or {})

    def keep_pass(self, listed: str, going: Pass) -> None:
        fields = {
            "began_at": milliseconds(going.began_at) if going.began_at else None,
            "finished_at": milliseconds(going.finished_at) if going.finished_at else None,
            "marker": going.marker,
            "counts": dict(going.counts),
            "owes": going.owes,
            "lists": going.lists,
            **({"has_serials": True} if going.has_serials else {}),
        }
        if going.finished_at:
            self._write(_pass_key(listed), {"full_pass": None, "last_pass": fields})
        else:
            self._write(_pass_key(listed), {"full_pass": fields})

    def rules_digest(self) -> str | None:
        return self._read(_RULES).get("digest")

    def keep_rules_digest(self, digest: str) -> None:
        self._write(_RULES, {"digest": digest})

    def rules_walk(self) -> Walk | None:
        """The last walk over held devices for changed rules, finished or not."""
        return _to_walk(self._read(_RULES))

    def keep_rules_walk(self, walk: Walk) -> None:
        """Keep how far a walk got; a finished one sets the rules under which held devices were last evaluated."""
        done = {"digest": walk.version} if walk.is_finished else {}
        self._write(_RULES, _from_walk(walk) | done)

    def enrollment_walk(self) -> Walk | None:
        """The last walk over held devices for a changed enrollment list, finished or not."""
        return _to_walk(self._read(_ENROLLMENT))

    def keep_enrollment_walk(self, walk: Walk) -> None:
        self._write(_ENROLLMENT, _from_walk(walk))

    def crl_walk(self) -> Walk | None:
        """The last walk over held devices for a changed CRL, finished or not."""
        return _to_walk(self._read(_CRLS))

    def keep_crl_walk(self, walk: Walk) -> None:
        self._write(_CRLS, _from_walk(walk))

    def template_walk(self) -> Walk | None:
        """The last walk over held devices for a provisioning template that was taken off, finished or not."""
        return _to_walk(self._read(_TEMPLATES))

    def keep_template_walk(self, walk: Walk) -> None:
        self._write(_TEMPLATES, _from_walk(walk))

    def last_run(self) -> LastRun | None:
        """The last sweep that came to its end; None before the first one, also of a version that keeps none."""
        item = self._read(_RUN)
        if "finished_at" not in item:
            return None
        return LastRun(
            began_at=moment(item["began_at"]),
            finished_at=moment(item["finished_at"]),
            failed=tuple(item.get("failed", ())),
        )

    def keep_run(self, run: LastRun) -> None:
        """Keep the sweep that came to its end.

        Raises Unavailable.
        """
        fields = {"began_at": milliseconds(run.began_at), "finished_at": milliseconds(run.finished_at)}
        self._write(_RUN, fields | {"failed": list(run.failed)})

    def _read(self, of: str) -> dict[str, Any]:
        with calling("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=key(of), ConsistentRead=True)
        return deserialize(answer.get("Item", {}))

    def _write(self, of: str, fields: dict[str, Any]) -> None:
        with calling("UpdateItem"):
            self._client.update_item(**set_attributes(self._table, of, **fields, schema=SCHEMA))


def _to_pass(fields: Mapping[str, Any]) -> Pass:
    return Pass(
        began_at=moment(fields["began_at"]) if fields.get("began_at") else None,
        finished_at=moment(fields["finished_at"]) if fields.get("finished_at") else None,
        marker=fields.get("marker"),
        counts={status: int(count) for status, count in fields.get("counts", {}).items()},
        owes=bool(fields.get("owes")),
        lists=bool(fields.get("lists")),
        has_serials=bool(fields.get("has_serials")),
    )


def _from_walk(walk: Walk) -> dict[str, Any]:
    return {
        "version": walk.version,
        "began_at": milliseconds(walk.began_at),
        "is_finished": walk.is_finished,
        "after": dict(walk.after) if walk.after else None,
    }


def _to_walk(fields: Mapping[str, Any]) -> Walk | None:
    if "version" not in fields:
        return None
    return Walk(
        version=fields["version"],
        began_at=moment(fields["began_at"]),
        is_finished=bool(fields.get("is_finished")),
        after=fields.get("after"),
    )


def count_key(ca_certificate_id: str, status: str) -> str:
    """The key, in the account's counts, of the certificates in a status whose records name the CA."""
    return f"{ca_certificate_id} {status}"


def _pass_key(listed: str) -> str:
    return f"sweep#{listed}"
