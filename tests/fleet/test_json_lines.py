"""Lines of values in JSON text."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jitr_fleet.authorization.json_lines import MAX_DEPTH, JsonLines

KEYS = st.text('ab{}[]",:\\ \n', max_size=4)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text('{}[]",:\\ \né', max_size=5)),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(KEYS, inside, max_size=4)),
    max_leaves=15,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path in a document."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inside in items for found in places(inside, (*path, key)))]


def put(value: Any, path: tuple[str | int, ...], marker: str) -> Any:
    """The same document with a marker at a path."""
    if not path:
        return marker
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], marker)
    return copy


@given(DOCUMENTS, st.data(), st.sampled_from([None, 0, 2]))
def test_every_value_is_found_on_its_line(document: Any, data: st.DataObject, indent: int | None) -> None:
    path = data.draw(st.sampled_from(places(document)))
    text = json.dumps(put(document, path, "MARKER"), indent=indent, ensure_ascii=False)

    expected = text.count("\n", 0, text.index('"MARKER"')) + 1
    assert JsonLines(text).line(*path) == expected


def test_what_is_not_there_is_on_the_line_of_what_is_around_it() -> None:
    lines = JsonLines('{\n"Statement": [\n{\n"Effect": "Allow"}]}')
    assert lines.line("Statement", 0, "Effect") == 4
    assert lines.line("Statement", 0, "Action", 3) == 3
    assert lines.line("Version") == 1


def test_the_last_of_two_equal_keys_counts_as_it_does_for_json() -> None:
    assert JsonLines('{"a": 1,\n"a": 2}').line("a") == 2


@given(st.text('{}[]",: \n\\a1', max_size=30))
def test_text_that_is_no_json_ends(text: str) -> None:
    assert JsonLines(text).line("a", 0) >= 1


def test_deep_nesting_ends() -> None:
    assert JsonLines("[" * 10 * MAX_DEPTH).line(*[0] * 20) == 1
