"""Turns everything that cryptography raises for damaged X.509 into one exception, Damaged."""

import warnings
from collections.abc import Callable
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import (
    AttributeNotFound,
    DuplicateExtension,
    ExtensionNotFound,
    InvalidVersion,
    UnsupportedGeneralNameType,
)

_Read = TypeVar("_Read")

# What cryptography raises for damage, found by fuzzing (tests/unit/test_fuzz.py). All other exceptions are errors of
# jitr or of the machine (MemoryError, RecursionError, AttributeError …), and say nothing about a certificate.
_RAISED = (
    ValueError,
    TypeError,  # from its own constructors, for a value of the wrong type
    OverflowError,  # a number or a time that Python's types cannot hold
    UnsupportedAlgorithm,
    DuplicateExtension,
    ExtensionNotFound,
    AttributeNotFound,
    InvalidVersion,
    UnsupportedGeneralNameType,
)


class Damaged(Exception):
    """Something cannot be read; the text says why in one line."""


def call_cryptography(read: Callable[[], _Read]) -> _Read:
    """Call cryptography, without its warnings.

    For damage it raises many classes, documented for few functions; its Rust part panics with a BaseException. Its
    warnings, about odd lengths and numbers that are not positive, help no reader of a function's log.

    Raises Damaged; all other exceptions pass through.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except _RAISED as error:
        raise Damaged(first_line(error)) from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise Damaged(first_line(error)) from error


def first_line(error: BaseException) -> str:
    """The error's first line, in printable ASCII: cryptography's messages may quote the certificate."""
    line = (str(error).splitlines() or [""])[0].encode("ascii", "backslashreplace").decode()
    return "".join(filter(str.isprintable, line))[:200] or type(error).__name__
