"""Matches the patterns of policies: `*` is any number of characters, `?` is one; everything else is itself.

MQTT's `+` and `#` are ordinary characters here. Sources: AWS IoT developer guide, "AWS IoT Core policy variables" and
"Using wildcard characters in MQTT and AWS IoT Core policies"; IAM user guide, "IAM policy elements: Resource" and, for
`${*}`, `${?}` and `${$}`, "IAM policy elements: Variables and tags".
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum

from jitr.frozen import value

_TOKEN = re.compile(r"\$\{(?P<variable>[^}]*)\}|(?P<character>.)", re.DOTALL)
_LITERAL = {"*": "*", "?": "?", "$": "$"}


class Wildcard(StrEnum):
    """What a piece of a pattern can stand for, when it is not one character."""

    MANY = "*"
    ONE = "?"
    VARIABLE = "${}"  # a policy variable whose value is not known


@value
class Piece:
    """One piece of a pattern: a character, or a wildcard; `written` is how the pattern has it."""

    written: str
    character: str = ""
    wildcard: Wildcard | None = None
    variable: str = ""


def pieces(pattern: str, value_of: Callable[[str], str | None] = lambda _: None) -> list[Piece]:
    """The pieces of a pattern; `value_of` a variable is taken literally, None leaves it a wildcard."""
    return list(_pieces(pattern, value_of))


def _pieces(pattern: str, value_of: Callable[[str], str | None]) -> Iterator[Piece]:
    for match in _TOKEN.finditer(pattern):
        variable, character = match["variable"], match["character"]
        if variable is None:
            wildcard = Wildcard(character) if character in (Wildcard.MANY, Wildcard.ONE) else None
            yield Piece(written=character, character="" if wildcard else character, wildcard=wildcard)
            continue
        known = _LITERAL.get(variable) or value_of(variable)
        if known is None:
            yield Piece(written=match[0], wildcard=Wildcard.VARIABLE, variable=variable)
        else:
            yield from (Piece(written=match[0], character=one) for one in known)


def fits(pattern: list[Piece], text: str) -> bool:
    """Whether a pattern without unknown variables matches a text; takes at most their lengths' product of steps."""
    at, here = 0, 0
    again: tuple[int, int] | None = None  # the last `*`: the piece behind it, and the next character that it may take
    while here < len(text):
        piece = pattern[at] if at < len(pattern) else None
        if piece is not None and piece.wildcard is Wildcard.MANY:
            at += 1
            again = (at, here)
        elif piece is not None and (piece.wildcard is Wildcard.ONE or piece.character == text[here]):
            at, here = at + 1, here + 1
        elif again is not None:
            at, here = again[0], again[1] + 1
            again = (at, here)
        else:
            return False
    return all(piece.wildcard is Wildcard.MANY for piece in pattern[at:])


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern without policy variables matches a text."""
    return fits(pieces(pattern), text)
