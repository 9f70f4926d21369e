"""What can go wrong with the local AWS, and what its user reads."""

from __future__ import annotations


class LocalAwsError(Exception):
    """The local AWS cannot do what was asked; the message says what to do."""
