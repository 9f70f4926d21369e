"""What was found at one link."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a link is."""

    GOOD = "good"
    NOTE = "note"  # not as it might be, and nothing that keeps this device out
    BROKEN = "broken"  # this keeps the device out; nothing behind it is looked at
    UNKNOWN = "unknown"  # it could not be looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFinding:
    """What was found, as a clause without a full stop, and what to do about it; empty where there is nothing to do."""

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
