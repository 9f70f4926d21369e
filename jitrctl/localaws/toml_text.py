"""Writes TOML: what `tomllib` reads again as the same document. The standard library has no writer.

For fleet files, so for tables, lists, texts, booleans and numbers. Comments are not kept, as `tomllib` drops them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jitr_fleet.problems import escape_controls

if TYPE_CHECKING:
    from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(document: Mapping[str, Any]) -> str:
    """The document as TOML: a header for each of its tables and for each table of tables in it, the rest in lines."""
    sections = []
    for name, table in document.items():
        if table and all(isinstance(one, dict) for one in table.values()):
            sections += [_section([name, inner], one) for inner, one in table.items()]
        else:
            sections.append(_section([name], table))
    return "\n".join(sections)


def _section(path: list[str], table: Mapping[str, Any]) -> str:
    header = ".".join(map(write_key, path))
    return f"[{header}]\n" + "".join(f"{write_key(name)} = {write_value(one)}\n" for name, one in table.items())


def write_key(name: str) -> str:
    """One part of a key: bare, or quoted where it must be."""
    return name if _BARE.fullmatch(name) else write_value(name)


def write_value(value: object) -> str:
    """One value, in one line.

    Raises TypeError for a date or time, which no key of fleet.toml takes.
    """
    if isinstance(value, str):
        return escape_controls(json.dumps(value, ensure_ascii=False))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(write_value, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{write_key(name)} = {write_value(one)}" for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"{type(value).__name__} is no value of a fleet file")
