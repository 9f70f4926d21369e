"""Refuses accounts that are in use: with a stack of jitr, an ACTIVE CA, or a topic rule on registration events.

A run uses its own CAs, devices and topics, but such an account is not for experiments. `--sandbox` overrides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitr_fleet.resources import registered_topic
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.prove.place import ProvePlace

_STACKS = "jitr-"


def refuse_production(places: Sequence[ProvePlace], ours: frozenset[str]) -> None:
    """Refuse accounts that are in use; `ours` are the ids of CAs that earlier runs left.

    Raises Refused with everything that was found; botocore's errors.
    """
    found = [f"{place.label} has {what}" for place in places for what in find_uses(place, ours)]
    if found:
        raise Refused(
            f"{'; '.join(found)}: the account seems to be in use, so nothing was made; use another account, "
            "or add --sandbox if this one is for experiments"
        )


def find_uses(place: ProvePlace, ours: frozenset[str]) -> Iterator[str]:
    """What shows that the account is in use, as phrases.

    Raises botocore's errors.
    """
    stacks = [one["StackName"] for one in _stacks(place) if one["StackName"].startswith(_STACKS)]
    if stacks:
        yield f"the stack {stacks[0]}" if len(stacks) == 1 else f"the stacks {', '.join(stacks)}"
    for rule in _rules(place):
        if matches_topic(rule.get("topicPattern") or "", registered_topic("0" * 64)) or _is_for_one_ca(rule):
            yield f"the topic rule {rule['ruleName']} on registration events"
    cas = _pages(place, "list_ca_certificates", "certificates")
    registering = sum(one["status"] == "ACTIVE" and one["certificateId"] not in ours for one in cas)
    if registering:
        yield "an ACTIVE CA" if registering == 1 else f"{registering} ACTIVE CAs"


def matches_topic(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT topic filter matches a topic; a wildcard at its beginning matches none that begins with $."""
    levels, wanted = topic.split("/"), topic_filter.split("/")
    if wanted[0] in ("#", "+"):
        return False
    for number, level in enumerate(wanted):
        if level == "#":
            return True
        if number >= len(levels) or level not in ("+", levels[number]):
            return False
    return len(wanted) == len(levels)


def _is_for_one_ca(rule: dict[str, Any]) -> bool:
    """Whether the rule is on one CA's registration events, as jitr's are."""
    return str(rule.get("topicPattern") or "").startswith(registered_topic(""))


def _rules(place: ProvePlace) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        answer = place.iot.list_topic_rules(maxResults=100, **token)
        yield from answer.get("rules", ())
        if not answer.get("nextToken"):
            return
        token = {"nextToken": answer["nextToken"]}


def _stacks(place: ProvePlace) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        answer = place.client("cloudformation").describe_stacks(**token)
        yield from answer["Stacks"]
        if not answer.get("NextToken"):
            return
        token = {"NextToken": answer["NextToken"]}


def _pages(place: ProvePlace, method: str, what: str) -> Iterator[dict[str, Any]]:
    marker: dict[str, str] = {}
    while True:
        answer = getattr(place.iot, method)(pageSize=100, **marker)
        yield from answer[what]
        if not answer.get("nextMarker"):
            return
        marker = {"marker": answer["nextMarker"]}
