"""Finds the order that explains why a CA is not as the fleet file says, among those kept about it; pure.

An order that did something else is not named: whoever gave it would be asked in vain. An order that was interrupted may
have done any part of its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.audit.log import AuditEntry
    from jitrctl.ca.plan import CaState


@dataclass(frozen=True, slots=True)
class StateChange:
    """The steps of orders that bring a state about, and those that end it, by a text that is in each."""

    begins: tuple[str, ...]
    ends: tuple[str, ...]


_REGISTER = ("register it",)
DELETED = StateChange(("delete it",), _REGISTER)
DEACTIVATED = StateChange(("set it INACTIVE",), ("set it ACTIVE", *_REGISTER))
NOT_AUTOMATIC = StateChange(
    ("disable auto-registration", "without auto-registration"), ("enable auto-registration", "with auto-registration")
)


def in_another_mode(state: CaState) -> StateChange:
    """The change to the mode that the CA is registered in, where it is another one than the fleet file's."""
    mode = state.found.mode if state.found else None
    return StateChange(
        (f"register it in mode {mode}", "register it, with"), (f"register it in mode {state.declared.mode}",)
    )


def find_order(orders: Sequence[AuditEntry], change: StateChange) -> AuditEntry | None:
    """The order that brought a state about; None when none of these did, or a later one ended it.

    `orders` are those about one CA, the last one last.
    """
    for order in reversed(orders):
        steps = "; ".join(order.steps)
        if order.completed and any(one in steps for one in change.ends):
            return None
        if any(one in steps for one in change.begins):
            return order
    return None


def find_cause(orders: Sequence[AuditEntry], state: CaState) -> AuditEntry | None:
    """The order that explains the first difference of a CA from the fleet file; None when none does."""
    found = state.found
    if found is None:
        return find_order(orders, DELETED)
    changes = [
        *([in_another_mode(state)] if found.mode is not state.declared.mode else []),
        *([DEACTIVATED] if not found.active else []),
        *([NOT_AUTOMATIC] if not found.registers_automatically else []),
    ]
    return next((order for change in changes if (order := find_order(orders, change))), None)
