"""Carries out an operator's order to take a certificate away: its status, then its session, then the record.

The verdict is in the record already, so no claim succeeds. A claim that was made before is waited for: its run may be
about to set ACTIVE. Then this run has the certificate to itself, by an intent, as every run that sets a status. What is
recorded is the status as found, which earlier versions understand. If the run dies in between, the order is still due,
and the next one goes on.

A device whose session is ended may connect again until all of AWS IoT knows the new status. So the order stays due, and
its message comes again after ten seconds: GetConnection, and the session is ended once more if there is one. That takes
no turn and no waiting function. If the message is lost, the next sweep sends it again, within an hour.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from jitr.admission.applicant import Applicant
from jitr.decisions import Decision
from jitr.errors import JitrError, NotPermitted, Overtaken, Rejected, Unavailable
from jitr.iot_models import Status
from jitr.observed_status import observe
from jitr.provisioning import SetStatus
from jitr.record import Record
from jitr.registration.attempt import StepRunner
from jitr.registration.name_rollback import NameRollbacks
from jitr.session_end import SessionEnd
from jitr.sessions import LOOK_AGAIN_AFTER, SecondLook, SessionResult, SessionState
from jitr.store.registry import Registry
from jitr.telemetry import PUT_OFF, Announcer
from jitr.verdicts import OperatorAction

_STATUS = {OperatorAction.REVOKED: Status.REVOKED, OperatorAction.DEACTIVATED: Status.INACTIVE}


class SecondLookDue(JitrError):
    """An order is carried out and recorded; its sessions are to be looked at again once that is due."""

    def __init__(self, look: SecondLook, decision: Decision | None = None) -> None:
        """`decision` is the one that was recorded by this run, if it did."""
        super().__init__("its sessions are looked at again")
        self.look = look
        self.decision = decision


class TakeAway:
    """Takes certificates away by order, in one account and Region."""

    def __init__(
        self,
        *,
        registry: Registry,
        rollbacks: NameRollbacks,
        sessions: Callable[[], SessionEnd],
        announcer: Announcer,
        rules_digest: str,
        clock: Callable[[], datetime],
    ) -> None:
        """`sessions` makes the client of the data plane at its first use."""
        self._registry = registry
        self._rollbacks = rollbacks
        self._sessions = sessions
        self._announcer = announcer
        self._rules_digest = rules_digest
        self._clock = clock

    def carry_out(self, applicant: Applicant, record: Record, steps: StepRunner) -> Decision:
        """Set the status that the order says, end the session, record, and end the order; the recorded decision.

        Raises SecondLookDue when all is done except for a second look at the sessions; Overtaken, CertificateUnknown,
        Unavailable. The order is due again then.
        """
        verdict, device = record.verdict, applicant.device
        assert verdict is not None  # noqa: S101 -- it is ordered
        # REVOKED is final: an order to deactivate leaves it.
        wanted = device.status if device.status is Status.REVOKED else _STATUS[verdict.action]
        found = observe(
            replace(device, status=wanted),
            record,
            ca_certificate_id=device.ca_certificate_id,
            ca=applicant.rules,
            rules_digest=self._rules_digest,
            now=self._clock(),
        )
        if device.status is not wanted:
            steps.has_begun = True  # even if no answer comes
            self._registry.intend(found, record, run=steps.run)
            self._rollbacks.give_back(record.intent)
            steps.apply(SetStatus(certificate_id=device.certificate_id, status=wanted))
            found = replace(found, decided_at=steps.now())
        client_ids = self._end_sessions(applicant, record, wanted)
        self._announcer.announce_verdict(device.certificate_id, verdict, wanted)
        if steps.has_begun:
            self._registry.record(found, record, run=steps.run)
        elif (record.is_news(found) or record.intent) and not self._registry.record_found(found, record):
            raise Overtaken("another decision on the certificate was made meanwhile")
        look = SecondLook(client_ids=client_ids, due_at=self._clock() + LOOK_AGAIN_AFTER)
        if client_ids and self._registry.note_second_look(device.certificate_id, record, look):
            raise SecondLookDue(look, found)
        self._registry.end_take_away(device.certificate_id, record)
        return found

    def look_again(self, certificate_id: str, record: Record) -> None:
        """End the sessions of a device that has connected again since the order was carried out, and end the order.

        Raises SecondLookDue before it is time; Unavailable.
        """
        look = record.second_look
        assert look is not None  # noqa: S101 -- it is due
        if self._clock() < look.due_at:
            raise SecondLookDue(look)
        for client_id in look.client_ids:
            result = self._sessions().end_again(certificate_id, client_id)
            if result.state is SessionState.FAILED:
                self._report_failure(certificate_id, result)
        self._registry.end_take_away(certificate_id, record)

    def _end_sessions(self, applicant: Applicant, record: Record, status: Status) -> tuple[str, ...]:
        """End the device's sessions; the client ids to look at again. One that is left, AWS ends within minutes."""
        was_active = applicant.device.status is Status.ACTIVE
        if not record.was_active and applicant.device.status is Status.PENDING_ACTIVATION:
            return ()  # it never had one
        again: list[str] = []
        for result in self._sessions().end(applicant.device, clean_session=status is Status.REVOKED):
            if result.state is SessionState.FAILED:
                self._report_failure(applicant.device.certificate_id, result)
            may_come_back = result.state is SessionState.NOT_CONNECTED and was_active
            is_tried_again = result.state is SessionState.FAILED and not isinstance(result.cause, NotPermitted)
            if result.client_id and (result.state is SessionState.ENDED or may_come_back or is_tried_again):
                again.append(result.client_id)
        return tuple(again)

    def _report_failure(self, certificate_id: str, result: SessionResult) -> None:
        """Report a session that was not ended; the order is carried out without it."""
        message = "a session was not ended: AWS ends it within minutes"
        try:
            if result.cause:
                raise result.cause
        except NotPermitted:
            self._announcer.log_not_permitted(message, certificate_id=certificate_id)
        except (Rejected, Unavailable):
            self._announcer.warn(message, PUT_OFF, certificate_id=certificate_id, why=result.why)
