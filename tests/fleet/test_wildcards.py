"""The patterns of policies, beside slow matchers that are obviously right."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr_fleet.authorization.overlap import find_overlap, is_overlapping
from jitr_fleet.authorization.wildcards import fill_variables, fill_with_letters, fits, matches

PATTERNS = st.text("ab*?", max_size=8)
TEXTS = st.text("ab", max_size=8)


def is_match(pattern: str, text: str) -> bool:
    """The definition, character by character."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(is_match(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and is_match(pattern[1:], text[1:])


@given(PATTERNS, TEXTS)
def test_a_pattern_matches_what_the_definition_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) is is_match(pattern, text)


@given(PATTERNS, TEXTS, st.text("ab*?$", max_size=3))
def test_what_a_variable_stands_for_is_taken_literally(pattern: str, text: str, known: str) -> None:
    expected = is_match(pattern, text)

    assert fits(f"{pattern}${{v}}", text + known, lambda _: known) is (
        expected or any(is_match(pattern, (text + known)[:end]) and (text + known)[end:] == known for end in range(9))
    )


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a/+/b", "a/+/b", True),  # MQTT's wildcards are literal
        ("a/+/b", "a/x/b", False),
        ("a/#", "a/b/c", False),
        ("a/*", "a/b/c", True),
        ("a/*/c", "a/b/b/c", True),
        ("a.c", "abc", False),  # no regular expression
        ("[ab]", "a", False),
        ("A", "a", False),
        ("*", "", True),
        ("?", "", False),
        ("*\n*", "a\nb", True),
        ("${*}", "*", True),
        ("${*}", "a", False),
        ("${?}${$}", "?$", True),
    ],
)
def test_characters_that_mean_something_elsewhere(pattern: str, text: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(pattern, text) is expected


def test_a_long_pattern_takes_no_long_time() -> None:
    assert not matches("*a" * 1_000 + "c", "a" * 2_000)
    assert matches("*a" * 1_000, "a" * 2_000)


@given(PATTERNS)
def test_a_pattern_matches_itself_with_letters(pattern: str) -> None:
    assert matches(pattern, fill_with_letters(pattern, "x", lambda _: None))


def test_variables_are_filled_in_and_wildcards_stay() -> None:
    assert fill_variables("a/${b}/*/${*}", {"b": "?"}.__getitem__) == "a/?/*/*"
    assert fill_with_letters("a/${b}/${c}/*", "x", {"b": "?"}.get) == "a/?/x/x"


@given(st.text("ab*?", max_size=5), st.text("ab", max_size=4))
def test_an_overlap_is_found_when_some_text_fits_both(pattern: str, before: str) -> None:
    target = f"{before}*"
    common = any(
        is_match(pattern, before + "".join(rest)) for length in range(6) for rest in product("abc", repeat=length)
    )

    assert is_overlapping(pattern, target) is common


@given(st.text("ab*?", max_size=6), st.text("ab", min_size=1, max_size=4))
def test_the_wildcards_of_an_overlap_cover_the_target(pattern: str, target: str) -> None:
    covered = find_overlap(pattern, target)

    assert (covered is not None) is is_match(pattern, target)
    if covered is not None:
        assert sorted(at for those in covered.values() for at in those) == list(range(len(target)))
        assert all(pattern[at] in "*?" or pattern[at] == target[to] for at, those in covered.items() for to in those)


@given(st.from_regex(re.compile(r"[a-zA-Z0-9:_-]{1,20}", re.ASCII), fullmatch=True))
def test_a_things_name_never_reaches_beyond_its_level(name: str) -> None:
    assert not is_overlapping("topic/${iot:Connection.Thing.ThingName}/x", "topic/$aws/rules/*")
    assert is_overlapping("topic/${iot:Connection.Thing.ThingName}/x", f"topic/{name}/x")
