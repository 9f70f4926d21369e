"""Converts decisions, owners and verdicts to DynamoDB attributes, and back.

Every item carries a schema version. Version N reads what N-1 wrote and the reverse, so that neither a deployment nor a
rollback loses anything: unknown attributes are ignored, and a decision with an unknown outcome or status counts as no
decision, so the certificate is evaluated again. Times are epoch milliseconds. Nothing here is secret.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.import_order import ImportOrder
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.record import Record
from jitr.sessions import SecondLook
from jitr.store.outcome_index import LISTED_AS, LISTED_AT
from jitr.store.serial_index import ISSUED_AS
from jitr.verdicts import OperatorAction, OperatorVerdict

# 2: a retirement is due in a separate item; decisions name the one before.
# 3: decisions say what their reason rests on, and whether the brake holds; brakes; release orders; index `outcomes`.
# 4: index `serials`; holds by a CRL on ACTIVE certificates, and orders that lift them; the state of CRLs.
# (Also 4: orders of imports, and sources in place of a CA. Earlier code ignores both: it leaves INACTIVE certificates.)
# (Also 4: origins of adopted certificates, which no decision rests on. Earlier code ignores them, and leaves them.)
SCHEMA = 4


def certificate_key(certificate_id: str) -> str:
    return f"certificate#{certificate_id}"


def retirement_key(certificate_id: str) -> str:
    return f"retirement#{certificate_id}"


def take_away_key(certificate_id: str) -> str:
    return f"takeaway#{certificate_id}"


def withdrawal_key(certificate_id: str, thing_name: str) -> str:
    return f"withdrawal#{certificate_id}#{thing_name}"


def thing_key(thing_name: str) -> str:
    return f"thing#{thing_name}"


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def moment(value: Any) -> datetime:
    return datetime.fromtimestamp(int(value) / 1000, UTC)


def from_decision(decision: Decision) -> dict[str, Any]:
    """A decision as strings, numbers and lists; None is left out."""
    fields = {
        "certificate_id": decision.certificate_id,
        "outcome": decision.outcome.value,
        "status": decision.status.value,
        "registered_at": milliseconds(decision.registered_at),
        "decided_at": milliseconds(decision.decided_at),
        "rules_digest": decision.rules_digest,
        "ca_certificate_id": decision.ca_certificate_id,
        "ca": decision.ca,
        "thing_name": decision.thing_name,
        "reason": decision.reason.name if decision.reason else None,
        "rests_on": decision.rests_on.value if decision.rests_on else None,
        "detail": decision.detail,
        "would_reject": [reason.name for reason in decision.would_reject] or None,
        "serial": decision.serial,
        "twin_id": decision.twin_id,
        "issuer": decision.issuer,
        "reader": decision.reader,
        "subject": decision.subject,
        "not_before": milliseconds(decision.not_before) if decision.not_before else None,
        "not_after": milliseconds(decision.not_after) if decision.not_after else None,
        "replaces": decision.replaces,
        "replaced_by": decision.replaced_by,
        "asks_for": decision.requested_name,
        "crl": decision.crl,
        "enrollment": decision.enrollment,
        "attempts": decision.attempts,
        "after": milliseconds(decision.after) if decision.after else None,
        "verdict_seen": decision.verdict_seen,
        "brake": decision.brake,
        "release": decision.release,
    }
    return {name: value for name, value in fields.items() if value is not None}


def to_decision(fields: Mapping[str, Any]) -> Decision | None:
    """Read `from_decision` back; None for a decision that this version cannot read."""
    known = {name: value for name, value in fields.items() if name in Decision.__dataclass_fields__}
    try:
        known |= {
            "requested_name": fields.get("asks_for"),
            "outcome": Outcome(known["outcome"]),
            "status": Status(known["status"]),
            "reason": Reason.__members__.get(known.get("reason", "")),
            "would_reject": tuple(Reason[name] for name in known.get("would_reject", ()) if name in Reason.__members__),
            "registered_at": moment(known["registered_at"]),
            "decided_at": moment(known["decided_at"]),
            "attempts": int(known.get("attempts", 1)),
            "after": moment(known["after"]) if "after" in known else None,
            "verdict_seen": int(known["verdict_seen"]) if "verdict_seen" in known else None,
            "brake": int(known["brake"]) if "brake" in known else None,
            "release": int(known["release"]) if "release" in known else None,
            "not_before": moment(known["not_before"]) if "not_before" in known else None,
            "not_after": moment(known["not_after"]) if "not_after" in known else None,
        }
        return Decision(**known)
    except (KeyError, ValueError, TypeError):
        return None


def from_owner(owner: Owner) -> dict[str, Any]:
    return {
        "certificate_id": owner.certificate_id,
        "ca_certificate_id": owner.ca_certificate_id,
        "serial": owner.serial,
        "issued_at": milliseconds(owner.issued_at),
        "ends_at": milliseconds(owner.ends_at),
        "registered_at": milliseconds(owner.registered_at),
        **({"formers": list(owner.previous_owners)} if owner.previous_owners else {}),
    }


def to_owner(fields: Mapping[str, Any]) -> Owner:
    return Owner(
        certificate_id=fields["certificate_id"],
        ca_certificate_id=fields["ca_certificate_id"],
        serial=fields.get("serial", ""),
        issued_at=moment(fields["issued_at"]),
        ends_at=moment(fields["ends_at"]),
        registered_at=moment(fields["registered_at"]),
        previous_owners=tuple(fields.get("formers", ())),
    )


def from_verdict(verdict: OperatorVerdict) -> dict[str, Any]:
    fields = {
        "word": verdict.action.value,
        "by": verdict.by,
        "at": milliseconds(verdict.at),
        "note": verdict.note,
        "allows": verdict.action.allows_activation,
        "version": verdict.version or None,
        "of_registration": milliseconds(verdict.of_registration) if verdict.of_registration else None,
        "of_status": verdict.of_status.value if verdict.of_status else None,
        "of_rejection": milliseconds(verdict.of_rejection) if verdict.of_rejection else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def to_record(fields: Mapping[str, Any]) -> Record:
    """The record of one certificate, from its item's attributes."""
    said, intent, verdict = (fields.get(name) for name in ("decision", "intent", "verdict"))
    decision = to_decision(said) if said else None
    begun = to_decision(intent) if intent else None
    return Record(
        decision=decision,
        unread_at=moment(said["decided_at"]) if said and decision is None and "decided_at" in said else None,
        intent=begun,
        unread_intent_at=moment(intent["decided_at"]) if intent and begun is None and "decided_at" in intent else None,
        begun_by=(intent.get("run") or None) if intent else None,
        verdict=to_verdict(verdict) if verdict is not None else None,
        replaced_by=fields.get("replaced_by"),
        former_thing_name=fields.get("former_thing_name"),
        tried_name=fields.get("tried_name"),
        tried_is_open=bool(fields.get("tried_is_open")),
        swept_at=moment(fields["swept_at"]) if "swept_at" in fields else None,
        ordered=int(fields["ordered"]) if "ordered" in fields else None,
        second_look=_to_second_look(fields["second_look"]) if "second_look" in fields else None,
        due=fields.get("due"),
        due_at=moment(fields["due_at"]) if "due_at" in fields else None,
        listed=(fields[LISTED_AS], int(fields[LISTED_AT])) if LISTED_AS in fields and LISTED_AT in fields else None,
        issued_as=fields.get(ISSUED_AS),
        foreign_to=fields.get("foreign_to"),
        import_order=to_import_order(fields["import_order"]) if "import_order" in fields else None,
        origin=fields.get("origin"),
    )


def from_import_order(order: ImportOrder) -> dict[str, Any]:
    return {
        "source": order.source,
        "by": order.by,
        "at": milliseconds(order.at),
        "note": order.note,
        "may_follow": order.may_follow,
    }


def to_import_order(fields: Mapping[str, Any]) -> ImportOrder:
    return ImportOrder(
        source=fields["source"],
        by=fields.get("by", ""),
        at=moment(fields["at"]),
        note=fields.get("note", ""),
        may_follow=bool(fields.get("may_follow")),
    )


def from_second_look(look: SecondLook) -> dict[str, Any]:
    return {"client_ids": list(look.client_ids), "due_at": milliseconds(look.due_at)}


def _to_second_look(fields: Mapping[str, Any]) -> SecondLook:
    return SecondLook(client_ids=tuple(fields.get("client_ids", ())), due_at=moment(fields.get("due_at", 0)))


def to_verdict(fields: Mapping[str, Any]) -> OperatorVerdict:
    """A verdict with an action that this version does not know denies activation: no operator is overruled."""
    words = {word.value: word for word in OperatorAction}
    return OperatorVerdict(
        action=words.get(fields.get("word", ""), OperatorAction.DENIED),
        by=fields.get("by", ""),
        at=moment(fields.get("at", 0)),
        note=fields.get("note", ""),
        version=int(fields.get("version", 0)),
        of_registration=moment(fields["of_registration"]) if "of_registration" in fields else None,
        of_status={status.value: status for status in Status}.get(fields.get("of_status", "")),
        of_rejection=moment(fields["of_rejection"]) if "of_rejection" in fields else None,
    )
