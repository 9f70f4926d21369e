"""Runs jitrctl, the operator's command; the only module that turns errors into exit codes."""

from __future__ import annotations

import gc
import sys
from functools import cache
from typing import TYPE_CHECKING

from typer import Abort
from typer.exceptions import TyperException

from jitrctl.commands.tree import every_group
from jitrctl.run.pasted_keys import REFUSAL, hold_file_content
from jitrctl.terminal import Exit, begin_answer, print_error, print_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

_SELDOM = 100_000  # allocations between two garbage collections; Python's default is 700


@cache
def _exits() -> dict[type[Exception], Exit]:
    """The exit code of each expected error; the first match counts.

    Imported only when there is an error: botocore's classes take a third of a second, and the help needs none.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from jitr.errors import JitrError  # noqa: PLC0415
    from jitr_fleet.problems import FleetError  # noqa: PLC0415
    from jitrctl.errors import Interrupted, JitrctlError, Unusable  # noqa: PLC0415
    from jitrctl.localaws.errors import LocalAwsError  # noqa: PLC0415

    return {
        FleetError: Exit.UNUSABLE,
        Unusable: Exit.UNUSABLE,
        Interrupted: Exit.INTERRUPTED,
        LocalAwsError: Exit.FAILED,
        JitrctlError: Exit.FAILED,
        JitrError: Exit.FAILED,
        ClientError: Exit.FAILED,
        BotoCoreError: Exit.FAILED,
    }


def _describe(error: Exception) -> str:
    from jitr_fleet.problems import FleetError  # noqa: PLC0415 -- as above
    from jitrctl.run.parallel import describe_error  # noqa: PLC0415

    return str(error) if isinstance(error, FleetError) else describe_error(error)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code (see terminal.Exit).

    With --json, standard output has one JSON document, also when the command fails.
    """
    # botocore's clients are many small objects that live as long as the command: garbage collection took a third of the
    # time of opening fifty accounts.
    gc.set_threshold(_SELDOM)
    begin_answer()
    if not _wants_json(sys.argv[1:] if arguments is None else arguments):
        return _run(arguments)[0]
    try:
        code, why = _run(arguments, raises_usage_errors=True)
    except Exception as fault:
        print_failure(_describe(fault))
        raise
    if code:
        print_failure(why)
    return code


def _wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON; also one that is no command's, whose error is told as JSON then."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _run(arguments: list[str] | None, *, raises_usage_errors: bool = False) -> tuple[int, str]:
    """Run one command; its exit code, and the sentence that was printed about its failure."""
    if hold_file_content(sys.argv[1:] if arguments is None else arguments):
        print_error(REFUSAL)
        return Exit.UNUSABLE, REFUSAL
    try:
        code = every_group()(args=arguments, standalone_mode=not raises_usage_errors)
    except SystemExit as done:  # typer's way to end: success, usage errors, Ctrl-C
        code = done.code
    except Abort:  # the input ended while something was asked
        why = "nothing was answered: the input has ended"
        print_error(why)
        return Exit.FAILED, why
    except TyperException as error:
        why = error.format_message()
        print_error(why)
        return error.exit_code, why
    except tuple(_exits()) as error:
        why = _describe(error)
        print_error(why)
        return next(code for kind, code in _exits().items() if isinstance(error, kind)), why
    ended = code if isinstance(code, int) else Exit.DONE
    return ended, "interrupted" if ended == Exit.INTERRUPTED else "it failed: see standard error"


if __name__ == "__main__":
    sys.exit(main())
