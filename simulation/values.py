"""Finds, compares and measures DynamoDB values in their JSON form, `{"S": "x"}`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulation.faults import ServiceError

Value = dict[str, Any]
Item = dict[str, Value]
PathParts = tuple[str | int, ...]


def invalid(why: str) -> ServiceError:
    return ServiceError("ValidationException", why)


@dataclass(frozen=True, slots=True)
class ExpressionScope:
    """An item, and the names and values of an expression's placeholders."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Value]

    def resolve(self, parts: PathParts) -> PathParts:
        return tuple(self.names[part] if isinstance(part, str) and part[0] == "#" else part for part in parts)

    def read(self, parts: PathParts) -> Value | None:
        """The value at a document path; None if there is none."""
        value: Any = {"M": self.item}
        for part in self.resolve(parts):
            container = value.get("L" if isinstance(part, int) else "M")
            try:
                value = container[part]
            except (TypeError, KeyError, IndexError):
                return None
        found: Value = value
        return found


def number(value: Value) -> Decimal:
    return Decimal(value["N"])


def equal(one: Value | None, other: Value | None) -> bool:
    """Equality of type and value; numbers by their value, sets without order."""
    if one is None or other is None or one.keys() != other.keys():
        return False
    ((kind, left),), right = one.items(), next(iter(other.values()))
    match kind:
        case "N":
            return Decimal(left) == Decimal(right)
        case "SS" | "NS" | "BS":
            members = Decimal if kind == "NS" else str
            return {members(entry) for entry in left} == {members(entry) for entry in right}
        case "L":
            return len(left) == len(right) and all(map(equal, left, right))
        case "M":
            return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
        case _:
            return bool(left == right)


def order(value: Value) -> Any:
    """The sort key of values of one type: numbers by value, strings and binaries by their bytes."""
    ((kind, content),) = value.items()
    return Decimal(content) if kind == "N" else content.encode()


def _ordered(one: Value | None, other: Value | None, holds: Callable[[Any, Any], bool]) -> bool:
    if one is None or other is None or one.keys() != other.keys() or not one.keys() <= {"S", "N", "B"}:
        return False
    return holds(order(one), order(other))


# A missing attribute is less than, equal to and greater than nothing; it differs from everything.
COMPARISONS: Mapping[str, Callable[[Value | None, Value | None], bool]] = {
    "=": equal,
    "<>": lambda one, other: not equal(one, other),
    "<": lambda one, other: _ordered(one, other, lambda a, b: a < b),
    "<=": lambda one, other: _ordered(one, other, lambda a, b: a <= b),
    ">": lambda one, other: _ordered(one, other, lambda a, b: a > b),
    ">=": lambda one, other: _ordered(one, other, lambda a, b: a >= b),
}


def _begins_with(value: Value | None, prefix: Value | None) -> bool:
    return bool(value and prefix and "S" in value and "S" in prefix and value["S"].startswith(prefix["S"]))


def _contains(value: Value | None, wanted: Value | None) -> bool:
    if value is None or wanted is None:
        return False
    ((kind, content),) = value.items()
    if kind == "S":
        return "S" in wanted and wanted["S"] in content
    if kind == "L":
        return any(equal(entry, wanted) for entry in content)
    return kind in ("SS", "NS", "BS") and any(equal({kind[0]: entry}, wanted) for entry in content)


def size(value: Value | None) -> Value | None:
    if value is None or not value.keys() <= {"S", "B", "SS", "NS", "BS", "L", "M"}:
        return None
    content = next(iter(value.values()))
    return {"N": str(len(content.encode()) if "S" in value else len(content))}


FUNCTIONS: Mapping[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "attribute_type": lambda value, kind: value is not None and kind["S"] in value,
    "begins_with": _begins_with,
    "contains": _contains,
}
