"""Reasons: each has a kind, a sentence, and a place in the documentation."""

import re
from pathlib import Path

import pytest

from jitr import errors
from jitr.errors import Kind, Reason, Rejected

REJECTIONS = Path(__file__).parents[2] / "docs" / "rejections.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (final|curable) \| (.+) \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_kind_and_a_sentence(reason: Reason) -> None:
    assert reason.kind in Kind
    assert reason.final is (reason.kind is Kind.FINAL)
    assert re.fullmatch(r"[A-Z].*\.", reason.sentence)


@pytest.mark.parametrize("careless", ['FORGOTTEN = "A sentence without a kind."', 'FORGOTTEN = ("A sentence.",)'])
def test_a_reason_without_a_kind_cannot_be_defined(careless: str) -> None:
    source = Path(errors.__file__).read_text(encoding="utf-8")
    exec(compile(source, "errors", "exec"), {"__name__": "as it is"})  # noqa: S102 -- our own source
    changed = source.replace("    # People.\n", f"    {careless}\n    # People.\n")
    assert changed != source
    # Python 3.11 wraps the TypeError of an enum's __new__ in a RuntimeError.
    with pytest.raises((TypeError, RuntimeError)):
        exec(compile(changed, "errors", "exec"), {"__name__": "changed"})  # noqa: S102


def test_a_reason_can_be_found_by_its_name() -> None:
    assert all(Reason[str(reason)] is reason for reason in Reason)


def test_every_reason_is_documented_once_with_its_kind_and_nothing_else_is() -> None:
    documented = [(name, kind) for name, kind, _, _ in ROW.findall(REJECTIONS.read_text(encoding="utf-8"))]
    assert documented == [(reason.name, reason.kind.value) for reason in Reason]


def test_every_documented_reason_has_a_cause_and_a_cure() -> None:
    rows = ROW.findall(REJECTIONS.read_text(encoding="utf-8"))
    table_rows = re.findall(r"^\| `.*", REJECTIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(table_rows)
    assert all(len(cause) > 20 and len(cure) > 20 for _, _, cause, cure in rows)


def test_a_rejection_says_its_reason_and_its_detail() -> None:
    refusal = Rejected(Reason.EXPIRED, "not valid after yesterday")
    assert str(refusal) == "EXPIRED: not valid after yesterday"
    assert (refusal.reason, refusal.detail) == (Reason.EXPIRED, "not valid after yesterday")
