"""What cryptography raises for damaged X.509, in one place and under one name."""

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

# What it raises while it reads damage, found by fuzzing (tests/unit/test_damage.py). Everything else is a failure of
# ours or of the machine, MemoryError, RecursionError and AttributeError among them, and says nothing of a certificate.
_RAISED = (
    ValueError,
    TypeError,  # a value of the wrong type goes into one of its own constructors
    OverflowError,  # a number or a time that Python's types do not hold
    UnsupportedAlgorithm,
    DuplicateExtension,
    ExtensionNotFound,
    AttributeNotFound,
    InvalidVersion,
    UnsupportedGeneralNameType,
)


class Damaged(Exception):
    """Something cannot be read; the text is one line."""


def call_cryptography(read: Callable[[], _Read]) -> _Read:
    """Have cryptography read something.

    What it raises for damage is documented for few functions, and is of five classes and more; its Rust part panics
    with a BaseException of its own. All of that says the same here. Its warnings, of odd lengths and numbers that are
    no positive integers, would be nobody's to read.

    Raises Damaged; what is no damage, as it came.
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
    """Its first line, as far as it can be shown: what cryptography says may quote the certificate."""
    line = (str(error).splitlines() or [""])[0].encode("ascii", "backslashreplace").decode()
    return "".join(filter(str.isprintable, line))[:200] or type(error).__name__
