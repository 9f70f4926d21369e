"""`jitrctl sweep`: runs the sweep now, without waiting for its schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.invoke import invoke

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage


@over_stages
def sweep(scope: Scope) -> None:
    """Run the sweep now in each account: it finds pending devices whose event was lost, and does what is due.

    Waits for its end, up to ten minutes with many certificates.

    Example: jitrctl sweep --account prod
    """
    results = scope.across(lambda stage: invoke(stage, stage.names.sweep_function, {}), doing="sweeping")
    scope.report(results, rows=_rows, fields=lambda swept: {"swept": swept})


def _rows(_: Stage, swept: dict[str, Any]) -> list[dict[str, str]]:
    if swept.get("another_sweep_is_under_way"):
        return [dict.fromkeys(("looked at", "sent", "retired"), "-") | {"and": "another sweep is under way"}]
    notes = []
    if swept.get("queue_is_behind"):
        notes.append("nothing sent: the queue is behind, and may still hold their messages")
    if swept.get("disagreements"):
        notes.append(f"{swept['disagreements']} ACTIVE against a verdict: its log names them")
    if swept.get("unfinished"):
        notes.append("the next sweep goes on")
    counts = {"looked at": "looked_at", "sent": "sent", "retired": "retired"}
    return [{shown: str(swept.get(key, 0)) for shown, key in counts.items()} | {"and": "; ".join(notes)}]
