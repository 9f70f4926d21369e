"""`jitrctl fleet …`: the fleet file by itself, and every stage of it in one look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl import health
from jitrctl.clock import now
from jitrctl.scope import Scope, over_stages
from jitrctl.terminal import ago, err, grouped, out, print_json, table

if TYPE_CHECKING:
    from jitrctl.health import Health
    from jitrctl.stages import Stage

app = typer.Typer(help="The fleet as a whole.", no_args_is_help=True)


@app.command()
@over_stages
def check(scope: Scope) -> None:
    """Check the fleet file and every file that it names, all problems at once, and show what it says; needs no AWS.

    Example: jitrctl fleet check
    """
    fleet = scope.fleet
    document = {
        "fleet": fleet.name,
        "cas": [
            {
                "name": ca.name,
                "certificate_id": ca.certificate_id,
                "not_after": ca.certificate.not_valid_after_utc.isoformat(),
            }
            for ca in fleet.cas
        ],
        "stages": [
            {
                "account": stage.account.name,
                "id": stage.account.id,
                "region": stage.region,
                "profile": stage.account.profile,
                "role_arn": stage.account.role_arn,
                "endpoint_url": stage.account.endpoint_url,
                "cas": {one.ca.name: one.mode for one in stage.account.cas},
            }
            for stage in scope.stages
        ],
    }
    if scope.as_json:
        print_json({"ok": True, **document})
        return
    out.print(f"{fleet.path} describes the fleet {fleet.name}.\n", markup=False, soft_wrap=True)
    out.print(
        table(
            [
                {
                    "CA": ca.name,
                    "until": f"{ca.certificate.not_valid_after_utc:%F}",
                    "common names": ca.common_name or "any",
                    "thing": ca.thing_name,
                }
                for ca in fleet.cas
            ]
        )
    )
    out.print()
    out.print(table([_stage_row(scope, stage) for stage in scope.stages]))


@app.command()
@over_stages
def status(
    scope: Scope,
    assembly: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What `cdk synth` made, to compare the stacks with (default: cdk.out)."),
    ] = None,
) -> None:
    """Show every stage in one screen: stack, CAs, rules, function, queues, sweep, and drift in words.

    Exit code 1 when something has drifted, a message is dead or undelivered, or a stage cannot be asked.

    Example: jitrctl fleet status
    """
    compared = assembly or _assembly(scope)
    results = scope.across(lambda stage: health.look(stage, compared), doing="looking")
    well = all(_is_well(done.value) for done in results.done)

    def shown() -> None:
        out.print(table([_health_row(done.stage, done.value) for done in results.done]))
        drift = [(str(done.stage), text) for done in results.done for text in (*done.value.drift, *_lost(done.value))]
        for line in grouped(drift):
            out.print(line, markup=False)
        quiet = [str(done.stage) for done in results.done if done.value.iot_logging is None]
        if quiet:
            out.print(
                f"AWS IoT logs nothing in {', '.join(quiet)}: failed registrations leave no trace there.", style="dim"
            )
        if compared is None:
            err.print(
                "Templates were not compared: `make synth` makes cdk.out, or name it with --assembly.", style="dim"
            )

    scope.report(results, show=shown, fields=_document, ok=well)


def _assembly(scope: Scope) -> Path | None:
    """The assembly beside the fleet file, unless the fleet file was changed after it was made."""
    found = scope.fleet.path.parent / "cdk.out"
    manifest = found / "manifest.json"
    if not manifest.exists():
        return None
    if manifest.stat().st_mtime < scope.fleet.path.stat().st_mtime:
        err.print(
            f"{found} is older than {scope.fleet.path}: `make synth` first, to compare the templates", style="dim"
        )
        return None
    return found


def _stage_row(scope: Scope, stage: Stage) -> dict[str, str]:
    modes = {one.ca.name: one.mode.value for one in stage.account.cas}
    row = {"stage": str(stage), "account": stage.account.id, "profile": stage.account.profile or "-"}
    return row | {ca.name: modes.get(ca.name, "-") for ca in scope.fleet.cas}


def _is_well(one: Health) -> bool:
    return not one.drift and not one.dead and not one.undelivered


def _lost(one: Health) -> list[str]:
    """What nobody works on any more."""
    told = []
    if one.dead:
        told.append(f"dead letters: {one.dead}, see `jitrctl dlq list`")
    if one.undelivered:
        told.append(f"undelivered by the rule: {one.undelivered}, see `jitrctl dlq list --undelivered`")
    return told


def _health_row(stage: Stage, one: Health) -> dict[str, str]:
    return {
        "stage": str(stage),
        "stack": "deployed" if one.stack in health.GOOD_STACK else (one.stack or "none"),
        "CAs": f"{sum(state.found is not None and state.found.active for state in one.cas)}/{len(one.cas)}",
        "rules": f"{health.rules_enabled(one)}/{len(one.cas)}",
        "function": one.function,
        "waiting": _number(one.waiting),
        "dead": _number(one.dead),
        "lost": _number(one.undelivered),
        "swept": ago(one.swept_at, now()) if one.swept_at else "never",
    }


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def _document(one: Health) -> dict[str, Any]:
    return {
        "stack": one.stack,
        "deployed_at": one.deployed_at.isoformat() if one.deployed_at else None,
        "cas": [{"ca": state.name, "registered": state.found is not None, "rule": state.rule} for state in one.cas],
        "function": one.function,
        "waiting": one.waiting,
        "dead": one.dead,
        "undelivered": one.undelivered,
        "swept_at": one.swept_at.isoformat() if one.swept_at else None,
        "iot_logging": one.iot_logging,
        "drift": list(one.drift),
    }
