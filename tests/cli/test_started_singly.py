"""The local AWS starts one worker of a function at a time, and none where another is about to be free."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ministack.core import lambda_runtime

from jitrctl.localaws import started_singly

FUNCTIONS = "arn:aws:lambda:eu-central-1:111111111111:function"
LONGER_THAN_A_MOMENT = 0.3  # seconds


class Worker:
    """One of ministack's as far as it is looked at; cold until it has started."""

    def __init__(self, *_: object) -> None:
        self.in_use = False
        self.last_used = 0.0
        self._cold = True

    def has_started(self) -> None:
        self._cold = False


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Worker]]:
    known: dict[str, list[Worker]] = {}
    monkeypatch.setattr(lambda_runtime, "_workers", known)
    monkeypatch.setattr(lambda_runtime, "_worker_class_for", lambda _: Worker)
    return known


def acquire(name: str = "f") -> Any:
    return started_singly._acquire(name, {"FunctionName": name, "FunctionArn": f"{FUNCTIONS}:{name}"}, b"")[0]


def test_while_a_worker_starts_no_other_does_and_it_is_taken_when_it_is_free(workers: dict[str, list[Worker]]) -> None:
    first = acquire()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(acquire)
        with pytest.raises(TimeoutError):
            waiting.result(LONGER_THAN_A_MOMENT)
        lambda_runtime.release_worker(first)
        first.has_started()
        assert waiting.result() is first
    assert list(workers.values()) == [[first]]


def test_where_all_workers_are_at_work_another_is_started(workers: dict[str, list[Worker]]) -> None:
    first = acquire()
    first.has_started()
    second = acquire()
    assert second is not first
    assert list(workers.values()) == [[first, second]]


def test_workers_of_another_function_are_not_waited_for() -> None:
    first = acquire()
    assert acquire("g") is not first
