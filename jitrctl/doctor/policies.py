"""Evaluates policy documents of IAM and of AWS IoT, which share one language.

Sources: IAM user guide, "Policy evaluation logic" (a Deny wins, then an Allow, else no) and "Condition operators";
AWS IoT developer guide, "AWS IoT Core policy variables". One request is evaluated against documents that all apply to
it. An unknown condition key or operator makes the answer UNSURE if the answer depends on it; nothing is guessed.
Service control policies, permission boundaries and session policies are not evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_LITERAL = {"*": "*", "?": "?", "$": "$"}  # ${*}, ${?} and ${$} stand for the characters themselves


class PolicyAnswer(StrEnum):
    """What the documents say to a request."""

    ALLOWED = "allowed"
    DENIED = "denied"  # a statement denies it
    NOT_ALLOWED = "not allowed"  # no statement allows it
    UNSURE = "unsure"  # it depends on something that is not known here


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `context` has condition keys' values, None for a key that is known to be absent."""

    action: str
    resource: str
    service: str | None = None  # the service principal that makes the request, for trust and resource policies
    context: Mapping[str, str | None] = field(default_factory=dict)

    def value(self, key: str) -> str | None:
        """The value of a condition key or policy variable; keys are case-insensitive.

        Raises KeyError if the key is unknown.
        """
        known = {name.lower(): value for name, value in self.context.items()}
        return known[key.lower()]


def evaluate(documents: Iterable[Mapping[str, Any]], request: Request) -> PolicyAnswer:
    """The answer of these documents together to a request."""
    found = {"Allow": set[bool | None](), "Deny": set[bool | None]()}
    for document in documents:
        for statement in _listed(document.get("Statement", [])):
            found[statement["Effect"]].add(_applies(statement, request))
    if True in found["Deny"]:
        return PolicyAnswer.DENIED
    if None in found["Deny"]:
        return PolicyAnswer.UNSURE
    if True in found["Allow"]:
        return PolicyAnswer.ALLOWED
    return PolicyAnswer.UNSURE if None in found["Allow"] else PolicyAnswer.NOT_ALLOWED


def _applies(statement: Mapping[str, Any], request: Request) -> bool | None:
    """Whether a statement applies to a request; None if that is not known."""
    return _all(
        [
            _about(statement, "Action", "NotAction", lambda pattern: _matches(pattern.lower(), request.action.lower())),
            _about(statement, "Resource", "NotResource", lambda pattern: _is_resource(pattern, request)),
            _about_principal(statement.get("Principal"), request),
            *(
                _holds(operator, key, _listed(values), request)
                for operator, keys in statement.get("Condition", {}).items()
                for key, values in keys.items()
            ),
        ]
    )


def _about(statement: Mapping[str, Any], element: str, negated: str, is_one: Any) -> bool | None:
    """Whether an element lists the request; an element that is absent, as in trust policies, lists everything."""
    if element in statement:
        return _any([is_one(pattern) for pattern in _listed(statement[element])])
    if negated in statement:
        return _not(_any([is_one(pattern) for pattern in _listed(statement[negated])]))
    return True


def _about_principal(principal: Any, request: Request) -> bool | None:
    if principal is None or principal == "*" or "*" in _listed(principal.get("AWS", [])):
        return True
    if request.service is not None and request.service in _listed(principal.get("Service", [])):
        return True
    # Whether the caller is a named account, role or user is not evaluated.
    return None if "AWS" in principal and request.service is None else False


def _is_resource(pattern: str, request: Request) -> bool | None:
    try:
        return _matches(pattern, request.resource, request)
    except KeyError:
        return None


def _holds(operator: str, key: str, values: list[str], request: Request) -> bool | None:
    """Whether a condition holds."""
    bare, if_exists = operator.rpartition(":")[2], operator.endswith("IfExists")
    bare = bare.removesuffix("IfExists")
    try:
        actual = request.value(key)
    except KeyError:
        return None
    if bare == "Null":
        return (actual is None) is (str(values[0]).lower() == "true")
    negative = "Not" in bare
    if actual is None:
        return if_exists or negative
    found = _any([_compares(bare.replace("Not", ""), actual, str(value), request) for value in values])
    return _not(found) if negative else found


def _compares(operator: str, actual: str, value: str, request: Request) -> bool | None:
    try:
        match operator:
            case "StringEquals":
                return actual == _filled(value, request)
            case "StringEqualsIgnoreCase":
                return actual.lower() == _filled(value, request).lower()
            case "Bool":
                return actual.lower() == value.lower()
            case "StringLike" | "ArnEquals" | "ArnLike":
                return _matches(value, actual, request)
    except KeyError:
        return None
    return None


def _filled(text: str, request: Request) -> str:
    """A text with its variables replaced.

    Raises KeyError if one is unknown.
    """
    return _VARIABLE.sub(lambda found: _value_of(found[1], request), text)


def _value_of(variable: str, request: Request) -> str:
    value = _LITERAL.get(variable) or request.value(variable)
    if value is None:
        return "\0"  # known to be absent: AWS IoT then matches nothing with it
    return value


def _matches(pattern: str, text: str, request: Request | None = None) -> bool:
    """Whether a pattern with * and ? matches a text; a variable's value is taken literally.

    Raises KeyError if a variable is unknown.
    """
    parts, end = [], 0
    for found in _VARIABLE.finditer(pattern) if request else ():
        parts += [_wild(pattern[end : found.start()]), re.escape(_value_of(found[1], request))]  # type: ignore[arg-type]
        end = found.end()
    parts.append(_wild(pattern[end:]))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _wild(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _any(found: list[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _all(found: list[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True


def _not(found: bool | None) -> bool | None:  # noqa: FBT001 -- it is the one operand
    return None if found is None else not found
