"""`jitrctl device …`: orders about one device, in every account of the fleet that are meant."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.verdicts import OperatorAction
from jitrctl.audit.record import on_record
from jitrctl.commands.device.end import remove, retire
from jitrctl.commands.device.list_held import list_
from jitrctl.commands.device.order import announced, operator, order
from jitrctl.commands.device.reconcile import reconcile
from jitrctl.commands.device.release import release
from jitrctl.commands.device.show import Device, show, where
from jitrctl.commands.issue import issue
from jitrctl.device.adopt import Adoption, NoSuchThing
from jitrctl.device.operations import OrderContext
from jitrctl.device.search import only_certificate, waiting_certificate
from jitrctl.errors import Refused
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.terminal import print_error, short

if TYPE_CHECKING:
    from jitr.record import Record
    from jitrctl.session.stage import Stage

app = typer.Typer(
    help="Look at one device, and give orders about it: everywhere, or in some accounts. "
    "If a colleague was faster, an order changes nothing, and says who it was.",
    no_args_is_help=True,
)
app.command()(show)
app.command()(where)
app.command("list")(list_)


@app.command()
@over_stages
def approve(scope: Scope, device: Device, note: Note = "") -> None:
    """Let a device in that waits for approval, or will when it comes; it takes effect at its next connect or sweep.

    A thing's name means the device that is held, and asks for it. What is wrong with a certificate stays wrong: an
    approval stands in for the enrollment list alone.

    Example: jitrctl device approve device.pem --account prod --note "order 4711"
    """

    def approved(stage: Stage, certificate_id: str, seen: Record) -> str:
        status = operator(stage).approve(certificate_id, OrderContext(by=stage.caller, note=note), seen=seen)
        announced(stage, certificate_id, OperatorAction.APPROVED, status)
        return "approved, judged again at its next connect or sweep" if status else "approved for when it comes"

    order(scope, device, "approve it", approved, yes=True, meaning=waiting_certificate)


@app.command()
@over_stages
def deny(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Keep a device out, also before it was ever seen in an account; a certificate that is there is set INACTIVE.

    Example: jitrctl device deny device.pem --note "lost in transit"
    """
    _take_away(scope, device, OperatorAction.DENIED, note, yes=yes, meaning=partial(only_certificate, held=True))


app.command()(release)


@app.command()
@over_stages
def deactivate(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate INACTIVE, and keep it from being activated until it is released.

    Example: jitrctl device deactivate device.pem --account dev --note "sold"
    """
    _take_away(scope, device, OperatorAction.DEACTIVATED, note, yes=yes)


@app.command()
@over_stages
def revoke(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate REVOKED; also before it was ever seen in an account, then it will be refused there.

    Example: jitrctl device revoke device.pem --note "key was on a stolen laptop"
    """
    _take_away(scope, device, OperatorAction.REVOKED, note, yes=yes)


@app.command()
@over_stages
def adopt(
    scope: Scope,
    thing: Annotated[str, typer.Argument(help="The name of a thing that exists, with one certificate attached.")],
    note: Note = "",
) -> None:
    """Take a thing that was made without jitr into the registry, so that its next certificate can follow.

    Example: jitrctl device adopt sensor-0001 --account dev --note "made by hand in 2024"
    """
    without_ca: list[Stage] = []

    def adopted(stage: Stage) -> str | None:
        adoption = Adoption(thing, client=stage.iot, iot=stage.aws_iot, registry=stage.registry)
        try:
            certificate_id, is_new = adoption.look()
        except NoSuchThing:
            return None
        if adoption.is_without_ca:
            without_ca.append(stage)
        steps = [f"take thing {thing} into the registry"] if is_new else []
        with on_record(stage, "device adopt", certificate_id, steps, note):
            return adoption.carry_out() if is_new else certificate_id

    results = scope.across(adopted, doing=f"adopting {thing}")
    if results.ok and not any(done.value for done in results.done):
        raise Refused(f"no account has a thing {thing}: correct the name, or see `aws iot list-things`")
    for stage in without_ca if not scope.as_json else ():
        print_error(
            f"{stage}: which CA issued its certificate is not known here, so that its next one will be held "
            "(NOT_A_ROTATION)"
        )
    scope.report(
        results,
        rows=lambda _, certificate_id: [
            {"thing": thing, "belongs to": short(certificate_id) if certificate_id else "no such thing here"}
        ],
        fields=lambda certificate_id: {"certificate_id": certificate_id},
        thing_name=thing,
    )


def _take_away(
    scope: Scope, device: str, word: OperatorAction, note: str, *, yes: bool, meaning: Any = only_certificate
) -> None:
    def taken_away(stage: Stage, certificate_id: str, seen: Record) -> str:
        status = operator(stage).take_away(certificate_id, word, OrderContext(by=stage.caller, note=note), seen=seen)
        announced(stage, certificate_id, word, status)
        told = str(status) if status else "not registered here; refused when it comes"
        stays = seen.verdict is not None and word.is_weaker_than(seen.verdict.action)
        return f"{told}; it stays {seen.verdict.action}" if stays and seen.verdict else told

    order(scope, device, f"have it {word}", taken_away, yes=yes, meaning=meaning)


app.command()(retire)
app.command()(reconcile)
app.command()(remove)
app.command()(issue)
