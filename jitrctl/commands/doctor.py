"""`jitrctl doctor`: finds why a device does not connect."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.clock import now
from jitrctl.commands.device.show import Device
from jitrctl.doctor.connect import DeviceConnector
from jitrctl.doctor.context import DeviceContext
from jitrctl.doctor.finding import State
from jitrctl.doctor.runner import check_links, is_healthy
from jitrctl.doctor.subject import find_subject
from jitrctl.errors import Unusable
from jitrctl.run.scope import Scope, over_unproven_stages
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.terminal import grouped, out, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.doctor.runner import LinkResult
    from jitrctl.run.parallel import Done
    from jitrctl.session.stage import Stage

_STYLES = {State.GOOD: "green", State.NOTE: "yellow", State.BROKEN: "red", State.UNKNOWN: "yellow"}


@over_unproven_stages
def doctor(
    scope: Scope,
    device: Device,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY.pem",
            help="The device's private key: connect with it, with and without SNI. This disconnects a device that is "
            "connected under the same client id. Needs --account, and --region if there are several.",
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The MQTT client id that the device uses; else its thing's name."),
    ] = None,
) -> None:
    """Check the links between a certificate and an accepted connection, and stop at the broken one, with its cure.

    Without the certificate's file it is AWS IoT's copy that is checked. A file can hold the chain, too. Changes
    nothing, but --key connects as the device does. Name the account that should admit the device.

    Exit code 0: all links are good. 1: one is broken, or could not be checked, or no account knows the device. 2: no
    certificate in the file, or the key or the fleet file is unusable.

    Example: jitrctl doctor device.pem --account dev
    """
    if key:
        scope.only_stage()  # connecting registers the device, which is not wanted in every stage
    subject = find_subject(scope, device)
    with TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        if key:
            chain.write_text("".join(subject.certificates), encoding="ascii")  # TLS takes only plain PEM files
            _check(chain, device, key)

        def examine(stage: Stage) -> tuple[LinkResult, ...]:
            case = DeviceContext(
                stage=stage,
                file=subject.file,
                certificates=subject.certificates,
                client_id=client_id,
                now=now(),
            )
            return check_links(case, DeviceConnector(certificate=chain, key=key, stage=stage) if key else None)

        results = scope.across(examine, doing="reading")

    def show_results() -> None:
        if len(scope.stages) == 1:
            _show_links(results.done[0].value)
        else:
            out.print(table([_row(done) for done in results.done]))
        for line in grouped(_sentences(results.done, scope.fleet_option)):
            out.print(f"\n{line}", markup=False, soft_wrap=True)

    scope.report(
        results,
        show=show_results,
        fields=lambda steps: _document(steps, scope.fleet_option),
        ok=all(is_healthy(done.value) for done in results.done),
        file=str(subject.file) if subject.file else None,
    )


def _check(chain: Path, certificate: str, key: Path) -> None:
    """Check that the key is that of the chain's first certificate; `certificate` is what the operator calls it.

    Raises Unusable.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(chain, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Unusable(f"{key} cannot be used as the key of {certificate} ({error}): give the device's own") from error


def _show_links(steps: Sequence[LinkResult]) -> None:
    for number, step in enumerate(steps, 1):
        finding = step.finding
        out.print(f"{number:>2}  {step.link:<22}", end="", markup=False)
        out.print(f"{finding.state:<9}", style=_STYLES[finding.state], end="")
        out.print(finding.text, markup=False, soft_wrap=True)


def _row(done: Done[tuple[LinkResult, ...]]) -> dict[str, str]:
    good = sum(step.finding.state is State.GOOD for step in done.value)
    return {
        "stage": str(done.stage),
        "good": str(good),
        "stops at": _broken(done.value) or "-",
        "noted": ", ".join(step.link for step in done.value if step.finding.state in (State.NOTE, State.UNKNOWN))
        or "-",
    }


def _sentences(done: Sequence[Done[tuple[LinkResult, ...]]], fleet_option: str) -> list[tuple[str, str]]:
    """What to do, for each stage: first the broken link, then the notes that have a cure."""
    sentences = []
    for one in done:
        last = one.value[-1]
        if last.finding.state is State.BROKEN:
            text = f"{last.link} is broken: {last.finding.text}.\n  Cure: {_cure(last, fleet_option)}."
        elif is_healthy(one.value):
            text = "every link is good."
        else:
            names = ", ".join(step.link for step in one.value if step.finding.state is State.UNKNOWN)
            text = f"no link is broken as far as could be seen; not looked at: {names}."
        sentences.append((str(one.stage), text))
        sentences += [
            (str(one.stage), f"beside that, {step.link}: {_cure(step, fleet_option)}.")
            for step in one.value
            if step.finding.state is State.NOTE and step.finding.cure
        ]
    return sentences


def _broken(steps: Sequence[LinkResult]) -> str | None:
    return next((step.link for step in steps if step.finding.state is State.BROKEN), None)


def _cure(step: LinkResult, fleet_option: str) -> str:
    return with_fleet_option(step.finding.cure, fleet_option)


def _document(steps: tuple[LinkResult, ...], fleet_option: str) -> dict[str, Any]:
    return {
        "ok": is_healthy(steps),
        "broken": _broken(steps),
        "links": [
            {
                "link": one.link,
                "state": one.finding.state,
                "text": one.finding.text,
                "cure": with_fleet_option(one.finding.cure, fleet_option) or None,
            }
            for one in steps
        ],
    }
