"""What a fleet may choose between for its stacks, beyond what the functions' rules know."""

from enum import StrEnum


class RegisteredBy(StrEnum):
    """Who registers a CA in AWS IoT."""

    JITRCTL = "jitrctl"
    STACK = "stack"


class IotLogging(StrEnum):
    """The default log level of AWS IoT in an account and Region."""

    OFF = "off"
    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"
