"""`jitrctl verify`: shows whether a certificate would be admitted, and why not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 -- Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.admission.procedure import CheckStatus
from jitr.x509.certificate import Reader
from jitrctl.certificate_files import read_file, read_first
from jitrctl.clock import now
from jitrctl.errors import Unusable
from jitrctl.run.scope import FleetOption, load_fleet
from jitrctl.session.stage import choose, only
from jitrctl.terminal import Exit, out, print_json, table
from jitrctl.verify import VerifyResult, rules_without_fleet, verify

if TYPE_CHECKING:
    from jitr.rules import Rules

_STYLES = {CheckStatus.PASS: "green", CheckStatus.REJECT: "red", CheckStatus.OBSERVE: "yellow"}


def verify_command(
    certificate: Annotated[Path, typer.Argument(metavar="CERT.pem", help="The device's certificate, PEM or DER.")],
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="The account, as the fleet file calls it.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="The Region, where it matters.")] = None,
    ca: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The CA or source, as the fleet file calls it; else the CA that issued it."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="CA.pem", help="Instead of a fleet file: this CA, under default rules.")
    ] = None,
    crl: Annotated[Path | None, typer.Option(metavar="FILE", help="The CA's CRL, for the check revocation.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Evaluate as of this time: 2027-01-31 or 2027-01-31T12:00:00Z.")
    ] = None,
    fleet: FleetOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Run every check of admission on a certificate, offline, with the functions' own code.

    Of a chain, the first certificate is checked.

    Exit code 0: it would be admitted. 1: it would be rejected. 2: no certificate in the file, or a file is unusable.

    Example: jitrctl verify device.pem --account dev
    """
    file = read_file(certificate)
    if ca_file and (account or region or ca):
        raise Unusable("--ca-file stands alone: leave out --account, --region and --ca, or name them without it")
    rules = rules_without_fleet(read_first(ca_file), ca_file) if ca_file else _rules(fleet, account, region)
    answer = verify(file.pem, rules, ca=ca, crl=crl, now=_moment(at) if at else now())
    if as_json:
        print_json({"ok": answer.admitted, **answer.document(), "note": file.note})
    else:
        _show(certificate, answer)
        if file.note:
            out.print(file.note, markup=False, soft_wrap=True)
    if not answer.admitted:
        raise typer.Exit(Exit.FAILED)


def _rules(named: Path | None, account: str | None, region: str | None) -> Rules:
    fleet, _ = load_fleet(named, offline=True)
    stages = choose(fleet, [account] if account else [], [region] if region else [])
    if len({stage.account.name for stage in stages}) == 1:
        return stages[0].rules  # the same in each of the account's Regions
    return only(stages).rules


def _moment(written: str) -> datetime:
    """Parse a time; UTC unless it names a zone.

    Raises Unusable.
    """
    try:
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Unusable(f"--at {written} is no time: write 2027-01-31 or 2027-01-31T12:00:00Z") from error


def _show(path: Path, answer: VerifyResult) -> None:
    refusal, identity = answer.examination.refusal, answer.examination.identity
    rows = [
        {"": one.number, "check": one.check, "verdict": one.verdict.value, "why": one.detail} for one in answer.checks
    ]
    out.print(table(rows))
    if identity:
        became = f"would be admitted, as thing {identity.thing_name}"
        made = {
            "type": identity.thing_type,
            "groups": ", ".join(identity.thing_groups),
            "billing group": identity.billing_group,
            "first shadow": identity.shadow,
        }
        made |= {f"attribute {name}": value for name, value in identity.attributes.items()}
        became += "".join(f"; {name} {value}" for name, value in made.items() if value)
    else:
        kind = "for good" if refusal and refusal.reason.final else "until the cause is gone"
        became = f"would be rejected, {kind}: {refusal.reason if refusal else ''}"
    if answer.reader == Reader.SECOND:
        out.print("read by jitr's second reader: the library that AWS SDKs and tools use may refuse it", soft_wrap=True)
    out.print(
        f"\n{path}: {became}",
        markup=False,
        soft_wrap=True,
        style=_STYLES[CheckStatus.PASS if identity else CheckStatus.REJECT],
    )
