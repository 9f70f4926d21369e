"""A call to the AWS IoT control plane: its turn before it, and what its error means.

Errors are sorted into those of errors.py: Unavailable if a retry can succeed, NotPermitted (also an Unavailable) for a
missing permission, Rejected for an answer about the device. Any other error stays botocore's ClientError, whose text
names the action.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from jitr.aws.calls import attempts_of, calling
from jitr.aws.rate_limit import Pace
from jitr.errors import Reason, Rejected

# The APIs at 10 to 15 calls/s (Service Quotas L-FC864907, L-E72BB356, L-CA7D4E3E, L-77B523DC, L-FC3EF4D9, L-C481616A);
# the rest allow 100.
_PACED = frozenset(
    {
        "DescribeCertificate",
        "DescribeCACertificate",
        "AttachPolicy",
        "DetachPolicy",
        "UpdateCertificate",
        "ListThingPrincipals",
        "ListAttachedPolicies",
        "ListPrincipalThings",
        "ListCertificates",
        "ListCertificatesByCA",
    }
)

# Those of them that every activation needs; they limit the rate.
_SCARCE = frozenset({"DescribeCertificate", "UpdateCertificate"})

# Errors of a step's call that no retry can cure.
_REFUSALS = {
    "LimitExceededException": Reason.LIMIT_EXCEEDED,
    "InvalidRequestException": Reason.REQUEST_REFUSED,
    "ResourceNotFoundException": Reason.TARGET_MISSING,
}


class _ThreadState(threading.local):
    """State of one thread."""

    def __init__(self) -> None:
        self.turns: set[str] = set()  # operations whose turn was taken ahead of the call


class IotCalls:
    """The turns of AWS IoT's calls in one account and Region; safe for threads."""

    def __init__(self, pacer: Pace) -> None:
        self._pacer = pacer
        self._thread = _ThreadState()

    def take_turn(self, operation: str) -> None:
        """Wait for the turn of this thread's next call of an operation, unless it was taken already.

        Raises Unavailable.
        """
        if operation not in self._thread.turns:
            self._pacer.wait(operation)
            self._thread.turns.add(operation)

    def note(self, answer: Mapping[str, Any]) -> None:
        """Tell the pacer how many attempts an answer took, and how many of them were throttled."""
        self._pacer.note(*attempts_of(answer))

    @contextmanager
    def make(self, operation: str) -> Iterator[None]:
        """Wait for the turn of one call, and sort its errors."""
        if operation in _PACED:
            self.take_turn(operation)
            self._thread.turns.discard(operation)
        with calling(operation):
            try:
                yield
            except ClientError as error:
                if operation in _SCARCE:
                    self.note(error.response)
                raise

    @contextmanager
    def make_step(self, operation: str, *, missing: str = "what it names") -> Iterator[None]:
        """A call of a step; refusals become Rejected, and `missing` names what may not exist."""
        try:
            with self.make(operation):
                yield
        except ClientError as error:
            reason = _REFUSALS.get(error.response["Error"]["Code"])
            if reason is None:
                raise
            message = error.response["Error"].get("Message", "no message")
            if reason is Reason.TARGET_MISSING:
                message = f"{missing} is missing, or the certificate is"
            raise Rejected(reason, f"{operation}: {message}") from error
