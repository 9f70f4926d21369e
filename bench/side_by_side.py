"""Work in virtual time, in as many processes as there are processors: what else runs makes it take longer, no more."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[], T]]) -> Iterator[T]:
    """What each comes to, in this order; begun in this order too, so let the longest be the first.

    Raises what a work raises.
    """
    # Spawned: a storm's threads, and the garbage that it freezes, stay in a process of their own.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        try:
            for begun in [processes.submit(work) for work in works]:
                yield begun.result()
        finally:
            processes.shutdown(wait=False, cancel_futures=True)  # where one failed, or nobody wants the rest
