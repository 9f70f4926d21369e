"""Lambda's detection of recursive loops: a sent message carries how often its chain has passed each function.

The SDK in a function adds the invocation's lineage to every SQS message that it sends. So an unrelated message inherits
the lineage of a looping one when both were in one batch (aws-facts §9). A lineage's keys are queues, since each
function here is invoked by one queue.
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
    """Messages that are sent inside carry this lineage."""
    token = _current.set(lineage)
    try:
        yield
    finally:
        _current.reset(token)
