"""Lambda's detection of recursive loops: what an invocation sends carries how often its chain has passed each function.

The SDK in a function adds the invocation's lineage to every SQS send by itself, so a message that has nothing to do
with the one that loops inherits it too when both are in one batch (aws-facts §9). The key of a lineage is the queue
that invokes the function, for here each function has one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Lineage = Mapping[str, int]

MOST_HOPS = 16  # "approximately 16 times" (Lambda guide, "Use Lambda recursive loop detection")

_current: ContextVar[Lineage | None] = ContextVar("lineage", default=None)


def current_lineage() -> Lineage | None:
    """The lineage of the invocation that runs here; None outside of one."""
    return _current.get()


@contextmanager
def carry_lineage(lineage: Lineage) -> Iterator[None]:
    """What is sent inside is sent by an invocation of this lineage."""
    token = _current.set(lineage)
    try:
        yield
    finally:
        _current.reset(token)
