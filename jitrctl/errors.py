"""Defines the errors that end a command, with the messages that its user reads.

    JitrctlError
    ├── Unusable        the input, the fleet file or the environment cannot be used; nothing was tried
    │   ├── AccessError     an account cannot be opened
    │   │   └── WrongAccount    its credentials are another account's
    │   └── Declined        the question before a change was answered with no
    ├── Refused         an order cannot be carried out in the present state
    │   └── OperatingError  an order on one device, in one stage
    └── Interrupted     Ctrl-C; the message says what was done, and what was not

Each message is one sentence that says what to do next.
"""

from __future__ import annotations


class JitrctlError(Exception):
    """Base of the expected errors that end a command."""


class Unusable(JitrctlError):
    """The input or the environment cannot be used; nothing was tried."""


class AccessError(Unusable):
    """An account of the fleet cannot be opened."""


class WrongAccount(AccessError):
    """The credentials for an account belong to another."""


class Declined(Unusable):
    """The question before a change was answered with no."""


class Refused(JitrctlError):
    """An order cannot be carried out in the present state."""


class OperatingError(Refused):
    """An operator's order on a device cannot be carried out; the message says what to do."""


class Interrupted(JitrctlError):
    """Ctrl-C; the message says what was done, and what was not."""
