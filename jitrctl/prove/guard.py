"""Guards the calls of probes: counts them, repeats throttled ones, and sends no change of what the journal lacks.

A probe's client looks like boto3's. A call that makes, changes or deletes something is sent only if the journal has
each thing that its parameters name, in that account and Region; otherwise NotOurs is raised. So a mistake in a probe
cannot change what was in the account before.
"""

from __future__ import annotations

import ssl
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import ClientError

from jitrctl.errors import JitrctlError
from jitrctl.prove.operations import OPERATIONS, By
from jitrctl.session.aws_errors import THROTTLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitrctl.prove.journal import Journal
    from jitrctl.prove.operations import CallTarget, Operation

# Seconds before each further attempt, after the client's own: other programs may use up the quota.
_PAUSES = (2.0, 5.0, 10.0)
_BY_METHOD = {(service, xform_name(name)): one for (service, name), one in OPERATIONS.items()}


class NotOurs(JitrctlError):
    """A call was not sent, since it would change what the journal does not name."""


@dataclass(kw_only=True)
class Guard:
    """One account in one Region under one journal."""

    account: str
    region: str
    journal: Journal
    sleep: Callable[[float], None]
    calls: Counter[str] = field(default_factory=Counter)  # attempts, by IAM action

    def client(self, service: str, client: Any, *, repeats: bool = True) -> Any:
        """The boto3 client, guarded; `repeats` says whether throttled calls are repeated."""
        return _Guarded(self, service, client, repeats=repeats)

    def call(self, service: str, client: Any, method: str, parameters: dict[str, Any], *, repeats: bool) -> Any:
        """Send one call.

        Raises NotOurs; botocore's errors.
        """
        operation = _BY_METHOD.get((service, method))
        if operation is None:
            raise NotOurs(f"{service} {method} is not among the calls of `jitrctl prove`; it was not sent")
        for target in operation.targets:
            if not self._is_ours(target, parameters[target.parameter]):
                raise NotOurs(self._refusal(operation, target, parameters))
        for pause in (*(_PAUSES if repeats else ()), None):
            self.calls[operation.action] += 1
            try:
                return getattr(client, method)(**parameters)
            except ClientError as error:
                if pause is None or error.response["Error"].get("Code") not in THROTTLED:
                    raise
                self.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _is_ours(self, target: CallTarget, value: str) -> bool:
        if target.by is By.CLIENT:
            return value.startswith(self.journal.run)
        ours = [
            entry
            for entry in self.journal.entries
            if (entry.account, entry.region, entry.kind) == (self.account, self.region, target.kind)
        ]
        match target.by:
            case By.NAME:
                return any(entry.name == value for entry in ours)
            case By.URL:
                return value.rpartition("/")[2] in {entry.name for entry in ours}
            case By.PEM:
                return any(entry.pem is not None and same_certificate(entry.pem, value) for entry in ours)
            case By.ARN:
                head, _, certificate_id = value.partition(":cert/")
                place = head.split(":")[3:]
                return place == [self.region, self.account] and any(certificate_id in one.ids for one in ours)
            case _:
                return any(value in entry.ids for entry in ours)

    def _refusal(self, operation: Operation, target: CallTarget, parameters: dict[str, Any]) -> str:
        value = str(parameters[target.parameter])
        named = "a certificate" if target.by is By.PEM else value[:80]
        return (
            f"a fault of jitrctl itself: {operation.action} of {named} in "
            f"{self.account}/{self.region}, which the journal "
            "does not name, was not sent; please report it"
        )


class _Guarded:
    """A client whose calls go through the guard."""

    def __init__(self, guard: Guard, service: str, client: Any, *, repeats: bool) -> None:
        self._guard, self._service, self._client, self._repeats = guard, service, client, repeats

    def __getattr__(self, method: str) -> Any:
        return lambda **parameters: self._guard.call(
            self._service, self._client, method, parameters, repeats=self._repeats
        )


def same_certificate(one: str, other: str) -> bool:
    """Whether two PEM texts hold the same certificate, byte for byte."""
    try:
        return ssl.PEM_cert_to_DER_cert(_block(one)) == ssl.PEM_cert_to_DER_cert(_block(other))
    except ValueError:
        return False


def _block(text: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return f"{begin}{text.partition(begin)[2].partition(end)[0]}{end}\n"
