"""`jitrctl fleet …`: the fleet file by itself, and every stage of it in one look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl import health, living, quotas
from jitrctl.clock import now
from jitrctl.scope import Scope, over_stages
from jitrctl.terminal import ago, err, grouped, out, print_json, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr.hub_table import Whereabouts
    from jitrctl.across import Results
    from jitrctl.health import Health
    from jitrctl.quotas import Finding
    from jitrctl.stages import Stage

_SHORT = 16  # digits of an id that are enough to recognize it

OutOfPlace = Annotated[
    bool, typer.Option("--out-of-place", help="Only those that live in an account that is not theirs.")
]

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
        for line in _lists(results):
            out.print(line, markup=False, soft_wrap=True)
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


@app.command()
@over_stages
def devices(
    scope: Scope,
    *,
    out_of_place: OutOfPlace = False,
) -> None:
    """List which device lives in which accounts, and since when.

    With a [hub] its table says so; without one the registry of every account is read, which takes a while where there
    are many devices. A device belongs to the accounts that its enrollment entry names, or else to its CA's `home`.
    With --out-of-place, exit code 1 when there is any.

    Example: jitrctl fleet devices --out-of-place
    """
    hub = living.hub_stage(scope.fleet)
    if hub:
        results = scope.across(
            lambda stage: living.from_hub(stage, out_of_place=out_of_place), doing="asking the hub", stages=[hub]
        )
    else:
        results = scope.across(living.from_registry, doing="reading the registries")
    found = living.chosen([one for done in results.done for one in done.value], scope.stages, out_of_place=out_of_place)
    names = {account.id: account.name for account in scope.fleet.accounts}

    def shown() -> None:
        if found:
            out.print(table([_device_row(names, one) for one in found]))
        else:
            out.print("No device is out of place." if out_of_place else "No device lives anywhere.")

    scope.report(
        results,
        show=shown,
        fields=lambda _: {},
        ok=not (out_of_place and found),
        source="hub" if hub else "registries",
        devices=[_device(names, one) for one in found],
    )


@app.command(name="quotas")
@over_stages
def show_quotas(scope: Scope) -> None:
    """Show the Service Quotas that bound activation beside activations_per_second, and the increase to ask for.

    Exit code 1 where a quota is less than the fleet file's pace needs: devices then wait for throttled calls.

    Example: jitrctl fleet quotas --account prod
    """
    results = scope.across(quotas.look, doing="asking Service Quotas")
    orders = [
        (str(done.stage), quotas.order(done.stage, finding))
        for done in results.done
        for finding in done.value
        if not finding.is_enough and (finding.asked or 0) < finding.needed
    ]

    def shown() -> None:
        out.print(table([_quota_row(done.stage, one) for done in results.done for one in done.value]))
        for where, order in orders:
            out.print(f"{where}: {order}", markup=False, soft_wrap=True)
        if any(not one.known for done in results.done for one in done.value):
            err.print("* AWS's default of 2025: Service Quotas does not say there.", style="dim")

    scope.report(
        results,
        show=shown,
        fields=lambda found: {"quotas": [_quota(one) for one in found]},
        ok=all(one.is_enough for done in results.done for one in done.value),
    )


def _quota_row(stage: Stage, one: Finding) -> dict[str, str]:
    return {
        "stage": str(stage),
        "quota": one.bound.action,
        "code": one.bound.code,
        "per second": f"{one.value:g}{'' if one.known else '*'}",
        "needed": f"{one.needed:g}",
        "ask for": "-" if one.increase is None else str(one.increase),
        "asked": "-" if one.asked is None else f"{one.asked:g}",
    }


def _quota(one: Finding) -> dict[str, Any]:
    return {
        "quota": one.bound.action,
        "code": one.bound.code,
        "per_second": one.value,
        "known": one.known,
        "needed": one.needed,
        "increase_to": one.increase,
        "asked_for": one.asked,
    }


def _device_row(names: Mapping[str, str], one: Whereabouts) -> dict[str, str]:
    return {
        "thing": one.thing_name or "-",
        "certificate": one.certificate_id[:_SHORT],
        "CA": one.ca or "-",
        "lives in": f"{names.get(one.account_id, one.account_id)}/{one.region}",
        "since": f"{one.since:%F}",
        "in place": "no" if one.is_out_of_place else "yes",
    }


def _device(names: Mapping[str, str], one: Whereabouts) -> dict[str, Any]:
    return {
        "thing_name": one.thing_name,
        "certificate_id": one.certificate_id,
        "ca": one.ca,
        "account": names.get(one.account_id, one.account_id),
        "region": one.region,
        "since": one.since.isoformat() if one.since else None,
        "out_of_place": one.is_out_of_place,
    }


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


def _lists(results: Results[Health]) -> list[str]:
    """What there is to say when accounts do not have the same enrollment list: who lets other devices in."""
    lists = [(str(done.stage), done.value.enrollment) for done in results.done if done.value.enrollment]
    if len({digest for _, digest in lists}) < 2:  # noqa: PLR2004 -- two lists
        return []
    named = [(stage, f"enrollment list {digest[:_SHORT]}") for stage, digest in lists if digest]
    return [
        *grouped(named),
        "Accounts with different enrollment lists let different devices in: `jitrctl enrollment list`.",
    ]


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
        "stack": _stack(one),
        "CAs": f"{sum(state.found is not None and state.found.active for state in one.cas)}/{len(one.cas)}",
        "rules": f"{health.rules_enabled(one)}/{len(one.cas)}",
        "function": one.function,
        "waiting": _number(one.waiting),
        "dead": _number(one.dead),
        "lost": _number(one.undelivered),
        "swept": ago(one.swept_at, now()) if one.swept_at else "never",
    }


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
        "dead": one.dead,
        "undelivered": one.undelivered,
        "swept_at": one.swept_at.isoformat() if one.swept_at else None,
        "enrollment": one.enrollment,
        "iot_logging": one.iot_logging,
        "drift": list(one.drift),
    }
