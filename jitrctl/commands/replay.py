"""`jitrctl replay`: sends stored events to the handler again, or previews the decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.errors import Refused, Unusable
from jitrctl.queues.dead_letters import LetterQueue, drop, receive
from jitrctl.queues.replay import Replay, ReplayError, documents_in
from jitrctl.run.scope import Scope, over_stages
from jitrctl.terminal import Exit, out, print_json

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

# The messages are hidden from others for a minute.
_MOST_LETTERS = 100


@over_stages
def replay(
    scope: Scope,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Files with one event, error-action message or SQS batch each."),
    ] = None,
    *,
    dead: Annotated[bool, typer.Option("--dead-letters", help="The messages in the dead-letter queue.")] = False,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="The events that the rule could not deliver.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the decision and the plan; change nothing.")] = False,
) -> None:
    """Send stored events to an account's handler again, past the queue, and show each outcome.

    A message of a queue that came to an outcome is deleted from the queue.
    Exit code 0: every event came to an outcome. 1: at least one did not. 2: nothing was tried.

    Example: jitrctl replay events/first-connection.json --account dev --dry-run
    """
    if not (files or dead or undelivered):
        raise Unusable("there is nothing to replay: give files, --dead-letters or --undelivered")
    stage = scope.only_stage()
    into = Replay(stage)
    results = [result for path in files or () for result in _replay_file(path, into, dry_run=dry_run)]
    for letters, wanted in ((LetterQueue.DEAD, dead), (LetterQueue.UNDELIVERED, undelivered)):
        if wanted:
            results += _replay_queue(stage, letters, into, dry_run=dry_run)
    if scope.as_json:
        ok = all("error" not in result for result in results)
        where = {"account": stage.account.name, "region": stage.region, "ok": ok}
        print_json({"ok": ok, "results": results, "stages": [where]})
    else:
        for result in results:
            _show(result)
        if not results:
            out.print("The queue is empty.")
    if any("error" in result for result in results):
        raise typer.Exit(Exit.FAILED)


def _replay_file(path: Path, into: Replay, *, dry_run: bool) -> list[dict[str, Any]]:
    try:
        documents = documents_in(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        return [{"file": str(path), "error": f"cannot be read: {error}"}]
    except ReplayError as error:
        return [{"file": str(path), "error": str(error)}]
    results = []
    for number, document in enumerate(documents, start=1):
        name = str(path) if len(documents) == 1 else f"{path} ({number} of {len(documents)})"
        results.append(_replay_one(name, document, into, dry_run=dry_run))
    return results


def _replay_queue(stage: Stage, letters: LetterQueue, into: Replay, *, dry_run: bool) -> list[dict[str, Any]]:
    results = []
    with receive(stage, letters, most=_MOST_LETTERS) as found:
        for letter in found:
            result = _replay_one(letter.id, {"body": letter.body}, into, dry_run=dry_run)
            if "error" not in result and not dry_run:
                drop(stage, letters, letter)
            results.append(result)
    return results


def _replay_one(name: str, document: dict[str, Any], into: Replay, *, dry_run: bool) -> dict[str, Any]:
    try:
        return {"file": name, **(into.preview(document) if dry_run else into.send(document))}
    except Refused as error:
        return {"file": name, "error": str(error)}


def _show(result: dict[str, Any]) -> None:
    if "error" in result:
        out.print(f"{result['file']}: not replayed: {result['error']}", markup=False, soft_wrap=True)
        return
    decision = result.get("decision") or {}
    detail = result.get("detail") or " ".join(
        str(decision[key]) for key in ("reason", "detail", "thing_name") if key in decision
    )
    out.print(f"{result['file']}: {result.get('outcome', 'done')} {detail}".rstrip(), markup=False, soft_wrap=True)
    for step in result.get("plan", []):
        out.print(f"    {step}", markup=False, soft_wrap=True)
