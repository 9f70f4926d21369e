"""Carries out on one certificate what the CA's CRL says: revokes it, suspends it, or lets its hold be lifted.

    1 recall    the record again: it may be older than the wait for the turn
    2 judge     judgement.py
    3 observe   DescribeCertificate; that it is the certificate that the CRL names, its own bytes say
    4 intend    the lock of every change of a status (decision 5): another run, a claim or an order came first, or waits
    5 apply     UpdateCertificate
    6 announce  EventBridge, at least once
    7 record    the decision: found, with the reason; from now on the CRL finds nothing to do
    8 sessions  are ended, where it is known that they are this certificate's

A lift sets no status. It writes an order into the record, and `register` evaluates the device with all checks, the
whole plan and the claim, ACTIVE last. If the function dies after (5), the next run finds its intent and the status, and
goes on with (6); if the next CRL lists the certificate no more, it records the suspension, and then lifts it. A
revocation of a suspended certificate that was begun, and not carried out, is dropped before the hold is lifted.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from jitr.admission.checks import fleet_ca
from jitr.admission.issuers import with_recorded_ca
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, NotPermitted, Overtaken, Reason, Rejected, Unavailable
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.provisioning import SetStatus
from jitr.record import Record
from jitr.revocation.judgement import STATUS_OF, Action, is_of_revocation, is_to_be_set, judge
from jitr.rules import CaRules, Rules
from jitr.session_end import SessionEnd
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.registry_writes import is_being_decided
from jitr.telemetry import HOLDS_LIFTED, REVOKED_BY_CRL, SUSPENDED_BY_CRL, Announcer
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitr.x509.certificate import Certificate
from jitr.x509.crl import RevocationList
from jitr.x509.crl_entries import RevocationReason

if TYPE_CHECKING:
    from jitr.sessions import SessionResult

# As in attempt.py: an older observation is made again before the status is set.
_FRESH = timedelta(seconds=5)
_REASON_OF = {Action.REVOKE: Reason.REVOKED_BY_CA, Action.SUSPEND: Reason.SUSPENDED_BY_CA}
_METRIC_OF = {Action.REVOKE: REVOKED_BY_CRL, Action.SUSPEND: SUSPENDED_BY_CRL, Action.LIFT: HOLDS_LIFTED}


class Result(StrEnum):
    """What became of one certificate."""

    ENDED = "ended"  # revoked or suspended
    LIFTED = "lifted"
    NOTHING = "nothing"  # nothing is to be done, or `register` does it
    LATER = "later"  # another attempt is under way, or AWS did not answer


@value
class Order:
    """What is applied: the CRL of a CA, as one run read it."""

    ca: CaRules
    crl: RevocationList
    version: str


class Enforcement:
    """Applies CRLs to certificates of one account and Region; may be used by several threads."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        outcomes: Outcomes,
        announcer: Announcer,
        sessions: SessionEnd,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._outcomes = outcomes
        self._announcer = announcer
        self._sessions = sessions
        self._clock = clock

    def carry_out(self, certificate_id: str, serial: int, order: Order) -> Result:
        """Do what the CRL says of one certificate, which has this serial number; never raises an error of AWS."""
        try:
            return self._carry_out(certificate_id, serial, order)
        except CertificateUnknown:
            return Result.NOTHING
        except NotPermitted:
            self._announcer.log_not_permitted("a CRL cannot be applied", certificate_id=certificate_id)
        except (Overtaken, Unavailable, Rejected) as error:
            self._announcer.note("a CRL is applied later", certificate_id=certificate_id, why=str(error))
        return Result.LATER

    def _carry_out(self, certificate_id: str, serial: int, order: Order) -> Result:
        record = self._registry.recall([certificate_id])[certificate_id]
        if is_being_decided(record, self._clock()):
            raise Overtaken("another attempt is on its way to a decision")
        reason = order.crl.reason_of(serial)
        action = judge(record, reason)
        if action is None:
            return Result.NOTHING
        if action is Action.LIFT and record.is_suspended and not is_of_revocation(record.intent):
            return self._lift(certificate_id, record, order)
        observed_at = self._clock()
        device = with_recorded_ca(self._iot.describe(certificate_id), record)
        certificate = self._read_named(device, serial, order.ca)
        if certificate is None or not is_to_be_set(device, record, action):
            return Result.NOTHING
        if action is Action.LIFT:
            if record.decision is not None and record.is_suspended and device.status is Status.INACTIVE:
                self._record_found(record.decision, record)  # ends the intent
            elif self._record_begun(device, record).status is Status.REVOKED:
                return Result.ENDED
            return self._lift(certificate_id, self._registry.recall([certificate_id])[certificate_id], order)
        return self._end(device, certificate, record, action, reason, order, observed_at)

    def _end(
        self,
        device: DeviceRegistration,
        certificate: Certificate,
        record: Record,
        action: Action,
        reason: RevocationReason | None,
        order: Order,
        observed_at: datetime,
    ) -> Result:
        assert reason is not None  # noqa: S101 -- it is listed
        run = f"revoke {uuid.uuid4()}"
        step = SetStatus(certificate_id=device.certificate_id, status=STATUS_OF[action])
        is_set = device.status is step.status
        if not is_set:
            self._iot.take_turn(step)
            # Before the intent: a status that another party has set is not to be taken for this run's own.
            self._refuse_changed(device, observed_at)
        # Dated after the wait: what is set within seconds of the intent is this run's (record.is_as_rejected).
        decision = self._decision(device, certificate, record, action, reason, order)
        self._registry.intend(decision, record, run=run)
        try:
            if not is_set:
                self._iot.apply(step)
                # Dated after the call: a status that another party sets later is then newer (record.releases).
                decision = replace(decision, decided_at=self._clock())
            elif record.intent is not None and is_of_revocation(record.intent):
                # Set by the run before: what another party sets later is newer than that.
                decision = replace(decision, decided_at=record.intent.decided_at)
            self._announcer.announce(decision)
            self._registry.record(decision, record, run=run)
        except (CertificateUnknown, Overtaken, Unavailable, Rejected):
            # Otherwise the next attempt would have to wait until this one is known to be dead.
            self._registry.hand_back_intent(device.certificate_id, run=run)
            raise
        self._announcer.report_outcome(decision.outcome, device.certificate_id, decision)
        self._announcer.count(_METRIC_OF[action])
        if device.status is not Status.INACTIVE or action is Action.SUSPEND:
            self._end_sessions(device, decision)
        return Result.ENDED

    def _record_begun(self, device: DeviceRegistration, record: Record) -> Decision:
        """Record what a run carried out before it died, dated as it was begun; the decision.

        Raises Overtaken, Unavailable.
        """
        begun = record.intent
        assert begun is not None  # noqa: S101 -- is_to_be_set has looked
        self._announcer.announce(begun)
        self._record_found(begun, record)
        self._announcer.report_outcome(begun.outcome, device.certificate_id, begun)
        self._announcer.count(_METRIC_OF[Action.REVOKE if begun.status is Status.REVOKED else Action.SUSPEND])
        return begun

    def _record_found(self, found: Decision, record: Record) -> None:
        if not self._registry.record_found(found, record):
            raise Overtaken("another decision on the certificate was made meanwhile")

    def _end_sessions(self, device: DeviceRegistration, decision: Decision) -> None:
        for_good = decision.status is Status.REVOKED  # a suspended device may come back to its session
        ended: tuple[SessionResult, ...]
        if decision.thing_name:
            ended = (self._sessions.end_one(device.certificate_id, decision.thing_name, clean_session=for_good),)
        else:
            ended = self._sessions.end(device, clean_session=for_good)
        for one in ended:
            self._announcer.note(
                "session of a certificate that has left ACTIVE",
                certificate_id=device.certificate_id,
                client_id=one.client_id,
                session=one.state.value,
                why=one.why,
            )

    def _lift(self, certificate_id: str, record: Record, order: Order) -> Result:
        now = self._clock()
        lifted = self._outcomes.order_lift(
            certificate_id,
            OperatorVerdict(
                action=OperatorAction.RELEASED, by=f"the CRL of CA {order.ca.name}", at=now, note=_describe(order.crl)
            ),
            seen=record,
        )
        if lifted is None:
            raise Overtaken("the record has changed since it was read")
        self._announcer.note("a hold was lifted", certificate_id=certificate_id, ca=order.ca.name)
        self._announcer.count(_METRIC_OF[Action.LIFT])
        return Result.LIFTED

    def _read_named(self, device: DeviceRegistration, serial: int, ca: CaRules) -> Certificate | None:
        """The certificate, if it is the one that the CRL names: the CA signed it, with this serial number."""
        try:
            certificate = Certificate.from_pem(device.pem)
        except Rejected as error:
            certificate, why = None, str(error)
        else:
            why = "it has another serial number, or the CA did not sign it"
        if certificate and certificate.encoded.serial == serial and certificate.is_signed_by(fleet_ca(ca)):
            return certificate
        self._announcer.note(
            "a certificate is not the one that the CRL lists", certificate_id=device.certificate_id, why=why
        )
        return None

    def _refuse_changed(self, device: DeviceRegistration, observed_at: datetime) -> None:
        """Observe the certificate again if the observation is old.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        if self._clock() - observed_at <= _FRESH:
            return
        again = self._iot.describe(device.certificate_id)
        if (again.status, again.created_at) != (device.status, device.created_at):
            raise Overtaken(f"the certificate became {again.status} meanwhile")

    def _decision(
        self,
        device: DeviceRegistration,
        certificate: Certificate,
        record: Record,
        action: Action,
        reason: RevocationReason,
        order: Order,
    ) -> Decision:
        known = record.decision
        found = record.complete(
            Decision(
                certificate_id=device.certificate_id,
                outcome=Outcome.FOUND,
                status=STATUS_OF[action],
                registered_at=device.created_at,
                decided_at=self._clock(),
                rules_digest=self._rules_digest,
                ca_certificate_id=order.ca.certificate_id,
                ca=order.ca.name,
                verdict_seen=record.verdict_number,
                after=record.decided_at,
            )
        )
        claimed = record.intent.thing_name if record.intent and record.intent.claims_name else None
        return replace(
            found,
            # An activation that was not recorded has claimed its name, and became ACTIVE with it.
            thing_name=found.thing_name or (claimed if device.status is Status.ACTIVE else None),
            reason=_REASON_OF[action],
            detail=f"the CRL of CA {order.ca.name}, {_describe(order.crl)}, lists the certificate: {reason.name}",
            serial=certificate.serial,
            subject=certificate.subject,
            issuer=certificate.issuer,
            replaced_by=known.replaced_by if known else None,
            crl=order.version,
        )


def _describe(crl: RevocationList) -> str:
    issued = f"issued {crl.this_update:%Y-%m-%dT%H:%M:%SZ}"
    return issued if crl.number is None else f"number {crl.number}, {issued}"
