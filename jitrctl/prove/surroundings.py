"""Whether an account is a sandbox: what is in it that a run must not meet.

A run's CAs and devices are its own, and so are their topics; but a rule on all registration events, or a stack of
jitr's, says that somebody works there. Such an account is refused unless its owner says that it is a sandbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitr_fleet.resources import registered_topic
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.prove.run import ProvePlace

_STACKS = "jitr-"


def refuse_production(places: Sequence[ProvePlace], ours: frozenset[str]) -> None:
    """Refuse accounts in which somebody works; `ours` are the ids of CAs that earlier runs left.

    Raises Refused with everything that was found; botocore's errors.
    """
    found = [f"{place.label} has {what}" for place in places for what in find_uses(place, ours)]
    if found:
        raise Refused(
            f"{'; '.join(found)}: this looks like an account that is in use, so nothing was made; "
            f"take another account, "
            "or say --sandbox if this one is meant for trying things"
        )


def find_uses(place: ProvePlace, ours: frozenset[str]) -> Iterator[str]:
    """What says that the account is in use, each in words.

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
    """Whether an MQTT topic filter takes a topic; wildcards at its beginning take none that begins with $."""
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
    """Whether it is a rule on one CA's registration events, as jitr's are."""
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
