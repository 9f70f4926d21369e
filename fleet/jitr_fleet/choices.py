"""What a fleet may choose between for its stacks, beyond what the functions' rules know."""

from enum import StrEnum


class RegisteredBy(StrEnum):
    """Who registers a CA in AWS IoT."""

    JITRCTL = "jitrctl"
    STACK = "stack"


# What to do about the mode of a CA that a stack registered; said where it is refused, and before.
ANOTHER_MODE = (
    'go back to the old mode with registered_by = "jitrctl" in this account, and deploy: the stack lets go of the CA. '
    "Then set the new mode, run `jitrctl ca switch-mode`, and deploy again"
)


class BrakeMode(StrEnum):
    """Whether refusals for a CA's rules are held when there are suddenly many."""

    ON = "on"
    OFF = "off"


class IotLogging(StrEnum):
    """The default log level of AWS IoT in an account and Region."""

    OFF = "off"
    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"
