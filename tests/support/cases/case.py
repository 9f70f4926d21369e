"""What a case is: a function that makes one application, its docstring saying what is special about it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from jitr.errors import Reason
from tests.support.cases.issuing import Application

Make = Callable[[], Application]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One application and its right answer: a Reason, or None for an admitted device."""

    name: str
    description: str
    expected: Reason | None
    make: Make  # made once, when first asked for

    def __str__(self) -> str:
        return self.name


CASES: list[Case] = []


def admitted(make: Make) -> Make:
    """List a case that must be admitted."""
    return _list(make, None)


def refused(reason: Reason) -> Callable[[Make], Make]:
    """List a case that must be refused, for this reason."""
    return lambda make: _list(make, reason)


def _list(make: Make, expected: Reason | None) -> Make:
    if not make.__doc__:
        raise ValueError(f"case {make.__name__} does not say what it is")
    if any(case.name == make.__name__ for case in CASES):
        raise ValueError(f"two cases are called {make.__name__}")
    CASES.append(Case(name=make.__name__, description=make.__doc__, expected=expected, make=cache(make)))
    return make
