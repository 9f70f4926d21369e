"""The enumerations of fleet.toml that only the deployment needs; those of the functions are in jitr.rules."""

from enum import StrEnum


class RegisteredBy(StrEnum):
    """Who registers a CA in AWS IoT."""

    JITRCTL = "jitrctl"
    STACK = "stack"


# The cure for a changed mode of a CA that a stack registered; in the refusal by CloudFormation and by jitrctl.
ANOTHER_MODE = (
    'go back to the old mode with registered_by = "jitrctl" in this account, and deploy: the stack gives up the CA, '
    "which stays registered. Then set the new mode, run `jitrctl ca switch-mode`, and deploy again"
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
