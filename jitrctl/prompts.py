"""What threads want to know from the operator, such as MFA codes: asked one at a time, by the thread with the terminal.

The main thread shows the progress and gets Ctrl-C. Were the threads to ask by themselves, their questions would run
into each other and into the progress, and one that is broken off would leave the terminal without its echo. So they
wait, and `across` asks for them.
"""

from __future__ import annotations

import getpass
import threading
from collections import deque
from queue import SimpleQueue

from jitrctl.errors import AccessError
from jitrctl.terminal import can_ask

_Answer = SimpleQueue[str | Exception]

# Taken off once they are answered, so that Ctrl-C, at whichever moment, loses nobody who waits.
_asked: deque[tuple[str, _Answer]] = deque()


def ask(question: str, *, otherwise: str) -> str:
    """The operator's answer, which is not shown as it is typed; `otherwise` says what to do where nobody can answer.

    Raises AccessError when there is nobody to ask, or the answer was Ctrl-D or no text, or Ctrl-C while a thread waited
    for it; KeyboardInterrupt when it was Ctrl-C in the main thread, which breaks off the command as always.
    """
    if not can_ask():
        raise AccessError(otherwise)
    if threading.current_thread() is threading.main_thread():
        return _typed(question)
    answer: _Answer = SimpleQueue()
    _asked.append((question, answer))
    given = answer.get()
    if isinstance(given, Exception):
        raise given
    return given


def has_question() -> bool:
    """Whether a thread waits for an answer."""
    return bool(_asked)


def answer_next() -> None:
    """Ask one question that a thread waits for the answer of; in the main thread, which alone takes questions off.

    Raises KeyboardInterrupt.
    """
    if not _asked:
        return
    question, answer = _asked[0]
    given: str | AccessError = _refusal(question)
    try:
        given = _typed(question)
    except AccessError as error:
        given = error
    finally:
        answer.put(given)
        _asked.popleft()


def refuse_all() -> None:
    """Answer whoever waits that there will be no answer."""
    while _asked:
        question, answer = _asked[0]
        answer.put(_refusal(question))
        _asked.popleft()


def _typed(question: str) -> str:
    """What is typed.

    Raises AccessError when that is no answer; KeyboardInterrupt.
    """
    try:
        return getpass.getpass(question)
    except Exception as error:  # Ctrl-D, a key that is not UTF-8, a terminal that is gone; and threads wait
        raise _refusal(question) from error


def _refusal(question: str) -> AccessError:
    return AccessError(f"no answer was given to {question.strip().rstrip(':')!r}: run it again")
