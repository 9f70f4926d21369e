"""Tries what a device does first under its policies: connect, publish once, subscribe once and receive.

What it publishes and subscribes to are the topics that the policies themselves name, with a letter for each wildcard.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jitr.frozen import value
from jitr_fleet.authorization.actions import ACTIONS
from jitr_fleet.authorization.evaluation import Evaluation, PolicyAnswer, PolicyKind, Request, as_list, explain
from jitr_fleet.authorization.wildcards import fill_with_letters, matches

_LETTER = "x"  # for each wildcard, MQTT's and policies'
_ARN_PARTS = 6
_SHARED = re.compile(r"\$share/[^/]*/")  # a shared subscription: its messages come on the filter behind it
_BEST_FIRST = (PolicyAnswer.ALLOWED, PolicyAnswer.UNSURE, PolicyAnswer.DENIED, PolicyAnswer.NOT_ALLOWED)
CONNECT, PUBLISH, SUBSCRIBE, RECEIVE = "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"


@value
class TrialDevice:
    """Who connects, and where; see `jitr_fleet.sample_device` for one that is made up."""

    client_id: str
    context: Mapping[str, str | tuple[str, ...] | None]
    arn: Callable[[str], str]  # of a resource of AWS IoT in the device's account and Region

    def ask(
        self, documents: Sequence[Mapping[str, Any]], action: str, name: str, *, unknown: frozenset[str] = frozenset()
    ) -> Evaluation:
        """Evaluate an action on a resource of its kind; conditions on the keys `unknown` are left open."""
        return explain(
            documents,
            Request(
                action=action,
                resource=self.arn(f"{ACTIONS[action]}/{name}"),
                kind=PolicyKind.IOT,
                context=self.context,
                unknown_in_conditions=unknown,
            ),
        )


@value
class Attempt:
    """What was tried on a topic, a topic filter or under a client id; None where the policies name none."""

    name: str | None
    evaluation: Evaluation

    @property
    def is_allowed(self) -> bool:
        return self.evaluation.answer is PolicyAnswer.ALLOWED


@value
class PolicyTrial:
    """How far a device gets; of several topics the best attempt."""

    connect: Attempt
    publish: Attempt
    subscribe: Attempt
    receive: Attempt  # on a topic of a filter that may be subscribed to


def try_device(documents: Sequence[Mapping[str, Any]], device: TrialDevice) -> PolicyTrial:
    """Try a device under documents that all count for it."""
    connect = _try(documents, device, CONNECT, device.client_id)
    publish = _find_best(documents, device, PUBLISH, _find_names(documents, device, PUBLISH))
    filters = {name: _try(documents, device, SUBSCRIBE, name) for name in _find_names(documents, device, SUBSCRIBE)}
    subscribe = _find_best(documents, device, SUBSCRIBE, filters)
    topics = {_find_topic(name): one for name, one in filters.items() if one.is_allowed}
    receive = _find_best(documents, device, RECEIVE, topics)
    if receive.is_allowed and receive.name is not None:
        subscribe = topics[receive.name]
    return PolicyTrial(connect=connect, publish=publish, subscribe=subscribe, receive=receive)


def find_allowed_clients(documents: Sequence[Mapping[str, Any]], device: TrialDevice) -> list[str]:
    """The client ids that the documents name and allow to connect."""
    names = dict.fromkeys(_find_names(documents, device, CONNECT))
    return [name for name in names if _try(documents, _named(device, name), CONNECT, name).is_allowed]


def _named(device: TrialDevice, name: str) -> TrialDevice:
    own = {key: name for key in ("iot:ClientId", "iot:Connection.Thing.ThingName") if key in device.context}
    return TrialDevice(client_id=name, context={**device.context, **own}, arn=device.arn)


def _try(documents: Sequence[Mapping[str, Any]], device: TrialDevice, action: str, name: str) -> Attempt:
    return Attempt(name=name, evaluation=device.ask(documents, action, name))


def _find_best(
    documents: Sequence[Mapping[str, Any]], device: TrialDevice, action: str, names: Iterable[str]
) -> Attempt:
    """The attempt that gets farthest; where no name is known to try, one on a made-up name, which is left out."""
    attempts = [_try(documents, device, action, name) for name in dict.fromkeys(names)]
    if not attempts:
        return Attempt(name=None, evaluation=device.ask(documents, action, _LETTER))
    return min(attempts, key=lambda one: _BEST_FIRST.index(one.evaluation.answer))


def _find_names(documents: Sequence[Mapping[str, Any]], device: TrialDevice, action: str) -> Iterator[str]:
    """The resources' names in statements that allow the action, with letters for wildcards."""
    kind = ACTIONS[action]
    for document in documents:
        for statement in as_list(document.get("Statement", [])):
            if statement.get("Effect") != "Allow" or not any(
                matches(one.lower(), action.lower()) for one in as_list(statement.get("Action", []))
            ):
                continue
            for resource in as_list(statement.get("Resource", [])):
                name = _find_name(resource, kind, device)
                if name:
                    yield name


def _find_name(resource: str, kind: str, device: TrialDevice) -> str | None:
    """The name in an ARN of this kind; a letter where the ARN leaves it open, None in one of another kind."""
    last = resource.split(":", _ARN_PARTS - 1)[-1]
    prefix, slash, name = last.partition("/")
    if prefix == kind and slash:
        known = {key.lower(): text for key, text in device.context.items()}
        return fill_with_letters(name, _LETTER, lambda variable: _text(known.get(variable.lower())))
    return _LETTER if "*" in prefix else None


def _text(found: str | tuple[str, ...] | None) -> str | None:
    return found if isinstance(found, str) else None


def _find_topic(filter_: str) -> str:
    """A topic that a topic filter matches."""
    return _SHARED.sub("", filter_, count=1).replace("+", _LETTER).replace("#", _LETTER)
