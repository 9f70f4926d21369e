"""IAM between jitrctl and the simulated AWS: the policies of operators, by the names of their actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jitrctl.localaws.workspace import CHECKOUT
from simulation.faults import denied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulation import Call, Fault, Moment

POLICIES = CHECKOUT / "policies" / "operators"


def statements(name: str) -> list[dict[str, Any]]:
    found = json.loads((POLICIES / f"{name}.json").read_text(encoding="utf-8"))["Statement"]
    return [dict(one) for one in found]


def actions(name: str) -> set[str]:
    return {action for one in statements(name) for action in one["Action"]}


def under(*names: str) -> Callable[[Call, Moment], Fault | None]:
    """IAM between jitrctl and AWS: denies what none of these policies allows."""
    allowed = {action for name in names for action in actions(name)}

    def strike(call: Call, moment: Moment) -> Fault | None:
        if moment == "before" and call.caller == "jitrctl" and not set(needed(call)) <= allowed:
            raise denied(call)
        return None

    return strike


def needed(call: Call) -> Iterator[str]:
    """The actions that IAM asks for."""
    service = call.service.partition("-")[0]
    match call.operation:
        case "TransactWriteItems" | "TransactGetItems":
            for (kind,) in (item.keys() for item in call.parameters["TransactItems"]):
                yield f"dynamodb:{kind}Item"
        case "RegisterCACertificate":
            yield from ("iot:RegisterCACertificate", "iot:TagResource")
        case "Invoke":
            yield "lambda:InvokeFunction"
        case operation:
            yield f"{service}:{operation.removesuffix('Batch')}"
