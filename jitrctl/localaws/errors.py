"""Defines the error of the local AWS, with the message that the user reads."""

from __future__ import annotations


class LocalAwsError(Exception):
    """The local AWS cannot do what was asked; the message says what to do."""
