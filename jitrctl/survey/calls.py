"""Makes the calls of a survey and of a take-over: below AWS's quotas, and again after throttles, for some time."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from jitr.aws.calls import calling
from jitr.errors import NotPermitted, Unavailable
from jitrctl.errors import Interrupted, Refused

if TYPE_CHECKING:
    import threading
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
    "ListPrincipalThings": 10,
    "ListThingGroupsForThing": 100,
    "ListPolicies": 10,
    "ListTargetsForPolicy": 10,
    "ListAttachedPolicies": 15,
    "GetPolicy": 10,
    "ListProvisioningTemplates": 10,
    "DescribeProvisioningTemplate": 10,
    # Not published; these are a few calls in most accounts.
    "ListTopicRules": 1,
    "GetTopicRule": 1,
    "ListThingsInThingGroup": 10,
    "DetachPolicy": 15,
}
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds
PATIENCE = 2 * 3600.0  # seconds of throttles without a success, after which a command ends
_REPORTED_AFTER, _REPORTED_EVERY = 20.0, 600.0  # seconds of waiting


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
        interrupted: threading.Event | None = None,
        report: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """`wait_for_turn` takes a turn of the account's schedule; `again` says how the work goes on after a failure.

        Once `interrupted` is set, no call is made and every wait ends. `report` is called with a sentence when AWS has
        not answered for a while, every ten minutes after that, and when it answers again.
        """
        self._wait_for_turn = wait_for_turn
        self.again = again
        self._interrupted, self._report = interrupted, report
        self._monotonic = monotonic
        self._sleep = sleep or (interrupted.wait if interrupted else time.sleep)
        self._next: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def make(self, operation: str, call: Callable[..., T], **parameters: Any) -> T:
        """Make one call when its turn has come; after a throttle or an outage, again, for up to two hours.

        Operations without a pace of their own (DescribeCertificate) take turns of the account's schedule.

        Raises Refused when AWS gave no answer for that long; Interrupted; NotPermitted; botocore's errors.
        """
        return self.repeat(operation, lambda: self._once(operation, call, parameters))

    def repeat(self, name: str, work: Callable[[], T]) -> T:
        """Do idempotent work until it does not end with Unavailable, for up to two hours.

        Raises as `make`, and what the work raises.
        """
        begun, pause, reported = self._monotonic(), _FIRST_PAUSE, 0.0
        while True:
            self._heed()
            try:
                with calling(name):
                    done = work()
            except NotPermitted:
                raise
            except Unavailable as error:
                waited = self._monotonic() - begun
                if waited >= PATIENCE:
                    raise Refused(
                        f"AWS has throttled or failed {name} for {waited / 60:.0f} minutes ({error}): {self.again}"
                    ) from error
                if waited >= (reported + _REPORTED_EVERY if reported else _REPORTED_AFTER):
                    reported = waited
                    self._report(
                        f"AWS has throttled or failed {name} for {_in_words(waited)} ({error}); it is tried again "
                        f"every minute, for {PATIENCE / 3600:.0f} hours. Ctrl-C ends the wait, and nothing is lost"
                    )
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                if reported:
                    self._report(f"AWS answers {name} again, after {_in_words(self._monotonic() - begun)}")
                return done

    def take_turn(self, operation: str) -> None:
        """Wait until one call of the operation may be made."""
        self.counts[operation] += 1
        if operation not in QUOTAS:
            self._wait_for_turn()
            self._heed()
            return
        now = self._monotonic()
        if (at := self._next.get(operation, now)) > now:
            self._sleep(at - now)
            self._heed()
        self._next[operation] = max(at, now) + seconds_for(operation, 1)

    def _heed(self) -> None:
        """Raises Interrupted after Ctrl-C."""
        if self._interrupted is not None and self._interrupted.is_set():
            raise Interrupted(f"interrupted: {self.again}")

    def _once(self, operation: str, call: Callable[..., T], parameters: dict[str, Any]) -> T:
        self.take_turn(operation)
        return call(**parameters)


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 -- where seconds say more
