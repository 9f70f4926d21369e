"""Converts the brake of one CA to DynamoDB attributes in the registry table, and back.

    brake#<caCertificateId>   one item for each CA:
        <rules>.r.m<slot>     refusals that rest on rules, in five minutes, under the rules with this digest
        <rules>.o.m<slot>     the CA's other decisions in five minutes: activated, or rejected for another reason
        <rules>.r.d<day>      refusals that rest on rules, in one day
        <rules>.o.d<day>      the CA's other decisions in one day
        engaged               the brake, as it was engaged; absent while it is off
        accepted              an operator's last acceptance
        acceptances           the number of acceptances

    certificate#<certificateId>:
        refusal_counted       when a refusal of this certificate was last counted, and under which rules

Each counter is a separate attribute, so that concurrent writers can increment it with ADD. The writer that finds old
counters removes them. Schema versions are those of registry_items.py. A counter or state that cannot be read counts as
absent.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jitr.brake import Acceptance, Brake, Counters, Engagement, Tally, day_of, is_recent_day, is_recent_slot, slot_of
from jitr.store.dynamodb import key, values
from jitr.store.registry_items import SCHEMA, certificate_key, milliseconds, moment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

_COUNTER = re.compile(r"([0-9a-f]+)\.([ro])\.([md])([0-9]+)")
_REFUSED, _OTHERS = "r", "o"
_PREFIX = "brake#"


def brake_key(ca_certificate_id: str) -> str:
    return f"{_PREFIX}{ca_certificate_id}"


def to_brake(fields: Mapping[str, Any]) -> Brake:
    """The brake of one CA, from its item's attributes."""
    slots: dict[str, dict[int, Tally]] = defaultdict(lambda: defaultdict(Tally))
    days: dict[str, dict[int, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for name, number in fields.items():
        if match := _COUNTER.fullmatch(name):
            rules, kind, unit, at = match.groups()
            tallies = slots[rules] if unit == "m" else days[rules]
            tallies[int(at)] += Tally(**{"refused" if kind == _REFUSED else "others": int(number)})
    return Brake(
        counters={rules: Counters(slots=dict(slots[rules]), days=dict(days[rules])) for rules in {*slots, *days}},
        engaged=_to_engagement(fields.get("engaged")),
        accepted=_to_acceptance(fields.get("accepted")),
        acceptances=int(fields.get("acceptances", 0)),
    )


def find_outdated(fields: Iterable[str], now: datetime) -> list[str]:
    """The names of counters that are too old for the shares of the last hour and the last seven days."""
    found = [match for match in map(_COUNTER.fullmatch, fields) if match]
    return [
        match[0] for match in found if not (is_recent_slot if match[3] == "m" else is_recent_day)(int(match[4]), now)
    ]


def count_decisions(table: str, ca_certificate_id: str, counted: Mapping[str, Tally], now: datetime) -> "UpdateTypeDef":
    """Add decisions to a CA's counters, by the digest of its rules."""
    added: dict[str, int] = {}
    for rules, tally in counted.items():
        for kind, number in ((_REFUSED, tally.refused), (_OTHERS, tally.others)):
            if number:
                added[f"{rules}.{kind}.m{slot_of(now)}"] = number
                added[f"{rules}.{kind}.d{day_of(now)}"] = number
    names = {f"#c{position}": name for position, name in enumerate(added)}
    numbers = {f"n{position}": number for position, number in enumerate(added.values())}
    adds = ", ".join(f"#c{position} :n{position}" for position in range(len(added)))
    return {
        "TableName": table,
        "Key": key(brake_key(ca_certificate_id)),
        "UpdateExpression": f"SET #schema = :schema ADD {adds}",
        "ExpressionAttributeNames": names | {"#schema": "schema"},
        "ExpressionAttributeValues": values(schema=SCHEMA, **numbers),
    }


def mark_counted(table: str, certificate_id: str, rules: str, now: datetime, *, before: datetime) -> "UpdateTypeDef":
    """Mark a certificate's refusal as counted, unless it was counted under the same CA rules after `before`."""
    return {
        "TableName": table,
        "Key": key(certificate_key(certificate_id)),
        "UpdateExpression": "SET refusal_counted = :counted, #schema = :schema",
        "ConditionExpression": (
            "attribute_not_exists(refusal_counted) OR NOT refusal_counted.#rules = :rules"
            " OR refusal_counted.#at <= :before"
        ),
        "ExpressionAttributeNames": {"#schema": "schema", "#rules": "rules", "#at": "at"},
        "ExpressionAttributeValues": values(
            counted={"rules": rules, "at": milliseconds(now)}, rules=rules, before=milliseconds(before), schema=SCHEMA
        ),
    }


def counted_at(fields: Mapping[str, Any]) -> datetime | None:
    """When the certificate of this item was last marked as counted; None if never."""
    counted = fields.get("refusal_counted")
    return moment(counted["at"]) if counted else None


def forget_counters(table: str, ca_certificate_id: str, counters: Iterable[str]) -> "UpdateTypeDef":
    """Remove counters of past slots and days; nothing adds to them again."""
    names = {f"#c{position}": name for position, name in enumerate(counters)}
    return {
        "TableName": table,
        "Key": key(brake_key(ca_certificate_id)),
        "UpdateExpression": f"REMOVE {', '.join(names)}",
        "ExpressionAttributeNames": names,
    }


def engage(table: str, ca_certificate_id: str, engaged: Engagement, *, acceptances: int) -> "UpdateTypeDef":
    """Engage the brake, unless it is engaged under the same rules, or an operator has accepted rejections meanwhile."""
    fields = {
        "rules": engaged.rules,
        "at": milliseconds(engaged.at),
        "refused": engaged.refused,
        "decisions": engaged.decisions,
        "usual_share": str(round(engaged.usual_share, 3)),
        "reason": engaged.reason,
        "example": engaged.example,
    }
    seen = "acceptances = :acceptances" if acceptances else "attribute_not_exists(acceptances)"
    return {
        "TableName": table,
        "Key": key(brake_key(ca_certificate_id)),
        "UpdateExpression": "SET engaged = :engaged, #schema = :schema",
        "ConditionExpression": f"(attribute_not_exists(engaged) OR NOT engaged.#rules = :rules) AND {seen}",
        "ExpressionAttributeNames": {"#schema": "schema", "#rules": "rules"},
        "ExpressionAttributeValues": values(
            engaged=fields, rules=engaged.rules, schema=SCHEMA, **({"acceptances": acceptances} if acceptances else {})
        ),
    }


def note_announced(table: str, ca_certificate_id: str, engaged: Engagement) -> "UpdateTypeDef":
    """Mark an engaged brake as announced."""
    update = disengage(table, ca_certificate_id, engaged)
    update["UpdateExpression"] = "SET engaged.announced = :true"
    update["ExpressionAttributeValues"] = {**update["ExpressionAttributeValues"], **values(true=True)}
    return update


def disengage(table: str, ca_certificate_id: str, engaged: Engagement) -> "UpdateTypeDef":
    """End this engagement of the brake; a later engagement stays."""
    return {
        "TableName": table,
        "Key": key(brake_key(ca_certificate_id)),
        "UpdateExpression": "REMOVE engaged",
        "ConditionExpression": "engaged.#rules = :rules AND engaged.#at = :at",
        "ExpressionAttributeNames": {"#at": "at", "#rules": "rules"},
        "ExpressionAttributeValues": values(rules=engaged.rules, at=milliseconds(engaged.at)),
    }


def accept(table: str, ca_certificate_id: str, engaged: Engagement, accepted: Acceptance) -> "UpdateTypeDef":
    """End the engagement that an operator saw, and record the acceptance: from now on the rules' refusals are final."""
    fields = {
        "rules": accepted.rules,
        "by": accepted.by,
        "at": milliseconds(accepted.at),
        "note": accepted.note,
    }
    update = disengage(table, ca_certificate_id, engaged)
    update["UpdateExpression"] = "SET accepted = :accepted, #schema = :schema REMOVE engaged ADD acceptances :one"
    update["ExpressionAttributeNames"] = {"#at": "at", "#rules": "rules", "#schema": "schema"}
    update["ExpressionAttributeValues"] = {
        **update["ExpressionAttributeValues"],
        **values(accepted=fields, schema=SCHEMA, one=1),
    }
    return update


def _to_engagement(fields: Mapping[str, Any] | None) -> Engagement | None:
    if not fields:
        return None
    return Engagement(
        rules=fields.get("rules", ""),
        at=moment(fields.get("at", 0)),
        refused=int(fields.get("refused", 0)),
        decisions=int(fields.get("decisions", 0)),
        usual_share=float(fields.get("usual_share", 0)),
        reason=fields.get("reason", ""),
        example=fields.get("example", ""),
        announced=bool(fields.get("announced")),
    )


def _to_acceptance(fields: Mapping[str, Any] | None) -> Acceptance | None:
    if not fields:
        return None
    return Acceptance(
        rules=fields.get("rules", ""),
        by=fields.get("by", ""),
        at=moment(fields.get("at", 0)),
        note=fields.get("note", ""),
    )
