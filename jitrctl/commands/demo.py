"""`jitrctl demo`: runs the multi-account story on a local AWS, step by step."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.demo.scenes.cast import Detail
from jitrctl.demo.story import Story, StoryStep
from jitrctl.localaws import accounts
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.errors import MqttError
from jitrctl.terminal import Exit, err, out, print_json, short, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the accounts running; `jitrctl local down` stops them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Run AWS's multi-account article on a local AWS: deploy, register the CA, connect devices.

    Needs no AWS account and no Docker; everything listens on 127.0.0.1. Takes about a minute on two idle processors,
    and longer the first time.

    Example: jitrctl demo --json | python -m json.tool
    """
    workspace = Workspace()
    if accounts.find_running(workspace.directory):
        raise LocalAwsError("a local AWS is running already: stop it with `jitrctl local down`, then try again")
    began = time.monotonic()
    try:
        played = _play_all(Story(workspace, stays=keep).steps(), quiet=as_json)
    except KeyboardInterrupt:
        if keep:
            err.print("What was started is still running: `jitrctl local down` stops it.", soft_wrap=True)
        raise
    finally:
        if not keep:
            _stop(workspace)
    ok = all(step["ok"] for step in played)
    if as_json:
        print_json({"ok": ok, "steps": played})
    elif ok:
        left = "the accounts are still running: `jitrctl local status`" if keep else "everything is stopped"
        out.print(f"\nDone in {time.monotonic() - began:.1f} s; {left}.")
    else:
        err.print(f"The logs are in {workspace.directory}.", soft_wrap=True)
    if not ok:
        raise typer.Exit(Exit.FAILED)


def _play_all(steps: Sequence[StoryStep], *, quiet: bool) -> list[dict[str, Any]]:
    """Play the steps up to the first that fails; what each came to."""
    if not quiet:
        err.print(f"{len(steps)} steps on a local AWS, on 127.0.0.1 alone; Ctrl-C stops it.", soft_wrap=True)
    played: list[dict[str, Any]] = []
    for number, step in enumerate(steps, start=1):
        try:
            played.append(_play(number, step, quiet=quiet))
        except KeyboardInterrupt:
            err.print(f"\nInterrupted in step {number}: {step.title}.", markup=False, soft_wrap=True)
            raise
        if not played[-1]["ok"]:
            break
    return played


def _stop(workspace: Workspace) -> None:
    with _progress("Stopping the accounts …"):
        stopped = accounts.down(workspace.directory)
    if stopped:
        err.print(f"Stopped {' and '.join(account.stage for account in stopped)}.", markup=False, soft_wrap=True)


def _play(number: int, step: StoryStep, *, quiet: bool) -> dict[str, Any]:
    began = time.monotonic()
    with _progress(f"{number}  {step.title} …", quiet=quiet):
        try:
            detail, error = step.play(), None
        except (LocalAwsError, MqttError) as failed:
            detail, error = Detail(note=str(failed)), failed
    seconds = time.monotonic() - began
    if not quiet:
        mark = "[red]failed[/red]" if error else f"[dim]{seconds:.1f} s[/dim]"
        out.print(f"\n[bold]{number}  {step.title}[/bold]  {mark}")
        if detail.rows:
            out.print(table([{name: _shorten(cell) for name, cell in row.items()} for row in detail.rows]))
        if detail.note:
            out.print(detail.note, markup=False)
    elif error:
        err.print(f"step {number} failed: {error}", markup=False, soft_wrap=True)
    return {"step": step.title, "ok": error is None, "seconds": round(seconds, 3), "detail": asdict(detail)}


def _progress(text: str, *, quiet: bool = False) -> AbstractContextManager[Any]:
    """A spinner on a terminal; one line on standard error otherwise, unless it is to be quiet."""
    if err.is_terminal:
        return err.status(text)
    if not quiet:
        err.print(text, markup=False, soft_wrap=True)
    return nullcontext()


def _shorten(cell: str) -> str:
    """A cell of the table, with a certificate's id as it is shown."""
    return short(cell) if certificate_id_in(cell) else cell
