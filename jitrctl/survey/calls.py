"""Makes the calls of a survey and of a take-over: below AWS's quotas, and again after throttles, for some time."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from jitr.aws.calls import calling
from jitr.errors import NotPermitted, Unavailable
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Calls a second that are left to others: a fifth of AWS's default quotas (Service Quotas; docs/aws-facts.md §6).
_PART = 0.8
QUOTAS = {
    "ListCACertificates": 10,
    "DescribeCACertificate": 10,
    "ListCertificates": 10,
    "ListCertificatesByCA": 10,
    "ListThings": 10,
    "ListThingPrincipals": 10,
    "ListThingGroupsForThing": 100,
    "ListPolicies": 10,
    "ListTargetsForPolicy": 10,
    "ListAttachedPolicies": 15,
    "GetPolicy": 10,
    "ListProvisioningTemplates": 10,
    "DescribeProvisioningTemplate": 10,
    "ListTopicRules": 1,  # not published; it is one call in most accounts
    "DetachPolicy": 15,
}
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds
PATIENCE = 2 * 3600.0  # seconds of throttles without a success, after which a command ends


def seconds_for(operation: str, number: int) -> float:
    """What so many calls of an operation take at its pace."""
    return number / (QUOTAS[operation] * _PART)


class PatientCalls:
    """The calls of one stage, one after the other."""

    def __init__(
        self,
        wait_for_turn: Callable[[], None],
        *,
        again: str,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`wait_for_turn` takes a turn of the account's schedule; `again` says how the work goes on after a failure."""
        self._wait_for_turn = wait_for_turn
        self._again = again
        self._monotonic, self._sleep = monotonic, sleep
        self._next: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def make(self, operation: str, call: Callable[..., T], **parameters: Any) -> T:
        """Make one call when its turn has come; after a throttle or an outage, again, for up to two hours.

        Operations without a pace of their own (DescribeCertificate) take turns of the account's schedule.

        Raises Refused when AWS gave no answer for that long; NotPermitted; botocore's errors.
        """
        return self.repeat(operation, lambda: self._once(operation, call, parameters))

    def repeat(self, name: str, work: Callable[[], T]) -> T:
        """Do idempotent work until it does not end with Unavailable, for up to two hours.

        Raises as `make`, and what the work raises.
        """
        begun, pause = self._monotonic(), _FIRST_PAUSE
        while True:
            try:
                with calling(name):
                    return work()
            except NotPermitted:
                raise
            except Unavailable as error:
                waited = self._monotonic() - begun
                if waited >= PATIENCE:
                    raise Refused(
                        f"AWS has throttled or failed {name} for {waited / 60:.0f} minutes ({error}): {self._again}"
                    ) from error
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def take_turn(self, operation: str) -> None:
        """Wait until one call of the operation may be made."""
        self.counts[operation] += 1
        if operation not in QUOTAS:
            self._wait_for_turn()
            return
        now = self._monotonic()
        if (at := self._next.get(operation, now)) > now:
            self._sleep(at - now)
        self._next[operation] = max(at, now) + seconds_for(operation, 1)

    def _once(self, operation: str, call: Callable[..., T], parameters: dict[str, Any]) -> T:
        self.take_turn(operation)
        return call(**parameters)
