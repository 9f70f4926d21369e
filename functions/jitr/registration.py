"""One registration event, from hint to recorded decision: the seven steps.

    1 recall    the certificate's record (read for a whole batch at once, by the handler); a settled event ends here
    2 observe   what AWS IoT says of the certificate, and of its CA
    3 admit     pure: admission.py
    4 plan      pure: provisioning.py
    5 apply     each step is "make it so"; the claim, then ACTIVE, are the last two
    6 announce  EventBridge, at least once
    7 record    the decision; only now is a duplicate free

The order of the last three decides what a crash costs. Between apply and record a redelivery finds the intent that was
written before the status was set, and finishes from there: announced again with the same id, recorded once.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.admission import Examination, examine
from jitr.decisions import Decision, Outcome, Record
from jitr.errors import Overtaken, Reason, Rejected
from jitr.events import RegistrationEvent
from jitr.iot import AwsIot
from jitr.provisioning import Claim, SetStatus, plan, plan_rejection
from jitr.registrations import DeviceRegistration, Status
from jitr.registry import Registry
from jitr.rules import OnReject, Rules
from jitr.settings import Settings
from jitr.telemetry import CONTRADICTIONS, Announcer

# An observation older than this is made again before the status is set (the sixth IoT call).
_FRESH = timedelta(seconds=5)


class Registration:
    """Decides on certificates in one account and Region."""

    def __init__(
        self,
        *,
        settings: Settings,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._announcer = announcer
        self._clock = clock

    def recall(self, certificate_ids: set[str]) -> dict[str, Record]:
        """The records of a batch's certificates.

        Raises Unavailable.
        """
        return self._registry.recall(certificate_ids) if certificate_ids else {}

    def decide(self, event: RegistrationEvent, record: Record, *, sent_at: datetime) -> tuple[Outcome, Decision | None]:
        """Take one event to its outcome; the decision is there unless the event was settled before.

        `sent_at` is when the event entered the queue.

        Raises CertificateUnknown, Overtaken and Unavailable, after which the same event can be decided again.
        """
        now = self._clock()
        # Step 1
        if record.decision and record.decision.settles(
            event, sent_at=sent_at, now=now, rules_digest=self._rules_digest
        ):
            return Outcome.DUPLICATE, None
        # Step 2
        device = self._iot.describe(event.certificate_id)
        self._compare(event, device)
        if device.status is not Status.PENDING_ACTIVATION:
            return self._already_left_pending(device, record)
        # Steps 3 to 5
        decision = self._judge(device, record, observed_at=now)
        # Steps 6 and 7
        if not decision.repeats(record.decision):
            self._announcer.announce(decision)
        self._registry.record(decision)
        return decision.outcome, decision

    def _compare(self, event: RegistrationEvent, device: DeviceRegistration) -> None:
        """Report an event that says something else than AWS; the certificate decides."""
        said = {"account": event.account_id, "ca_certificate_id": event.ca_certificate_id}
        is_ = {"account": self._settings.account_id, "ca_certificate_id": device.ca_certificate_id}
        differing = {name: said[name] for name in said if said[name] is not None and said[name] != is_[name]}
        if differing:
            self._announcer.warn(
                "event contradicts the certificate",
                CONTRADICTIONS,
                certificate_id=device.certificate_id,
                said=differing,
                found={name: is_[name] for name in differing},
            )

    def _already_left_pending(self, device: DeviceRegistration, record: Record) -> tuple[Outcome, Decision | None]:
        intent = record.intent
        if intent and intent.is_for(device.created_at) and intent.status is device.status:
            # We set this status and died before saying so.
            self._announcer.announce(intent)
            self._registry.record(intent)
            return intent.outcome, intent
        found = self._decision(device, Outcome.FOUND, device.status)
        if record.decision is None:
            self._registry.record(found)
        return Outcome.FOUND, found

    def _judge(self, device: DeviceRegistration, record: Record, *, observed_at: datetime) -> Decision:
        """Admit and activate, or find the reason why not and do what the rules say about it."""
        ca = self._iot.describe_ca(device.ca_certificate_id) if device.ca_certificate_id else None
        examination = examine(device, ca, self._rules, now=self._clock())
        try:
            self._refuse_what_was_taken_away(record)
            return self._activate(device, examination, observed_at=observed_at)
        except Rejected as refusal:
            return self._refuse(device, examination, refusal, record, observed_at=observed_at)

    def _refuse_what_was_taken_away(self, record: Record) -> None:
        if record.denied_by:
            raise Rejected(Reason.OPERATOR_VERDICT, "an operator's verdict stands against the activation")
        if record.was_taken_away:
            raise Rejected(Reason.WAS_REVOKED, "this certificate was revoked, deleted and came back")

    def _activate(self, device: DeviceRegistration, examination: Examination, *, observed_at: datetime) -> Decision:
        identity = examination.admit()
        owner = self._registry.owner(identity.thing_name)
        if owner not in (None, device.certificate_id):
            raise Rejected(Reason.THING_TAKEN, f"thing name {identity.thing_name} belongs to another certificate")
        decision = replace(
            self._decision(device, Outcome.ACTIVATED, Status.ACTIVE, examination),
            thing_name=identity.thing_name,
        )
        for step in plan(identity, device, fleet=self._settings.fleet):
            match step:
                case Claim():
                    self._registry.claim(decision)
                case SetStatus():
                    self._refuse_stale(device, observed_at)
                    self._iot.apply(step)
                case _:
                    self._iot.apply(step)
        return replace(decision, decided_at=self._clock())

    def _refuse(
        self,
        device: DeviceRegistration,
        examination: Examination,
        refusal: Rejected,
        record: Record,
        *,
        observed_at: datetime,
    ) -> Decision:
        ca_rules = self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
        on_reject = ca_rules.on_reject if ca_rules else OnReject.LEAVE
        steps = plan_rejection(on_reject, device) if refusal.reason.final else ()
        status = steps[-1].status if steps else Status.PENDING_ACTIVATION
        outcome = Outcome.REJECTED if refusal.reason.final else Outcome.HELD
        decision = replace(
            self._decision(device, outcome, status, examination),
            reason=refusal.reason,
            detail=refusal.detail,
        )
        if steps:
            self._registry.intend(decision)
        for step in steps:
            self._refuse_stale(device, observed_at)
            self._iot.apply(step)
        if decision.repeats(record.decision) and record.decision:
            return replace(decision, attempts=record.decision.attempts + 1)
        return decision

    def _refuse_stale(self, device: DeviceRegistration, observed_at: datetime) -> None:
        """Look again when the first look is old: somebody may have acted meanwhile, and is not to be overruled.

        Raises Overtaken.
        """
        if self._clock() - observed_at <= _FRESH:
            return
        again = self._iot.describe(device.certificate_id)
        if again.status is not Status.PENDING_ACTIVATION or again.created_at != device.created_at:
            raise Overtaken(f"the certificate became {again.status} while it was provisioned")

    def _decision(
        self,
        device: DeviceRegistration,
        outcome: Outcome,
        status: Status,
        examination: Examination | None = None,
    ) -> Decision:
        ca_rules = self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
        certificate = examination.certificate if examination else None
        return Decision(
            certificate_id=device.certificate_id,
            outcome=outcome,
            status=status,
            registered_at=device.created_at,
            decided_at=self._clock(),
            rules_digest=self._rules_digest,
            ca_certificate_id=device.ca_certificate_id,
            ca=ca_rules.name if ca_rules else None,
            would_reject=examination.would_reject if examination else (),
            serial=certificate.serial if certificate else None,
            issuer=certificate.issuer if certificate else None,
            subject=certificate.subject if certificate else None,
        )
