"""What can go wrong with the local AWS, and what its user reads.

LocalAwsError                 one plain sentence, and what to do
└── NotAcceptedError          a device was refused until its patience ended; holds the attempts
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.local.device import Attempt


class LocalAwsError(Exception):
    """The local AWS, or a device of it, cannot do what was asked; the message says what to do."""


class NotAcceptedError(LocalAwsError):
    """Every attempt of a device to connect was refused."""

    def __init__(self, message: str, attempts: Sequence[Attempt]) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)
