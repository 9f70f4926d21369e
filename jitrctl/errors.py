"""What ends a command early, and what its user reads.

    JitrctlError
    ├── Unusable        the input, the fleet file or the surroundings cannot be used; nothing was tried
    │   └── AccessError     an account cannot be opened
    │       └── WrongAccount    its credentials are another account's
    ├── Refused         an order cannot be carried out as things are
    └── Interrupted     Ctrl-C; the text says what was done, and what was not

Each text is one sentence that says what to do next.
"""

from __future__ import annotations


class JitrctlError(Exception):
    """Base of everything that a command ends with on purpose."""


class Unusable(JitrctlError):
    """What was given cannot be used; nothing was tried."""


class AccessError(Unusable):
    """An account of the fleet cannot be worked on."""


class WrongAccount(AccessError):
    """The credentials for an account belong to another."""


class Refused(JitrctlError):
    """An order cannot be carried out as things are."""


class Interrupted(JitrctlError):
    """Ctrl-C came; the text says what was done, and what was not."""
