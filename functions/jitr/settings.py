"""The deployment's settings in one account and Region: names of resources, and rates.

infra writes `to_environ()` into every function's environment, and the functions read it with `from_environ()`, so no
variable's name is written twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Self

from jitr.errors import Misconfigured
from jitr.frozen import value

_PREFIX = "JITR_"


@value
class Settings:
    """The deployment's values: strings, numbers and booleans; none is secret."""

    fleet: str
    account_id: str
    region: str
    registry_table: str
    crl_bucket: str
    enrollment_table: str
    registrations_queue_url: str
    dead_letter_queue_url: str
    crl_queue_url: str
    event_bus: str
    activations_per_second: float  # within this account's IoT quotas (default quota: 10/s, L-77B523DC)
    max_concurrency: int  # the most execution environments of `register`
    rejections_by_reason: bool = False  # also count rejections per reason; each reason is a paid metric

    def to_environ(self) -> dict[str, str]:
        return {_PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read what `to_environ` wrote.

        Raises Misconfigured with the variable's name when one is missing or of another type.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            variable = _PREFIX + field.name.upper()
            if variable not in environ:
                raise Misconfigured(f"environment variable {variable} is not set: deploy again")
            try:
                values[field.name] = _TYPES.get(field.name, str)(environ[variable])
            except ValueError as error:
                raise Misconfigured(
                    f"environment variable {variable} is not a number: {environ[variable]!r}"
                ) from error
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
