"""`jitrctl device reconcile`: brings an ACTIVE device in line with changed rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.audit.record import audited
from jitrctl.commands.device.show import Device
from jitrctl.device import reconcile as reconciling
from jitrctl.device.search import only_certificate, parse_device
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.terminal import grouped, out

if TYPE_CHECKING:
    from jitrctl.device.reconcile import Reconciliation
    from jitrctl.session.stage import Stage


@over_stages
def reconcile(scope: Scope, device: Device, note: Note = "", *, yes: Yes = False) -> None:
    """Bring an ACTIVE device in line with the present fleet file: thing type, groups, attributes, policy.

    What others added to the thing stays, as does the certificate's status; a device that the present rules would refuse
    is reported. A thing name never changes. If the CA has a hook, nothing is removed, since the hook may have added it.

    Example: jitrctl device reconcile sensor-0001 --note "new group for hall 2"
    """
    stages, failed = scope.open_stages()
    certificate_id = only_certificate(scope, parse_device(device), stages) if stages else ""
    seen = scope.across(lambda stage: reconciling.compare(stage, certificate_id), doing="comparing", stages=stages)
    found = {done.stage: done.value for done in seen.done}
    to_do = [f"  {stage}  {change.text}" for stage, one in found.items() for change in (one.changes if one else ())]
    if to_do:
        scope.confirm([f"Certificate {certificate_id}:", *to_do], yes=yes)

    def apply_changes(stage: Stage) -> Reconciliation | None:
        one = found[stage]
        changes = one.changes if one else ()
        if one and changes:
            reconciling.refuse_another_verdict(stage, certificate_id, one)
        with audited(stage, "device reconcile", certificate_id, [change.text for change in changes], note):
            for change in changes:
                reconciling.apply(stage, change)
        return one

    results = scope.across(apply_changes, doing="reconciling", stages=list(found))
    refused = [(str(stage), why) for stage, one in found.items() for why in (one.would_refuse if one else ())]
    scope.report(
        results,
        rows=lambda _, one: [{"thing": one.thing_name if one else "-", "done": _done(one)}],
        fields=lambda one: {
            "thing_name": one.thing_name if one else None,
            "changes": [change.text for change in one.changes] if one else [],
            "would_refuse": list(one.would_refuse) if one else [],
        },
        failed=(*failed, *seen.failed),
        certificate_id=certificate_id,
    )
    if not scope.as_json:
        for line in grouped(refused):
            out.print(f"The present rules would refuse it; it stays ACTIVE. {line}", markup=False)


def _done(one: Reconciliation | None) -> str:
    if one is None:
        return "not ACTIVE here"
    return "; ".join(change.text for change in one.changes) or "nothing to do"
