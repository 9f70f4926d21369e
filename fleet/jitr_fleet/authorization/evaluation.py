"""Evaluates one request against policy documents: IAM's, and AWS IoT's, which follow the same conventions.

A Deny that applies wins, then an Allow that applies, else the request is not allowed. What is not known here, the value
of a condition key or an operator, makes the answer UNSURE where it matters, never a guess.

What AWS IoT does differently, or documents less of:

- A policy variable without a value is not replaced, so its pattern matches nothing: without a thing (none is attached,
  or the certificate is attached to several and the client id names none) `${iot:Connection.Thing.ThingName}` denies
  and allows nothing. A certificate's value with a wildcard in it is not replaced either.
- NotAction and NotResource are in none of AWS's pages on AWS IoT policies: what they do there is UNSURE.
- `iot:ConnectAttributes` is a set, and empty for a plain connection.

Sources: IAM user guide, "Policy evaluation logic", "Condition operators", "Set operators for multivalued context keys";
AWS IoT developer guide, "AWS IoT Core policies", "AWS IoT Core policy variables" with its pages on basic, thing and
X.509 certificate variables, "Connect policy examples". Service control policies, permission boundaries and session
policies are not evaluated.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jitr.frozen import value
from jitr_fleet.authorization.wildcards import fill_variables, fits, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ABSENT = "\0"  # of a variable that is known to have no value: no text of AWS holds this character


class PolicyAnswer(StrEnum):
    """What the documents say to a request."""

    ALLOWED = "allowed"
    DENIED = "denied"  # a statement denies it
    NOT_ALLOWED = "not allowed"  # no statement allows it
    UNSURE = "unsure"  # it depends on something that is not known here


# What is looked for in turn: statements of this effect that apply (True), or of which it is not known (None).
_ORDER: tuple[tuple[str, bool | None, PolicyAnswer], ...] = (
    ("Deny", True, PolicyAnswer.DENIED),
    ("Deny", None, PolicyAnswer.UNSURE),
    ("Allow", True, PolicyAnswer.ALLOWED),
    ("Allow", None, PolicyAnswer.UNSURE),
)


class PolicyKind(StrEnum):
    """Whose policies they are."""

    IAM = "IAM"
    IOT = "AWS IoT"


@value
class Request:
    """One request; `context` has condition keys' values, None for a key that is known to be absent."""

    action: str
    resource: str
    kind: PolicyKind = PolicyKind.IAM
    service: str | None = None  # the service principal that makes the request, for trust and resource policies
    context: Mapping[str, str | tuple[str, ...] | None] = field(default_factory=dict)
    unknown_in_conditions: frozenset[str] = frozenset()  # keys of the context that conditions may not rest on


@value
class StatementPosition:
    """A statement: the position of its document among those that were evaluated, and its own there; both from 0."""

    document: int
    statement: int


@value
class Evaluation:
    """An answer, and what it rests on."""

    answer: PolicyAnswer
    # DENIED, ALLOWED: the statements that do. UNSURE: those of which it is not known. NOT_ALLOWED: those that allow the
    # action, but on another resource, or under another condition.
    statements: tuple[StatementPosition, ...]
    unknown: tuple[str, ...] = ()  # UNSURE: the condition keys, variables, operators, elements that it depends on


def evaluate(documents: Iterable[Mapping[str, Any]], request: Request) -> PolicyAnswer:
    """The answer of these documents together to a request."""
    return explain(documents, request).answer


def explain(documents: Iterable[Mapping[str, Any]], request: Request) -> Evaluation:
    """The answer of these documents together to a request, and the statements that it rests on."""
    known = {key.lower(): one for key, one in request.context.items()}  # keys count in any case
    judged: list[tuple[str, StatementPosition, _Judge, bool | None]] = []
    for number, document in enumerate(documents):
        for position, statement in enumerate(as_list(document.get("Statement", []))):
            judge = _Judge(request, known)
            place = StatementPosition(document=number, statement=position)
            judged.append((statement["Effect"], place, judge, judge.applies(statement)))
    for effect, found, answer in _ORDER:
        those = [(place, judge) for said, place, judge, applies in judged if said == effect and applies is found]
        if those:
            unknown = {one for _, judge in those for one in judge.unknown} if answer is PolicyAnswer.UNSURE else ()
            return Evaluation(
                answer=answer, statements=tuple(place for place, _ in those), unknown=tuple(sorted(unknown))
            )
    near = tuple(place for effect, place, judge, _ in judged if effect == "Allow" and judge.is_about_action)
    return Evaluation(answer=PolicyAnswer.NOT_ALLOWED, statements=near)


def as_list(element: Any) -> list[Any]:
    """An element of a policy as a list; one text or statement may stand alone."""
    return element if isinstance(element, list) else [element]


class _Judge:
    """Whether one statement applies to one request: True, False, or None if that is not known."""

    def __init__(self, request: Request, known: Mapping[str, str | tuple[str, ...] | None]) -> None:
        self._request = request
        self._known = known
        self.unknown: list[str] = []  # what kept it from being known
        self.is_about_action: bool | None = None

    def applies(self, statement: Mapping[str, Any]) -> bool | None:
        self.is_about_action = self._is_about(statement, "Action", self._is_action)
        if self.is_about_action is False:
            return False
        return _all(
            [
                self.is_about_action,
                self._is_about(statement, "Resource", self._is_resource),
                self._is_about_principal(statement.get("Principal")),
                *(
                    self._holds(operator, key, as_list(values))
                    for operator, keys in (statement.get("Condition") or {}).items()
                    for key, values in keys.items()
                ),
            ]
        )

    def _is_about(
        self, statement: Mapping[str, Any], element: str, is_one: Callable[[str], bool | None]
    ) -> bool | None:
        """Whether an element lists the request; an element that is absent, as in trust policies, lists everything."""
        if element in statement:
            return _any([is_one(pattern) for pattern in as_list(statement[element])])
        negated = f"Not{element}"
        if negated not in statement:
            return True
        if self._request.kind is PolicyKind.IOT:
            return self._leave_open(negated)
        return _not(_any([is_one(pattern) for pattern in as_list(statement[negated])]))

    def _is_action(self, pattern: str) -> bool:
        return matches(pattern.lower(), self._request.action.lower())

    def _is_resource(self, pattern: str) -> bool | None:
        try:
            return self._fits(pattern, self._request.resource)
        except KeyError as error:
            return self._leave_open(error.args[0])

    def _is_about_principal(self, principal: Any) -> bool | None:
        if principal is None or principal == "*" or "*" in as_list(principal.get("AWS", [])):
            return True
        service = self._request.service
        if service is not None and service in as_list(principal.get("Service", [])):
            return True
        # Whether the caller is a named account, role or user is not evaluated.
        return self._leave_open("Principal") if "AWS" in principal and service is None else False

    def _holds(self, operator: str, key: str, values: list[Any]) -> bool | None:
        """Whether a condition holds."""
        each, _, bare = operator.rpartition(":")
        bare, if_exists = bare.removesuffix("IfExists"), bare.endswith("IfExists")
        if key.lower() not in self._known:
            return self._leave_open(key)
        actual = self._known[key.lower()]
        if key.lower() in {one.lower() for one in self._request.unknown_in_conditions}:
            return self._leave_open(key)
        if bare == "Null":
            return any((actual is None) is (str(one).lower() == "true") for one in values)
        negative = "Not" in bare
        if isinstance(actual, tuple) and len(actual) > 1 and not each:
            return self._leave_open(f"{operator} on the values of {key}")
        if actual is None or actual == ():
            return each == "ForAllValues" or if_exists or (negative and each != "ForAnyValue")
        found = [self._is_among(bare.replace("Not", ""), one, values) for one in _each(actual)]
        found = [_not(one) for one in found] if negative else found
        return _any(found) if each == "ForAnyValue" else _all(found)

    def _is_among(self, operator: str, actual: str, values: list[Any]) -> bool | None:
        return _any([self._compares(operator, actual, str(one)) for one in values])

    def _compares(self, operator: str, actual: str, expected: str) -> bool | None:
        try:
            match operator:
                case "StringEquals":
                    return actual == self._fill(expected)
                case "StringEqualsIgnoreCase":
                    return actual.lower() == self._fill(expected).lower()
                case "Bool":
                    return actual.lower() == expected.lower()
                case "StringLike" | "ArnEquals" | "ArnLike":
                    return self._fits(expected, actual)
        except KeyError as error:
            return self._leave_open(error.args[0])
        return self._leave_open(operator)

    def _fits(self, pattern: str, text: str) -> bool:
        """Whether a pattern matches a text, with its variables taken literally.

        Raises KeyError when one is not known.
        """
        return fits(pattern, text, self._value_of)

    def _fill(self, text: str) -> str:
        """A text with its variables filled in.

        Raises KeyError when one is not known.
        """
        return fill_variables(text, self._value_of)

    def _value_of(self, variable: str) -> str:
        """Raises KeyError, with the variable, when it is not known."""
        if variable.lower() not in self._known:
            raise KeyError(variable)
        known = self._known[variable.lower()]
        return known if isinstance(known, str) else _ABSENT

    def _leave_open(self, about: str) -> bool | None:
        """Remember what keeps the statement from being decided; None is then the answer."""
        self.unknown.append(about)
        return None


def _each(actual: str | tuple[str, ...]) -> tuple[str, ...]:
    return (actual,) if isinstance(actual, str) else actual


def _any(found: list[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _all(found: list[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True


def _not(found: bool | None) -> bool | None:  # noqa: FBT001 -- it is the one operand
    return None if found is None else not found
