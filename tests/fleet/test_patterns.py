"""Patterns that a device could keep a function busy with are refused; those that people write are not."""

from collections.abc import Iterator
from itertools import islice
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from jitr_fleet.patterns import MOST_WAYS, UnboundedPattern, refuse_unbounded
from tests.support.fleet.drafts import Draft

USUAL = [
    "sensor-[0-9]{4,}",
    "^sensor-[0-9]+$",
    "(?i)sensor-[0-9]+",
    ".*",
    "(?s:.*)",
    "[a-zA-Z0-9:_-]{1,128}",
    "[a-z0-9]+(-[a-z0-9]+)*",
    "(sensor|switch|gateway)-[0-9]+",
    "sensor-[0-9]{4}(-[a-z])?(-rev[0-9])?",
    "sensor-(0[1-9]|1[0-9])-[0-9]{4}",
    ".*-[0-9]{4}",
    ".*-.*-[0-9]{4}",
    "a.*-x|b.*-y|c.*-z",
    r"\w+-\w+",
    "[0-9a-f]{2}(:[0-9a-f]{2}){5}",
    "[A-Z]{2,3}[0-9]{6,10}[A-Z]?",
    "(?P<model>[A-Z]+)-[0-9]+?",
    "urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"spiffe://acme\.example/(device|gateway)/[^/]+",
]
ROUND_AND_ROUND = [
    "(a+)+",
    "(a|a)*",
    "(a|aa)+",
    "([a-z]+-?)+",
    "(a|b|ab)*c",
    "(x+x+)+y",
    "(.+)+",
    "((a?b?)c?d)+([0-9]+.)+",
]
MANY = [
    "[0-9]*[0-9]*[0-9]*[0-9]*x",
    ".*.*.*.*x",
    "(.*a){12}",
    "([a-z]{1,8}){1,8}",
    "a?" * 30 + "a" * 30,
    "(a?){30}a{30}",
    "(a|a)" * 30,
]


@pytest.mark.parametrize("pattern", USUAL)
def test_a_usual_pattern_is_taken(pattern: str) -> None:
    refuse_unbounded(pattern)


@pytest.mark.parametrize("pattern", ROUND_AND_ROUND)
def test_a_pattern_that_backtracks_without_end_is_refused(pattern: str) -> None:
    with pytest.raises(UnboundedPattern, match="grows without limit"):
        refuse_unbounded(pattern)


@pytest.mark.parametrize("pattern", MANY)
def test_a_pattern_that_has_too_many_ways_is_refused(pattern: str) -> None:
    with pytest.raises(UnboundedPattern, match="in more than 1000000 ways"):
        refuse_unbounded(pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a*)*", "repeats a part that can be empty"),
        ("(a?|b){2,}", "repeats a part that can be empty"),
        ("(?=a)a", "a look-around or a back-reference"),
        ("(?<!x)a", "a look-around or a back-reference"),
        (r"(a)\1", "a look-around or a back-reference"),
        ("(a)?(?(1)b|c)", "a look-around or a back-reference"),
        ("a" * 300, "too long"),
    ],
)
def test_what_cannot_be_judged_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(UnboundedPattern, match=why):
        refuse_unbounded(pattern)


def test_a_fleet_with_such_a_pattern_is_told_how_to_write_it(draft: Draft) -> None:
    draft.replace("sensor-[0-9]{4,}", "([a-z]+-?)+")
    line, text = draft.problem()
    assert text.startswith("ca.factory.common_name can match one text in a number of ways that grows without limit")
    assert "[a-z]+(-[a-z]+)*" in text
    assert line == draft.line("common_name =")


def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}{}".format, parts, parts),
        st.builds("(?:{}|{})".format, parts, parts),
        st.builds("(?:{}){}".format, parts, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])),
    )


patterns = st.recursive(st.sampled_from(["a", "b", "[ab]", ".", "[^a]"]), grown, max_leaves=6)
texts = st.builds(lambda unit, count: (unit * count)[:24], st.text("ab", min_size=1, max_size=4), st.just(24))


@given(patterns, texts)
@settings(max_examples=400)
def test_a_pattern_that_is_taken_reads_no_text_in_too_many_ways(pattern: str, text: str) -> None:
    """Counted by reading as a backtracking matcher does, all ways to the end of each."""
    try:
        refuse_unbounded(pattern)
    except UnboundedPattern:
        reject()
    ways = sum(1 for _ in islice(reads(list(_parser.parse(pattern)), text, 0), MOST_WAYS + 1))
    assert ways <= MOST_WAYS


def reads(items: list[Any], text: str, start: int) -> Iterator[int]:
    """Every way to read a beginning of the text; yields where it ends."""
    if not items:
        yield start
        return
    for end in reads_one(items[0], text, start):
        yield from reads(items[1:], text, end)


def reads_one(item: tuple[Any, Any], text: str, start: int) -> Iterator[int]:
    kind, value = item
    match str(kind):
        case "BRANCH":
            for branch in value[1]:
                yield from reads(list(branch), text, start)
        case "SUBPATTERN":
            yield from reads(list(value[3]), text, start)
        case "MAX_REPEAT" | "MIN_REPEAT":
            yield from rounds(value, text, start, 0)
        case _:
            if start < len(text) and matches_one(kind, value, text[start]):
                yield start + 1


def rounds(value: tuple[int, Any, Any], text: str, start: int, done: int) -> Iterator[int]:
    least, greatest, items = value
    if greatest is _constants.MAXREPEAT or done < greatest:
        for end in reads(list(items), text, start):
            if end > start or done < least:
                yield from rounds(value, text, end, done + 1)
    if done >= least:
        yield start


def matches_one(kind: Any, value: Any, character: str) -> bool:
    match str(kind):
        case "LITERAL":
            return character == chr(value)
        case "NOT_LITERAL":
            return character != chr(value)
        case "IN":
            return any(character == chr(code) for _, code in value)
    return True
