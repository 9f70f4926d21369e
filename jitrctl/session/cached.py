"""Defines `kept`, a cached property without a lock, for stages that are worked on in parallel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class kept(Generic[T]):  # noqa: N801 -- a decorator, as functools.cached_property is
    """functools.cached_property without its lock.

    In Python 3.11 all instances share that lock (https://github.com/python/cpython/issues/87634): stages would be
    worked on one after the other. An object with such properties is for one thread at a time, and needs no lock.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: Any, owner: type | None = None) -> T | Self:
        if instance is None:
            return self
        value: T = self._make(instance)
        instance.__dict__[self._name] = value  # found before this descriptor at the next access
        return value
