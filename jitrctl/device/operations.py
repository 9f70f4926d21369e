"""Carries out an operator's order on one device in one stage, so that `register` never overrules it.

UpdateCertificate takes no condition. So the verdict is written into the registry first: from then on no conflicting
claim succeeds. A claim that was made just before may still be on its way to UpdateCertificate; it is waited for, and
the status is set again.

Every verdict is conditional on the one that the operator saw (`seen`: the record that the command showed before it
asked; without it, the record at the start of the order). If a colleague was faster, the order ends with OperatingError,
which names the colleague. Two exceptions: when denying or approving, a colleague's verdict with the same action counts
as the operator's own; and a weaker denial leaves a stronger one (denied < deactivated < revoked) as it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jitr.errors import CertificateUnknown, Unavailable
from jitr.iot_models import Status
from jitr.provisioning import SetStatus
from jitr.verdicts import OperatorAction, OperatorVerdict, VerdictConflict
from jitrctl.device.deregistration import Deregistration
from jitrctl.device.order_conflicts import find_twins, wait_out_claim
from jitrctl.errors import OperatingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jitr.aws.iot import AwsIot
    from jitr.iot_models import DeviceRegistration
    from jitr.record import Record
    from jitr.rules import Rules
    from jitr.store.registry import Registry

STATUS_OF = {
    OperatorAction.DEACTIVATED: Status.INACTIVE,
    OperatorAction.DENIED: Status.INACTIVE,
    OperatorAction.REVOKED: Status.REVOKED,
}
_FAR = timedelta(days=36_500)
_NOTHING_DONE = "nothing was changed; give the order again if it is still meant"
# AwsIot tries UpdateCertificate once (jitr/aws/iot.py). An operator's, which never sets ACTIVE, is tried again after a
# DescribeCertificate.
_MOST_TRIES = 3


class OvertakenByColleague(OperatingError):
    """Another operator was faster; `verdict` is in force now, None if the record was dropped."""

    def __init__(self, other: VerdictConflict, done: str = _NOTHING_DONE) -> None:
        """`done` says what this order has done, and what to do next."""
        self.verdict = other.verdict
        super().__init__(f"{other}; {done}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """Who gives an order, and why."""

    by: str  # the caller's ARN
    note: str = ""


class Operator:
    """Orders on devices, in one stage."""

    def __init__(
        self,
        *,
        client: Any,
        iot: AwsIot,
        registry: Registry,
        rules: Rules,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._deregistration = Deregistration(client, iot, monotonic=monotonic, sleep=sleep)
        self._iot = iot
        self._registry = registry
        self._rules = rules
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep

    def take_away(
        self, certificate_id: str, word: OperatorAction, order: OrderContext, *, seen: Record | None = None
    ) -> Status | None:
        """Deny, deactivate or revoke a certificate; returns its new status, None when it is not registered here.

        Works before the certificate is registered: it will then be refused when it is. If its twin was decided on here,
        the order is carried out on the twin too.

        Raises OperatingError, Unavailable.
        """
        return self._take_away(certificate_id, word, order, seen)[0]

    def _take_away(
        self, certificate_id: str, word: OperatorAction, order: OrderContext, seen: Record | None
    ) -> tuple[Status | None, OperatorVerdict]:
        """As `take_away`; also returns the verdict in force."""
        seen = seen or self._recall(certificate_id)
        try:
            record = self._deny(certificate_id, word, order, seen.verdict)
        except VerdictConflict as other:
            if other.verdict is None or other.verdict.action is not word:
                raise OvertakenByColleague(other) from other
            record = replace(self._recall(certificate_id), verdict=other.verdict)  # a colleague gave the same order
        assert record.verdict is not None  # noqa: S101 -- it was just written or read
        return self._carry_out(certificate_id, record, word, order), record.verdict

    def _deny(
        self, certificate_id: str, word: OperatorAction, order: OrderContext, seen: OperatorVerdict | None
    ) -> Record:
        """Write a verdict that denies, unless the one seen is stronger; the record with the verdict in force.

        Raises VerdictConflict, Unavailable.
        """
        if seen is None or not word.is_weaker_than(seen.action):
            return self._registry.give_verdict(certificate_id, self._verdict(word, order), seen=seen)
        record = self._recall(certificate_id)
        if record.verdict_number != seen.number:
            raise VerdictConflict(certificate_id, record.verdict)
        return record

    def _carry_out(
        self, certificate_id: str, record: Record, word: OperatorAction, order: OrderContext
    ) -> Status | None:
        """Carry out the verdict in the record, on the certificate and on its twin."""
        status = self._end(certificate_id, record)
        for twin_id in find_twins(certificate_id, record, iot=self._iot, rules=self._rules):
            twin = self._recall(twin_id)
            if twin.decision or twin.intent:
                try:
                    twin = self._deny(twin_id, word, order, twin.verdict)
                except VerdictConflict as other:
                    raise OvertakenByColleague(
                        other,
                        f"it is certificate {certificate_id} with its signature written differently, for which "
                        "the order was carried out: give it again for this one",
                    ) from other
                status = self._end(twin_id, twin) or status
        return status

    def _end(self, certificate_id: str, record: Record) -> Status | None:
        """Set the status that the record's verdict demands; a second time after a claim that was under way."""
        assert record.verdict is not None  # noqa: S101 -- it was just written or read
        status_wanted = STATUS_OF[record.verdict.action]
        try:
            status = self._set_status(certificate_id, status_wanted)
            if record.intent is not None:
                wait_out_claim(self._registry, certificate_id, record, monotonic=self._monotonic, sleep=self._sleep)
                status = self._set_status(certificate_id, status_wanted)
        except CertificateUnknown:
            return None
        return status

    def approve(self, certificate_id: str, order: OrderContext, *, seen: Record | None = None) -> Status | None:
        """Approve a certificate that is held or not registered yet; it is evaluated at its next event or sweep.

        Returns the certificate's status; None when it is not registered here.

        Raises OperatingError when there is nothing to approve, or an operator denied it; Unavailable.
        """
        record = self._as_seen(certificate_id, seen, unless=OperatorAction.APPROVED)
        device = self._describe(certificate_id)
        status = device.status if device else None
        is_open = status in (None, Status.PENDING_ACTIVATION, Status.ACTIVE)
        is_held_import = device is not None and record.is_import_unfinished(device)
        if record.was_revoked_or_deactivated or not (is_open or is_held_import):
            first = "`jitrctl device deactivate` it first; then " if status is Status.ACTIVE else ""
            revoked = " --revoked" if record.was_revoked_or_deactivated or status is Status.REVOKED else ""
            raise self._refusal(
                certificate_id,
                record.verdict,
                f"the certificate is {status or 'not registered here'}, and was taken away or refused for good"
                f"{_in_words(record)}: {first}`jitrctl device release{revoked}` has it evaluated again",
            )
        if status is Status.ACTIVE:
            raise OperatingError("the certificate is ACTIVE already")
        try:
            self._registry.give_verdict(
                certificate_id, self._verdict(OperatorAction.APPROVED, order), seen=record.verdict
            )
        except VerdictConflict as other:
            if other.verdict is None or other.verdict.action is not OperatorAction.APPROVED:
                raise OvertakenByColleague(other) from other
        return status

    def release(
        self, certificate_id: str, order: OrderContext, *, revoked: bool = False, seen: Record | None = None
    ) -> None:
        """Have a refused certificate evaluated again at its next connect.

        No API sets PENDING_ACTIVATION, so the registration is deleted, and AWS IoT registers the certificate again.

        Raises OperatingError when the certificate is ACTIVE, or was revoked and `revoked` is not given; Unavailable.
        """
        record = self._as_seen(certificate_id, seen)
        device = self._describe(certificate_id)
        if device and device.status is Status.ACTIVE:
            raise OperatingError("the certificate is ACTIVE: deactivate it first, if it is to be evaluated again")
        if not revoked and (record.was_revoked_or_deactivated or (device and device.status is Status.REVOKED)):
            raise self._refusal(
                certificate_id,
                record.verdict,
                f"the certificate was revoked, or taken away by an operator{_in_words(record)}: say --revoked if that "
                "is to be undone",
            )
        stands, done = record.verdict, _NOTHING_DONE
        try:
            is_ordered = record.has_unfinished_release or record.import_order is not None
            if device and (device.status is Status.PENDING_ACTIVATION or is_ordered):
                # An activation may be under way; with an unfinished release or import, also of an INACTIVE certificate.
                denied = self._deny(certificate_id, OperatorAction.DENIED, order, stands)
                stands, done = denied.verdict, "it was denied to be released, and its registration not deleted"
                self._carry_out(certificate_id, denied, OperatorAction.DENIED, order)
                device = self._describe(certificate_id)
                if device and device.status is Status.REVOKED and not revoked:
                    raise self._refusal(certificate_id, stands, f"the certificate was revoked just now; {done}", done)
            released = self._verdict(OperatorAction.RELEASED, order)
            if device:
                # By these the functions distinguish the released status from one that is set afterwards.
                released = replace(released, of_registration=device.created_at, of_status=device.status)
            self._registry.give_verdict(certificate_id, released, seen=stands, forget_decision=True)
        except VerdictConflict as other:
            raise OvertakenByColleague(other, done) from other
        if device:
            self._deregistration.delete(certificate_id, device.arn)

    def retire(self, certificate_id: str, order: OrderContext, *, seen: Record | None = None) -> Status | None:
        """End a certificate that another one follows: set it INACTIVE; `detach` is next, after its session's end.

        Returns its new status; None when it is not registered here, and nothing was done.

        Raises OperatingError, Unavailable.
        """
        seen = seen or self._recall(certificate_id)
        if self._status(certificate_id) is None:
            return None
        return self.take_away(certificate_id, OperatorAction.DEACTIVATED, order, seen=seen)

    def detach(self, certificate_id: str) -> None:
        """Detach a certificate's policies and things.

        Raises Unavailable, botocore's errors.
        """
        if device := self._describe(certificate_id):
            self._deregistration.detach(device.arn)

    def remove_certificate(
        self,
        certificate_id: str,
        order: OrderContext,
        *,
        seen: Record | None = None,
        end_sessions: Callable[[Status], object] = lambda _: None,
    ) -> tuple[bool, OperatorVerdict]:
        """Deactivate a certificate, then delete its registration; whether there was one, and the verdict in force.

        `end_sessions` is called in between, with its status: what is detached says no more whose session it is. Its
        record stays, so it is refused when it is registered again.

        Raises OperatingError, Unavailable.
        """
        seen = seen or self._recall(certificate_id)
        was_revoked = seen.verdict is not None and seen.verdict.action is OperatorAction.REVOKED
        word = OperatorAction.REVOKED if was_revoked else OperatorAction.DEACTIVATED
        status, verdict = self._take_away(certificate_id, word, order, seen)
        if status is None:
            return False, verdict
        end_sessions(status)
        device = self._describe(certificate_id)
        if device is None:
            return False, verdict
        self._deregistration.delete(certificate_id, device.arn)
        return True, verdict

    def remove_thing(self, thing_name: str) -> bool:
        """Delete a thing that has no principal any more; whether there was one.

        Raises OperatingError when another principal is attached.
        """
        return self._deregistration.delete_thing(thing_name)

    def forget(self, certificate_id: str, *, wholly: bool, seen: OperatorVerdict | None) -> None:
        """Drop the record of a removed certificate, except the verdict; `wholly`: the verdict, too.

        `seen` is the verdict with which it was removed.

        Raises OperatingError, Unavailable.
        """
        self._registry.end_retirement(certificate_id, by=self._clock() + _FAR)
        try:
            if wholly:
                self._registry.forget(certificate_id, seen=seen)
            elif seen:
                self._registry.forget_decision(certificate_id, seen=seen)
        except VerdictConflict as other:
            raise OvertakenByColleague(other, "what is recorded of it stays") from other

    def _recall(self, certificate_id: str) -> Record:
        return self._registry.recall([certificate_id])[certificate_id]

    def _as_seen(self, certificate_id: str, seen: Record | None, *, unless: OperatorAction | None = None) -> Record:
        """The record as it is now; its verdict is the one that the operator saw, or has the action `unless`.

        Raises OperatingError when another verdict is in force; Unavailable.
        """
        record = self._recall(certificate_id)
        may_stand = record.verdict is not None and record.verdict.action is unless
        if seen and record.verdict_number != seen.verdict_number and not may_stand:
            raise OvertakenByColleague(VerdictConflict(certificate_id, record.verdict))
        return record

    def _refusal(
        self, certificate_id: str, seen: OperatorVerdict | None, why: str, done: str = _NOTHING_DONE
    ) -> OperatingError:
        """Why an order is refused: a colleague's verdict, if there is one newer than the one that was seen.

        Raises Unavailable.
        """
        stands = self._recall(certificate_id).verdict
        if stands and stands.number != (seen.number if seen else 0):
            return OvertakenByColleague(VerdictConflict(certificate_id, stands), done)
        return OperatingError(why)

    def _verdict(self, word: OperatorAction, order: OrderContext) -> OperatorVerdict:
        return OperatorVerdict(action=word, by=order.by, at=self._clock(), note=order.note)

    def _status(self, certificate_id: str) -> Status | None:
        device = self._describe(certificate_id)
        return device.status if device else None

    def _describe(self, certificate_id: str) -> DeviceRegistration | None:
        try:
            return self._iot.describe(certificate_id)
        except CertificateUnknown:
            return None

    def _set_status(self, certificate_id: str, status: Status) -> Status:
        """Set a status, and return the status that the certificate has then; a REVOKED one stays REVOKED.

        Raises CertificateUnknown, Unavailable.
        """
        for tried in range(1, _MOST_TRIES + 1):
            now = self._iot.describe(certificate_id).status
            if now in (status, Status.REVOKED):
                return now
            try:
                self._iot.apply(SetStatus(certificate_id=certificate_id, status=status))
            except Unavailable:
                if tried == _MOST_TRIES:
                    raise
                self._sleep(tried)
            else:
                break
        return status


def _in_words(record: Record) -> str:
    """The verdict in force, in parentheses."""
    return f" ({record.verdict.description})" if record.verdict else ""
