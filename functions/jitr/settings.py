"""Where things are in one account and Region, and how fast to go.

One class for both ends: infra writes `to_environ()` into every function's environment, the functions read it back with
`from_environ()`. A test round-trips it, so no name is typed twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Self

from jitr.errors import Misconfigured
from jitr.frozen import value

_PREFIX = "JITR_"


@value
class Settings:
    """The deployment's values; every one a string or a number, none a secret."""

    fleet: str
    account_id: str
    region: str
    registry_table: str
    crl_bucket: str
    enrollment_table: str
    registrations_queue_url: str
    dead_letter_queue_url: str
    event_bus: str
    activations_per_second: float  # what this account's IoT quotas allow (default quota: 10/s, L-77B523DC)
    max_concurrency: int  # execution environments of `register` at most
    rejections_by_reason: bool = False  # also count rejections by reason; each reason is a paid metric

    def to_environ(self) -> dict[str, str]:
        return {_PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read what `to_environ` wrote.

        Raises Misconfigured, naming the variable, when one is missing or is of another type.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            variable = _PREFIX + field.name.upper()
            if variable not in environ:
                raise Misconfigured(f"environment variable {variable} is not set: deploy again")
            try:
                values[field.name] = _TYPES.get(field.name, str)(environ[variable])
            except ValueError as error:
                raise Misconfigured(f"environment variable {variable} is no number: {environ[variable]!r}") from error
            except KeyError as error:
                raise Misconfigured(f"environment variable {variable} is neither True nor False") from error
        return cls(**values)


def _truth(text: str) -> bool:
    return {"True": True, "False": False}[text]


_TYPES: dict[str, Callable[[str], object]] = {
    "activations_per_second": float,
    "max_concurrency": int,
    "rejections_by_reason": _truth,
}
