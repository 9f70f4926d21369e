"""Device policies for a draft of a fleet, and where something stands in them."""

import json
from typing import Any

from tests.support.fleet.drafts import Draft

ARN = "arn:<partition>:iot:<region>:<account>:"
THING = "${iot:Connection.Thing.ThingName}"
ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


CONNECT = allow("iot:Connect", f"{ARN}client/{THING}", Condition=ATTACHED)


def write(draft: Draft, *statements: dict[str, Any], file: str = "device.json") -> None:
    """A policy of these statements."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    draft.write(file, json.dumps(document, indent=1).encode())


def line_of(draft: Draft, written: str, file: str = "device.json") -> int:
    """The first line of the policy file with this text."""
    lines = (draft.folder / file).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if written in line)
