"""The JSON Schemas of what `--json` prints (docs/json), and what a document is held to."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from typer._click.globals import get_current_context

from jitrctl import terminal

FOLDER = Path(__file__).parents[3] / "docs/json"
ENVELOPE = "envelope"
_END = ".schema.json"


def schema_names() -> set[str]:
    """The names of the commands that have a schema: `device show`."""
    return {path.name.removesuffix(_END).replace("-", " ") for path in FOLDER.glob(f"*{_END}")} - {ENVELOPE}


@cache
def read_schemas() -> dict[str, Any]:
    """Every schema, by its file's name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob(f"*{_END}"))}


def file_name(command: str) -> str:
    """The name of a command's schema file; a command's own hyphens are hyphens there too."""
    return f"{command.replace(' ', '-')}{_END}"


def running_command() -> str | None:
    """The command that runs, as `device show`; None outside of one, where a failure is told."""
    context = get_current_context(silent=True)
    return context.command_path.partition(" ")[2] if context else None


def hold_all_to_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold each document that a command prints to its schema, until the test is over."""
    write = terminal.write_document

    def check_and_write(document: Mapping[str, Any]) -> None:
        hold_to_schema(document, running_command())
        write(document)

    monkeypatch.setattr(terminal, "write_document", check_and_write)


def hold_to_schema(document: Mapping[str, Any], command: str | None) -> None:
    """Hold a document to its command's schema; without one, as for a test's own commands, to the envelope alone.

    Raises AssertionError, with each key that the schema does not have, and whatever else does not fit.
    """
    name = file_name(command) if command else ""
    schema = name if name in read_schemas() else file_name(ENVELOPE)
    wrong = list_differences(json.loads(json.dumps(document)), schema)
    if wrong:
        raise AssertionError(
            "\n".join([f"`jitrctl {command or ''} --json` is not as docs/json/{schema} says:", *wrong])
        )


def list_differences(document: Any, schema: str) -> list[str]:
    """What of a document its schema does not allow: keys that it does not have, as `stages/0/colour: "red"`, first."""
    errors = list(_validator(schema).iter_errors(document))
    beyond = {key for error in errors for key in _beyond(error)}
    others = {f"{_path(error)}: {error.message}" for error in errors if error.validator != "additionalProperties"}
    return [*(f"not in the schema: {key}" for key in sorted(beyond)), *sorted(others)]


@cache
def _validator(name: str) -> Draft202012Validator:
    schemas = read_schemas()
    registry = Registry[Any]().with_resources((one, Resource.from_contents(schema)) for one, schema in schemas.items())
    return Draft202012Validator(schemas[name], registry=registry)


def _beyond(error: ValidationError) -> Iterator[str]:
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        for key in error.instance.keys() - known.keys():
            yield f"{_path(error)}/{key}: {json.dumps(error.instance[key])}"


def _path(error: ValidationError) -> str:
    return "/".join(map(str, error.absolute_path)) or "document"
