"""Reasons: each has a kind, a sentence, and a place in the documentation."""

import re
from pathlib import Path

import pytest

from jitr import errors
from jitr.errors import Basis, Reason, ReasonKind, Rejected

REJECTIONS = Path(__file__).parents[2] / "docs" / "rejections.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (final|curable) \| (certificate|rules|others) \| (.+) \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_kind_a_basis_and_a_sentence(reason: Reason) -> None:
    assert reason.kind in ReasonKind
    assert reason.rests_on in Basis
    assert reason.final is (reason.kind is ReasonKind.FINAL)
    assert re.fullmatch(r"[A-Z].*\.", reason.sentence)


@pytest.mark.parametrize(
    "careless",
    [
        'FORGOTTEN = "A sentence without a kind."',
        'FORGOTTEN = ("A sentence.",)',
        'FORGOTTEN = ReasonKind.FINAL, "A sentence without a basis."',
    ],
)
def test_a_reason_without_a_kind_and_a_basis_cannot_be_defined(careless: str) -> None:
    source = Path(errors.__file__).read_text(encoding="utf-8")
    exec(compile(source, "errors", "exec"), {"__name__": "as it is"})  # noqa: S102 -- our own source
    changed = source.replace("    # People.\n", f"    {careless}\n    # People.\n")
    assert changed != source
    # Python 3.11 wraps the TypeError of an enum's __new__ in a RuntimeError.
    with pytest.raises((TypeError, RuntimeError)):
        exec(compile(changed, "errors", "exec"), {"__name__": "changed"})  # noqa: S102


def test_a_reason_can_be_found_by_its_name() -> None:
    assert all(Reason[str(reason)] is reason for reason in Reason)


def test_every_reason_is_documented_once_with_kind_and_basis_and_nothing_else_is() -> None:
    documented = [tuple(row[:3]) for row in ROW.findall(REJECTIONS.read_text(encoding="utf-8"))]
    assert documented == [(reason.name, reason.kind.value, reason.rests_on.value) for reason in Reason]


def test_every_documented_reason_has_a_cause_and_a_cure() -> None:
    rows = ROW.findall(REJECTIONS.read_text(encoding="utf-8"))
    table_rows = re.findall(r"^\| `[A-Z].*", REJECTIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(table_rows)
    assert all(len(cause) > 20 and len(cure) > 20 for *_, cause, cure in rows)


def test_a_rejection_says_its_reason_and_its_detail() -> None:
    refusal = Rejected(Reason.EXPIRED, "not valid after yesterday")
    assert str(refusal) == "EXPIRED: not valid after yesterday"
    assert (refusal.reason, refusal.detail) == (Reason.EXPIRED, "not valid after yesterday")


# What is named here is decided outside the fleet's rules, whatever they say; everything else that is final is a rule's.
_NO_RULE_OF_THE_FLEET = {
    Reason.ENCODING_REFUSED,
    Reason.WAS_REVOKED,
    Reason.NOT_ISSUED_BY_CA,
    Reason.EXPIRED,
    Reason.KEY_WEAK,
    Reason.KEY_OF_THE_CA,
    Reason.REVOKED_BY_CA,
    Reason.ENTRY_DENIES,
}


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.final])
def test_what_other_rules_could_admit_rests_on_the_rules(reason: Reason) -> None:
    assert (reason.rests_on is Basis.RULES) is (reason not in _NO_RULE_OF_THE_FLEET)
