"""Runs works in virtual time, in as many processes as there are processors; other load changes no result."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def run_side_by_side(works: Sequence[Callable[[], T]]) -> Iterator[T]:
    """The works' results, in their order; they also start in it, so the longest should be the first.

    Raises what a work raises.
    """
    # Spawned: a storm's threads and frozen garbage stay in a process of their own.
    context = multiprocessing.get_context("spawn")
    processors: SimpleQueue[int] = context.SimpleQueue()
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    for processor in available:
        processors.put(processor)
    with ProcessPoolExecutor(
        len(available) or None, mp_context=context, initializer=_stay, initargs=(processors,)
    ) as processes:
        try:
            for begun in [processes.submit(work) for work in works]:
                yield begun.result()
        finally:
            # If one failed, or the caller stops iterating. Without waiting, this process could end first, and close the
            # pipes that the others' last words come through.
            processes.shutdown(wait=True, cancel_futures=True)


def _stay(processors: SimpleQueue[int]) -> None:
    """Keep this process on a processor of its own, if the system can.

    One of its threads runs at a time, and they switch thousands of times a second. A switch to another processor costs
    a seventh more; on a busy machine everything takes twice as long.
    """
    if not processors.empty():
        os.sched_setaffinity(0, {processors.get()})
