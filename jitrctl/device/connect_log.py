"""Finds the client ids that a certificate connected with, in AWS IoT's log, where it logs connects (INFO and DEBUG).

Presence events have the same, but nothing of jitr keeps them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.clock import now

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

GROUP = "AWSIotLogsV2"
_LOOK_BACK = timedelta(days=7)
_MOST_PAGES = 20  # FilterLogEvents answers empty pages while it goes through a large group


def find_connects(stage: Stage, certificate_id: str) -> dict[str, datetime]:
    """When the certificate last connected with each client id, in the last seven days.

    Empty where AWS IoT logs no connects, and where its log cannot be read.
    """
    pattern = f'{{ ($.eventType = "Connect") && ($.status = "Success") && ($.principalId = "{certificate_id}") }}'
    since = round((now() - _LOOK_BACK).timestamp() * 1000)
    last: dict[str, datetime] = {}
    try:
        pages = (
            stage.access.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=GROUP, filterPattern=pattern, startTime=since)
        )
        for page in islice(pages, _MOST_PAGES):
            for event in page["events"]:
                client_id = json.loads(event["message"]).get("clientId")
                at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                if client_id and at >= last.get(client_id, at):
                    last[client_id] = at
    except (BotoCoreError, ClientError, ValueError):
        return last
    return last
