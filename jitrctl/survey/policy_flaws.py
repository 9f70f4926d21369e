"""Reads from a policy's document what it allows that a device should not have: pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jitr_fleet.authorization.actions import RESOURCE_TYPES
from jitr_fleet.authorization.wildcards import matches
from jitr_fleet.permissions import find_flaws
from jitr_fleet.problems import show

if TYPE_CHECKING:
    from collections.abc import Iterator

# Topics of fleet provisioning (AWS IoT guide, "Device provisioning MQTT API").
_CLAIMS = ("$aws/provisioning-templates/", "$aws/certificates/create")
_CLAIM_TOPIC = "topic/$aws/provisioning-templates/\0/provision/json"
# What only a pattern for every resource of a kind matches: no policy names it letter by letter.
_NOBODYS = "\0\0"
# In a policy # and + are letters, so topic/# is one topic that nobody can have, and topicfilter/# the filter for all
# topics, as is topicfilter/+/# (AWS IoT guide, "Policy variables"). A topic has eight levels at most.
_EVERYTHING = (
    *(f"{kind}/{_NOBODYS}" for kind in RESOURCE_TYPES),
    *(f"topicfilter/{'+/' * levels}#" for levels in range(8)),
)
_STARS = re.compile(r"\*{2,}")
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
        name in resource
        for one in read_statements(document) or ()
        if one.get("Effect") == "Allow"
        for resource in _texts(one, "Resource")
        for name in _CLAIMS
    )


def read_statements(document: str) -> list[dict[str, Any]] | None:
    """The statements of a policy's document, which may be URL-encoded; None if it is no JSON."""
    try:
        read = json.loads(unquote(document) if document.startswith("%") else document)
        found = read.get("Statement", [])
    except (ValueError, RecursionError, AttributeError):
        return None
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _find_wildcards(statement: dict[str, Any]) -> Iterator[str]:
    if statement.get("Effect") != "Allow":
        return
    actions, resources = _texts(statement, "Action"), [_tail(one) for one in _texts(statement, "Resource")]
    wide = [one for one in resources if any(matches(one, text) for text in _EVERYTHING)]
    if "NotAction" in statement or any(matches(action.casefold(), f"iot:{_NOBODYS}") for action in actions):
        if any(matches(one, _NOBODYS) for one in wide):
            yield "allows every action on every resource"
            return
        yield "allows every action"
    elif more := [action for action in actions if action not in _NO_WIDER]:
        if wide:
            yield f"allows {', '.join(more)} on {wide[0]}, which is every device's"
        elif "NotResource" in statement:
            yield f"allows {', '.join(more)} on all that its NotResource does not name"
    if _allows(statement, "iot:publish") and (claims := [one for one in resources if _claims_by_wildcard(one)]):
        yield f"lets devices claim certificates by fleet provisioning: {show(claims[0])} stands for its topics"


def _allows(statement: dict[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(matches(one.casefold(), action) for one in _texts(statement, "NotAction"))
    return any(matches(one.casefold(), action) for one in _texts(statement, "Action"))


def _claims_by_wildcard(resource: str) -> bool:
    return matches(resource, _CLAIM_TOPIC) and not any(name in resource for name in _CLAIMS)


def _texts(statement: dict[str, Any], key: str) -> list[str]:
    """The texts under a key; none where something else stands, which find_flaws names."""
    found = statement.get(key, [])
    several = [found] if isinstance(found, str) else found
    return [one for one in several if isinstance(one, str)] if isinstance(several, list) else []


def _tail(resource: str) -> str:
    """What an ARN names in its account, with each run of `*` as one; a pattern that is no ARN stays."""
    return _STARS.sub("*", resource.split(":", 5)[-1] if resource.startswith("arn:") else resource)
