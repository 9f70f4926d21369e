"""Gives the present time; tests replace `now` in its callers."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
