"""All commands of jitrctl, by group, in the order in which the help shows them.

A command is named by where its function is, and imported when it is run or its own help is shown.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from jitrctl.run.lazy_commands import Group, Outline
from jitrctl.terminal import out

if TYPE_CHECKING:
    from collections.abc import Mapping

# Commands by name; the function's module is below jitrctl.commands.
_ALONE = {
    "demo": "demo:demo",
    "replay": "replay:replay",
    "verify": "verify:verify_command",
    "doctor": "doctor:doctor",
    "sweep": "sweep:sweep",
    "prove": "prove:prove",
}
# Groups by name: the help, and the commands, some of them groups again.
_GROUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "ca": (
        "The CAs in each account: register, rotate and retire them, and show their state.",
        {
            "csr": "ca.proof:csr",
            "verification": "ca.proof:verification",
            "plan": "ca.apply:show_plan",
            "apply": "ca.apply:apply",
            "status": "ca.status:status",
            "switch-mode": "ca.switch_mode:switch_mode",
            "rotate": "ca.rotate:rotate",
            "retire": "ca.rotate:retire_ca",
            "adopt": "ca.adopt:adopt",
            "revoke": "ca.revoke:revoke_ca",
            "create": "issue:create",
            "accept-rejections": "ca.accept_rejections:accept_rejections",
            "pause": "ca.apply:pause",
            "resume": "ca.apply:resume",
        },
    ),
    "crl": (
        "The CAs' lists of revoked certificates.",
        {"put": "crl:put", "show": "crl:show", "approve": "crl_approve:approve"},
    ),
    "device": (
        (
            "Show devices, and give orders on them, in all accounts or in some. If a colleague was faster, an order "
            "changes nothing, and names the colleague."
        ),
        {
            "show": "device.show:show",
            "where": "device.show:where",
            "list": "device.list_devices:list_",
            "approve": "device.order:approve",
            "deny": "device.order:deny",
            "release": "device.release:release",
            "deactivate": "device.order:deactivate",
            "revoke": "device.order:revoke",
            "adopt": "device.adopt:adopt",
            "import": "device.import_devices:import_",
            "retire": "device.retire:retire",
            "reconcile": "device.reconcile:reconcile",
            "remove": "device.remove:remove",
            "issue": "issue:issue",
        },
    ),
    "enrollment": (
        "The list of devices that the fleet expects or denies, in all accounts.",
        {
            "allow": "enrollment:allow",
            "deny": "enrollment:deny",
            "remove": "enrollment:remove",
            "import": "enrollment_import:import_",
            "show": "enrollment:show",
            "list": "enrollment:list_",
        },
    ),
    "dlq": (
        "Dead letters, and events that could not be delivered.",
        {"list": "dlq:show_list", "show": "dlq:show", "redrive": "dlq:redrive", "drop": "dlq:drop_messages"},
    ),
    "fleet": (
        "The fleet as a whole.",
        {
            "check": "fleet.group:check",
            "status": "fleet.status:status",
            "try-rules": "fleet.try_rules:try_fleet_rules",
            "copy-denials": "fleet.copy_denials:copy_denials",
            "devices": "fleet.group:devices",
            "expiring": "fleet.expiring:expiring",
            "quotas": "fleet.group:show_quotas",
            "survey": "fleet.survey:survey",
            "adopt": (
                "Take over things and certificates that are there already, by a plan that is reviewed.",
                {"plan": "fleet.adopt:make_plan", "apply": "fleet.adopt:apply_plan"},
            ),
        },
    ),
    "local": (
        "Run a local AWS: the accounts of a fleet, on 127.0.0.1.",
        {
            "up": "local:up",
            "deploy": "local:deploy",
            "status": "local:status",
            "down": "local:down",
            "issue": "local:issue",
            "connect": "local:connect",
        },
    ),
}


@cache
def every_group() -> TyperGroup:
    """The command with all its groups and commands; put together once for the process."""
    root = get_command(_root)
    assert isinstance(root, TyperGroup)  # noqa: S101 -- it has a callback
    _add(root, _ALONE)
    _add(root, _GROUPS)
    return root


def _add(group: TyperGroup, commands: Mapping[str, Any]) -> None:
    """Add commands, whose values name their functions, and groups, whose values are their help and commands."""
    for name, source in commands.items():
        if isinstance(source, str):
            group.add_command(Outline(name, f"jitrctl.commands.{source}"))
            continue
        text, below = source
        inner = Group(name=name, help=text, no_args_is_help=True)
        _add(inner, below)
        group.add_command(inner)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 -- Typer calls it so
    """Print the versions, and exit."""
    if wanted:
        from jitrctl.commands.version import versions  # noqa: PLC0415 -- for this option alone

        for line in versions():
            out.print(line, markup=False)
        raise typer.Exit


_root = typer.Typer(
    name="jitrctl",
    cls=Group,
    help="Operate a jitr fleet: just-in-time registration of AWS IoT devices across accounts.",
    epilog="Exit codes: 0 done; 1 tried, and failed somewhere; 2 unusable input, nothing was done; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},  # also of all groups and commands
)


@_root.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the versions of jitr, boto3 and the CDK CLI.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options before any command."""
