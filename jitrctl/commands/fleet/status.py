"""`jitrctl fleet status`: shows every stage in one screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.clock import now
from jitrctl.commands.ca.accept_rejections import document, in_words
from jitrctl.queues.dead_letters import LetterQueue
from jitrctl.run.scope import Scope, over_stages
from jitrctl.status import health
from jitrctl.terminal import ago, err, grouped, keep_warning, out, table

if TYPE_CHECKING:
    from jitrctl.run.parallel import Results
    from jitrctl.session.stage import Stage
    from jitrctl.status.health import Health

_SHORT = 16  # digits of a digest that are enough to recognize it
_LOST = {
    LetterQueue.DEAD: "dead letters",
    LetterQueue.UNDELIVERED: "undelivered by the rule",
    LetterQueue.UNFORWARDED: "not forwarded to the hub",
    LetterQueue.HUB: "given up by the hub's function",
}


@over_stages
def status(
    scope: Scope,
    assembly: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The output of `cdk synth`, to compare the stacks with (default: cdk.out)."
        ),
    ] = None,
) -> None:
    """Show every stage in one screen: stack, CAs, rules, function, queues, sweep, and drift in words.

    Exit code 1 when something has drifted, a message is dead or undelivered, a brake is engaged, or a stage cannot be
    read.

    Example: jitrctl fleet status
    """
    compared, not_compared = (assembly, None) if assembly else _assembly(scope)
    results = scope.across(lambda stage: health.read_health(stage, compared), doing="reading")
    well = all(_is_well(done.value) for done in results.done)

    def show_results() -> None:
        rows = [_health_row(done.stage, done.value) for done in results.done]
        if all(row["rate"] == _WHOLE for row in rows):  # an empty column takes room that 80 columns do not have
            rows = [{name: value for name, value in row.items() if name != "rate"} for row in rows]
        out.print(table(rows))
        drift = [
            (str(done.stage), text)
            for done in results.done
            for text in (*done.value.drift, *_braked(done.value), *_lost(done.value))
        ]
        for line in grouped(drift):
            out.print(line, markup=False)
        for line in _lists(results):
            out.print(line, markup=False, soft_wrap=True)
        quiet = [str(done.stage) for done in results.done if done.value.iot_logging is None]
        if quiet:
            out.print(
                f"AWS IoT logs nothing in {', '.join(quiet)}: failed registrations leave no trace there.", style="dim"
            )
        if not_compared:
            err.print(f"Templates were not compared: {not_compared}.", style="dim", markup=False)

    if not_compared:
        keep_warning(f"Templates were not compared: {not_compared}.")
    scope.report(
        results,
        show=show_results,
        fields=_document,
        ok=well,
        templates_compared=bool(results.done) and all(done.value.templates_compared for done in results.done),
    )


def _assembly(scope: Scope) -> tuple[Path | None, str | None]:
    """The assembly beside the fleet file, or why it cannot be compared."""
    found = scope.fleet.path.parent / "cdk.out"
    manifest = found / "manifest.json"
    if not manifest.exists():
        return None, "`make synth` makes cdk.out, or name it with --assembly"
    if manifest.stat().st_mtime < scope.fleet.path.stat().st_mtime:
        return None, f"{found} is older than {scope.fleet.path}, so `make synth` first"
    return found, None


def _lists(results: Results[Health]) -> list[str]:
    """The lines about enrollment lists when accounts have different ones."""
    lists = [(str(done.stage), done.value.enrollment) for done in results.done if done.value.enrollment]
    if len({digest for _, digest in lists}) < 2:  # noqa: PLR2004 -- two lists
        return []
    named = [(stage, f"enrollment list {digest[:_SHORT]}") for stage, digest in lists if digest]
    return [
        *grouped(named),
        "Accounts with different enrollment lists let different devices in: `jitrctl enrollment list`.",
    ]


def _is_well(one: Health) -> bool:
    return not one.drift and not one.brakes and not any(one.letters.values())


def _braked(one: Health) -> list[str]:
    """The engaged brakes, and how to end them."""
    return [
        f"{ca}: the brake holds what its rules refuse, {in_words(engaged)}. Correct the rules and deploy, or "
        f"`jitrctl ca accept-rejections {ca}`: docs/runbook.md#rules-refuse-many"
        for ca, engaged in one.brakes.items()
    ]


def _lost(one: Health) -> list[str]:
    """The messages in the failure queues, and those that wait for the hub's function."""
    lines = [
        f"{what}: {count}, see `jitrctl dlq list{'' if queue is LetterQueue.DEAD else f' --queue {queue}'}`"
        for queue, what in _LOST.items()
        if (count := one.letters.get(queue))
    ]
    if one.waiting_for_hub:
        lines.append(f"events that wait for the hub's function: {one.waiting_for_hub}; `jitrctl fleet devices` lags")
    return lines


def _health_row(stage: Stage, one: Health) -> dict[str, str]:
    return {
        "stage": str(stage),
        "stack": _stack(one),
        "CAs": f"{sum(state.found is not None and state.found.active for state in one.cas)}/{len(one.cas)}",
        "rules": f"{health.rules_enabled(one)}/{len(one.cas)}",
        "function": one.function,
        "waiting": _number(one.waiting),
        "dead": _number(one.letters.get(LetterQueue.DEAD)),
        "lost": _number(one.letters.get(LetterQueue.UNDELIVERED)),
        "rate": _rate(stage, one),
        "swept": ago(one.swept_at, now()) if one.swept_at else "never",
    }


_WHOLE = "-"


def _rate(stage: Stage, one: Health) -> str:
    """The present rate of activations, of the fleet file's, and the throttled share."""
    wanted = stage.account.activations_per_second
    if one.turns_per_second is None or (one.turns_per_second >= wanted and not one.throttled):
        return _WHOLE
    reached = f"{wanted:g}/s" if one.turns_per_second >= wanted else f"{one.turns_per_second:.1f} of {wanted:g}/s"
    return f"{reached}, {one.throttled:.0%} throttled" if one.throttled else reached


def _stack(one: Health) -> str:
    if one.stack not in health.GOOD_STACK:
        return one.stack or "none"
    return f"deployed {ago(one.deployed_at, now())}" if one.deployed_at else "deployed"


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def _document(one: Health) -> dict[str, Any]:
    return {
        "stack": one.stack,
        "deployed_at": one.deployed_at.isoformat() if one.deployed_at else None,
        "cas": [{"ca": state.name, "registered": state.found is not None, "rule": state.rule} for state in one.cas],
        "function": one.function,
        "waiting": one.waiting,
        "dead": one.letters.get(LetterQueue.DEAD),
        "undelivered": one.letters.get(LetterQueue.UNDELIVERED),
        "unforwarded": one.letters.get(LetterQueue.UNFORWARDED),
        "hub_waiting": one.waiting_for_hub,
        "hub_dead": one.letters.get(LetterQueue.HUB),
        "swept_at": one.swept_at.isoformat() if one.swept_at else None,
        "enrollment": one.enrollment,
        "turns_per_second": one.turns_per_second,
        "throttled": one.throttled,
        "iot_logging": one.iot_logging,
        "brakes": {ca: document(engaged) for ca, engaged in one.brakes.items()},
        "templates_compared": one.templates_compared,
        "drift": list(one.drift),
    }
