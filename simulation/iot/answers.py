"""Makes the answers that AWS IoT's operations share: two errors, and pages of lists."""

from collections.abc import Sequence
from typing import Any

from simulation.faults import ServiceError


def missing(what: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"{what} does not exist")


def invalid(why: str) -> ServiceError:
    return ServiceError("InvalidRequestException", why)


_MOST_PER_PAGE, _DEFAULT_PER_PAGE = 250, 25  # aws-facts §7


def page(everything: Sequence[Any], params: dict[str, Any], *, size: str, token: str) -> tuple[list[Any], str | None]:
    """One page of a list, and the next page's token: a position, so nothing may be deleted between two pages."""
    wanted = page_size(params, size)
    start = int(params.get(token) or 0)
    end = start + wanted
    return list(everything[start:end]), str(end) if end < len(everything) else None


def page_size(params: dict[str, Any], name: str) -> int:
    wanted = int(params.get(name, _DEFAULT_PER_PAGE))
    if not 1 <= wanted <= _MOST_PER_PAGE:
        raise invalid(f"{name} must be between 1 and {_MOST_PER_PAGE}")
    return wanted
