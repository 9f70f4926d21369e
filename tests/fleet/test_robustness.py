"""Whatever a person writes, the answer is a Fleet or a FleetError."""

import json
import string
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from jitr_fleet.parse import FleetError, load
from tests.support.fleet.drafts import NOW, VALID, Draft

LINES = [line for line in VALID.splitlines() if line]
KEYED = [line for line in LINES if " = " in line]

VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(string.printable)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab. é", max_size=3), inner, max_size=3),
    max_leaves=4,
)


def toml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f") if value.isascii() else toml_text(value)
        case bool():
            return str(value).lower()
    return repr(value)


def toml_text(value: str) -> str:
    return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'


def answers(draft: Draft) -> None:
    draft.path.write_text(draft.text, encoding="utf-8")
    problems = None
    try:
        load(draft.path, now=NOW)
    except FleetError as error:
        problems = error.problems
    if problems is not None:
        last = draft.text.count("\n") + 1
        assert problems
        assert all(1 <= problem.line <= last and problem.message and problem.cure for problem in problems)
        assert all("\n" not in str(problem) for problem in problems)


@settings(deadline=None)
@given(line=st.sampled_from(KEYED), value=VALUES)
def test_any_value_of_any_key_is_answered(new_draft: Callable[[], Draft], line: str, value: object) -> None:
    draft = new_draft()
    key = line.split(" = ", 1)[0]
    draft.text = draft.text.replace(f"{line}\n", f"{key} = {toml(value)}\n", 1)
    answers(draft)


@settings(deadline=None)
@given(st.data())
def test_any_lines_left_out_doubled_or_shuffled_are_answered(
    new_draft: Callable[[], Draft], data: st.DataObject
) -> None:
    draft = new_draft()
    draft.text = "\n".join(data.draw(st.lists(st.sampled_from(LINES), max_size=30)))
    answers(draft)


@settings(deadline=None)
@given(
    table=st.sampled_from(["fleet", "ca", "sweep", "account", "ca.factory", "account.dev", "account.dev.ca"]),
    value=VALUES,
)
def test_any_value_in_place_of_a_table_is_answered(new_draft: Callable[[], Draft], table: str, value: object) -> None:
    draft = new_draft()
    draft.text = f"{table} = {toml(value)}\n{draft.text}"
    answers(draft)
    draft.text = f"{table} = {toml(value)}\n"
    answers(draft)
