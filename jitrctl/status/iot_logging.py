"""Reads at which level AWS IoT logs in a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

_NO_LEVEL = "DISABLED"


def iot_logging(stage: Stage) -> str | None:
    """What AWS IoT logs: the default level, and the events with another one; None when it logs nothing.

    "unknown" when the call fails, so that the rest of the health is still shown.
    """
    try:
        options = stage.iot.get_v2_logging_options(**_with_events(stage))
    except ClientError as error:
        return None if error.response["Error"].get("Code") == "NotConfiguredException" else "unknown"
    level = options.get("defaultLogLevel") or _NO_LEVEL
    events = {
        str(one["eventType"]): str(one["logLevel"])
        for one in options.get("eventConfigurations", ())
        if one.get("logLevel") and one["logLevel"] != level
    }
    if options.get("disableAllLogs") or {level, *events.values()} == {_NO_LEVEL}:
        return None
    return f"{level}, but {', '.join(map(' '.join, sorted(events.items())))}" if events else str(level)


def _with_events(stage: Stage) -> dict[str, Any]:
    """The parameter for the levels of events, if this boto3 knows it (December 2025)."""
    shape = stage.iot.meta.service_model.operation_model("GetV2LoggingOptions").input_shape
    return {"verbose": True} if shape and "verbose" in shape.members else {}
