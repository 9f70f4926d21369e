"""Takes one registration event from a hint to a recorded decision, in seven steps.

    1 recall    the certificate's record (read for a whole batch at once, by the handler); a settled event ends here
    2 observe   what AWS IoT says of the certificate, and of its CA
    3 admit     evidence.py reads what the checks need; pure: admission/procedure.py, admission/rotation.py
    4 plan      pure: provisioning.py; activation.py for the admitted, rejection.py for the others
    5 apply     each step is "make it so"; the claim, then ACTIVE, are the last two
    6 announce  EventBridge, at least once
    7 record    the decision; only now is a duplicate free

The order of the last three decides what a crash costs. Between apply and record, a redelivery finds the intent that was
written before the status was set. It announces the decision again under the same event id, and records it once.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from jitr.admission.applicant import Applicant
from jitr.aws.crl_bucket import Crls
from jitr.aws.hook import Hook
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, Overtaken, Reason, Rejected
from jitr.events import RegistrationEvent
from jitr.iot_models import DeviceRegistration, Status
from jitr.pacing.schedule import PACE, Need
from jitr.pacing.turns import Turns
from jitr.record import Record
from jitr.registration.activation import Activation
from jitr.registration.attempt import RegistrationAttempt, StepRunner
from jitr.registration.earlier_attempts import EarlierAttempts
from jitr.registration.evidence import Examiner
from jitr.registration.found_status import FoundStatus, refuse_to_overtake
from jitr.registration.name_rollback import NameRollbacks
from jitr.registration.rejection import Rejection
from jitr.registration.rule_brake import RuleBrake
from jitr.registration.take_away import SecondLookDue, TakeAway
from jitr.rules import Rules
from jitr.session_end import SessionEnd
from jitr.settings import Settings
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.store.revoked_cas import REVOKED_CAS, CaRevocation, to_revocations
from jitr.telemetry import CONTRADICTIONS, Announcer


class Registration:
    """Decides on certificates in one account and Region."""

    def __init__(
        self,
        *,
        settings: Settings,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        crls: Crls,
        enrollment: EnrollmentTable,
        hook: Hook,
        brakes: Brakes,
        announcer: Announcer,
        turns: Turns,
        sessions: Callable[[], SessionEnd],
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._crls = crls
        self._enrollment = enrollment
        self._examiner = Examiner(
            account_id=settings.account_id,
            iot=iot,
            crls=crls,
            enrollment=enrollment,
            hook=hook,
            clock=clock,
            registry=registry,
        )
        self._activation = Activation(iot=iot, registry=registry, enrollment=enrollment)
        self._brakes = brakes
        self._rejection = Rejection(iot=iot, registry=registry, brake=RuleBrake(brakes=brakes, announcer=announcer))
        self._rollbacks = NameRollbacks(iot=iot, registry=registry)
        self._earlier = EarlierAttempts(iot=iot, registry=registry)
        self._found = FoundStatus(
            registry=registry, rollbacks=self._rollbacks, announcer=announcer, rules_digest=rules.digest, clock=clock
        )
        self._take_away = TakeAway(
            registry=registry,
            rollbacks=self._rollbacks,
            sessions=sessions,
            announcer=announcer,
            rules_digest=rules.digest,
            clock=clock,
        )
        self._announcer = announcer
        self._revoked: Mapping[str, CaRevocation] = {}  # CAs, by certificate id, as last read
        self._turns = turns
        self._clock = clock

    def recall(self, certificate_ids: set[str], swept: Mapping[str, datetime] | None = None) -> dict[str, Record]:
        """Read the records of a batch's certificates; of held ones also what has changed since.

        That is their CRL, their entries, their brake, or the provisioning template on their CA.

        `swept` says which of them the sweep has sent, and when: for these also what was read within the last minute is
        read again. The schedule of turns and the revoked CAs are read in the
        same call.

        Raises Unavailable.
        """
        if not certificate_ids:
            return {}
        records, (schedule, revoked) = self._registry.recall_with_items(certificate_ids, PACE, REVOKED_CAS)
        self._turns.see(schedule)
        self._revoked = to_revocations(revoked)
        crls = self._crls.changed_since(records, self._rules, swept or {})
        entries = self._enrollment.find_changed(records)
        brakes = self._brakes.find_accepted(records, swept or {})
        freed = self._examiner.find_freed(records, self._rules)
        return {
            one: replace(
                record,
                crl_changed=one in crls,
                entries_changed=one in entries,
                brake_changed=one in brakes,
                template_gone=one in freed,
            )
            for one, record in records.items()
        }

    def needs(
        self, event: RegistrationEvent, record: Record, *, sent_at: datetime, is_swept: bool = False
    ) -> Need | None:
        """The class of turns that this event needs; None when it is settled without a paced call of AWS IoT."""
        if record.is_second_look_due or record.settles(
            event, sent_at=sent_at, now=self._clock(), rules_digest=self._rules_digest, is_swept=is_swept
        ):
            return None
        if (
            record.has_new_input
            or record.is_take_away_ordered
            or record.import_order
            or (record.verdict and record.verdict.action.allows_activation)
        ):
            return Need.ORDERED
        return Need.HELD if record.is_held_in(event) else Need.NEW

    def prepare(self, ca_certificate_id: str) -> None:
        """Read what all certificates of a CA need, so that threads do not each read it.

        The id may come from an event, which is only a hint: nothing is read for other CAs than the fleet's. An error is
        ignored: each certificate reads it again.
        """
        if ca := self._rules.ca(ca_certificate_id):
            with suppress(Exception):  # it is reported where the certificate's own read fails
                self._examiner.prepare(ca)

    def decide(
        self,
        event: RegistrationEvent,
        record: Record,
        *,
        sent_at: datetime,
        time_is_left: Callable[[], bool],
        is_swept: bool = False,
    ) -> tuple[Outcome, Decision | None]:
        """Decide on one event: its outcome, and the decision unless the event was settled before.

        `sent_at` is when the message entered the queue, and `is_swept` whether the sweep sent it. `time_is_left` says
        whether there is time for one more call, even the slowest.

        Raises CertificateUnknown, Overtaken, Unavailable and SecondLookDue; the same event can be decided on again
        then.
        """
        now = self._clock()
        # Step 1
        if record.is_second_look_due:
            self._take_away.look_again(event.certificate_id, record)
            return Outcome.DUPLICATE, None
        if record.settles(event, sent_at=sent_at, now=now, rules_digest=self._rules_digest, is_swept=is_swept):
            return Outcome.DUPLICATE, None
        # Step 2
        try:
            device = self._iot.describe(event.certificate_id)
        except CertificateUnknown:
            if not (is_swept and record.is_take_away_ordered):
                raise
            # The order is on a certificate that is not registered here: its verdict refuses it, should it come.
            self._registry.end_take_away(event.certificate_id, record)
            return Outcome.GONE, None
        if not device.is_ca_named:
            from jitr.admission.issuers import with_recorded_ca  # noqa: PLC0415 -- not needed where AWS names the CA

            device = with_recorded_ca(device, record)
        self._compare(event, device)
        applicant = Applicant.of(device, self._rules)
        if record.is_take_away_ordered:
            return self._carry_out_take_away(applicant, record, now, time_is_left)
        is_released = record.releases(device)
        may_act = is_released or record.is_import_unfinished(device)
        if device.status is not Status.PENDING_ACTIVATION and not may_act:
            return self._found.record(applicant, record, now)
        refuse_to_overtake(record, now)  # otherwise the claim would refuse it, six calls later
        steps = StepRunner(device, iot=self._iot, observed_at=now, time_is_left=time_is_left, clock=self._clock)
        try:
            # Steps 3 to 5
            attempt = RegistrationAttempt(
                applicant=applicant,
                record=record,
                # A new CRL may be why the sweep sent it, and S3 may have failed when the records were read.
                examined=self._examiner.examine(applicant, record, crl_not_before=sent_at if is_swept else None),
                rules_digest=self._rules_digest,
                observed_at=now,
                release=record.verdict_number if is_released else None,
            )
            decision = self._carry_out(attempt, steps)
            # Steps 6 and 7
            if not decision.repeats(record.decision):
                self._announcer.announce(decision)
            self._registry.record(
                decision,
                record,
                run=steps.run if steps.has_begun else None,
                tried=steps.tried,
                taken_back=steps.taken_back,
            )
        except Exception as error:
            # Otherwise the next attempt would have to wait until this one is known to be dead.
            self._earlier.leave_traces(applicant, record, steps, error, now=self._clock())
            raise
        self._brakes.note(applicant.rules, decision)
        return decision.outcome, decision

    def write_counts(self) -> None:
        """Write the brakes' counts of decisions, at most once a minute.

        Raises Unavailable.
        """
        self._brakes.write()

    def give_up(self, certificate_id: str, record: Record) -> None:
        """Free what a certificate has that AWS IoT no longer knows: the name that it claimed, and what is due.

        Raises Unavailable.
        """
        self._found.mark_for_withdrawal(certificate_id, record, None)
        if back := self._rollbacks.find(record.intent):
            # If another attempt has begun meanwhile, the sweep does this by the mark.
            with suppress(Overtaken):
                self._registry.give_back_if_unchanged(back, record, self._clock())
        if record.is_held:
            self._registry.clear_evaluation(certificate_id, record)
        if record.is_release_ordered:
            self._registry.clear_release(certificate_id, record)

    def leave_to_sweep(self, certificate_id: str) -> None:
        """Before its message is deleted: let an unfinished attempt on the certificate be due for the sweep.

        The sweep finds the others as they are: PENDING_ACTIVATION without a decision, or held.

        Raises Unavailable.
        """
        self._registry.schedule_unfinished(certificate_id, self._clock())

    def leave_to_due_evaluation(self, certificate_id: str, record: Record) -> None:
        """Before its message is deleted because no turn is free: let a decided certificate be due for the sweep.

        If the record says that something is due already, nothing is written: the evaluation comes at its time, and a
        certificate that an operator denies needs none.

        Raises Unavailable; then the message must stay.
        """
        if record.due is None:
            self._registry.schedule_evaluation(certificate_id, self._clock())

    def _compare(self, event: RegistrationEvent, device: DeviceRegistration) -> None:
        """Report an event that contradicts what AWS IoT says of the certificate; the event does not count."""
        said = {"account": event.account_id, "ca_certificate_id": event.ca_certificate_id}
        is_ = {"account": self._settings.account_id, "ca_certificate_id": device.ca_certificate_id}
        if event.ca_certificate_id in device.possible_cas:
            del said["ca_certificate_id"]  # one of several CAs that fit: no contradiction
        differing = {name: said[name] for name in said if said[name] is not None and said[name] != is_[name]}
        if differing:
            self._announcer.warn(
                "event contradicts the certificate",
                CONTRADICTIONS,
                certificate_id=device.certificate_id,
                said=differing,
                found={name: is_[name] for name in differing},
            )

    def _carry_out_take_away(
        self, applicant: Applicant, record: Record, now: datetime, time_is_left: Callable[[], bool]
    ) -> tuple[Outcome, Decision]:
        """Carry out an operator's order to take the certificate away.

        Raises SecondLookDue, Overtaken, CertificateUnknown, Unavailable.
        """
        refuse_to_overtake(record, now)
        steps = StepRunner(
            applicant.device, iot=self._iot, observed_at=now, time_is_left=time_is_left, clock=self._clock
        )
        try:
            if applicant.device.status is not Status.ACTIVE:
                self._found.mark_for_withdrawal(applicant.device.certificate_id, record, applicant.policy)
            decision = self._take_away.carry_out(applicant, record, steps)
        except SecondLookDue:
            raise  # it is recorded
        except Exception as error:
            # Otherwise the next attempt would have to wait until this one is known to be dead.
            self._earlier.leave_traces(applicant, record, steps, error, now=self._clock())
            raise
        return decision.outcome, decision

    def _carry_out(self, attempt: RegistrationAttempt, steps: StepRunner) -> Decision:
        """Activate the certificate if it is admitted, else refuse it as the rules say.

        While a provisioning template is on its CA, AWS IoT provisions the device: nothing else is decided on.
        """
        try:
            self._examiner.refuse_under_template(attempt.applicant)
        except Rejected as refusal:
            # That it was revoked must stay known, and the record keeps one reason.
            return self._rejection.hold(attempt, steps, attempt.record.revocation or refusal)
        try:
            attempt.record.refuse_activation()
            self._refuse_revoked_ca(attempt)
            self._examiner.refuse_listed_by_signer(attempt.applicant)
            if attempt.rules and attempt.rules.asks_hook and attempt.examination.identity:
                steps.refuse_late()
                attempt = replace(attempt, examined=self._examiner.ask_hook(attempt.examined, attempt.record))
            return self._activation.activate(attempt, steps)
        except Rejected as refusal:
            return self._rejection.refuse(attempt, steps, refusal)

    def _refuse_revoked_ca(self, attempt: RegistrationAttempt) -> None:
        """Refuse a device whose CA an operator has revoked, whatever AWS IoT shows and the checks' modes say.

        Raises Rejected(CA_INACTIVE).
        """
        signers = attempt.applicant.signers or ((attempt.rules,) if attempt.rules else ())
        names = {ca.certificate_id: ca.name for ca in signers} or {
            attempt.device.ca_certificate_id or "": "of the device"
        }
        for ca_certificate_id, name in names.items():
            if revocation := self._revoked.get(ca_certificate_id):
                raise Rejected(Reason.CA_INACTIVE, f"CA {name} was {revocation.description}")
