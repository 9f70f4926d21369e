"""Runs jitrctl, the operator's command; the only module that turns errors into exit codes."""

from __future__ import annotations

import gc
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING

import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer.exceptions import TyperException
from typer.main import get_command

from jitr.errors import JitrError
from jitr_fleet.problems import FleetError
from jitrctl.commands import crl, demo, dlq, doctor, enrollment, local, prove, replay, sweep, verify
from jitrctl.commands.ca import group as ca
from jitrctl.commands.device import group as device
from jitrctl.commands.fleet import group as fleet
from jitrctl.errors import Interrupted, JitrctlError, Unusable
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.run.parallel import describe_error
from jitrctl.terminal import Exit, begin_answer, print_error, print_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

app = typer.Typer(
    name="jitrctl",
    help="Operate a jitr fleet: just-in-time registration of AWS IoT devices across accounts.",
    epilog="Exit codes: 0 done; 1 tried, and failed somewhere; 2 unusable input, nothing was done; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(replay.replay)
app.command(name="verify")(verify.verify_command)
app.command()(doctor.doctor)
app.command()(sweep.sweep)
app.command()(prove.prove)
app.add_typer(ca.app, name="ca")
app.add_typer(crl.app, name="crl")
app.add_typer(device.app, name="device")
app.add_typer(enrollment.app, name="enrollment")
app.add_typer(dlq.app, name="dlq")
app.add_typer(fleet.app, name="fleet")
app.add_typer(local.app, name="local")

_SELDOM = 100_000  # allocations between two garbage collections; Python's default is 700


def _unwrap(commands: typer.Typer) -> None:
    """Remove the source's line breaks from each command's help, so that it wraps at the terminal's width."""
    for command in commands.registered_commands:
        paragraphs = inspect.cleandoc((command.callback and command.callback.__doc__) or "").split("\n\n")
        command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance:
            _unwrap(group.typer_instance)


_unwrap(app)

# The first match counts.
_EXITS: dict[type[Exception], Exit] = {
    FleetError: Exit.UNUSABLE,
    Unusable: Exit.UNUSABLE,
    Interrupted: Exit.INTERRUPTED,
    LocalAwsError: Exit.FAILED,
    JitrctlError: Exit.FAILED,
    JitrError: Exit.FAILED,
    ClientError: Exit.FAILED,
    BotoCoreError: Exit.FAILED,
}


@cache
def _put_together(commands: typer.Typer) -> Callable[..., object]:
    """All commands, once for the process: it takes 40 ms, and the tests run a thousand."""
    return get_command(commands)


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
        print_failure(describe_error(fault))
        raise
    if code:
        print_failure(why)
    return code


def _wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON; also one that is no command's, whose error is told as JSON then."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _run(arguments: list[str] | None, *, raises_usage_errors: bool = False) -> tuple[int, str]:
    """Run one command; its exit code, and the sentence that was printed about its failure."""
    try:
        code = _put_together(app)(args=arguments, standalone_mode=not raises_usage_errors)
    except SystemExit as done:  # typer's way to end: success, usage errors, Ctrl-C
        code = done.code
    except typer.Abort:  # the input ended while something was asked
        why = "nothing was answered: the input has ended"
        print_error(why)
        return Exit.FAILED, why
    except TyperException as error:
        why = error.format_message()
        print_error(why)
        return error.exit_code, why
    except tuple(_EXITS) as error:
        why = str(error) if isinstance(error, FleetError) else describe_error(error)
        print_error(why)
        return next(code for kind, code in _EXITS.items() if isinstance(error, kind)), why
    ended = code if isinstance(code, int) else Exit.DONE
    return ended, "interrupted" if ended == Exit.INTERRUPTED else "it failed: see standard error"


if __name__ == "__main__":
    sys.exit(main())
