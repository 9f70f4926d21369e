"""`@value` is what the standard library's frozen dataclass is, but for what it costs."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, InitVar, asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from jitr.frozen import value


@value
class Reading:
    """A value with a field of each kind."""

    name: str
    degrees: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    seen_by: str | None = field(default=None, compare=False, repr=False)

    @property
    def is_hot(self) -> bool:
        return self.degrees > 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """The same, by the standard library."""

    name: str
    degrees: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    seen_by: str | None = field(default=None, compare=False, repr=False)


@value
class Other:
    """Another class with a field of the same name."""

    name: str


def test_fields_and_defaults_are_those_of_a_dataclass() -> None:
    reading = Reading(name="a")
    assert asdict(reading) == asdict(Usual(name="a"))
    assert [one.name for one in fields(reading)] == [one.name for one in fields(Usual)]
    assert reading.tags is not Reading(name="a").tags


def test_an_argument_that_lacks_or_is_too_much_is_named() -> None:
    with pytest.raises(TypeError, match="Reading needs name"):
        Reading()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Reading has no colour"):
        Reading(name="a", colour="b")  # type: ignore[call-arg]


def test_nothing_is_set_or_deleted_afterwards() -> None:
    reading = Reading(name="a")
    with pytest.raises(FrozenInstanceError):
        reading.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        reading.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        del reading.name
    assert not hasattr(reading, "__dict__")


def test_equality_and_hash_are_of_the_class_and_its_compared_fields() -> None:
    one, same = Reading(name="a", seen_by="x"), Reading(name="a", seen_by="y")
    assert one == same
    assert one != Reading(name="b")
    others: list[object] = [Usual(name="a"), Other(name="a")]
    assert one not in others
    assert hash(Other(name="a")) == hash(Other(name="a"))
    assert {Other(name="a"), Other(name="a")} == {Other(name="a")}


def test_a_value_equals_itself_even_if_a_field_does_not() -> None:
    nothing = float("nan")
    assert Reading(name="a", degrees=nothing) == Reading(name="a", degrees=nothing)


@pytest.mark.parametrize(
    ("of_its_own", "annotated"),
    [
        ({"__post_init__": lambda _: None}, {}),
        ({}, {"limit": ClassVar[int]}),
        ({}, {"given": InitVar[int]}),
        ({"counted": field(init=False)}, {"counted": int}),
        ({"counted": field(hash=False)}, {"counted": int}),
    ],
    ids=["post_init", "ClassVar", "InitVar", "init", "hash"],
)
def test_what_only_the_library_knows_is_refused_when_the_class_is_defined(
    of_its_own: dict[str, Any], annotated: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="Odd uses what only"):
        value(type("Odd", (), {"__annotations__": {"name": str} | annotated, **of_its_own}))


def test_what_it_prints_is_what_a_dataclass_prints() -> None:
    assert repr(Reading(name="a", seen_by="x")) == repr(Usual(name="a", seen_by="x")).replace("Usual", "Reading")


def test_replace_makes_another_one_and_keeps_methods() -> None:
    reading = Reading(name="a", degrees=20)
    hot = replace(reading, degrees=40)
    assert (reading.is_hot, hot.is_hot) == (False, True)
    assert hot.name == "a"


def test_copies_and_pickles_are_equal() -> None:
    reading = Reading(name="a", tags={"b": "c"}, seen_by="x")
    assert copy.deepcopy(reading) == reading
    assert copy.copy(reading).seen_by == "x"
    assert pickle.loads(pickle.dumps(Other(name="a"))) == Other(name="a")  # noqa: S301 -- made one line above
