"""`jitrctl fleet check | devices | quotas`: the fleet file, where devices live, and what limits activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr_fleet.model import Ca
from jitr_fleet.policy_proof import prove_fleet
from jitrctl.commands.fleet.policies import policy_documents, show_policies
from jitrctl.device import locations
from jitrctl.run.scope import Scope, over_stages, over_stages_offline
from jitrctl.status import quotas
from jitrctl.terminal import err, out, print_json, short, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr.hub.table import DeviceLocation
    from jitrctl.session.stage import Stage
    from jitrctl.status.quotas import QuotaFinding


OutOfPlace = Annotated[
    bool, typer.Option("--out-of-place", help="Only devices in an account to which they do not belong.")
]


@over_stages_offline
def check(scope: Scope) -> None:
    """Check the fleet file and every file that it names, report all problems, and show its contents; needs no AWS.

    Tries a made-up device of each CA under the CA's policy in each stage: a policy under which no device connects is
    refused. What a policy does not allow beside that is noted.

    Example: jitrctl fleet check
    """
    fleet = scope.fleet
    proofs = prove_fleet(fleet)
    document = {
        "fleet": fleet.name,
        "cas": [
            {
                "ca": ca.name,
                "certificate_id": ca.certificate_id,
                "not_after": ca.certificate.not_after.isoformat(),
            }
            for ca in fleet.cas
        ],
        "sources": [one.name for one in fleet.sources],
        "stages": [
            {
                "account": stage.account.name,
                "account_id": stage.account.id,
                "region": stage.region,
                "ok": True,
                "profile": stage.account.profile,
                "role_arn": stage.account.role_arn,
                "endpoint_url": stage.account.endpoint_in(stage.region),
                "cas": {one.ca.name: one.mode for one in stage.account.cas},
                "sources": [one.name for one in stage.account.sources],
            }
            for stage in scope.stages
        ],
        "policies": policy_documents(proofs),
    }
    if scope.as_json:
        print_json(document)
        return
    out.print(f"{fleet.path} describes the fleet {fleet.name}.\n", markup=False, soft_wrap=True)
    out.print(
        table(
            [
                {
                    "CA or source": one.name,
                    "until": f"{one.certificate.not_after:%F}" if isinstance(one, Ca) else "(imports)",
                    "common names": one.common_name or "any",
                    "thing": one.thing_name,
                }
                for one in fleet.origins
            ]
        )
    )
    out.print()
    out.print(table([_stage_row(scope, stage) for stage in scope.stages]))
    out.print()
    show_policies(proofs)


@over_stages
def devices(
    scope: Scope,
    *,
    out_of_place: OutOfPlace = False,
) -> None:
    """List which device lives in which accounts, and since when.

    Reads the hub's table; without a [hub] the registry of every account, which takes long with many devices. A device
    belongs to the accounts that its enrollment entry names, else to its CA's `home`. With --out-of-place, exit code 1
    when there is any.

    Example: jitrctl fleet devices --out-of-place
    """
    hub = locations.hub_stage(scope.fleet)
    if hub:
        results = scope.across(
            lambda stage: locations.from_hub(stage, out_of_place=out_of_place), doing="asking the hub", stages=[hub]
        )
    else:
        results = scope.across(locations.from_registry, doing="reading the registries")
    found = locations.select(
        [one for done in results.done for one in done.value], scope.stages, out_of_place=out_of_place
    )
    names = {account.id: account.name for account in scope.fleet.accounts}

    def show_results() -> None:
        if found:
            out.print(table([_device_row(names, one) for one in found]))
        else:
            out.print("No device is out of place." if out_of_place else "No device lives anywhere.")

    scope.report(
        results,
        show=show_results,
        fields=lambda _: {},
        ok=not (out_of_place and found),
        source="hub" if hub else "registries",
        devices=[_device(names, one) for one in found],
    )


@over_stages
def show_quotas(scope: Scope) -> None:
    """Show the Service Quotas that limit activation, what activations_per_second needs, and the increase to request.

    Exit code 1 when a quota is less than that rate needs: AWS then throttles, or, with too few concurrent executions,
    devices wait. A rate of half of what the quotas allow, or less, is reported too.

    Example: jitrctl fleet quotas --account prod
    """
    results = scope.across(quotas.read_quotas, doing="asking Service Quotas")
    orders = [
        (str(done.stage), quotas.increase_command(done.stage, finding))
        for done in results.done
        for finding in done.value
        if not finding.is_enough and (finding.asked or 0) < finding.needed
    ]

    def show_results() -> None:
        out.print(table([_quota_row(done.stage, one) for done in results.done for one in done.value]))
        for where, order in orders:
            out.print(f"{where}: {order}", markup=False, soft_wrap=True)
        for done in results.done:
            if allowed := quotas.unused_rate(done.value):
                said = f"activations_per_second is far below the {allowed:g} that the quotas allow"
                out.print(f"{done.stage}: {said}", markup=False, soft_wrap=True)
        if any(not one.known for done in results.done for one in done.value):
            err.print("* AWS's default of 2025: Service Quotas does not say there.", style="dim")

    scope.report(
        results,
        show=show_results,
        fields=lambda found: {"quotas": [_quota(one) for one in found]},
        ok=all(one.is_enough for done in results.done for one in done.value),
    )


def _quota_row(stage: Stage, one: QuotaFinding) -> dict[str, str]:
    return {
        "stage": str(stage),
        "quota": one.bound.action,
        "code": one.bound.code,
        "allowed": f"{one.value:g}{'' if one.known else '*'}",
        "needed": f"{one.needed:g}",
        "ask for": "-" if one.increase is None else str(one.increase),
        "asked": "-" if one.asked is None else f"{one.asked:g}",
    }


def _quota(one: QuotaFinding) -> dict[str, Any]:
    return {
        "quota": one.bound.action,
        "code": one.bound.code,
        "at_once" if one.bound.executions else "per_second": one.value,
        "known": one.known,
        "needed": one.needed,
        "increase_to": one.increase,
        "asked_for": one.asked,
    }


def _device_row(names: Mapping[str, str], one: DeviceLocation) -> dict[str, str]:
    return {
        "thing": one.thing_name or "-",
        "certificate": short(one.certificate_id),
        "CA": one.ca or "-",
        "lives in": f"{names.get(one.account_id, one.account_id)}/{one.region}",
        "since": f"{one.since:%F}",
        "in place": "no" if one.is_out_of_place else "yes",
    }


def _device(names: Mapping[str, str], one: DeviceLocation) -> dict[str, Any]:
    return {
        "thing_name": one.thing_name,
        "certificate_id": one.certificate_id,
        "ca": one.ca,
        "account": names.get(one.account_id, one.account_id),
        "region": one.region,
        "since": one.since.isoformat() if one.since else None,
        "out_of_place": one.is_out_of_place,
    }


def _stage_row(scope: Scope, stage: Stage) -> dict[str, str]:
    modes = {one.ca.name: one.mode.value for one in stage.account.cas}
    row = {"stage": str(stage), "account": stage.account.id, "profile": stage.account.profile or "-"}
    modes |= {one.name: "imports" for one in stage.account.sources}
    return row | {one.name: modes.get(one.name, "-") for one in scope.fleet.origins}
