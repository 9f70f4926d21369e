"""Applies an update expression to an item; the new item shares what did not change with the old one."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

from simulation.expressions import Update
from simulation.values import ExpressionScope, Item, PathParts, Value, invalid, number


def apply_update(update: Update, scope: ExpressionScope, key_names: tuple[str, ...]) -> Item:
    """Apply an update to the scope's item; returns the new item.

    Raises ServiceError when paths overlap, the key would change, or a value does not fit.
    """
    resolved = [
        scope.resolve(path)
        for path in (
            *(path for path, _ in update.sets),
            *update.removes,
            *(path for path, _ in update.adds),
            *(path for path, _ in update.deletes),
        )
    ]
    _check_paths(resolved, key_names)
    item: Item = dict(scope.item)
    for path, operand in update.sets:
        value = operand(scope)
        if value is None:
            raise invalid("The provided expression refers to an attribute that does not exist in the item")
        item = _put(item, scope.resolve(path), value)
    for path, name in update.adds:
        item = _put(item, scope.resolve(path), _added(scope.read(path), scope.values[name]))
    for path, name in update.deletes:
        item = _put(item, scope.resolve(path), _without(scope.read(path), scope.values[name]))
    # Last, and from the end of a list, so that a removal does not shift another path's index.
    removes = (scope.resolve(path) for path in update.removes)
    for path in sorted(removes, key=lambda path: [part for part in path if isinstance(part, int)], reverse=True):
        item = _put(item, path, None)
    return item


def _check_paths(paths: list[PathParts], key_names: tuple[str, ...]) -> None:
    for number_, path in enumerate(paths):
        if path[0] in key_names:
            raise invalid(f"Cannot update attribute {path[0]}. This attribute is part of the key")
        for other in paths[number_ + 1 :]:
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                raise invalid("Two document paths overlap with each other")


def _put(item: Item, path: PathParts, value: Value | None) -> Item:
    """A copy of the item with another value (None: removed) at a path; copies the containers along the path."""
    root: dict[str, Any] = {"M": dict(item)}
    container: Any = root["M"]
    for part, following in pairwise(path):
        kind = "L" if isinstance(following, int) else "M"
        try:
            inner = container[part][kind]
        except (KeyError, IndexError, TypeError) as error:
            if value is None:
                return item  # there is nothing to remove
            raise invalid("The document path provided in the update expression is invalid for update") from error
        copy = list(inner) if kind == "L" else dict(inner)
        container[part] = {kind: copy}
        container = copy
    last = path[-1]
    if isinstance(container, list):
        index = int(last)
        container[index : index + 1] = [] if value is None else [value]
    elif value is None:
        container.pop(last, None)
    else:
        container[last] = value
    return dict(root["M"])


def _added(present: Value | None, more: Value) -> Value:
    """ADD: to a number, or to a set."""
    ((kind, content),) = more.items()
    if present is None:
        return more
    if kind == "N" and "N" in present:
        return {"N": str(number(present) + Decimal(content))}
    if kind in ("SS", "NS", "BS") and kind in present:
        return {kind: sorted({*present[kind], *content})}
    raise invalid("An operand in the update expression has an incorrect data type")


def _without(present: Value | None, less: Value) -> Value | None:
    """DELETE: from a set; without members the attribute is removed."""
    ((kind, content),) = less.items()
    if present is None:
        return None
    if kind not in ("SS", "NS", "BS") or kind not in present:
        raise invalid("An operand in the update expression has an incorrect data type")
    left = sorted(set(present[kind]) - set(content))
    return {kind: left} if left else None
