"""What a CA's devices are named by, and whether its templates can be filled from that.

Decides on the patterns and templates of one CA together: which fields there are, and which named groups. It refuses to
know single patterns (values.py, patterns.py), and which characters a template may hold (names.py).
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
    """Report what keeps the templates of `[ca.<name>]` from being filled; silent where a pattern could not be read."""
    if not ca.keys() >= set(NAMING_FIELDS):
        return
    patterns = {name: ca[name] for name in NAMING_FIELDS if ca[name] is not None}
    if not patterns:
        place.at("common_name").problem(
            "is missing", f'add common_name = "sensor-[0-9]{{4,}}", or another of {", ".join(NAMING_FIELDS)}'
        )
        return
    groups: dict[str, str] = {}  # name → the pattern it stands in
    for name, pattern in patterns.items():
        _check_groups(name, pattern, groups, place.at(name))
    templates = [(place.at("attributes", name), written) for name, written in ca.get("attributes", {}).items()]
    if "thing_name" in ca:
        templates.append((place.at("thing_name"), ca["thing_name"]))
        _check_thing_name(ca["thing_name"], patterns, groups, place.at("thing_name"))
    for where, template in templates:
        for field in FIELD.findall(template):
            if field not in TEMPLATE_FIELDS and field not in groups:
                where.problem(
                    f"names the field {show(field)}, which there is not", suggest(field, [*TEMPLATE_FIELDS, *groups])
                )


def _check_groups(name: str, pattern: str, groups: dict[str, str], place: KeyPosition) -> None:
    """Report the pattern's named groups that cannot be fields, and put all of them into `groups`."""
    parsed = _parser.parse(pattern)
    always = set(_groups_of_every_match(parsed))
    for group, number in parsed.state.groupdict.items():
        other = groups.setdefault(group, name)
        if group in TEMPLATE_FIELDS:
            place.problem(f"has a group {show(group)}, and a certificate's field is called so", "name it otherwise")
        elif other != name:
            place.problem(f"has a group {show(group)}, as {other} has", "name one of the two otherwise")
        elif number not in always:
            place.problem(
                f"has a group {show(group)} that not every match fills",
                "let it be part of every match: an alternative or a repetition inside of the group, not around it",
            )


def _check_thing_name(template: str, patterns: dict[str, str], groups: dict[str, str], place: KeyPosition) -> None:
    """Report a thing name that no device could have: without a pattern for the field, or with an illegal character."""
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
                f"uses {{{field}}}, and each value that its pattern matches holds {show(illegal[0])}, which AWS IoT "
                "does not allow in a thing name",
                f'put a named group around the part that is legal, {field} = "(?P<unit>[a-z0-9-]+)…", and write '
                'thing_name = "{unit}"',
            )


def _groups_of_every_match(items: Any) -> Iterator[int]:
    """The numbers of the groups that take part in every match of a parsed pattern."""
    for part, inside in _parts_of_every_match(items):
        if part is _constants.SUBPATTERN:
            yield inside[0]
            yield from _groups_of_every_match(inside[-1])


def _fixed_characters(items: Any) -> Iterator[str]:
    """The characters that every match of a parsed pattern holds."""
    for part, inside in _parts_of_every_match(items):
        if part is _constants.LITERAL:
            yield chr(inside)
        elif part is _constants.SUBPATTERN:
            yield from _fixed_characters(inside[-1])


def _parts_of_every_match(items: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of a parsed pattern that each match goes through; alternatives and what may be left out are none."""
    for part, inside in items:
        if part is _constants.ATOMIC_GROUP:
            yield from _parts_of_every_match(inside)
        elif part in _REPEATS:
            if inside[0]:
                yield from _parts_of_every_match(inside[2])
        else:
            yield part, inside
