"""jitrctl: the operator's command. The only place that turns errors into exit codes."""

from __future__ import annotations

import sys

import typer

from fleet.problems import FleetError
from jitr.errors import JitrError
from jitrctl.access import AccessError
from jitrctl.commands import demo, device, local, replay
from jitrctl.local.errors import LocalAwsError
from jitrctl.operating import OperatingError
from jitrctl.terminal import Exit, print_error

app = typer.Typer(
    name="jitrctl",
    help="Operate a jitr fleet: just-in-time registration of AWS IoT devices across accounts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(replay.replay)
app.add_typer(device.app, name="device")
app.add_typer(local.app, name="local")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code (see terminal.Exit)."""
    try:
        app(args=arguments)
    except SystemExit as done:  # typer's way to end: success, usage errors, Ctrl-C
        return done.code if isinstance(done.code, int) else Exit.DONE
    except (FleetError, AccessError) as error:
        print_error(str(error))
        return Exit.UNUSABLE
    except (LocalAwsError, OperatingError, JitrError) as error:
        print_error(str(error))
        return Exit.FAILED
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
