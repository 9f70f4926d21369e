"""`jitrctl device …`: orders about one device, in every account of the fleet that are meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.certificates import Certificate
from jitr.decisions import Word
from jitr.errors import Rejected
from jitr.events import CERTIFICATE_ID
from jitrctl.clock import now
from jitrctl.errors import Unusable
from jitrctl.operating import Operator, Order
from jitrctl.scope import Note, Scope, Yes, over_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitrctl.stages import Stage

app = typer.Typer(help="Orders about one device, in all accounts or in some.", no_args_is_help=True)

_Certificate = Annotated[str, typer.Argument(metavar="CERT", help="The certificate's id, or its PEM file.")]


@app.command()
@over_stages
def release(
    scope: Scope,
    certificate: _Certificate,
    note: Note = "",
    *,
    revoked: Annotated[bool, typer.Option("--revoked", help="Also if it was revoked or taken away.")] = False,
    yes: Yes = False,
) -> None:
    """Let a refused device be judged again when it next connects; its registration is deleted for that.

    Example: jitrctl device release device.pem --account dev --note "name was allowed since"
    """
    certificate_id = certificate_id_of(certificate)

    def released(stage: Stage) -> str:
        _operator(stage).release(certificate_id, Order(by=stage.caller, note=note), revoked=revoked)
        return "released: judged again at its next connect"

    _order(scope, certificate_id, "release, so that its registration is deleted", released, yes=yes)


@app.command()
@over_stages
def deactivate(scope: Scope, certificate: _Certificate, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate INACTIVE, and keep it from being activated until it is released.

    Example: jitrctl device deactivate device.pem --account dev --note "sold"
    """
    _take_away(scope, certificate, Word.DEACTIVATED, note, yes=yes)


@app.command()
@over_stages
def revoke(scope: Scope, certificate: _Certificate, note: Note = "", *, yes: Yes = False) -> None:
    """Set a certificate REVOKED; also before it was ever seen in an account, then it will be refused there.

    Example: jitrctl device revoke device.pem --note "key was on a stolen laptop"
    """
    _take_away(scope, certificate, Word.REVOKED, note, yes=yes)


@app.command()
@over_stages
def adopt(
    scope: Scope,
    thing: Annotated[str, typer.Argument(help="The name of a thing that exists, with one certificate attached.")],
) -> None:
    """Take a thing that was made without jitr into the registry, so that its next certificate can follow.

    Example: jitrctl device adopt sensor-0001 --account dev
    """
    results = scope.across(lambda stage: _operator(stage).adopt(thing), doing=f"adopting {thing}")
    scope.report(
        results,
        rows=lambda _, certificate_id: [{"thing": thing, "belongs to certificate": certificate_id}],
        fields=lambda certificate_id: {"certificate_id": certificate_id},
        thing_name=thing,
    )


def _take_away(scope: Scope, certificate: str, word: Word, note: str, *, yes: bool) -> None:
    certificate_id = certificate_id_of(certificate)

    def taken_away(stage: Stage) -> str:
        status = _operator(stage).take_away(certificate_id, word, Order(by=stage.caller, note=note))
        return str(status) if status else "not registered here; refused when it comes"

    _order(scope, certificate_id, f"have {word}", taken_away, yes=yes)


def _order(scope: Scope, certificate_id: str, what: str, work: Callable[[Stage], str], *, yes: bool) -> None:
    """Show what would be done and where, ask, do it, and say what the certificate is then."""
    stages, failed = scope.opened()
    if stages:
        plan = [f"Certificate {certificate_id}: {what}, in", *(f"  {stage} as {stage.caller}" for stage in stages)]
        scope.confirm(plan, yes=yes)
    results = scope.across(work, doing="carrying it out", stages=stages)
    scope.report(
        results,
        rows=lambda _, status: [{"certificate": f"{certificate_id[:16]}…", "is now": status}],
        fields=lambda status: {"status": status},
        failed=failed,
        certificate_id=certificate_id,
    )


def _operator(stage: Stage) -> Operator:
    return Operator(client=stage.iot, iot=stage.aws_iot, registry=stage.registry, clock=now)


def certificate_id_of(certificate: str) -> str:
    """The certificate id that an argument means: an id, or a PEM file's.

    Raises Unusable.
    """
    if CERTIFICATE_ID.fullmatch(certificate.lower()):
        return certificate.lower()
    try:
        pem = Path(certificate).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise Unusable(f"{certificate} is neither a certificate id (64 hex digits) nor a readable file") from error
    try:
        return Certificate.from_pem(pem).fingerprint
    except Rejected as error:
        raise Unusable(f"{certificate} holds no certificate in PEM form: {error.detail}") from error
