"""Finds out whether a policy's pattern reaches what it must not, and by which of its wildcards.

A target is written like a pattern; its `*` is one field of an ARN, and at its end anything. Of policy variables, the
names of things and thing types hold `[a-zA-Z0-9:_-]` alone; others can be anything that a device says.
"""

import re

from jitr.frozen import value
from jitr_fleet.authorization.wildcards import MANY, ONE, TOKEN, is_literal

NAME_VARIABLES = ("iot:Connection.Thing.ThingName", "iot:Connection.Thing.ThingTypeName")

_ANYTHING = re.compile(".", re.DOTALL)
_NAME_CHARACTER = re.compile(r"[a-zA-Z0-9:_-]")
_FIELD_CHARACTER = re.compile("[^:]")


@value
class _Token:
    """One character, any one character (neither), or any number of characters of a class (`many`)."""

    character: str = ""
    many: re.Pattern[str] | None = None


@value
class Piece:
    """One piece of a pattern as it is written: a character, a wildcard, or a variable."""

    written: str
    variable: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can stand for several texts."""
        if self.variable is not None:
            return not is_literal(self.variable)
        return self.written in (MANY, ONE)


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


def pieces(pattern: str) -> list[Piece]:
    """A pattern, piece by piece."""
    found, at = [], 0
    while at < len(pattern):
        match = TOKEN.match(pattern, at)
        found.append(Piece(written=match[0], variable=match["variable"]) if match else Piece(written=pattern[at]))
        at += len(found[-1].written)
    return found


def _token(piece: Piece) -> _Token:
    if piece.variable is not None:
        if is_literal(piece.variable):
            return _Token(character=piece.variable)
        return _Token(many=_NAME_CHARACTER if piece.variable in NAME_VARIABLES else _ANYTHING)
    if piece.written == MANY:
        return _Token(many=_ANYTHING)
    return _Token(character="" if piece.written == ONE else piece.written)


def _walk(left: list[_Token], right: list[_Token]) -> dict[_State, tuple[_State, bool] | None] | None:
    """Walk both at once, each state once: state → the one before it, and whether a piece covered a token in between."""
    reached: dict[_State, tuple[_State, bool] | None] = {(0, 0): None}
    waiting: list[_State] = [(0, 0)]
    while waiting:
        i, j = here = waiting.pop()
        if here == (len(left), len(right)):
            return reached
        for state, covers in _find_next_states(left, right, i, j):  # the last one is tried first
            if state not in reached:
                reached[state] = (here, covers)
                waiting.append(state)
    return None


def _find_next_states(left: list[_Token], right: list[_Token], i: int, j: int) -> list[tuple[_State, bool]]:
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
