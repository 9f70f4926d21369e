"""`@value`: frozen, slotted, keyword-only dataclasses that take a tenth of the time to define.

The standard library generates the methods of every dataclass as source, and compiles it at each import: half of the
time that jitr's own modules take in a cold start (bench/coldstart.py, docs/decisions/0007-value.md). Here all classes
share the same methods. The library's functions for dataclasses (`replace`, `asdict`, `fields`) work on them.
"""

import dataclasses
import functools
from typing import Any, Never, TypeVar, dataclass_transform

_T = TypeVar("_T")


class _Frozen:
    """The methods of all values, over each class's fields."""

    __dataclass_fields__: dict[str, dataclasses.Field[Any]]

    def __init__(self, **given: Any) -> None:
        for name, field in self.__dataclass_fields__.items():
            if name in given:
                part = given.pop(name)
            elif field.default is not dataclasses.MISSING:
                part = field.default
            elif field.default_factory is not dataclasses.MISSING:
                part = field.default_factory()
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
            object.__setattr__(self, name, part)
        if given:
            raise TypeError(f"{type(self).__name__} has no {', '.join(given)}")

    def __setattr__(self, name: str, _: object) -> Never:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> Never:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __repr__(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name, field in self.__dataclass_fields__.items() if field.repr]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and unpickled by the constructor, since a frozen value's fields cannot be set afterwards.
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return functools.partial(type(self), **given), ()


def _compared(one: Any) -> tuple[Any, ...]:
    return tuple(getattr(one, name) for name, field in one.__dataclass_fields__.items() if field.compare)


_METHODS = ("__init__", "__setattr__", "__delattr__", "__eq__", "__hash__", "__repr__", "__reduce__")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def value(cls: type[_T]) -> type[_T]:
    """Make of a class what `dataclasses.dataclass(frozen=True, slots=True, kw_only=True)` makes of it.

    Raises TypeError for what these methods do not support: `__post_init__`, ClassVar, InitVar, and fields with their
    own `init` or `hash`.
    """
    defined = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=True)(cls)
    plain = [field for field in dataclasses.fields(defined) if field.init and field.hash is None]  # type: ignore[arg-type]
    if hasattr(cls, "__post_init__") or len(plain) < len(defined.__dataclass_fields__):  # type: ignore[attr-defined]
        raise TypeError(f"{cls.__name__} uses what only the standard library's dataclasses support")
    for name in _METHODS:
        if name not in vars(cls):
            setattr(defined, name, vars(_Frozen)[name])
    return defined
