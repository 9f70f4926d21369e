"""`jitrctl replay`: stored events sent to the handler again, or judged without changing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jitrctl.replaying import Replay, ReplayError, documents_in
from jitrctl.scope import Scope, over_stages
from jitrctl.terminal import Exit, out, print_json


@over_stages
def replay(
    scope: Scope,
    files: Annotated[list[Path], typer.Argument(help="Files with one event, error-action message or SQS batch each.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the decision and the plan; change nothing.")] = False,
) -> None:
    """Send stored events to an account's handler again; each outcome is shown.

    Exit code 0: every event came to an outcome. 1: at least one did not. 2: nothing was tried.

    Example: jitrctl replay events/first-connection.json --account dev --dry-run
    """
    into = Replay(scope.only_stage())
    results = [result for path in files for result in _replayed(path, into, dry_run=dry_run)]
    if scope.as_json:
        print_json({"ok": all("error" not in result for result in results), "results": results})
    else:
        for result in results:
            _show(result)
    if any("error" in result for result in results):
        raise typer.Exit(Exit.FAILED)


def _replayed(path: Path, into: Replay, *, dry_run: bool) -> list[dict[str, Any]]:
    try:
        documents = documents_in(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        return [{"file": str(path), "error": f"cannot be read: {error}"}]
    except ReplayError as error:
        return [{"file": str(path), "error": str(error)}]
    results = []
    for number, document in enumerate(documents, start=1):
        name = str(path) if len(documents) == 1 else f"{path} ({number} of {len(documents)})"
        try:
            answer = into.preview(document) if dry_run else into.send(document)
            results.append({"file": name, **answer})
        except ReplayError as error:
            results.append({"file": name, "error": str(error)})
    return results


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
