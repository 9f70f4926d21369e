"""Reads single TOML values, each of the right type and within its limits: texts, numbers, durations, lists, paths.

A reader takes a value and its position; it returns the value that it read, or reports a problem and returns None. It
knows neither the key nor other values.
"""

import re
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jitr_fleet.patterns import UnboundedPattern, refuse_unbounded
from jitr_fleet.problems import KeyPosition, show, suggest

Reader = Callable[[object, KeyPosition], Any]

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_DURATION = 36_500 * SECONDS["d"]  # a century; a longer one is a mistake, and would overflow a date

_TYPES = (
    (bool, "a boolean"),  # before int, which it is in Python
    (int, "an integer"),
    (float, "a float"),
    (str, "a text"),
    (list, "a list"),
    (dict, "a table"),
)

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


def text(value: object, place: KeyPosition) -> str | None:
    """Read a text that is not empty."""
    if not isinstance(value, str):
        place.problem(f"is {type_of(value)}, a text is expected", "write it in quotes")
        return None
    if not value:
        place.problem("is empty", "write a value, or remove the key")
        return None
    return value


def path(value: object, place: KeyPosition) -> Path | None:
    """Read a path as it is written; it is relative to the folder of fleet.toml when it is opened."""
    written = text(value, place)
    if written is None:
        return None
    if "-----BEGIN" in written:
        place.problem("holds PEM text, a path is expected", "put the PEM into a file and name that file")
        return None
    if "\0" in written:
        place.problem("holds a NUL character", "remove it: no path can hold one")
        return None
    return Path(written)


def url(value: object, place: KeyPosition) -> str | None:
    """Read the http or https URL of an endpoint."""
    written = text(value, place)
    if written is None:
        return None
    try:
        parts = urlsplit(written)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        place.problem(f"is {show(written)}, which is not a URL", 'write it like "http://127.0.0.1:4566"')
        return None
    return written


def pattern(value: object, place: KeyPosition) -> str | None:
    """Read a regular expression; it is returned as text, for rules.json."""
    written = text(value, place)
    if written is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a later Python would read such a pattern differently
            re.compile(written)
    except (re.error, ValueError, OverflowError, RecursionError, Warning) as error:
        place.problem(
            f"is not a regular expression ({error})",
            "correct it: a special character is escaped with a backslash, in TOML best between single quotes, '\\.'",
        )
        return None
    try:
        refuse_unbounded(written)
    except UnboundedPattern as error:
        place.problem(
            str(error),
            "write it so that every text matches in one way: [a-z]+(-[a-z]+)* instead of ([a-z]+-?)+",
        )
        return None
    return written


def duration(*, least: int = 0, greatest: int = MAX_DURATION) -> Reader:
    """Read "90s", "15m", "12h" or "7d" as whole seconds, `least` and `greatest` inclusive."""

    def read(value: object, place: KeyPosition) -> int | None:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if not match:
            found = show(value) if isinstance(value, str) else type_of(value)
            place.problem(
                f"is {found}, a duration is expected", 'write a whole number and a unit: "90s", "15m", "12h", "7d"'
            )
            return None
        seconds = int(match[1]) * SECONDS[match[2]]
        if not least <= seconds <= greatest:
            place.problem(
                f"is {show(value)}, which is out of range",
                f'write between "{format_duration(least)}" and "{format_duration(greatest)}"',
            )
            return None
        return seconds

    return read


def format_duration(seconds: int) -> str:
    """Write seconds as a duration in the largest unit that divides them: 900 → 15m."""
    unit = next(unit for unit in reversed(SECONDS) if (seconds and seconds % SECONDS[unit] == 0) or unit == "s")
    return f"{seconds // SECONDS[unit]}{unit}"


def flag(value: object, place: KeyPosition) -> bool | None:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    place.problem(f"is {type_of(value)}, a boolean is expected", "write true or false, without quotes")
    return None


def rate(*, least: float | None = None, greatest: float) -> Reader:
    """Read a number from `least`, or above zero, to `greatest`; nan and inf are refused."""
    lower = "above 0 and" if least is None else f"from {least:g} and"

    def read(value: object, place: KeyPosition) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            place.problem(f"is {type_of(value)}, a number is expected", "write a number without quotes")
            return None
        if not 0 < value <= greatest or (least is not None and value < least):
            place.problem(
                f"is {show(value)}, which is out of range",
                f"write a number {lower} at most {greatest:g}",
            )
            return None
        return float(value)

    return read


def integer(*, least: int, greatest: int) -> Reader:
    """Read a whole number, `least` and `greatest` inclusive."""

    def read(value: object, place: KeyPosition) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            place.problem(f"is {type_of(value)}, an integer is expected", "write a whole number without quotes")
            return None
        if not least <= value <= greatest:
            place.problem(f"is {show(value)}, which is out of range", f"write an integer from {least} to {greatest}")
            return None
        return value

    return read


def integers(*, least: int, greatest: int) -> Reader:
    """Read [from, to]: two integers in order, both between `least` and `greatest`, inclusive."""

    def read(value: object, place: KeyPosition) -> tuple[int, int] | None:
        cure = f"write two integers, the least first: [{least}, {greatest}]"
        if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a pair
            found = f"a list of {len(value)}" if isinstance(value, list) else type_of(value)
            place.problem(f"is {found}, a list of two integers is expected", cure)
            return None
        wrong = [item for item in value if isinstance(item, bool) or not isinstance(item, int)]
        if wrong:
            place.problem(f"holds {type_of(wrong[0])}, two integers are expected", cure)
            return None
        low, high = value
        if not least <= low <= high <= greatest:
            place.problem(f"is {show(value)}; the two must be in order and between {least} and {greatest}", cure)
            return None
        return low, high

    return read


def choice(options: type[StrEnum]) -> Reader:
    """Read one of the values of `options`, exactly as spelled there."""

    def read(value: object, place: KeyPosition) -> StrEnum | None:
        written = one_of([option.value for option in options])(value, place)
        return None if written is None else options(written)

    return read


def one_of(options: list[str]) -> Reader:
    """Read one of these texts."""

    def read(value: object, place: KeyPosition) -> str | None:
        written = text(value, place)
        if written is None or written in options:
            return written
        place.problem(f"is {show(written)}", suggest(written, options))
        return None

    return read


def each(reader: Reader, *, least: int = 0, greatest: int | None = None) -> Reader:
    """Read a list with `reader`, element by element, none twice; returns the good elements even if one is bad."""

    def read(value: object, place: KeyPosition) -> tuple[Any, ...] | None:
        if not isinstance(value, list):
            place.problem(f"is {type_of(value)}, a list is expected", "put it in brackets: [ … ]")
            return None
        if len(value) < least:
            place.problem("is an empty list", "name at least one, or remove the key")
        if greatest is not None and len(value) > greatest:
            place.problem(f"holds {len(value)} entries", f"AWS IoT allows {greatest}: remove {len(value) - greatest}")
        good: list[Any] = []
        for index, item in enumerate(value):
            read_item = reader(item, place.at(index))
            if read_item is not None and read_item in good:
                place.at(index).problem(f"repeats {show(item)}", "name it once")
            elif read_item is not None:
                good.append(read_item)
        return tuple(good)

    return read


def type_of(value: object) -> str:
    """Name the type of a TOML value in TOML's words."""
    words = [word for kind, word in _TYPES if isinstance(value, kind)]
    return words[0] if words else "a date or time"  # TOML has nothing else
