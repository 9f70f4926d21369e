"""Matches the patterns of policies: `*` is any number of characters, `?` is one; everything else is itself.

MQTT's `+` and `#` are ordinary characters here. Sources: AWS IoT developer guide, "AWS IoT Core policy variables" and
"Using wildcard characters in MQTT and AWS IoT Core policies"; IAM user guide, "IAM policy elements: Resource" and, for
`${*}`, `${?}` and `${$}`, "IAM policy elements: Variables and tags".
"""

import re
from collections.abc import Callable

MANY, ONE = "*", "?"
TOKEN = re.compile(r"\$\{(?P<variable>[^}]*)\}|[*?]")
_LITERAL = {"*": "*", "?": "?", "$": "$"}

ValueOf = Callable[[str], str]
_Segment = list[str | None]  # what stands between two `*`: texts, and None for any one character


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern without policy variables matches a text."""
    return fits(pattern, text, lambda variable: f"${{{variable}}}")


def fits(pattern: str, text: str, value_of: ValueOf) -> bool:
    """Whether a pattern matches a text; what a variable stands for is taken literally, wildcards in it included.

    Takes at most the lengths' product of steps. Raises what `value_of` raises.
    """
    first, *rest = _split(pattern, value_of)
    if not _is_at(first, text, 0):
        return False
    at = _length(first)
    if not rest:
        return at == len(text)
    *middle, last = rest
    for segment in middle:
        found = _find(segment, text, at)
        if found is None:
            return False
        at = found + _length(segment)
    end = len(text) - _length(last)
    return end >= at and _is_at(last, text, end)


def fill_with_letters(pattern: str, letter: str, value_of: Callable[[str], str | None]) -> str:
    """A text that a pattern matches: a letter for each wildcard, and for each variable of which None is known."""

    def replaced(found: re.Match[str]) -> str:
        variable = found["variable"]
        if variable is None:
            return letter
        known = _LITERAL.get(variable) or value_of(variable)
        return letter if known is None else known

    return TOKEN.sub(replaced, pattern)


def fill_variables(text: str, value_of: ValueOf) -> str:
    """A text, in which `*` and `?` are themselves, with its variables filled in; raises what `value_of` raises."""
    return TOKEN.sub(lambda found: found[0] if found["variable"] is None else _value(found["variable"], value_of), text)


def is_literal(variable: str) -> bool:
    """Whether `${variable}` stands for a character that is a wildcard otherwise."""
    return variable in _LITERAL


def _value(variable: str, value_of: ValueOf) -> str:
    return _LITERAL.get(variable) or value_of(variable)


def _split(pattern: str, value_of: ValueOf) -> list[_Segment]:
    segments: list[_Segment] = [[]]
    end = 0
    for found in TOKEN.finditer(pattern):
        segments[-1].append(pattern[end : found.start()])
        end = found.end()
        if found[0] == MANY:
            segments.append([])
        else:
            segments[-1].append(None if found[0] == ONE else _value(found["variable"], value_of))
    segments[-1].append(pattern[end:])
    return segments


def _length(segment: _Segment) -> int:
    return sum(1 if part is None else len(part) for part in segment)


def _is_at(segment: _Segment, text: str, at: int) -> bool:
    for part in segment:
        if part is not None and not text.startswith(part, at):
            return False
        at += 1 if part is None else len(part)
    return at <= len(text)


def _find(segment: _Segment, text: str, start: int) -> int | None:
    """The first place from `start` on where a segment stands."""
    last = len(text) - _length(segment)
    return next((at for at in range(start, last + 1) if _is_at(segment, text, at)), None)
