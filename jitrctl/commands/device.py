"""`jitrctl device …`: orders about one device in one account."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fleet.parse import load
from fleet.resources import ResourceNames
from jitr.certificates import Certificate
from jitr.decisions import Word
from jitr.events import CERTIFICATE_ID
from jitr.iot import AwsIot
from jitr.pacing import Pacer
from jitr.registry import Registry
from jitrctl import access
from jitrctl.operating import OperatingError, Operator, Order
from jitrctl.terminal import out

app = typer.Typer(help="Orders about one device in one account.", no_args_is_help=True)

_Certificate = Annotated[str, typer.Argument(metavar="CERT", help="The certificate's id, or its PEM file.")]
_Account = Annotated[str | None, typer.Option(help="The account, as fleet.toml calls it.")]
_Region = Annotated[str | None, typer.Option(help="The Region, if the account has several.")]
_Fleet = Annotated[Path, typer.Option("--fleet", help="The fleet file.")]
_Note = Annotated[str, typer.Option(help="Why; kept with the verdict.")]


@app.command()
def release(
    certificate: _Certificate,
    account: _Account = None,
    region: _Region = None,
    fleet: _Fleet = Path("fleet.toml"),
    note: _Note = "",
    *,
    revoked: Annotated[bool, typer.Option("--revoked", help="Also if it was revoked or taken away.")] = False,
) -> None:
    """Let a refused device be judged again when it next connects; its registration is deleted for that.

    Example: jitrctl device release device.pem --account dev --note "name was allowed since"
    """
    certificate_id = _id(certificate)
    operator, by = _operator(fleet, account, region)
    operator.release(certificate_id, Order(by=by, note=note), revoked=revoked)
    out.print(f"{certificate_id} is released: it is judged again when the device next connects.", soft_wrap=True)


@app.command()
def deactivate(
    certificate: _Certificate,
    account: _Account = None,
    region: _Region = None,
    fleet: _Fleet = Path("fleet.toml"),
    note: _Note = "",
) -> None:
    """Set a certificate INACTIVE, and keep it from being activated until it is released.

    Example: jitrctl device deactivate device.pem --account dev --note "sold"
    """
    _take_away(certificate, account, region, fleet, note, Word.DEACTIVATED)


@app.command()
def revoke(
    certificate: _Certificate,
    account: _Account = None,
    region: _Region = None,
    fleet: _Fleet = Path("fleet.toml"),
    note: _Note = "",
) -> None:
    """Set a certificate REVOKED; also before it was ever seen here, then it will be refused.

    Example: jitrctl device revoke device.pem --account dev --note "key was on a stolen laptop"
    """
    _take_away(certificate, account, region, fleet, note, Word.REVOKED)


@app.command()
def adopt(
    thing: Annotated[str, typer.Argument(help="The name of a thing that exists, with one certificate attached.")],
    account: _Account = None,
    region: _Region = None,
    fleet: _Fleet = Path("fleet.toml"),
) -> None:
    """Take a thing that was made without jitr into the registry, so that its next certificate can follow.

    Example: jitrctl device adopt sensor-0001 --account dev
    """
    operator, _ = _operator(fleet, account, region)
    certificate_id = operator.adopt(thing)
    out.print(f"{thing} belongs to certificate {certificate_id} now.", soft_wrap=True)


def _take_away(certificate: str, account: str | None, region: str | None, fleet: Path, note: str, word: Word) -> None:
    certificate_id = _id(certificate)
    operator, by = _operator(fleet, account, region)
    status = operator.take_away(certificate_id, word, Order(by=by, note=note))
    said = "is not registered here, and will be refused" if status is None else f"is {status}"
    out.print(f"{certificate_id} {said}.", soft_wrap=True)


def _operator(fleet: Path, account: str | None, region: str | None) -> tuple[Operator, str]:
    """The operator of one account and Region, and the ARN of who that is."""
    loaded = load(fleet)
    target, in_region = access.find(loaded, account, region)
    session = access.session(target, in_region)
    client = session.client("iot")
    operator = Operator(
        client=client,
        iot=AwsIot(client, Pacer(0), clock=_now),
        registry=Registry(session.client("dynamodb"), ResourceNames(loaded.name).registry_table),
        clock=_now,
    )
    return operator, session.client("sts").get_caller_identity()["Arn"]


def _id(certificate: str) -> str:
    """The certificate id that an argument means."""
    if CERTIFICATE_ID.fullmatch(certificate.lower()):
        return certificate.lower()
    try:
        pem = Path(certificate).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise OperatingError(
            f"{certificate} is neither a certificate id (64 hex digits) nor a readable file"
        ) from error
    return Certificate.from_pem(pem).fingerprint


def _now() -> datetime:
    return datetime.now(UTC)
