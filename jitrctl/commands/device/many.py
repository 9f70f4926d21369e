"""Runs an order on one device or on several, one after the other in each stage, and reports each.

With several devices, one that fails does not stop the others, unless AWS cannot be reached or does not permit it: then
the rest of that stage is not tried. After Ctrl-C no device is begun; what was done is reported.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeAlias, TypeVar

import typer
from botocore.exceptions import BotoCoreError

from jitr.errors import Unavailable
from jitr.store.registry_items import from_verdict
from jitrctl.errors import AccessError, Interrupted, Refused
from jitrctl.run.parallel import NOT_BEGUN, ON_PURPOSE, describe_error
from jitrctl.terminal import Exit, grouped, out, print_error, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jitrctl.errors import JitrctlError
    from jitrctl.run.parallel import Failed, Results
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

T = TypeVar("T")

_DEVICES: Any = typer.Argument(
    metavar="CERT|ID|THING|SERIAL",
    help=(
        "A certificate's file, its id or its serial number (marked: 0x42 or 00:42), or a thing's name; several; or - "
        "for a list on standard input, one a line."
    ),
    show_default=False,
)
Devices = Annotated[list[str], _DEVICES]
OptionalDevices = Annotated[list[str] | None, _DEVICES]

# What would meet every other device, too.
ENDS_THE_STAGE = (Unavailable, AccessError, BotoCoreError)
_NOT_TRIED = "not tried, since the order on another device failed before"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDone(Generic[T]):
    """The order was carried out on one device in one stage."""

    device: str  # as the operator gave it
    value: T  # what the work returned


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFailed:
    """The order was not carried out on one device in one stage, or not wholly."""

    device: str
    error: Exception


DeviceResults: TypeAlias = "tuple[DeviceDone[T] | DeviceFailed, ...]"  # of one stage


def run_each(
    scope: Scope, devices: Sequence[str], stages: Sequence[Stage], work: Callable[[Stage, str], T], *, doing: str
) -> Results[DeviceResults[T]]:
    """Call `work` with each stage and each device: stages in parallel, the devices of one in their order.

    The error of a single device is its stage's error, as with every command. After Ctrl-C the device under way is
    finished in each stage, and the others are results of their own, failed with Interrupted.

    Raises Interrupted after the second Ctrl-C.
    """
    interrupted = threading.Event()
    done = dict.fromkeys(stages, 0)

    def progress() -> str:
        return f"{doing}: {sum(done.values()):,} of {len(devices) * len(done):,} devices" if len(devices) > 1 else doing

    def run(stage: Stage) -> DeviceResults[T]:
        if len(devices) == 1:
            return (DeviceDone(device=devices[0], value=work(stage, devices[0])),)
        results: list[DeviceDone[T] | DeviceFailed] = []
        left: JitrctlError = Refused(_NOT_TRIED)
        for device in devices:
            if interrupted.is_set():
                left = Interrupted(NOT_BEGUN)
                break
            try:
                results.append(DeviceDone(device=device, value=work(stage, device)))
            except ON_PURPOSE as error:
                results.append(DeviceFailed(device=device, error=error))
                if isinstance(error, ENDS_THE_STAGE):
                    break
            done[stage] += 1
        return (*results, *(DeviceFailed(device=one, error=left) for one in devices[len(results) :]))

    return scope.across(run, doing=progress, stages=stages, interrupted=interrupted)


def report_each(
    scope: Scope,
    results: Results[DeviceResults[T]],
    *,
    rows: Callable[[str, T], Sequence[Mapping[str, str]]],
    fields: Callable[[str, T], Mapping[str, Any]],
    failed: Sequence[Failed] = (),
    notes: Sequence[str] = (),
    **top: Any,
) -> None:
    """Report one result for each device and stage: a row or an error, and with --json one entry of "devices".

    `rows` and `fields` get the device and what `work` returned for it. Of a single device, the stage has its fields
    beside "devices". `fields` may say "ok": False of what was not wholly done. `notes` are lines below the table, `top`
    fields of the document.

    Raises typer.Exit: INTERRUPTED when some was not begun because of Ctrl-C, FAILED when one failed.
    """
    each = [(done.stage, one) for done in results.done for one in done.value]
    errors = [(stage, one) for stage, one in each if isinstance(one, DeviceFailed)]
    ok = all(_document(one, fields)["ok"] for _, one in each)

    def show_results() -> None:
        shown = [
            {"stage": str(stage), **row}
            for stage, one in each
            if isinstance(one, DeviceDone)
            for row in rows(one.device, one.value)
        ]
        if shown:
            out.print(table(shown))
        for note in notes:
            out.print(note, markup=False)
        for line in grouped([(f"{stage} {one.device}", describe_error(one.error)) for stage, one in errors]):
            print_error(line)

    def document(of_stage: DeviceResults[T]) -> dict[str, Any]:
        devices = [_document(one, fields) for one in of_stage]
        alone = of_stage[0] if len(of_stage) == 1 else None
        own = fields(alone.device, alone.value) if isinstance(alone, DeviceDone) else {}
        return {**own, "ok": all(one["ok"] for one in devices), "devices": devices}

    causes = (*(one.error for _, one in errors), *(one.cause for one in results.failed))
    try:
        scope.report(results, show=show_results, fields=document, failed=failed, ok=ok, **top)
    except typer.Exit:
        if any(isinstance(cause, Interrupted) for cause in causes):
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise


def _document(one: DeviceDone[T] | DeviceFailed, fields: Callable[[str, T], Mapping[str, Any]]) -> dict[str, Any]:
    if isinstance(one, DeviceDone):
        return {"device": one.device, "ok": True, **fields(one.device, one.value)}
    document = {"device": one.device, "ok": False, "error": describe_error(one.error)}
    verdict = getattr(one.error, "verdict", None)  # of the colleague who was faster
    return document | ({"verdict": from_verdict(verdict)} if verdict else {})
