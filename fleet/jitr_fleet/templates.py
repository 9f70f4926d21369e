"""Checks that the templates of a CA can be filled from the fields and named groups of its patterns.

Single patterns are checked in values.py and patterns.py, the characters of templates in names.py.
"""

import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined] # what re itself uses, since Python 3.11
from typing import Any

from jitr.rules import NAMING_FIELDS, TEMPLATE_FIELDS
from jitr_fleet.keys import Draft
from jitr_fleet.names import FIELD, THING_CHARACTERS
from jitr_fleet.problems import KeyPosition, show, suggest

_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_LEGAL = re.compile(f"[{THING_CHARACTERS}]")


def check_names(ca: Draft, place: KeyPosition) -> None:
    """Report why the templates of `[ca.<name>]` cannot be filled; checks nothing if a pattern could not be read."""
    if not ca.keys() >= set(NAMING_FIELDS):
        return
    patterns = {name: ca[name] for name in NAMING_FIELDS if ca[name] is not None}
    if not patterns:
        place.at("common_name").problem(
            "is missing", f'add common_name = "sensor-[0-9]{{4,}}", or another of {", ".join(NAMING_FIELDS)}'
        )
        return
    groups: dict[str, str] = {}  # name → the key of the pattern that has it
    for name, pattern in patterns.items():
        _check_groups(name, pattern, groups, place.at(name))
    templates = [(place.at("attributes", name), written) for name, written in ca.get("attributes", {}).items()]
    if "thing_name" in ca:
        templates.append((place.at("thing_name"), ca["thing_name"]))
        _check_thing_name(ca["thing_name"], patterns, groups, place.at("thing_name"))
    for where, template in templates:
        for field in FIELD.findall(template):
            if field not in TEMPLATE_FIELDS and field not in groups:
                where.problem(f"uses the unknown field {show(field)}", suggest(field, [*TEMPLATE_FIELDS, *groups]))


def groups_of(pattern: str) -> tuple[str, ...]:
    """The named groups of a pattern that could be read."""
    return tuple(_parser.parse(pattern).state.groupdict)


def _check_groups(name: str, pattern: str, groups: dict[str, str], place: KeyPosition) -> None:
    """Report the pattern's named groups that cannot be fields, and put all of them into `groups`."""
    parsed = _parser.parse(pattern)
    always = set(_groups_of_every_match(parsed))
    for group, number in parsed.state.groupdict.items():
        other = groups.setdefault(group, name)
        if group in TEMPLATE_FIELDS:
            place.problem(f"has a group {show(group)}, which is the name of a certificate's field", "rename the group")
        elif other != name:
            place.problem(f"has a group {show(group)}, as {other} has", "rename one of the two")
        elif number not in always:
            place.problem(
                f"has a group {show(group)} that not every match fills",
                "make it part of every match: put alternatives and repetitions inside the group, not around it",
            )


def _check_thing_name(template: str, patterns: dict[str, str], groups: dict[str, str], place: KeyPosition) -> None:
    """Report a thing name that no device can have: its field has no pattern, or every value an illegal character."""
    fields = FIELD.findall(template)
    if "common_name" in fields and "common_name" not in patterns:
        place.problem(
            "uses {common_name}, for which the CA has no pattern",
            f'write thing_name = "{{{next(iter([*groups, *patterns]))}}}", or add common_name',
        )
    for field in fields:
        illegal = [one for one in _fixed_characters(_parser.parse(patterns.get(field, ""))) if not _LEGAL.match(one)]
        if illegal:
            place.problem(
                f"uses {{{field}}}, but every value of its pattern holds {show(illegal[0])}, which AWS IoT does not "
                "allow in a thing name",
                f'put a named group around the legal part, {field} = "(?P<unit>[a-z0-9-]+)…", and write '
                'thing_name = "{unit}"',
            )


def _groups_of_every_match(items: Any) -> Iterator[int]:
    """The numbers of the groups that take part in every match of a parsed pattern."""
    for part, inside in _parts_of_every_match(items):
        if part is _constants.SUBPATTERN:
            yield inside[0]
            yield from _groups_of_every_match(inside[-1])


def _fixed_characters(items: Any) -> Iterator[str]:
    """The characters that every match of a parsed pattern contains."""
    for part, inside in _parts_of_every_match(items):
        if part is _constants.LITERAL:
            yield chr(inside)
        elif part is _constants.SUBPATTERN:
            yield from _fixed_characters(inside[-1])


def _parts_of_every_match(items: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of a parsed pattern that every match contains; not alternatives and optional parts."""
    for part, inside in items:
        if part is _constants.ATOMIC_GROUP:
            yield from _parts_of_every_match(inside)
        elif part in _REPEATS:
            if inside[0]:
                yield from _parts_of_every_match(inside[2])
        else:
            yield part, inside
