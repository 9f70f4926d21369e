"""Checks the statements of a device policy: no device may act for another one, or send registrations.

Two things must not be allowed, because they reach beyond the device: publishing below `$aws/rules/`, where any payload
goes straight into a topic rule (Basic Ingest), and so into the registrations; and connecting under a client id that is
not the device's own. A Deny in another statement does not make such an Allow acceptable, since a later edit can remove
it.
"""

import re
from collections.abc import Iterator
from typing import Any

from jitr_fleet.problems import KeyPosition, show, suggest

_KEYS = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
# ARNs in any partition, Region and account; a star is one field of the ARN, and at the end any text.
_RULES = "arn:*:iot:*:*:topic/$aws/rules/*"
_CLIENTS = "arn:*:iot:*:*:client/*"
# Represents every topic below it: no pattern contains it literally.
_SOME_RULES_TOPIC = "arn:<partition>:iot:<region>:<account>:topic/$aws/rules/\0"
_SOME_CLIENT = "arn:<partition>:iot:<region>:<account>:client/\0"

_TOKEN = re.compile(r"\$\{(?P<variable>[^}]*)\}|(?P<character>.)", re.DOTALL)
# Variables whose values are names of things or thing types: `[a-zA-Z0-9:_-]`. A device can choose the others.
_NAME_VARIABLES = ("iot:Connection.Thing.ThingName", "iot:Connection.Thing.ThingTypeName")
_IS_ATTACHED = "iot:Connection.Thing.IsAttached"

# Kinds of tokens of a pattern; a repeating token matches any number of characters of its class.
_ANYTHING, _ONE, _NAME_CHARACTERS, _FIELD = "*", "?", "name", "field"
_CLASSES = {
    _ANYTHING: re.compile(".", re.DOTALL),
    _NAME_CHARACTERS: re.compile(r"[a-zA-Z0-9:_-]"),
    _FIELD: re.compile("[^:]"),
}
_OWN_CLIENT = (
    f'allow only client/${{iot:Connection.Thing.ThingName}}, with the condition "Bool": {{ "{_IS_ATTACHED}": "true" }}'
)
Token = tuple[str, str]  # one of the kinds, or "" with its character


def check_statements(statements: list[Any], described: str, place: KeyPosition) -> None:
    """Report what the statements of a policy must not allow; `described` is the name of the policy in messages."""
    for number, statement in enumerate(statements, start=1):
        sid = statement.get("Sid")
        where = f"{described}, whose statement {number}{f' ({sid})' if isinstance(sid, str) else ''}"
        flaws = list(_find_flaws_of_form(statement))
        for flaw, cure in flaws or _find_excesses(statement):
            place.problem(f"{where} {flaw}", cure)


def _find_flaws_of_form(statement: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in statement.keys() - set(_KEYS):
        yield f"has the key {show(key)}", suggest(key, _KEYS)
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield "has no usable Effect", 'write "Effect": "Allow"'
    for key in ("Action", "Resource"):
        written = [statement[one] for one in (key, f"Not{key}") if one in statement]
        if len(written) != 1 or not _texts(written[0]):
            yield f"has no usable {key}", f'write "{key}": [ "…" ]'


def _texts(value: Any) -> list[str]:
    """A text or a list of texts, as a list; empty when it is neither."""
    texts = [value] if isinstance(value, str) else value
    return texts if isinstance(texts, list) and all(isinstance(one, str) and one for one in texts) else []


def _find_excesses(statement: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if statement["Effect"] == "Deny":
        return
    if _covers_action(statement, "iot:Publish") and (found := _find_reaching(statement, _RULES, _SOME_RULES_TOPIC)):
        yield (
            f"lets devices publish below $aws/rules/, by {show(found)}",
            "name the devices' own topics: below $aws/rules/ any payload reaches topic rules",
        )
    if _covers_action(statement, "iot:Connect") and (found := _find_foreign_client(statement)):
        yield (
            f"lets a device connect under a client id that is not its own, by {show(found)}",
            _OWN_CLIENT,
        )


def _covers_action(statement: dict[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(_matches(one.casefold(), action.casefold()) for one in _texts(statement["NotAction"]))
    return any(_matches(one.casefold(), action.casefold()) for one in _texts(statement["Action"]))


def _find_reaching(statement: dict[str, Any], target: str, witness: str) -> str | None:
    """The resource by which a statement covers an ARN of the target; None if there is none."""
    if "NotResource" in statement:
        excepted = _texts(statement["NotResource"])
        return None if any(_matches(one, witness) for one in excepted) else "NotResource"
    return next((one for one in _texts(statement["Resource"]) if _overlap(one, target)), None)


def _find_foreign_client(statement: dict[str, Any]) -> str | None:
    if "NotResource" in statement:
        return _find_reaching(statement, _CLIENTS, _SOME_CLIENT)
    for one in _texts(statement["Resource"]):
        if not _overlap(one, _CLIENTS):
            continue
        client = one.partition(":client/")[2]
        variables = re.findall(r"\$\{([^}]*)\}", client)
        fixed = re.sub(r"\$\{[^}]*\}", "", client)
        chosen = any(variable not in _NAME_VARIABLES for variable in variables) and not _is_attached(statement)
        if not client or "*" in fixed or "?" in fixed or chosen:
            return one
    return None


def _is_attached(statement: dict[str, Any]) -> bool:
    """Whether a statement applies only to a certificate that is attached to the thing of the client id."""
    condition = statement.get("Condition")
    said = condition.get("Bool", {}).get(_IS_ATTACHED) if isinstance(condition, dict) else None
    return said in ("true", True, ["true"])


def _tokens(pattern: str) -> list[Token]:
    tokens = []
    for match in _TOKEN.finditer(pattern):
        variable, character = match["variable"], match["character"]
        if variable is not None:
            tokens.append((_NAME_CHARACTERS if variable in _NAME_VARIABLES else _ANYTHING, ""))
        elif character in (_ANYTHING, _ONE):
            tokens.append((character, ""))
        else:
            tokens.append(("", character))
    return tokens


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern matches a text without wildcards."""
    return _can_intersect(_tokens(pattern), [("", character) for character in text])


def _overlap(pattern: str, target: str) -> bool:
    """Whether there is an ARN that both the pattern and the target match."""
    *fields, end = ((_FIELD, "") if one == _ANYTHING else ("", one) for one in target)
    return _can_intersect(_tokens(pattern), [*fields, (_ANYTHING, "") if end == (_FIELD, "") else end])


def _can_intersect(left: list[Token], right: list[Token]) -> bool:
    """Whether two patterns match a common text; visits each pair of positions once."""
    seen, waiting = set(), [(0, 0)]
    while waiting:
        at = i, j = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        if i == len(left) and j == len(right):
            return True
        one = left[i] if i < len(left) else None
        other = right[j] if j < len(right) else None
        if _repeats(one):
            waiting.append((i + 1, j))
            if other and _can_stand_for(one, other):
                waiting.append((i, j + 1))
        if _repeats(other):
            waiting.append((i, j + 1))
            if one and _can_stand_for(other, one):
                waiting.append((i + 1, j))
        if one and other and not _repeats(one) and not _repeats(other) and _same(one, other):
            waiting.append((i + 1, j + 1))
    return False


def _repeats(token: Token | None) -> bool:
    return token is not None and token[0] in _CLASSES


def _can_stand_for(repeating: Token | None, other: Token) -> bool:
    """Whether the repeating token can match the other token."""
    return repeating is not None and (other[0] != "" or bool(_CLASSES[repeating[0]].match(other[1])))


def _same(one: Token, other: Token) -> bool:
    return _ONE in (one[0], other[0]) or one[1] == other[1]
