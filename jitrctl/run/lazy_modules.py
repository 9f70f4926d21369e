"""Defines of a module only the names that are looked up: a command's help needs its signature, not what it calls.

The module of a command imports what the command calls, botocore and cryptography with it: half a second. Here each name
is defined when it is first looked up, by the one statement of the source that defines it. Names in the body of a
function are looked up when it runs, which it does not for the help.

A module can be read so when each of its names is defined once, by a statement that is not inside another one.
"""

from __future__ import annotations
import __future__

import ast
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = ("jitrctl", "jitr", "jitr_fleet")


def find_name(module: str, name: str) -> Any:
    """What a module has under a name, a module below it included.

    Raises NameError when there is none.
    """
    try:
        return _names_of(module)[name]
    except KeyError:
        if find_spec(f"{module}.{name}"):
            return _Module(f"{module}.{name}")
        raise NameError(f"{module} defines no {name}") from None


@cache
def read_source(module: str) -> ast.Module:
    """The syntax tree of a module; its source is read, and not run."""
    found = find_spec(module)
    return ast.parse(found.loader.get_source(module) if found and found.loader else "")  # type: ignore[attr-defined]


class _Module:
    """Stands for a module of ours that is not imported."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return find_name(self._name, name)


class _Names(dict[str, Any]):
    """The global names of a module. Python asks a mapping that is no plain dict for each, and so `__missing__`."""

    def __init__(self, module: str) -> None:
        super().__init__(__name__=__name__)  # dataclasses look up the module of a class, which has to be imported
        self._module = module
        self._defining = {name: one for one in read_source(module).body for name in _defined_by(one)}

    def __missing__(self, name: str) -> Any:
        """Raises KeyError for names that the module does not define; of those, Python knows some itself."""
        statement = self._defining[name]
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] in _OURS:
            (original,) = (one.name for one in statement.names if (one.asname or one.name) == name)
            self[name] = find_name(statement.module or "", original)
        else:
            if isinstance(statement, ast.FunctionDef):  # whose annotations some look up in a way that asks no mapping
                self._define_all(statement.args)
            flags = __future__.annotations.compiler_flag
            code = compile(ast.Module([statement], []), self._module, "exec", flags, dont_inherit=True)
            exec(code, self, self)  # noqa: S102 -- our own source, as `import` would run it
        return self[name]

    def _define_all(self, node: ast.AST) -> None:
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and one.id in self._defining:
                self[one.id]


@cache
def _names_of(module: str) -> _Names:
    return _Names(module)


def _defined_by(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module defines."""
    match statement:
        case ast.ImportFrom(names=names) | ast.Import(names=names):
            yield from ((one.asname or one.name).partition(".")[0] for one in names)
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
