"""One registration event, from hint to recorded decision: the seven steps.

    1 recall    the certificate's record (read for a whole batch at once, by the handler); a settled event ends here
    2 observe   what AWS IoT says of the certificate, and of its CA
    3 admit     evidence.py reads what the checks need; pure: procedure.py, rotation.py
    4 plan      pure: provisioning.py; activation.py for the admitted, rejection.py for the others
    5 apply     each step is "make it so"; the claim, then ACTIVE, are the last two
    6 announce  EventBridge, at least once
    7 record    the decision; only now is a duplicate free

The order of the last three decides what a crash costs. Between apply and record a redelivery finds the intent that was
written before the status was set, and finishes from there: announced again with the same id, recorded once.
"""

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from jitr.aws.crl_bucket import Crls
from jitr.aws.hook import Hook
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Rejected
from jitr.events import RegistrationEvent
from jitr.iot_models import DeviceRegistration, Status
from jitr.observed_status import observe
from jitr.pacing.schedule import PACE, Need
from jitr.pacing.turns import Turns
from jitr.record import Record
from jitr.registration.activation import Activation
from jitr.registration.attempt import AttemptState, RegistrationAttempt
from jitr.registration.earlier_attempts import EarlierAttempts
from jitr.registration.evidence import Examiner
from jitr.registration.name_rollback import Restitution
from jitr.registration.rejection import Rejection
from jitr.registration.rule_brake import RuleBrake
from jitr.rules import CaRules, Rules
from jitr.settings import Settings
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.store.registry_writes import is_being_decided
from jitr.store.withdrawal_marks import marks
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
            rules=rules,
            iot=iot,
            crls=crls,
            enrollment=enrollment,
            hook=hook,
            clock=clock,
        )
        self._activation = Activation(iot=iot, registry=registry, enrollment=enrollment)
        self._brakes = brakes
        self._refusal = Rejection(iot=iot, registry=registry, brake=RuleBrake(brakes=brakes, announcer=announcer))
        self._restitution = Restitution(iot=iot, registry=registry)
        self._earlier = EarlierAttempts(iot=iot, registry=registry)
        self._announcer = announcer
        self._turns = turns
        self._clock = clock

    def recall(self, certificate_ids: set[str], swept: Mapping[str, datetime] | None = None) -> dict[str, Record]:
        """The records of a batch's certificates; of held ones, whether what they wait for has changed since.

        `swept` says which of them the sweep has sent, and when: something may have changed that is read anew for them,
        though it was read within the last minute. The schedule of turns is read along.

        Raises Unavailable.
        """
        if not certificate_ids:
            return {}
        records, schedule = self._registry.recall_beside(certificate_ids, PACE)
        self._turns.see(schedule)
        listed = self._crls.changed_since(records, self._rules, swept or {})
        entered = self._enrollment.changed_since(records)
        accepted = self._brakes.accepted_since(records, swept or {})
        return {
            one: replace(
                record, crl_changed=one in listed, entries_changed=one in entered, brake_changed=one in accepted
            )
            for one, record in records.items()
        }

    def needs(
        self, event: RegistrationEvent, record: Record, *, sent_at: datetime, is_swept: bool = False
    ) -> Need | None:
        """As what this event needs a turn; None when it is settled without a call of AWS IoT."""
        if record.settles(
            event, sent_at=sent_at, now=self._clock(), rules_digest=self._rules_digest, is_swept=is_swept
        ):
            return None
        if record.has_new_input or (record.verdict and record.verdict.action.allows_activation):
            return Need.ORDERED
        return Need.HELD if record.is_held_in(event) else Need.NEW

    def prepare(self, ca_certificate_id: str) -> None:
        """Read what all certificates of a CA need, so that several at once do not all ask for it.

        The id may be an event's, which is only a hint: this is read for the fleet's own CAs alone. What cannot be had
        is no failure here: each certificate asks for it again.
        """
        if ca := self._rules.ca(ca_certificate_id):
            with suppress(Exception):  # what it was, each certificate's own question tells
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
        """Take one event to its outcome; the decision is there unless the event was settled before.

        `sent_at` is when the message entered the queue, and `is_swept` whether the sweep sent it; `time_is_left` says
        whether one more call can be made, should it be the slowest.

        Raises CertificateUnknown, Overtaken and Unavailable; the same event can be decided again then.
        """
        now = self._clock()
        # Step 1
        if record.settles(event, sent_at=sent_at, now=now, rules_digest=self._rules_digest, is_swept=is_swept):
            return Outcome.DUPLICATE, None
        # Step 2
        device = self._iot.describe(event.certificate_id)
        if not device.is_ca_named:
            from jitr.admission.issuers import with_recorded_ca  # noqa: PLC0415 -- not needed where AWS names the CA

            device = with_recorded_ca(device, record)
        self._compare(event, device)
        is_released = record.releases(device)
        if device.status is not Status.PENDING_ACTIVATION and not is_released:
            return self._already_left_pending(device, record, now)
        _refuse_to_overtake(record, now)  # it would be told so at the claim, six calls later
        attempt = AttemptState(run=uuid.uuid4().hex)
        try:
            # Steps 3 to 5
            decision = self._judge(
                device,
                record,
                attempt,
                observed_at=now,
                time_is_left=time_is_left,
                release=record.verdict_number if is_released else None,
            )
            # Steps 6 and 7
            if not decision.repeats(record.decision):
                self._announcer.announce(decision)
            self._registry.record(
                decision,
                record,
                run=attempt.run if attempt.has_begun else None,
                tried=attempt.tried,
                taken_back=attempt.taken_back,
            )
        except Exception as error:
            # Else the next attempt would have to wait until this one is known to be dead.
            self._earlier.leave_traces(device, record, attempt, error, policy=self._policy(device), now=self._clock())
            raise
        self._brakes.note(self._rules_of(device), decision)
        return decision.outcome, decision

    def write_counts(self) -> None:
        """Write what the brakes have summed up about decisions, once a minute at most.

        Raises Unavailable.
        """
        self._brakes.write()

    def give_up(self, certificate_id: str, record: Record) -> None:
        """AWS IoT does not know the certificate any more: nothing is due with it, and a name that it claimed is free.

        Raises Unavailable.
        """
        self._leave_to_sweep(certificate_id, record, None)
        if back := self._restitution.of(record.intent):
            # What another attempt has begun meanwhile, the sweep finds by the mark.
            with suppress(Overtaken):
                self._registry.give_back_if_unchanged(back, record, self._clock())
        if record.is_held:
            self._registry.no_look_due(certificate_id, record)
        if record.is_release_ordered:
            self._registry.no_release_due(certificate_id, record)

    def leave_to_sweep(self, certificate_id: str) -> None:
        """Its message is about to be deleted: what an attempt began and did not record becomes due.

        What is PENDING_ACTIVATION without a decision, or held, the sweep finds as it is.

        Raises Unavailable.
        """
        self._registry.leave_unfinished(certificate_id, self._clock())

    def leave_to_look(self, certificate_id: str, record: Record) -> None:
        """Its message is about to be deleted, for it is not its turn: a decided certificate has its look by the sweep.

        Where the record says that something is due, nothing is written: a look comes in its time, and what an operator
        denies has none.

        Raises Unavailable; then the message must stay.
        """
        if record.due is None:
            self._registry.leave_look(certificate_id, self._clock())

    def _leave_to_sweep(self, certificate_id: str, record: Record, policy: str | None) -> None:
        """Have the sweep take back what attempts left of a certificate that will not be activated."""
        if record.tried_names:
            left = marks(certificate_id, record.tried_names, policy, self._clock())
            self._registry.note_withdrawals(left)

    def _compare(self, event: RegistrationEvent, device: DeviceRegistration) -> None:
        """Report an event that says something else than AWS; the certificate decides."""
        said = {"account": event.account_id, "ca_certificate_id": event.ca_certificate_id}
        is_ = {"account": self._settings.account_id, "ca_certificate_id": device.ca_certificate_id}
        if event.ca_certificate_id in device.possible_cas:
            del said["ca_certificate_id"]  # which of these it is, nobody knows: that contradicts nothing
        differing = {name: said[name] for name in said if said[name] is not None and said[name] != is_[name]}
        if differing:
            self._announcer.warn(
                "event contradicts the certificate",
                CONTRADICTIONS,
                certificate_id=device.certificate_id,
                said=differing,
                found={name: is_[name] for name in differing},
            )

    def _already_left_pending(
        self, device: DeviceRegistration, record: Record, now: datetime
    ) -> tuple[Outcome, Decision | None]:
        intent = record.intent
        if device.status is not Status.ACTIVE and (intent or record.is_news(self._found(device, record))):
            self._leave_to_sweep(device.certificate_id, record, self._policy(device))
        if intent and intent.is_for(device.created_at) and intent.status is device.status:
            # We set this status and died before saying so; or somebody else did, before the name was given back.
            if device.status is not Status.ACTIVE:
                self._restitution.give_back(intent)
            done = intent.without_claim
            self._announcer.announce(done)
            self._registry.record(done, record)
            return done.outcome, done
        if intent:
            # Somebody else set another status: after the claim and before ACTIVE, perhaps.
            _refuse_to_overtake(record, now)
            if device.status is not Status.ACTIVE:
                self._restitution.give_back(intent)
        found = self._found(device, record)
        # A release order that may not be carried out any more, since somebody else has acted, ends with what was found.
        is_void = record.has_unfinished_release
        if (is_void or record.is_news(found)) and not self._registry.record_found(found, record):
            raise Overtaken("another decision on the certificate was made meanwhile")
        if is_void:
            self._registry.no_release_due(device.certificate_id, record)
        return Outcome.FOUND, found

    def _judge(
        self,
        device: DeviceRegistration,
        record: Record,
        attempt: AttemptState,
        *,
        observed_at: datetime,
        time_is_left: Callable[[], bool],
        release: int | None,
    ) -> Decision:
        """Admit and activate, or find the reason why not and do what the rules say about it."""
        case = RegistrationAttempt(
            device=device,
            record=record,
            attempt=attempt,
            rules=self._rules_of(device),
            rules_digest=self._rules_digest,
            examined=self._examiner.examine(device, record),
            observed_at=observed_at,
            time_is_left=time_is_left,
            clock=self._clock,
            release=release,
        )
        try:
            case.record.refuse_activation()
            if case.rules and case.rules.asks_hook and case.examination.identity:
                case.refuse_late()
                case = replace(case, examined=self._examiner.ask_hook(case.examined, case.device, case.record))
            return self._activation.activate(case)
        except Rejected as refusal:
            return self._refusal.refuse(case, refusal)

    def _found(self, device: DeviceRegistration, record: Record) -> Decision:
        return observe(
            device,
            record,
            ca_certificate_id=device.ca_certificate_id,
            ca=self._rules_of(device),
            rules_digest=self._rules_digest,
            now=self._clock(),
        )

    def _policy(self, device: DeviceRegistration) -> str | None:
        rules = self._rules_of(device)
        return rules.policy if rules else None

    def _rules_of(self, device: DeviceRegistration) -> CaRules | None:
        return self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None


def _refuse_to_overtake(record: Record, now: datetime) -> None:
    """Leave a certificate to the attempt that has begun, until it is known to be dead.

    Raises Overtaken.
    """
    if is_being_decided(record, now):
        raise Overtaken("another attempt is on its way to a decision")
