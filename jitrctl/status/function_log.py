"""Reads the errors that a function of the stack logged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# jitr's own lines, and what Lambda writes when the function cannot start, dies or runs into its timeout.
# One request for each pattern: the local AWS does not know alternatives (?A ?B).
_PATTERNS = ("ERROR", '"Task timed out"', '"Runtime exited"')
_LONGEST_AGO = timedelta(days=1)
_MOST = 500
_CRASHES = ("[ERROR]", "Task timed out", "Runtime exited")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedError:
    """One error, its text in one line; `certificate_id` is None if the log line names none."""

    at: datetime
    certificate_id: str | None
    text: str
    refused_action: str | None = None  # the IAM action that AWS refused: iot:CreateThing

    @property
    def is_crash(self) -> bool:
        """Whether Lambda wrote it: the function could not start, died or ran into its timeout."""
        return any(word in self.text for word in _CRASHES)


def read_errors(client: Any, group: str, *, now: datetime, since: datetime | None) -> list[LoggedError]:
    """The errors in a function's log, oldest first, since `since` or for a day, whichever is shorter; 500 per pattern.

    Empty if the function has not logged yet. Raises botocore's errors.
    """
    start = max(now - _LONGEST_AGO, since) if since else now - _LONGEST_AGO
    paginator = client.get_paginator("filter_log_events")
    try:
        events = {
            # Two patterns may find one event. Not compared by eventId, which the local AWS does not send.
            (event.get("logStreamName"), event["timestamp"], event["message"]): event
            for pattern in _PATTERNS
            for page in paginator.paginate(
                logGroupName=group,
                filterPattern=pattern,
                startTime=int(start.timestamp() * 1000),
                PaginationConfig={"MaxItems": _MOST},
            )
            for event in page.get("events", [])
        }
    except client.exceptions.ResourceNotFoundException:
        return []
    read = (_read(event) for event in sorted(events.values(), key=lambda event: int(event["timestamp"])))
    return [one for one in read if one]


def _read(event: dict[str, Any]) -> LoggedError | None:
    at = datetime.fromtimestamp(int(event["timestamp"]) / 1000, UTC)
    written = str(event["message"])
    try:
        line = json.loads(written)
    except ValueError:
        crashed = any(word in written for word in _CRASHES)
        return LoggedError(at=at, certificate_id=None, text=" ".join(written.split())[:300]) if crashed else None
    if not isinstance(line, dict) or line.get("level") != "ERROR":
        return None
    cause = str(line.get("exception") or "").strip().splitlines()
    text = ": ".join(str(part) for part in (line.get("message"), cause[-1] if cause else None) if part)
    return LoggedError(at=at, certificate_id=line.get("certificate_id"), text=text, refused_action=line.get("action"))


def has_line(client: Any, group: str, pattern: str, *, since: datetime) -> bool:
    """Whether a function has logged a line with this pattern since then.

    Raises botocore's errors.
    """
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        filterPattern=pattern,
        startTime=int(since.timestamp() * 1000),
        PaginationConfig={"MaxItems": 1},
    )
    return any(page.get("events") for page in pages)
