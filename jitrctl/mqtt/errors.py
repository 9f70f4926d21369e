"""Defines the errors of a device's connection, with the messages that the user reads.

MqttError                     one plain sentence, and what to do
└── NotAcceptedError          a device was not accepted in time; holds the attempts
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.errors import JitrctlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.mqtt.client import ConnectAttempt


class MqttError(JitrctlError):
    """A device cannot connect; the message says what to do."""


class NotAcceptedError(MqttError):
    """Every attempt of a device to connect was refused."""

    def __init__(self, message: str, attempts: Sequence[ConnectAttempt]) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)
