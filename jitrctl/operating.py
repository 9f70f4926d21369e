"""What an operator does to one device in one account, so that `register` never overrules it.

UpdateCertificate knows no condition, so we bring one. The operator's word goes into the registry first: from then on no
claim succeeds against it. A claim that was made just before may still be on its way to UpdateCertificate, so it is
waited out, and the status is set again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jitr.admission import twin_id_of
from jitr.claims import STALE_INTENT
from jitr.decisions import Record, Verdict, Word
from jitr.errors import CertificateUnknown
from jitr.provisioning import SetStatus
from jitr.registrations import Status
from jitrctl.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jitr.iot import AwsIot
    from jitr.registry import Registry
    from jitr.rules import Rules

_STATUS_OF = {Word.DEACTIVATED: Status.INACTIVE, Word.DENIED: Status.INACTIVE, Word.REVOKED: Status.REVOKED}
_POLL = 0.5  # seconds
# DetachThingPrincipal is asynchronous: "it can take several seconds to propagate" (IoT API reference).
_SECONDS_TO_DETACH = 60.0
_FAR = timedelta(days=36_500)


class OperatingError(Refused):
    """An operator's order cannot be carried out; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who orders it, and why."""

    by: str  # the caller's ARN
    note: str = ""


class Operator:
    """Orders about devices, in one account and Region."""

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
        self._client = client  # boto3's, for what only operators call
        self._iot = iot
        self._registry = registry
        self._rules = rules
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep

    def take_away(self, certificate_id: str, word: Word, order: Order) -> Status | None:
        """Deny, deactivate or revoke a certificate; the status that it has now, None when it is not registered here.

        Works before the certificate is registered here: then it will be refused when it comes. Its twin, should that
        be the form that came in here, is taken away with it.

        Raises OperatingError, Unavailable.
        """
        before = self._registry.give_verdict(certificate_id, self._verdict(word, order))
        status = self._taken_away(certificate_id, word, before)
        for twin_id in twins_of(certificate_id, before, iot=self._iot, rules=self._rules):
            twin = self._registry.recall([twin_id])[twin_id]
            if twin.decision or twin.intent:
                twin = self._registry.give_verdict(twin_id, self._verdict(word, order))
                status = self._taken_away(twin_id, word, twin) or status
        return status

    def _taken_away(self, certificate_id: str, word: Word, before: Record) -> Status | None:
        """Set the status that the word asks for, again after a claim that was under way."""
        try:
            status = self._set_status(certificate_id, _STATUS_OF[word])
            if before.intent is not None:
                wait_out_claim(self._registry, certificate_id, before, monotonic=self._monotonic, sleep=self._sleep)
                status = self._set_status(certificate_id, _STATUS_OF[word])
        except CertificateUnknown:
            return None
        return status

    def approve(self, certificate_id: str, order: Order) -> Status | None:
        """Let a certificate in that waits for it, or will when it comes: judged again at its next event or sweep.

        The status that the certificate has now; None when it is not registered here.

        Raises OperatingError when there is nothing to approve, or it was taken away; Unavailable.
        """
        record = self._registry.recall([certificate_id])[certificate_id]
        status = self._status(certificate_id)
        if record.was_taken_away or status not in (None, Status.PENDING_ACTIVATION, Status.ACTIVE):
            raise OperatingError(
                f"the certificate is {status or 'not registered here'}, and was taken away or refused for good: "
                "`jitrctl device release` lets it be judged again"
            )
        if status is Status.ACTIVE:
            raise OperatingError("the certificate is ACTIVE already")
        self._registry.give_verdict(certificate_id, self._verdict(Word.APPROVED, order))
        return status

    def release(self, certificate_id: str, order: Order, *, revoked: bool = False) -> None:
        """Let a refused certificate be judged again at its next connect.

        No API sets PENDING_ACTIVATION, so the registration is deleted, and AWS IoT makes it anew.

        Raises OperatingError when the certificate is ACTIVE, or was revoked and `revoked` does not say that this is
        meant; Unavailable.
        """
        record = self._registry.recall([certificate_id])[certificate_id]
        try:
            device = self._iot.describe(certificate_id)
        except CertificateUnknown:
            device = None
        if device and device.status is Status.ACTIVE:
            raise OperatingError("the certificate is ACTIVE: deactivate it first, if it is to be judged again")
        if not revoked and (record.was_taken_away or (device and device.status is Status.REVOKED)):
            raise OperatingError(
                "the certificate was revoked, or taken away by an operator: say --revoked if that is to be undone"
            )
        if device and device.status is Status.PENDING_ACTIVATION:
            # A delivery may be under way, between attaching and ACTIVE.
            self.take_away(certificate_id, Word.DENIED, order)
        self._registry.give_verdict(certificate_id, self._verdict(Word.RELEASED, order), forget_decision=True)
        if device:
            self._delete(certificate_id, device.arn)

    def retire(self, certificate_id: str, order: Order) -> Status | None:
        """End a certificate that another one follows: INACTIVE, then off its policy and its thing.

        The status that it has now; None when it is not registered here, and nothing was done.

        Raises OperatingError, Unavailable.
        """
        if self._status(certificate_id) is None:
            return None
        status = self.take_away(certificate_id, Word.DEACTIVATED, order)
        try:
            self._detach(self._iot.describe(certificate_id).arn)
        except CertificateUnknown:
            return None
        return status

    def remove_certificate(self, certificate_id: str, order: Order) -> bool:
        """Take a certificate away, then delete its registration; whether there was one.

        What the registry says of it stays: it is refused when it comes back.

        Raises OperatingError, Unavailable.
        """
        verdict = self._registry.recall([certificate_id])[certificate_id].verdict
        was_revoked = verdict is not None and verdict.word is Word.REVOKED
        status = self.take_away(certificate_id, Word.REVOKED if was_revoked else Word.DEACTIVATED, order)
        if status is None:
            return False
        try:
            arn = self._iot.describe(certificate_id).arn
        except CertificateUnknown:
            return False
        self._delete(certificate_id, arn)
        return True

    def remove_thing(self, thing_name: str) -> bool:
        """Delete a thing that nothing is attached to any more; whether there was one.

        Raises OperatingError when somebody else's principal is attached.
        """
        try:
            principals = self._client.list_thing_principals(thingName=thing_name)["principals"]
        except self._client.exceptions.ResourceNotFoundException:
            return False
        for arn in principals:
            if self._status(arn.rpartition("/")[2]) is not None or ":cert/" not in arn:
                raise OperatingError(f"thing {thing_name} stays: {arn} is attached to it, too")
        self._once_detached(
            lambda: self._client.delete_thing(thingName=thing_name),
            self._client.exceptions.InvalidRequestException,
        )
        return True

    def forget(self, certificate_id: str, *, wholly: bool) -> None:
        """Drop what the registry says of a certificate that was removed, but for the verdict; `wholly`: that, too.

        Raises Unavailable.
        """
        self._registry.end_retirement(certificate_id, by=self._clock() + _FAR)
        if wholly:
            self._registry.forget(certificate_id)
        elif verdict := self._registry.recall([certificate_id])[certificate_id].verdict:
            self._registry.give_verdict(certificate_id, verdict, forget_decision=True)

    def _verdict(self, word: Word, order: Order) -> Verdict:
        return Verdict(word=word, by=order.by, at=self._clock(), note=order.note)

    def _status(self, certificate_id: str) -> Status | None:
        try:
            return self._iot.describe(certificate_id).status
        except CertificateUnknown:
            return None

    def _set_status(self, certificate_id: str, status: Status) -> Status:
        """Set a status, whatever the certificate is now, and say what it is then; a REVOKED one stays REVOKED.

        Raises CertificateUnknown, Unavailable.
        """
        now = self._iot.describe(certificate_id).status
        if now in (status, Status.REVOKED):
            return now
        self._iot.apply(SetStatus(certificate_id=certificate_id, status=status))
        return status

    def _detach(self, arn: str) -> None:
        for policy in self._client.list_attached_policies(target=arn)["policies"]:
            self._client.detach_policy(policyName=policy["policyName"], target=arn)
        for thing in self._client.list_principal_things(principal=arn)["things"]:
            self._client.detach_thing_principal(thingName=thing, principal=arn)

    def _delete(self, certificate_id: str, arn: str) -> None:
        self._detach(arn)
        self._once_detached(
            lambda: self._client.delete_certificate(certificateId=certificate_id),
            self._client.exceptions.DeleteConflictException,
        )

    def _once_detached(self, delete: Callable[[], object], conflict: type[Exception]) -> None:
        """Delete something as soon as AWS IoT has carried out that it is detached; gone already is gone.

        Raises OperatingError when that takes too long.
        """
        deadline = self._monotonic() + _SECONDS_TO_DETACH
        while True:
            try:
                delete()
            except self._client.exceptions.ResourceNotFoundException:
                return
            except conflict as error:
                if self._monotonic() > deadline:
                    raise OperatingError(
                        "AWS IoT still shows the certificate attached to a thing: try again"
                    ) from error
                self._sleep(_POLL)
            else:
                return


def twins_of(certificate_id: str, record: Record, *, iot: AwsIot, rules: Rules) -> set[str]:
    """The ids of the same certificate with its signature written differently (jitr/twins.py): one, or none.

    As it was recorded; of a certificate of which nothing was, from what AWS IoT has.

    Raises Unavailable.
    """
    recorded = {one.twin_id for one in (record.decision, record.intent) if one and one.twin_id}
    if recorded:
        return recorded
    try:
        twin_id = twin_id_of(iot.describe(certificate_id), rules)
    except CertificateUnknown:
        return set()
    return {twin_id} if twin_id else set()


def wait_out_claim(
    registry: Registry,
    certificate_id: str,
    before: Record,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the claim that was under way is recorded, or so old that its function is dead.

    By our own clock from now on: how old the claim is already is written in the function's.

    Raises Unavailable.
    """
    if before.intent is None:
        return
    until = monotonic() + STALE_INTENT.total_seconds()
    while monotonic() < until:
        record = registry.recall([certificate_id])[certificate_id]
        if record.intent is None or record.intent.decided_at != before.intent.decided_at:
            return
        sleep(_POLL)
