"""Converts enrollment entries to DynamoDB attributes, and back.

    thing#<thingName>             an entry
    certificate#<certificateId>   an entry
    version                       names the last change of the list (enrollment_table.py)

Every item carries a schema version; unknown attributes are ignored. An item that cannot be read becomes an entry with a
problem, never a missing entry: a mistake in an item admits no device. Times are epoch milliseconds.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions

SCHEMA = 1


def entry_key(subject: Subject) -> str:
    return f"{subject.kind.value}#{subject.name}"


def to_subject(entry_id: str) -> Subject | None:
    """The subject of an item's id; None for an item that is no entry."""
    kind, separator, name = entry_id.partition("#")
    return Subject(SubjectKind(kind), name) if separator and kind in set(SubjectKind) else None


def from_entry(entry: Entry, *, replaced: Entry | None = None) -> dict[str, Any]:
    """An entry as strings, numbers, lists and maps; empty values are left out.

    Of the entry that it replaces, the rule, author, time and note are kept.
    """
    fields = {
        "id": entry_key(entry.subject),
        "schema": SCHEMA,
        "rule": entry.rule.value,
        "accounts": list(entry.accounts),
        "thing_type": entry.additions.thing_type,
        "thing_groups": list(entry.additions.thing_groups),
        "attributes": dict(entry.additions.attributes),
        "may_follow": entry.may_follow or None,
        "replaced": _said(replaced) if replaced else None,
        **_said(entry),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def to_entry(fields: Mapping[str, Any]) -> Entry:
    """Read `from_entry` back; an attribute that does not fit becomes the entry's problem.

    Raises ValueError when the item is no entry.
    """
    subject = to_subject(fields["id"])
    if subject is None:
        raise ValueError(f"item {fields['id']} is no enrollment entry")
    # For people. No decision depends on these fields, so a mistake in them does not make the entry unusable.
    said: dict[str, Any] = {
        "by": str(fields.get("by", "")),
        "at": _moment(fields.get("at")),
        "note": str(fields.get("note", "")),
    }
    try:
        return Entry(
            subject=subject,
            rule=EntryRule(fields["rule"]),
            accounts=_texts(fields, "accounts"),
            additions=Additions(
                thing_type=_text(fields["thing_type"]) if "thing_type" in fields else None,
                thing_groups=_texts(fields, "thing_groups"),
                attributes={name: _text(value) for name, value in dict(fields.get("attributes", {})).items()},
            ),
            may_follow=_flag(fields.get("may_follow", False)),
            **said,
        )
    except KeyError as error:
        problem = f"its {error} is missing"
    except (ValueError, TypeError) as error:
        problem = f"it is not a valid entry ({error})"
    # An entry with a problem allows nothing.
    return Entry(subject=subject, rule=EntryRule.ALLOW, problem=problem, **said)


def _said(entry: Entry) -> dict[str, Any]:
    fields = {
        "rule": entry.rule.value,
        "by": entry.by,
        "at": round(entry.at.timestamp() * 1000) if entry.at else None,
        "note": entry.note,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _moment(value: Any) -> datetime | None:
    try:
        # A string, as the console may write it, counts as no time: conditions compare the number that is stored.
        whole = isinstance(value, int | Decimal) and value == int(value)
        return datetime.fromtimestamp(int(value) / 1000, UTC) if whole else None
    except (ValueError, TypeError, OverflowError, OSError, ArithmeticError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!a} is no text")
    return value


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = fields.get(name, ())
    if not isinstance(values, list | tuple | set | frozenset):
        raise TypeError(f"{name} is no list")
    return tuple(map(_text, sorted(values) if isinstance(values, set | frozenset) else values))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!a} is neither true nor false")
    return value
