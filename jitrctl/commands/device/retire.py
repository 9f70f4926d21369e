"""`jitrctl device retire`: ends an old certificate that another one follows, without waiting for the sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jitr.iot_models import Status
from jitr.verdicts import OperatorAction
from jitrctl.commands.device.many import Devices
from jitrctl.commands.device.order import Ordered, give_order, open_operator
from jitrctl.device.leftovers import follower
from jitrctl.device.search import SearchKeys, search
from jitrctl.device.targets import Target, known_targets
from jitrctl.errors import Refused
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitr.record import Record
    from jitrctl.device.operations import OrderContext
    from jitrctl.session.stage import Stage


@over_stages
def retire(scope: Scope, devices: Devices, note: Note = "", *, yes: Yes = False) -> None:
    """End old certificates that another one follows, without waiting for the sweep: set INACTIVE, and detached.

    Their sessions are ended before they are detached, unless the new certificate may have opened them.

    For the old certificate in accounts to which the device has not connected since its rotation; give the certificate's
    id. A device's present certificate is refused: use `device deactivate`.

    Example: jitrctl device retire old.pem --account prod --note "has its new one"
    """
    give_order(
        scope,
        devices,
        "retire it",
        _retire,
        note=note,
        yes=yes,
        resolve=_old_targets,
        ends_sessions=True,
        finish=lambda stage, certificate_id: open_operator(stage).detach(certificate_id),
    )


def _old_targets(scope: Scope, starts: Mapping[str, SearchKeys], stages: Sequence[Stage]) -> list[Target]:
    """Resolve each to one certificate, as for every order; all must be followed by another one.

    Raises Refused.
    """
    targets = known_targets(scope, starts, stages)
    for target in targets:
        _refuse_present(scope, target.certificate_id)
    return targets


def _retire(stage: Stage, certificate_id: str, order: OrderContext, seen: Record) -> Ordered:
    status = open_operator(stage).retire(certificate_id, order, seen=seen)
    if status is None:
        return Ordered(text="not registered here")
    return Ordered(text=f"{status}, detached", action=OperatorAction.DEACTIVATED, status=status)


def _refuse_present(scope: Scope, certificate_id: str) -> None:
    """Refuse to end a device's present certificate; reads every stage of the fleet, not only the chosen ones.

    Raises Refused.
    """
    everywhere = replace(scope, stages=choose(scope.fleet, (), ()))
    views, _, _ = search(everywhere, SearchKeys(frozenset({certificate_id})))
    seen = {done.stage: done.value for done in views.done}
    follows = follower(certificate_id, seen)
    if follows is None:
        raise Refused(f"nothing follows {certificate_id} in any account: `jitrctl device deactivate` ends it")
    where, owner = follows
    found = seen[where].certificates.get(owner.certificate_id)
    status = found.registered.status if found and found.registered else None
    if status is not Status.ACTIVE:
        raise Refused(
            f"{owner.certificate_id} follows it in {where}, and is {status or 'not registered'} there: see to "
            "that first, or end the old one with `jitrctl device deactivate`"
        )
