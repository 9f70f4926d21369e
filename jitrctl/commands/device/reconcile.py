"""`jitrctl device reconcile`: brings ACTIVE devices in line with changed rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.audit.record import audited
from jitrctl.commands.device.many import Devices, report_each, run_each
from jitrctl.commands.device.order import name_of
from jitrctl.device import reconcile as reconciling
from jitrctl.device.targets import known_targets, parse_devices, read_devices
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.terminal import grouped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitrctl.device.reconcile import ReconcileChange, Reconciliation
    from jitrctl.session.stage import Stage


@over_stages
def reconcile(scope: Scope, devices: Devices, note: Note = "", *, yes: Yes = False) -> None:
    """Bring ACTIVE devices in line with the present fleet file: thing type, groups, attributes, policy.

    What others added to the thing stays, as does the certificate's status; a device that the present rules would refuse
    is reported. A thing name never changes. If the CA has a hook, nothing is removed, since the hook may have added it.

    Example: jitrctl device reconcile sensor-0001 --note "new group for hall 2"
    """
    starts = parse_devices(read_devices(devices))
    stages, failed = scope.open_stages()
    targets = {one.given: one.certificate_id for one in (known_targets(scope, starts, stages) if stages else ())}
    seen = scope.across(
        lambda stage: {device: reconciling.compare(stage, one) for device, one in targets.items()},
        doing="comparing",
        stages=stages,
    )
    found = {done.stage: done.value for done in seen.done}
    to_do = [line for device, one in targets.items() for line in _plan(device, one, found)]
    if to_do:
        scope.confirm(to_do, yes=yes)

    def apply_changes(stage: Stage, device: str) -> Reconciliation | None:
        certificate_id, one = targets[device], found[stage][device]
        changes = _changes(one)
        if one and changes:
            reconciling.refuse_another_verdict(stage, certificate_id, one)
        with audited(stage, "device reconcile", certificate_id, [change.text for change in changes], note):
            for change in changes:
                reconciling.apply(stage, change)
        return one

    results = run_each(scope, list(targets), list(found), apply_changes, doing="reconciling")
    refused = [
        (str(stage) if len(targets) == 1 else f"{stage} {device}", why)
        for stage, compared in found.items()
        for device, one in compared.items()
        for why in (one.would_refuse if one else ())
    ]
    report_each(
        scope,
        results,
        rows=lambda device, one: [{"thing": one.thing_name if one else name_of(device), "done": _done(one)}],
        fields=lambda device, one: {
            "certificate_id": targets[device],
            "thing_name": one.thing_name if one else None,
            "changes": [change.text for change in _changes(one)],
            "would_refuse": list(one.would_refuse) if one else [],
        },
        failed=(*failed, *seen.failed),
        notes=[f"The present rules would refuse it; it stays ACTIVE. {line}" for line in grouped(refused)],
        **({"certificate_id": next(iter(targets.values()), "")} if len(targets) == 1 else {}),
    )


def _plan(device: str, certificate_id: str, found: Mapping[Stage, Mapping[str, Reconciliation | None]]) -> list[str]:
    """The changes of one certificate, in each stage; nothing when there are none."""
    changes = [
        f"  {stage}  {change.text}" for stage, compared in found.items() for change in _changes(compared[device])
    ]
    return [f"Certificate {certificate_id}:", *changes] if changes else []


def _changes(one: Reconciliation | None) -> Sequence[ReconcileChange]:
    return one.changes if one else ()


def _done(one: Reconciliation | None) -> str:
    if one is None:
        return "not ACTIVE here"
    return "; ".join(change.text for change in one.changes) or "nothing to do"
