"""Reads the undocumented switches from a run of `jitrctl prove` on AWS (docs/measured/README.md).

A file that is not a run on AWS is refused: a switch that is set from the local AWS would make the simulation easier
without a measurement.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from simulation.place import Undocumented

FORMAT = 1


class NotMeasured(Exception):
    """The file is no measurement of AWS; the text says why."""


def read(path: Path) -> Undocumented:
    """The switches as a run found them; those that it did not measure keep their defaults.

    Raises NotMeasured.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number, on_aws, switches = document["format"], document["on_aws"], document["switches"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotMeasured(f"{path} is no output of `jitrctl prove --json` ({error!r})") from error
    if number != FORMAT:
        raise NotMeasured(f"{path} has format {number}, and {FORMAT} is read")
    if on_aws is not True:
        raise NotMeasured(f"{path} was not found on AWS")
    return Undocumented(**{name: _checked(path, name, value) for name, value in switches.items()})


def _checked(path: Path, name: str, value: Any) -> Any:
    """The value, if it has the switch's type.

    Raises NotMeasured.
    """
    kinds = {field.name: type(getattr(Undocumented(), field.name)) for field in fields(Undocumented)}
    if name not in kinds:
        raise NotMeasured(f"{path} sets {name}, and the simulation has no such switch")
    if kinds[name] is float and isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if kinds[name] is bool and isinstance(value, bool):
        return value
    raise NotMeasured(f"{path} sets {name} to {value!r}, which is no {kinds[name].__name__}")
