"""Reads from a policy's document what it allows that a device should not have: pure."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from jitr_fleet.permissions import find_flaws, texts

_CLAIMS = "$aws/provisioning-templates/"  # topics of fleet provisioning (AWS IoT guide, "Device provisioning MQTT API")
# What every resource, or every one of a kind, is written as. In a policy # is a letter, so topic/# is one topic that
# nobody can have, and topicfilter/# the filter for all topics (AWS IoT guide, "Policy variables").
_EVERYTHING = ("*", "topic/*", "topicfilter/*", "topicfilter/#", "client/*")
_NO_WIDER = "iot:Connect", "iot:Publish"  # find_flaws says of these what is wrong with them


def find_policy_flaws(document: str) -> list[str]:
    """What a policy allows beyond a device's own, as `jitrctl fleet check` says it of a policy file, and wildcards."""
    statements = read_statements(document)
    if statements is None:
        return ["is no JSON"]
    found = [flaw.text for one in statements for flaw in find_flaws(one)]
    return list(dict.fromkeys([*found, *(text for one in statements for text in _find_wildcards(one))]))


def find_claims(document: str) -> bool:
    """Whether a policy names the topics on which fleet provisioning hands out certificates, in what it allows."""
    return any(
        _CLAIMS in resource
        for one in read_statements(document) or ()
        if one.get("Effect") == "Allow"
        for _, resource in texts(one, "Resource")
    )


def read_statements(document: str) -> list[dict[str, Any]] | None:
    """The statements of a policy's document, which may be URL-encoded; None if it is no JSON."""
    try:
        read = json.loads(unquote(document) if document.startswith("%") else document)
        found = read.get("Statement", [])
    except (ValueError, RecursionError, AttributeError):
        return None
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _find_wildcards(statement: dict[str, Any]) -> list[str]:
    if statement.get("Effect") != "Allow":
        return []
    actions = [action for _, action in texts(statement, "Action")]
    wide = [
        resource
        for _, resource in texts(statement, "Resource")
        if (resource.split(":", 5)[-1] if resource.startswith("arn:") else resource) in _EVERYTHING
    ]
    if "NotAction" in statement or any(action in ("*", "iot:*") for action in actions):
        return [f"allows every action{' on every resource' if '*' in wide else ''}"]
    more = [action for action in actions if action not in _NO_WIDER]
    if not wide or not more:
        return []
    return [f"allows {', '.join(more)} on {wide[0].split(':', 5)[-1]}, which is every device's"]
