"""What the statements of a device policy may not say: nothing that AWS IoT does not know, nothing beyond the device.

Decides on the statements of one IoT policy document, without regard to where it is deployed. Two things may not be
allowed, because they reach beyond the device: publishing below `$aws/rules/`, where any payload goes straight into a
topic rule (Basic Ingest), and so into the registrations; and connecting under a client id that is not the device's own.
A Deny elsewhere does not make up for such an Allow: it is one edit away from being forgotten.
"""

import re
from collections.abc import Iterator
from typing import Any

from jitr.frozen import value
from jitr_fleet.authorization.actions import ACTIONS, RESOURCE_TYPES, is_known
from jitr_fleet.authorization.json_lines import JsonPath
from jitr_fleet.authorization.overlap import NAME_VARIABLES, Piece, find_overlap, is_overlapping, pieces
from jitr_fleet.authorization.wildcards import matches
from jitr_fleet.problems import guess_word, show, suggest

_KEYS = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
_ACTION_KEYS, _RESOURCE_KEYS = ("Action", "NotAction"), ("Resource", "NotResource")
# ARNs in any partition, Region and account.
_BEFORE_RULES, _RULES_PREFIX = "arn:*:iot:*:*:topic/", "$aws/rules/"
_RULES = f"{_BEFORE_RULES}{_RULES_PREFIX}*"
_CLIENTS = "arn:*:iot:*:*:client/*"
# Stands for every topic there: no pattern names it letter by letter.
_SOME_RULES_TOPIC = "arn:<partition>:iot:<region>:<account>:topic/$aws/rules/\0"
_SOME_CLIENT = "arn:<partition>:iot:<region>:<account>:client/\0"
_IS_ATTACHED = "iot:Connection.Thing.IsAttached"
OWN_CLIENT = "client/${iot:Connection.Thing.ThingName}"
ATTACHED = f'"Bool": {{ "{_IS_ATTACHED}": "true" }}'
_ARN_PARTS = 6  # arn:partition:service:region:account:resource
_ARN_START = "arn:<partition>:iot:<region>:<account>:"
_WILD = re.compile(r"[*?]|\$\{")


@value
class Flaw:
    """One thing that is wrong with a statement: where in it, what, and the cure."""

    at: JsonPath
    text: str  # continues a sentence that begins with the statement
    cure: str


def find_flaws(statement: dict[str, Any]) -> list[Flaw]:
    """What a statement may not say; its form first, since what a malformed one permits is not known."""
    flaws = list(_find_flaws_of_form(statement))
    return flaws or [*_find_unknown_names(statement), *_find_excesses(statement)]


def texts(statement: dict[str, Any], key: str) -> list[tuple[JsonPath, str]]:
    """The texts under a key of a statement, each with its place in the statement; one may stand alone."""
    found = statement.get(key, [])
    return [((key,), found)] if isinstance(found, str) else [((key, at), one) for at, one in enumerate(found)]


def covers_action(statement: dict[str, Any], action: str) -> bool:
    """Whether a statement's Action (or NotAction) is about an action."""
    if "NotAction" in statement:
        return not any(matches(one.casefold(), action.casefold()) for _, one in texts(statement, "NotAction"))
    return any(matches(one.casefold(), action.casefold()) for _, one in texts(statement, "Action"))


def _find_flaws_of_form(statement: dict[str, Any]) -> Iterator[Flaw]:
    for key in statement.keys() - set(_KEYS):
        yield Flaw(at=(key,), text=f"has the key {show(key)}", cure=suggest(key, _KEYS))
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield Flaw(at=("Effect",), text="has no usable Effect", cure='write "Effect": "Allow"')
    for keys in (_ACTION_KEYS, _RESOURCE_KEYS):
        written = [key for key in keys if key in statement]
        if len(written) != 1 or not _is_text_or_texts(statement[written[0]]):
            yield Flaw(
                at=(written[-1],) if written else (),
                text=f"has no usable {keys[0]}",
                cure=f'write "{keys[0]}": [ "…" ]',
            )
    if not _is_condition(statement.get("Condition", {})):
        yield Flaw(
            at=("Condition",), text="has no usable Condition", cure=f'write "Condition": {{ {ATTACHED} }}, or none'
        )


def _is_text_or_texts(written: Any) -> bool:
    several = [written] if isinstance(written, str) else written
    return isinstance(several, list) and bool(several) and all(isinstance(one, str) and one for one in several)


def _is_condition(written: Any) -> bool:
    return isinstance(written, dict) and all(
        isinstance(keys, dict) and all(not isinstance(values, dict) for values in keys.values())
        for keys in written.values()
    )


def _find_unknown_names(statement: dict[str, Any]) -> Iterator[Flaw]:
    """Actions and resources that mean nothing to AWS IoT: it takes most of them, and no device is then let do it."""
    for key in _ACTION_KEYS:
        for at, action in texts(statement, key):
            if not is_known(action):
                guess = _guess_action(action)
                yield Flaw(
                    at=at,
                    text=f"has the action {show(action)}, which no device can carry out",
                    cure=f"did you mean {guess}?" if guess else "docs/fleet.md#policies lists the actions; remove it",
                )
    for key in _RESOURCE_KEYS:
        for at, resource in texts(statement, key):
            parts = resource.split(":", _ARN_PARTS - 1)
            if parts[0] != "arn" or (len(parts) < _ARN_PARTS and not parts[-1].endswith("*")):
                if not resource.strip("*"):
                    continue
                yield Flaw(
                    at=at,
                    text=f"has the resource {show(resource)}, which is no ARN",
                    cure=f'write "{_ARN_START}topic/…", with client/…, topicfilter/… or thing/… for other actions',
                )
            elif len(parts) == _ARN_PARTS:
                yield from _find_flaws_of_arn(at, parts)


def _guess_action(action: str) -> str | None:
    service, _, name = action.rpartition(":")
    service = guess_word(service or "iot", {one.partition(":")[0] for one in ACTIONS}) or ""
    guess = guess_word(name, [one.partition(":")[2] for one in ACTIONS if one.startswith(f"{service}:")])
    return guess and f"{service}:{guess}"


def _find_flaws_of_arn(at: JsonPath, parts: list[str]) -> Iterator[Flaw]:
    service, kind = parts[2], parts[-1].partition("/")[0]
    if service == "greengrass" or _WILD.search(service):
        return
    if service != "iot":
        yield Flaw(at=at, text=f"has an ARN of {show(service)}, not of iot", cure=f'write "{_ARN_START}…"')
    elif kind not in RESOURCE_TYPES and not _WILD.search(kind):
        yield Flaw(
            at=at, text=f"has the resource type {show(kind)} in {show(parts[-1])}", cure=suggest(kind, RESOURCE_TYPES)
        )


def _find_excesses(statement: dict[str, Any]) -> Iterator[Flaw]:
    if statement["Effect"] == "Deny":
        return
    if covers_action(statement, "iot:Publish"):
        for at, how in _find_ways_to_rules(statement):
            yield Flaw(
                at=at,
                text=f"lets devices publish below $aws/rules/: {how}",
                cure="name the devices' own topics: below $aws/rules/ any payload reaches topic rules",
            )
    if covers_action(statement, "iot:Connect"):
        for at, found in _find_foreign_clients(statement):
            yield Flaw(
                at=at,
                text=f"lets a device connect under a client id that is not its own, by {show(found)}",
                cure=f"allow only {OWN_CLIENT}, with the condition {ATTACHED}",
            )


def _find_ways_to_rules(statement: dict[str, Any]) -> Iterator[tuple[JsonPath, str]]:
    """The resources that reach topics below $aws/rules/, and by what part of each."""
    if "NotResource" in statement:
        if not any(matches(one, _SOME_RULES_TOPIC) for _, one in texts(statement, "NotResource")):
            yield ("NotResource",), "its NotResource does not except them"
        return
    for at, resource in texts(statement, "Resource"):
        covered = find_overlap(resource, _RULES)
        if covered is not None:
            yield at, _describe_part(resource, covered)


def _describe_part(resource: str, covered: dict[int, list[int]]) -> str:
    """Say which wildcards of a resource stand for a part of `$aws/rules/`."""
    meant_by_rules = range(len(_BEFORE_RULES), len(_BEFORE_RULES) + len(_RULES_PREFIX))
    written = pieces(resource)
    wild = [
        at
        for at, piece in enumerate(written)
        if piece.is_open and any(to in meant_by_rules for to in covered.get(at, ()))
    ]
    tail = resource.split(":", _ARN_PARTS - 1)[-1]
    if not wild:
        return f"{show(tail)} names them"
    if len(written) == 1:
        return f"{show(resource)} stands for every topic, those included"
    named = [_describe_piece(written, at, len(resource) - len(tail)) for at in wild]
    in_tail = all(len("".join(piece.written for piece in written[:at])) > len(resource) - len(tail) for at in wild)
    stands = "also stands for" if len(wild) == 1 else "also stand for parts of"
    return f"in {show(tail if in_tail else resource)} {' and '.join(named)} {stands} {_RULES_PREFIX}…"


def _describe_piece(written: list[Piece], at: int, tail: int) -> str:
    """Name one piece of an ARN by what is around it; from character `tail` on the ARN names its resource."""
    before = "".join(piece.written for piece in written[:at])
    if len(before) > tail:
        return f"the {written[at].written} after {show(before[tail:])}"
    after = "".join(piece.written for piece in written[at + 1 :])
    return f"the {written[at].written} before {show(after)}" if after else f"the {written[at].written} at the end"


def _find_foreign_clients(statement: dict[str, Any]) -> Iterator[tuple[JsonPath, str]]:
    if "NotResource" in statement:
        if not any(matches(one, _SOME_CLIENT) for _, one in texts(statement, "NotResource")):
            yield ("NotResource",), "NotResource"
        return
    for at, resource in texts(statement, "Resource"):
        if not is_overlapping(resource, _CLIENTS):
            continue
        client = resource.partition(":client/")[2]
        variables = re.findall(r"\$\{([^}]*)\}", client)
        fixed = re.sub(r"\$\{[^}]*\}", "", client)
        chosen = any(variable not in NAME_VARIABLES for variable in variables) and not _is_attached(statement)
        if not client or "*" in fixed or "?" in fixed or chosen:
            yield at, resource


def _is_attached(statement: dict[str, Any]) -> bool:
    """Whether it holds only for a certificate that is attached to the thing of this client id."""
    said = statement.get("Condition", {}).get("Bool", {}).get(_IS_ATTACHED)
    return said in ("true", True, ["true"])
