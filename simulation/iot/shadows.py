"""The data plane's classic shadows: GetThingShadow, UpdateThingShadow, DeleteThingShadow.

Source: aws-facts §5. No deltas, no metadata, no messages on topics, no named shadows. A shadow outlives its thing,
since AWS does not say that DeleteThing deletes it; one that was deleted keeps its version.
"""

import json
from dataclasses import dataclass
from typing import Any

from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.place import Place

_MOST_BYTES = 8192


@dataclass(slots=True)
class SimulatedShadow:
    """One classic shadow; without a state it was deleted."""

    version: int = 0
    state: dict[str, Any] | None = None


class Shadows:
    """The shadows of one account and Region."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.by_thing: dict[str, SimulatedShadow] = {}
        self.requests: list[tuple[str, Any]] = []  # for tests: of every update that was carried out, thing and state

    def get_thing_shadow(self, params: Params) -> Answer:
        return _answer(self._existing(params))

    def update_thing_shadow(self, params: Params) -> Answer:
        """Create, or merge into what exists; a null removes a key."""
        _refuse_named(params)
        try:
            document = json.loads(params["payload"])
        except ValueError:
            raise _error("InvalidRequestException", "Invalid JSON", 400) from None
        state = document.get("state")
        if not isinstance(state, dict) or state.keys() - {"desired", "reported"}:
            raise _error("InvalidRequestException", "State contains an invalid node", 400)
        shadow = self.by_thing.setdefault(params["thingName"], SimulatedShadow())
        if document.get("version", shadow.version) != shadow.version:
            raise _error("ConflictException", "Version conflict", 409)
        merged = _merged(shadow.state or {}, state)
        if len(json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode()) > _MOST_BYTES:
            raise _error("RequestEntityTooLargeException", "The payload exceeds the maximum size allowed", 413)
        shadow.state = merged
        shadow.version += 1
        self.requests.append((params["thingName"], state))
        return _answer(shadow)

    def delete_thing_shadow(self, params: Params) -> Answer:
        shadow = self._existing(params)
        answer = _answer(shadow)
        shadow.state = None
        return answer

    def _existing(self, params: Params) -> SimulatedShadow:
        _refuse_named(params)
        shadow = self.by_thing.get(params["thingName"])
        if shadow is None or shadow.state is None:
            raise _error("ResourceNotFoundException", f"No shadow exists with name: '{params['thingName']}'", 404)
        return shadow


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    whole = dict(old)
    for key, value in new.items():
        if value is None:
            whole.pop(key, None)
        elif isinstance(value, dict):
            before = whole.get(key)
            whole[key] = _merged(before if isinstance(before, dict) else {}, value)
        else:
            whole[key] = value
    return whole


def _answer(shadow: SimulatedShadow) -> Answer:
    return {"payload": json.dumps({"state": shadow.state, "version": shadow.version}).encode()}


def _refuse_named(params: Params) -> None:
    if "shadowName" in params:
        raise NotModelled("named shadows")


def _error(code: str, message: str, status: int) -> ServiceError:
    return ServiceError(code, message, status=status)
