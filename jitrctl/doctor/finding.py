"""Defines what was found at one link: a state, a sentence and a cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a link is."""

    GOOD = "good"
    NOTE = "note"  # worth knowing; does not keep this device out
    BROKEN = "broken"  # keeps the device out; no link after it is checked
    UNKNOWN = "unknown"  # could not be checked


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFinding:
    """What was found, as a clause without a full stop, and what to do about it (empty: nothing)."""

    state: State
    text: str
    cure: str = ""


def good(text: str) -> LinkFinding:
    return LinkFinding(state=State.GOOD, text=text)


def note(text: str, cure: str = "") -> LinkFinding:
    return LinkFinding(state=State.NOTE, text=text, cure=cure)


def broken(text: str, cure: str) -> LinkFinding:
    return LinkFinding(state=State.BROKEN, text=text, cure=cure)


def unknown(text: str, cure: str = "") -> LinkFinding:
    return LinkFinding(state=State.UNKNOWN, text=text, cure=cure)
