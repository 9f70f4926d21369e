"""`jitrctl device …`: the commands about one device, in the order in which the help shows them."""

from __future__ import annotations

import typer

from jitrctl.commands.device.adopt import adopt
from jitrctl.commands.device.list_held import list_
from jitrctl.commands.device.order import approve, deactivate, deny, revoke
from jitrctl.commands.device.reconcile import reconcile
from jitrctl.commands.device.release import release
from jitrctl.commands.device.remove import remove
from jitrctl.commands.device.retire import retire
from jitrctl.commands.device.show import show, where
from jitrctl.commands.issue import issue

app = typer.Typer(
    help="Show one device, and give orders on it, in all accounts or in some. "
    "If a colleague was faster, an order changes nothing, and names the colleague.",
    no_args_is_help=True,
)
app.command()(show)
app.command()(where)
app.command("list")(list_)
app.command()(approve)
app.command()(deny)
app.command()(release)
app.command()(deactivate)
app.command()(revoke)
app.command()(adopt)
app.command()(retire)
app.command()(reconcile)
app.command()(remove)
app.command()(issue)
