"""Converts values as botocore's validation, serializer and parser do, without the bytes between them.

botocore reads the service's model for every member of every value: to check it, to make JSON of it, and again to parse
the answer. Here each shape becomes one function, once. A value that such a function does not know is Odd, and goes
through botocore; so botocore itself reports what is wrong. test_short_way.py compares the two.
"""

from base64 import b64decode
from calendar import timegm
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.utils import is_json_value_header, parse_timestamp

if TYPE_CHECKING:
    from botocore.model import OperationModel

Convert = Callable[[Any], Any]
_Memo = dict[tuple[str, str], Convert]


class Odd(Exception):
    """A value that only botocore can convert."""


def request(model: "OperationModel") -> Convert | None:
    """Converts an operation's parameters from botocore's form to the service's; None if that is not simple."""
    shape: Any = model.input_shape
    if shape is None:
        return None
    has_locations = model.service_model.resolved_protocol == "rest-json"
    if shape.serialization.get("payload"):
        return None
    members: dict[str, tuple[str, Convert]] = {}
    memo: _Memo = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location") if has_locations else None
        if location in ("uri", "querystring", "header"):
            members[name] = name, _in_text(member, is_path=location == "uri")
        elif location:
            return None
        else:
            members[name] = member.serialization.get("name", name), _sent(member, memo)
    return _structure_sent(shape, members)


def answer(model: "OperationModel") -> Convert | None:
    """Converts a service's answer to botocore's result, without metadata; None if that is not simple."""
    shape: Any = model.output_shape
    if shape is None:
        return lambda _: {}
    members = shape.members.values()
    if shape.serialization.get("payload") or any(member.serialization.get("location") for member in members):
        return None
    return _received(shape, {}, strict=model.service_model.resolved_protocol == "rest-json")


# Parameters


def _sent(shape: Any, memo: _Memo) -> Convert:
    key = shape.name, repr((shape.metadata, shape.serialization))
    if key not in memo:
        memo[key] = _later(memo, key)
        make = _odd_shape if is_json_value_header(shape) else _SENT.get(shape.type_name, _odd_shape)
        memo[key] = make(shape, memo)
    return memo[key]


def _later(memo: _Memo, key: tuple[str, str]) -> Convert:
    """The conversion of a shape that contains itself, while it is being made."""

    def convert(value: Any) -> Any:
        return memo[key](value)

    return convert


def _odd_shape(_shape: Any, _memo: _Memo) -> Convert:
    return _odd


def _odd(_: Any) -> Any:
    raise Odd


def _shape_sent(shape: Any, memo: _Memo) -> Convert:
    if shape.is_document_type:
        return _odd
    members = {
        name: (member.serialization.get("name", name), _sent(member, memo)) for name, member in shape.members.items()
    }
    return _structure_sent(shape, members)


def _structure_sent(shape: Any, members: dict[str, tuple[str, Convert]]) -> Convert:
    required, is_union = tuple(shape.metadata.get("required", ())), shape.is_tagged_union

    def convert(value: Any) -> Any:
        if not isinstance(value, dict) or (is_union and len(value) != 1):
            raise Odd
        if len(value) == 1 and not required:  # DynamoDB's values again
            ((name, member),) = value.items()
            if name not in members:
                raise Odd
            wire_name, to_wire = members[name]
            return {wire_name: to_wire(member)}
        for name in required:
            if name not in value:
                raise Odd
        sent = {}
        for name, member in value.items():
            if name not in members:
                raise Odd
            wire_name, to_wire = members[name]
            sent[wire_name] = to_wire(member)
        return sent

    return convert


def _map_sent(key_sent: Convert, value_sent: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Odd
        return {key_sent(key): value_sent(member) for key, member in value.items()}

    return convert


def _list_sent(shape: Any, member_sent: Convert) -> Convert:
    least = shape.metadata.get("min", 0)

    def convert(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) < least:
            raise Odd
        return [member_sent(member) for member in value]

    return convert


def _text_sent(least: int) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is str and len(value) >= least:
            return value
        if not isinstance(value, str) or len(value) < least:
            raise Odd
        return str.__str__(value)  # an enumeration's is text on the wire

    return convert


def _number_sent(least: float) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not int or value < least:
            raise Odd
        return value

    return convert


def _truth_sent(value: Any) -> Any:
    if type(value) is not bool:
        raise Odd
    return value


def _moment_sent(value: Any) -> Any:
    if type(value) is not datetime or value.tzinfo is not UTC:
        raise Odd
    seconds = timegm(value.timetuple())
    return (seconds * 10**6 + value.microsecond) / 10**6 if value.microsecond else seconds


def _as_moment_is_sent(shape: Any, _memo: _Memo) -> Convert:
    """A time is a number of seconds in both protocols, unless the model says otherwise."""
    return _odd if "timestampFormat" in shape.serialization else _moment_sent


_SENT: dict[str, Callable[[Any, _Memo], Convert]] = {
    "structure": _shape_sent,
    "map": lambda shape, memo: _map_sent(_sent(shape.key, memo), _sent(shape.value, memo)),
    "list": lambda shape, memo: _list_sent(shape, _sent(shape.member, memo)),
    "string": lambda shape, _: _text_sent(shape.metadata.get("min", 0)),
    "integer": lambda shape, _: _number_sent(shape.metadata.get("min", float("-inf"))),
    "long": lambda shape, _: _number_sent(shape.metadata.get("min", float("-inf"))),
    "boolean": lambda _, __: _truth_sent,
    "timestamp": _as_moment_is_sent,
}  # what is not here is odd


def _in_text(shape: Any, *, is_path: bool) -> Convert:
    """A member in the path, the query or a header, where it is text."""
    match shape.type_name:
        case "string":
            return _text_sent(max(shape.metadata.get("min", 0), 1 if is_path else 0))
        case "integer" | "long" if not is_path:
            return _number_sent(shape.metadata.get("min", float("-inf")))
        case "boolean" if not is_path:
            return _truth_sent
    return _odd


# Answers


def _received(shape: Any, memo: _Memo, *, strict: bool) -> Convert:
    """`strict`: whether botocore converts to float what the model declares as float."""
    key = shape.name, repr(shape.serialization)
    if key in memo:
        return memo[key]
    memo[key] = _later(memo, key)
    if is_json_value_header(shape):
        made: Convert = _odd
    elif shape.type_name == "structure":
        made = _shape_received(shape, memo, strict=strict)
    elif shape.type_name == "map":
        made = _map_received(_received(shape.value, memo, strict=strict))
    elif shape.type_name == "list":
        made = _list_received(_received(shape.member, memo, strict=strict))
    elif shape.type_name in ("float", "double") and not strict:
        made = _plain_received
    else:
        made = _SCALARS_RECEIVED.get(shape.type_name, _plain_received)
    memo[key] = made
    return made


def _shape_received(shape: Any, memo: _Memo, *, strict: bool) -> Convert:
    if shape.is_document_type:
        return _odd
    members = [
        (member.serialization.get("name", name), name, _received(member, memo, strict=strict))
        for name, member in shape.members.items()
    ]
    return _union_received(members) if shape.is_tagged_union else _structure_received(members)


def _structure_received(members: list[tuple[str, str, Convert]]) -> Convert:
    known = {wire_name: (name, from_wire) for wire_name, name, from_wire in members}

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise Odd
        if len(value) == 1:  # DynamoDB's values have one of ten members, and are most of what there is
            ((wire_name, member),) = value.items()
            if member is None or wire_name not in known:
                return {}
            name, from_wire = known[wire_name]
            return {name: from_wire(member)}
        received = {}
        for wire_name, name, from_wire in members:
            member = value.get(wire_name)
            if member is not None:
                received[name] = from_wire(member)
        return received

    return convert


def _union_received(members: list[tuple[str, str, Convert]]) -> Convert:
    known = {wire_name: (name, from_wire) for wire_name, name, from_wire in members}

    def convert(value: Any) -> Any:
        if type(value) is not dict or len(value) != 1:
            raise Odd
        ((wire_name, member),) = value.items()
        if member is None or wire_name not in known:
            raise Odd
        name, from_wire = known[wire_name]
        return {name: from_wire(member)}

    return convert


def _map_received(value_received: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise Odd
        return {_plain_received(key): value_received(member) for key, member in value.items()}

    return convert


def _list_received(member_received: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise Odd
        return [None if member is None else member_received(member) for member in value]

    return convert


_PLAIN = frozenset((str, int, bool, float))


def _plain_received(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    raise Odd


def _fraction_received(value: Any) -> Any:
    if type(value) not in (int, float):
        raise Odd
    return float(value)


def _moment_received(value: Any) -> Any:
    seconds: Any = epoch(value) if isinstance(value, datetime) else _plain_received(value)
    return _parse_moment(seconds)


@lru_cache(maxsize=4096)
def _parse_moment(seconds: float | str) -> datetime:
    """As botocore parses a time; worlds begin at the same time, and so most times have been parsed before."""
    parsed: datetime = parse_timestamp(seconds)  # type: ignore[arg-type]  # it takes a number too
    return parsed


def epoch(moment: datetime) -> float:
    """A time as epoch seconds, as both protocols send it; AWS IoT and CloudWatch use milliseconds at most."""
    return round(moment.timestamp(), 3)


def _bytes_received(value: Any) -> Any:
    if not isinstance(value, str):
        raise Odd
    return b64decode(value)


_SCALARS_RECEIVED: dict[str, Convert] = {
    "timestamp": _moment_received,
    "blob": _bytes_received,
    "float": _fraction_received,
    "double": _fraction_received,
}
