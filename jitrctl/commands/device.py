"""`jitrctl device …`: orders about one device, in every account of the fleet that are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jitr.decisions import Word
from jitrctl.announcing import announce
from jitrctl.clock import now
from jitrctl.commands.device_show import Device, show, where
from jitrctl.errors import Refused
from jitrctl.naming import known_from
from jitrctl.operating import NoSuchThing, Operator, Order
from jitrctl.scope import Note, Scope, Yes, over_stages
from jitrctl.sightings import Known, Sighting, View, only_certificate
from jitrctl.terminal import short

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitr.registrations import Status
    from jitrctl.stages import Stage

app = typer.Typer(
    help="Look at one device, and give orders about it: everywhere, or in some accounts.", no_args_is_help=True
)
app.command()(show)
app.command()(where)


@app.command()
@over_stages
def approve(scope: Scope, device: Device, note: Note = "") -> None:
    """Let a device in that waits for approval, or will when it comes; it takes effect at its next event or sweep.

    Example: jitrctl device approve device.pem --account prod --note "order 4711"
    """

    def approved(stage: Stage, certificate_id: str) -> str:
        status = _operator(stage).approve(certificate_id, Order(by=stage.caller, note=note))
        _announce(stage, certificate_id, Word.APPROVED, status)
        return "approved, judged again at its next connect or sweep" if status else "approved for when it comes"

    _order(scope, device, "approve it", approved, yes=True)


@app.command()
@over_stages
def deny(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Keep a device out, also before it was ever seen in an account; a certificate that is there is set INACTIVE.

    Example: jitrctl device deny device.pem --note "lost in transit"
    """
    _take_away(scope, device, Word.DENIED, note, yes=yes)


@app.command()
@over_stages
def release(
    scope: Scope,
    device: Device,
    note: Note = "",
    *,
    revoked: Annotated[bool, typer.Option("--revoked", help="Also if it was revoked or taken away.")] = False,
    yes: Yes = False,
) -> None:
    """Let a refused device be judged again when it next connects; its registration is deleted for that.

    Example: jitrctl device release device.pem --account dev --note "name was allowed since"
    """

    def released(stage: Stage, certificate_id: str) -> str:
        if not View.of(stage, Known(frozenset({certificate_id}))).sightings[certificate_id].is_known:
            return "not known here"
        _operator(stage).release(certificate_id, Order(by=stage.caller, note=note), revoked=revoked)
        _announce(stage, certificate_id, Word.RELEASED, None)
        return "released, judged again at its next connect"

    _order(scope, device, "release it: its registration is deleted", released, yes=yes)


@app.command()
@over_stages
def deactivate(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate INACTIVE, and keep it from being activated until it is released.

    Example: jitrctl device deactivate device.pem --account dev --note "sold"
    """
    _take_away(scope, device, Word.DEACTIVATED, note, yes=yes)


@app.command()
@over_stages
def revoke(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate REVOKED; also before it was ever seen in an account, then it will be refused there.

    Example: jitrctl device revoke device.pem --note "key was on a stolen laptop"
    """
    _take_away(scope, device, Word.REVOKED, note, yes=yes)


@app.command()
@over_stages
def adopt(
    scope: Scope,
    thing: Annotated[str, typer.Argument(help="The name of a thing that exists, with one certificate attached.")],
) -> None:
    """Take a thing that was made without jitr into the registry, so that its next certificate can follow.

    Example: jitrctl device adopt sensor-0001 --account dev
    """

    def adopted(stage: Stage) -> str | None:
        try:
            return _operator(stage).adopt(thing)
        except NoSuchThing:
            return None

    results = scope.across(adopted, doing=f"adopting {thing}")
    if results.ok and not any(done.value for done in results.done):
        raise Refused(f"no account has a thing {thing}: correct the name, or see `aws iot list-things`")
    scope.report(
        results,
        rows=lambda _, certificate_id: [
            {"thing": thing, "belongs to": short(certificate_id) if certificate_id else "no such thing here"}
        ],
        fields=lambda certificate_id: {"certificate_id": certificate_id},
        thing_name=thing,
    )


def _take_away(scope: Scope, device: str, word: Word, note: str, *, yes: bool) -> None:
    def taken_away(stage: Stage, certificate_id: str) -> str:
        status = _operator(stage).take_away(certificate_id, word, Order(by=stage.caller, note=note))
        _announce(stage, certificate_id, word, status)
        return str(status) if status else "not registered here; refused when it comes"

    _order(scope, device, f"have it {word}", taken_away, yes=yes)


def _order(scope: Scope, device: str, what: str, work: Callable[[Stage, str], str], *, yes: bool) -> None:
    """Show what would be done and to what, ask, do it, and say what the certificate is then."""
    start = known_from(device)
    stages, failed = scope.opened()
    certificate_id = only_certificate(scope, start, stages) if stages else ""
    seen = scope.across(
        lambda stage: View.of(stage, Known(frozenset({certificate_id}))), doing="looking", stages=stages
    )
    if seen.done:
        scope.confirm(
            [
                f"Certificate {certificate_id}: {what}, in",
                *(f"  {done.stage}  {_in_words(done.value.sightings[certificate_id])}" for done in seen.done),
            ],
            yes=yes,
        )
    results = scope.across(
        lambda stage: work(stage, certificate_id), doing="carrying it out", stages=[done.stage for done in seen.done]
    )
    scope.report(
        results,
        rows=lambda _, status: [{"certificate": short(certificate_id), "now": status}],
        fields=lambda status: {"status": status},
        failed=(*failed, *seen.failed),
        certificate_id=certificate_id,
    )


def _in_words(sighting: Sighting) -> str:
    """What a certificate is before an order: PENDING_ACTIVATION, as sensor-0001."""
    if sighting.registered is None:
        return "not registered"
    names = ", ".join(sighting.registered.things) or sighting.registered.asks_for
    return f"{sighting.registered.status}, {names}" if names else str(sighting.registered.status)


def _announce(stage: Stage, certificate_id: str, word: Word, status: Status | None) -> None:
    """Announce the verdict that was just written; another operator's that came since is announced by that one."""
    verdict = stage.registry.recall([certificate_id])[certificate_id].verdict
    if verdict and (verdict.word, verdict.by) == (word, stage.caller):
        announce(stage, certificate_id, verdict, status)


def _operator(stage: Stage) -> Operator:
    return Operator(client=stage.iot, iot=stage.aws_iot, registry=stage.registry, clock=now)
