"""Schedules of a pair of acts: where a run goes over from one to the other, and how that is written."""

import re
from dataclasses import dataclass

LETTERS = "ABC"


END = 999  # more calls than any act makes


@dataclass(frozen=True, slots=True)
class Cut:
    """An act pauses, or dies, before its call of that number."""

    who: int
    calls: int  # that it has made by then, in all
    dies: bool = False

    def __str__(self) -> str:
        return f"{LETTERS[self.who]}{'' if self.calls == END else self.calls}{'!' if self.dies else ''}"


Schedule = tuple[Cut, ...]


def parse(text: str) -> Schedule:
    found = [re.fullmatch(r"([ABC])(\d*)(!?)", one) for one in text.split()]
    return tuple(Cut(LETTERS.index(one[1]), int(one[2] or END), bool(one[3])) for one in found if one)
