"""EventBridge: PutEvents, and the events that were put. Rules and targets are not modelled."""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulation.faults import Answer, Params, ServiceError
from simulation.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_ENTRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PutEvent:
    """One event on a bus."""

    bus: str
    source: str
    detail_type: str
    detail: dict[str, Any]
    at: datetime


class EventBridge:
    """The event buses of one account and Region; only `default` exists until a name is added."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.buses = {"default"}
        self.put: list[PutEvent] = []
        # Has single entries fail: entry → ErrorCode, or None.
        self.refuses: Callable[[Params], str | None] | None = None

    def put_events(self, params: Params) -> Answer:
        if len(params["Entries"]) > _MOST_ENTRIES:
            raise ServiceError("ValidationException", "at most 10 entries")
        results = [self._put(entry) for entry in params["Entries"]]
        return {"Entries": results, "FailedEntryCount": sum("ErrorCode" in result for result in results)}

    def _put(self, entry: Params) -> dict[str, str]:
        code = self.refuses(entry) if self.refuses else None
        missing = next((name for name in ("Source", "DetailType", "Detail") if not entry.get(name)), None)
        if missing:
            code = "InvalidArgument"
        if code is None:
            try:
                detail = json.loads(entry["Detail"])
            except ValueError:
                code = "MalformedDetail"
        if code:
            return {"ErrorCode": code, "ErrorMessage": f"{missing or 'the entry'} is not accepted"}
        bus = entry.get("EventBusName", "default").rpartition("/")[2]
        if bus in self.buses:  # an entry for a bus that does not exist is accepted, and lost
            self.put.append(
                PutEvent(
                    bus=bus,
                    source=entry["Source"],
                    detail_type=entry["DetailType"],
                    detail=detail,
                    at=self._place.clock.now(),
                )
            )
        return {"EventId": str(uuid.UUID(int=len(self.put)))}
