"""Runs jitrctl, the operator's command; the only module that turns errors into exit codes."""

from __future__ import annotations

import gc
import sys
from functools import cache

from jitrctl.commands.tree import every_group
from jitrctl.terminal import Exit, print_error

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
    """Run one command; its exit code (see terminal.Exit)."""
    # botocore's clients are many small objects that live as long as the command: garbage collection took a third of the
    # time of opening fifty accounts.
    gc.set_threshold(_SELDOM)
    try:
        every_group()(args=arguments)
    except SystemExit as done:  # typer's way to end: success, usage errors, Ctrl-C
        return done.code if isinstance(done.code, int) else Exit.DONE
    except tuple(_exits()) as error:
        print_error(_describe(error))
        return next(code for kind, code in _exits().items() if isinstance(error, kind))
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
