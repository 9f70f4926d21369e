"""Finds out whether a policy's pattern reaches what it must not, and by which of its wildcards.

A target is written like a pattern; its `*` is one field of an ARN, and at its end anything. Of policy variables, the
names of things and thing types hold `[a-zA-Z0-9:_-]` alone; others can be anything that a device says.
"""

import re

from jitr.frozen import value
from jitr_fleet.authorization.wildcards import Piece, Wildcard, pieces

NAME_VARIABLES = ("iot:Connection.Thing.ThingName", "iot:Connection.Thing.ThingTypeName")

_ANYTHING = re.compile(".", re.DOTALL)
_NAME_CHARACTER = re.compile(r"[a-zA-Z0-9:_-]")
_FIELD_CHARACTER = re.compile("[^:]")


@value
class _Token:
    """One character, any one character (neither), or any number of characters of a class (`many`)."""

    character: str = ""
    many: re.Pattern[str] | None = None


_State = tuple[int, int]  # how far in the pattern, and in the target


def find_overlap(pattern: str, target: str) -> dict[int, list[int]] | None:
    """How a pattern can match an ARN that the target means: position of a piece → what it covers of the target.

    None when it cannot. Both positions are from 0; wildcards of the pattern cover as little as they can.
    """
    left = [_token(piece) for piece in pieces(pattern)]
    right = [_Token(many=_FIELD_CHARACTER) if one == "*" else _Token(character=one) for one in target]
    if target.endswith("*"):
        right[-1] = _Token(many=_ANYTHING)
    reached = _walk(left, right)
    if reached is None:
        return None
    covered: dict[int, list[int]] = {}
    state: _State | None = (len(left), len(right))
    while state is not None and (step := reached[state]) is not None:
        before, covers = step
        if covers:
            covered.setdefault(before[0], []).append(before[1])
        state = before
    return covered


def is_overlapping(pattern: str, target: str) -> bool:
    """Whether there is an ARN that a pattern matches and a target means."""
    return find_overlap(pattern, target) is not None


def _token(piece: Piece) -> _Token:
    if piece.wildcard is Wildcard.VARIABLE:
        return _Token(many=_NAME_CHARACTER if piece.variable in NAME_VARIABLES else _ANYTHING)
    return _Token(character=piece.character, many=_ANYTHING if piece.wildcard is Wildcard.MANY else None)


def _walk(left: list[_Token], right: list[_Token]) -> dict[_State, tuple[_State, bool] | None] | None:
    """Walk both at once, each state once: state → the one before it, and whether a piece covered a token in between."""
    reached: dict[_State, tuple[_State, bool] | None] = {(0, 0): None}
    waiting: list[_State] = [(0, 0)]
    while waiting:
        i, j = here = waiting.pop()
        if here == (len(left), len(right)):
            return reached
        for state, covers in _next_states(left, right, i, j):  # the last one is tried first
            if state not in reached:
                reached[state] = (here, covers)
                waiting.append(state)
    return None


def _next_states(left: list[_Token], right: list[_Token], i: int, j: int) -> list[tuple[_State, bool]]:
    one = left[i] if i < len(left) else None
    other = right[j] if j < len(right) else None
    found: list[tuple[_State, bool]] = []
    if one and other and not one.many and not other.many and _is_same(one, other):
        found.append(((i + 1, j + 1), True))
    if one and other and one.many and _may_be(one.many, other):
        found.append(((i, j + 1), True))
    if one and other and other.many and _may_be(other.many, one):
        found.append(((i + 1, j), True))
    if other and other.many:
        found.append(((i, j + 1), False))
    if one and one.many:
        found.append(((i + 1, j), False))
    return found


def _may_be(characters: re.Pattern[str], other: _Token) -> bool:
    """Whether what repeats can stand for the other token, too."""
    return not other.character or bool(characters.match(other.character))


def _is_same(one: _Token, other: _Token) -> bool:
    return not one.character or not other.character or one.character == other.character
