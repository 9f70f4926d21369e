"""What threads want to know from the operator, such as MFA codes: asked one at a time, by the thread with the terminal.

The main thread shows the progress and gets Ctrl-C. Were the threads to ask by themselves, their questions would run
into each other and into the progress, and one that is broken off would leave the terminal without its echo. So they
wait, and `across` asks for them.
"""

from __future__ import annotations

import getpass
import threading
from queue import Empty, SimpleQueue

from jitrctl.errors import AccessError
from jitrctl.terminal import can_ask

_Answer = SimpleQueue[str | Exception]

_asked: SimpleQueue[tuple[str, _Answer]] = SimpleQueue()


def ask(question: str, *, otherwise: str) -> str:
    """The operator's answer, which is not shown as it is typed; `otherwise` says what to do where nobody can answer.

    Raises AccessError when there is nobody to ask, or the answer was Ctrl-D, or Ctrl-C while a thread waited for it;
    KeyboardInterrupt when it was Ctrl-C in the main thread, which breaks off the command as always.
    """
    if not can_ask():
        raise AccessError(otherwise)
    if threading.current_thread() is threading.main_thread():
        try:
            return getpass.getpass(question)
        except EOFError as error:
            raise _refusal(question) from error
    answer: _Answer = SimpleQueue()
    _asked.put((question, answer))
    given = answer.get()
    if isinstance(given, Exception):
        raise given
    return given


def is_asked() -> bool:
    """Whether a thread waits for an answer."""
    return not _asked.empty()


def pass_on() -> None:
    """Ask one question that a thread waits for the answer of; in the main thread."""
    try:
        question, answer = _asked.get_nowait()
    except Empty:
        return
    try:
        answer.put(getpass.getpass(question))
    except (KeyboardInterrupt, EOFError) as error:
        answer.put(_refusal(question))
        if isinstance(error, KeyboardInterrupt):
            raise


def refuse() -> None:
    """Answer whoever waits that there will be no answer."""
    while True:
        try:
            question, answer = _asked.get_nowait()
        except Empty:
            return
        answer.put(_refusal(question))


def _refusal(question: str) -> AccessError:
    return AccessError(f"no answer was given to {question.strip().rstrip(':')!r}: run it again")
