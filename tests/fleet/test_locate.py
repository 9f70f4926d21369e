"""The locator finds the line of what is written, and the nearest thing around what is not."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr_fleet.locate import Locator
from tests.support.fleet.drafts import line_of

TEXT = '''\
# [commented] = 1
title = "a # no comment"  # a comment with key = "value"

[fleet] # comment
name = "acme"
"quo.ted" = 1
'sin"gle' = 2
"uni\\u0063ode" = 3

[ca.factory.checks]
subject = "off"

[ ca . factory ]
thing_groups = [
  "a", # one ] bracket
  # "none",
  "b",
  ["nested",
   "deep"], { inline = 1 },
]
text = """
[account.fake]
id = 1 ""\\""" still
"""
literal = \'\'\'
[account.other]
\'\'\'
empty = """"""
attributes = { model = "x", deep.er = { last = 1 } }
when = 1979-05-27 07:32:00
after = true

[account.dev]
ca.factory = { mode = "DEFAULT" }
ca."old factory".mode = "SNI_ONLY"

[[point]]
x = 1
[[point]]
x = 2
[point.sub]
y = 3
[account]
z = 4
'''


@pytest.mark.parametrize(
    ("path", "written"),
    [
        (("title",), "title ="),
        (("fleet",), "[fleet]"),
        (("fleet", "name"), "name ="),
        (("fleet", "quo.ted"), '"quo.ted"'),
        (("fleet", 'sin"gle'), "'sin\"gle'"),
        (("fleet", "unicode"), '"uni\\u0063ode"'),
        (("ca", "factory", "checks", "subject"), "subject ="),
        (("ca", "factory"), "[ ca . factory ]"),
        (("ca",), "[ca.factory.checks]"),
        (("ca", "factory", "thing_groups"), "thing_groups ="),
        (("ca", "factory", "thing_groups", 0), '"a", #'),
        (("ca", "factory", "thing_groups", 1), '"b",'),
        (("ca", "factory", "thing_groups", 2, 1), '"deep"'),
        (("ca", "factory", "thing_groups", 3, "inline"), "{ inline"),
        (("ca", "factory", "text"), "text ="),
        (("ca", "factory", "empty"), "empty ="),
        (("ca", "factory", "attributes", "model"), "attributes ="),
        (("ca", "factory", "attributes", "deep", "er", "last"), "attributes ="),
        (("ca", "factory", "after"), "after ="),
        (("account", "dev", "ca", "factory", "mode"), "ca.factory ="),
        (("account", "dev", "ca", "old factory", "mode"), 'ca."old factory"'),
        (("account", "dev", "ca"), "ca.factory ="),
        (("account",), "[account]"),
        (("account", "z"), "z ="),
        (("point",), "[[point]]\nx = 1"),
        (("point", 0, "x"), "x = 1"),
        (("point", 1, "x"), "x = 2"),
        (("point", 1, "sub", "y"), "y = 3"),
    ],
)
def test_finds_what_is_written(path: tuple[str | int, ...], written: str) -> None:
    tomllib.loads(TEXT)
    assert Locator(TEXT).line(*path) == line_of(TEXT, written)


@pytest.mark.parametrize(
    ("path", "written"),
    [
        (("ca", "factory", "certificate"), "[ ca . factory ]"),
        (("account", "dev", "ca", "factory", "certificate"), "ca.factory ="),
        (("account", "fake", "id"), "[account]"),
        (("account", "other"), "[account]"),
        (("account", "dev", "regions", 7), "[account.dev]"),
        (("fleet", "quo"), "[fleet]"),
        (("commented",), "# [commented]"),
        ((), "# [commented]"),
    ],
)
def test_falls_back_to_the_nearest_table_around_what_is_missing(path: tuple[str | int, ...], written: str) -> None:
    assert Locator(TEXT).line(*path) == line_of(TEXT, written)


def test_keeps_what_stands_before_text_that_is_not_toml() -> None:
    assert Locator("[a]\nb = 1\n[c\n[d]\n").line("a", "b") == 2


def test_survives_nesting_that_would_exhaust_the_stack() -> None:
    assert Locator("a = 1\nb = " + "[" * 100_000).line("a") == 1


@given(st.text())
def test_never_raises_on_any_text(text: str) -> None:
    assert Locator(text).line("a", "b", 0) >= 1


@given(st.text(alphabet="ab.=[]{}\"'\\\n #,1"))
def test_never_raises_on_text_made_of_toml_syntax(text: str) -> None:
    assert 1 <= Locator(text).line("a", "b") <= text.count("\n") + 1


# Small documents, written line by line so that the line of every key is known.
KEYS = st.text(alphabet="ab-_1", min_size=1, max_size=3) | st.sampled_from(['"a b"', "'c.d'", '"e\\"f"', '"#"', '""'])
SCALARS = st.sampled_from(
    [
        "1",
        "-1.5e3",
        "true",
        "1979-05-27 07:32:00Z",
        '"text"',
        '"# [x]"',
        "'[y]\\'",
        '"""\n[z]\na = 1\n"""',
        "'''\n[z]\n# '' \n'''",
        '"""q""\\""""',
        '"""ends in a quote""""',
        "[]",
        "{}",
        "{ }",
        '{ "a" = "b" , c = "d" }',
        '["a" , "b"\n, "c" ]',
        '{ k = "}", l = [1, 2] }',
        "[\n 1, # ]\n\n [2,\n 3],\n]",
    ]
)
GAPS = st.sampled_from(["", "\n", "# a = 1\n", "  \n\t# [a]\n"])
TABLES = st.dictionaries(KEYS, st.tuples(SCALARS, GAPS, st.sampled_from(["", " ", "\t"])), max_size=4)


def unquote(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 1")))


@given(st.dictionaries(st.tuples(KEYS, KEYS), st.tuples(TABLES, GAPS), max_size=4))
def test_finds_every_key_of_random_documents(
    document: dict[tuple[str, str], tuple[dict[str, tuple[str, str, str]], str]],
) -> None:
    text = ""
    expected: dict[tuple[str, ...], int] = {}
    for (outer, inner), (table, gap) in document.items():
        header = (unquote(outer), unquote(inner))
        if header in expected:
            continue  # the same key, quoted otherwise
        text += gap
        expected[header] = text.count("\n") + 1
        text += f"[{outer} .{inner}] # [no.table]\n"
        for key, (value, above, space) in table.items():
            path = (*header, unquote(key))
            if path in expected:
                continue
            text += above
            expected[path] = text.count("\n") + 1
            text += f"{space}{key}{space}={space}{value} # b = 2\n"
    values: Any = tomllib.loads(text)  # it is TOML, or the property says nothing
    assert values is not None
    locator = Locator(text)
    assert {path: locator.line(*path) for path in expected} == expected
