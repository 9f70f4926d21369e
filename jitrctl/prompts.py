"""Asks the operator questions of threads, such as for MFA codes: one at a time, in the main thread.

The main thread shows the progress and receives Ctrl-C. If threads asked directly, their questions would mix with each
other and with the progress, and an interrupted one would leave the terminal without echo. So the threads wait, and
`across` asks for them.
"""

from __future__ import annotations

import getpass
import threading
from collections import deque
from queue import SimpleQueue

from jitrctl.errors import AccessError
from jitrctl.terminal import can_ask

_Answer = SimpleQueue[str | Exception]

# Removed only after they are answered, so that Ctrl-C at any moment leaves no thread waiting.
_asked: deque[tuple[str, _Answer]] = deque()


def ask(question: str, *, otherwise: str) -> str:
    """Ask the operator; the answer is not echoed. `otherwise` is the error message when there is no terminal.

    Raises AccessError when there is no terminal; when the answer was Ctrl-D or no text; or Ctrl-C while a thread waited
    for it. Raises KeyboardInterrupt after Ctrl-C in the main thread.
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
    """Ask the next question of a thread, and pass on the answer; only for the main thread.

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
    """Refuse all questions: the waiting threads get an AccessError."""
    while _asked:
        question, answer = _asked[0]
        answer.put(_refusal(question))
        _asked.popleft()


def _typed(question: str) -> str:
    """Read what is typed.

    Raises AccessError when it is no answer; KeyboardInterrupt.
    """
    try:
        return getpass.getpass(question)
    except Exception as error:  # Ctrl-D, input that is not UTF-8, a closed terminal; a thread waits for the answer
        raise _refusal(question) from error


def _refusal(question: str) -> AccessError:
    return AccessError(f"no answer was given to {question.strip().rstrip(':')!r}: run it again")
