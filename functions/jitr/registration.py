"""One registration event, from hint to recorded decision: the seven steps.

    1 recall    the certificate's record (read for a whole batch at once, by the handler); a settled event ends here
    2 observe   what AWS IoT says of the certificate, and of its CA
    3 admit     examining.py reads what the checks need; pure: admission.py, replacement.py
    4 plan      pure: provisioning.py
    5 apply     each step is "make it so"; the claim, then ACTIVE, are the last two
    6 announce  EventBridge, at least once
    7 record    the decision; only now is a duplicate free

The order of the last three decides what a crash costs. Between apply and record a redelivery finds the intent that was
written before the status was set, and finishes from there: announced again with the same id, recorded once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jitr.admission import Examination
from jitr.claims import STALE_INTENT, Due
from jitr.crls import Crls
from jitr.decisions import Decision, Outcome, Owner, Record
from jitr.enrollment_table import EnrollmentTable
from jitr.errors import NAME_LOST, CertificateUnknown, NotItsTurn, Overtaken, Reason, Rejected, Unavailable
from jitr.events import RegistrationEvent
from jitr.examining import Examined, Examiner
from jitr.hook import Hook
from jitr.iot import AwsIot
from jitr.pacing import TURNS_PER_LOOK, Pacer
from jitr.provisioning import Claim, IotStep, SetStatus, plan, plan_rejection, plan_withdrawal
from jitr.registrations import DeviceRegistration, Status
from jitr.registry import Registry
from jitr.replacement import is_twin, refuse_wrong_owner
from jitr.rules import CaRules, OnReject, OnReplacement, Rules
from jitr.settings import Settings
from jitr.telemetry import CONTRADICTIONS, Announcer

# An observation older than this is made again before the status is set (the sixth IoT call).
_FRESH = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One certificate on its way to a decision: what was recalled, observed and examined."""

    device: DeviceRegistration
    record: Record
    run: str  # names the message
    rules: CaRules | None  # none for a CA that fleet.toml does not list
    examined: Examined
    observed_at: datetime
    time_is_left: Callable[[], bool]

    @property
    def examination(self) -> Examination:
        return self.examined.examination

    def refuse_late(self) -> None:
        """Stop before the function's deadline does, between two calls.

        Raises Unavailable.
        """
        if not self.time_is_left():
            raise Unavailable("the function's deadline is near")


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
        announcer: Announcer,
        pacer: Pacer,
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
        self._announcer = announcer
        self._pacer = pacer
        self._clock = clock

    def recall(self, certificate_ids: set[str]) -> dict[str, Record]:
        """The records of a batch's certificates; of held ones, whether what they wait for has changed since.

        Raises Unavailable.
        """
        if not certificate_ids:
            return {}
        records = self._registry.recall(certificate_ids)
        listed, entered = self._crls.changed_since(records, self._rules), self._enrollment.changed_since(records)
        return {
            one: replace(record, crl_changed=one in listed, entries_changed=one in entered)
            for one, record in records.items()
        }

    def decide(
        self,
        event: RegistrationEvent,
        record: Record,
        *,
        run: str,
        sent_at: datetime,
        time_is_left: Callable[[], bool],
    ) -> tuple[Outcome, Decision | None]:
        """Take one event to its outcome; the decision is there unless the event was settled before.

        `run` names the message, `sent_at` is when it entered the queue; `time_is_left` says whether one more call can
        be made, should it be the slowest.

        Raises CertificateUnknown, NotItsTurn, Overtaken and Unavailable; the same event can be decided again then.
        """
        now = self._clock()
        # Step 1
        if record.settles(event, sent_at=sent_at, now=now, rules_digest=self._rules_digest):
            return Outcome.DUPLICATE, None
        if record.is_held and not self._pacer.try_turn("look at a held device", turns=TURNS_PER_LOOK):
            raise NotItsTurn("held devices take every twentieth turn")
        # Step 2
        device = self._iot.describe(event.certificate_id)
        self._compare(event, device)
        if device.status is not Status.PENDING_ACTIVATION:
            return self._already_left_pending(device, record)
        if record.intent and record.begun_by not in (None, run) and now - record.intent.decided_at <= STALE_INTENT:
            raise Overtaken(
                "another run is on its way to a decision"
            )  # it would be told so at the claim, six calls later
        # Steps 3 to 5
        decision = self._judge(device, record, run=run, observed_at=now, time_is_left=time_is_left)
        # Steps 6 and 7
        if not decision.repeats(record.decision):
            self._announcer.announce(decision)
        self._registry.record(decision, record)
        return decision.outcome, decision

    def give_up(self, certificate_id: str, record: Record) -> None:
        """AWS IoT does not know the certificate any more: nothing is due with it.

        Raises Unavailable.
        """
        if record.is_held:
            self._registry.nothing_due(certificate_id, Due.LOOK)

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
            self._registry.record(intent, record)
            return intent.outcome, intent
        found = self._decision(device, Outcome.FOUND, device.status)
        if record.decision is None or record.is_held:
            self._registry.record(found, record)
        return Outcome.FOUND, found

    def _judge(
        self,
        device: DeviceRegistration,
        record: Record,
        *,
        run: str,
        observed_at: datetime,
        time_is_left: Callable[[], bool],
    ) -> Decision:
        """Admit and activate, or find the reason why not and do what the rules say about it."""
        case = _Case(
            device=device,
            record=record,
            run=run,
            rules=self._rules_of(device),
            examined=self._examiner.examine(device, record),
            observed_at=observed_at,
            time_is_left=time_is_left,
        )
        try:
            record.refuse_activation()
            if case.rules and case.rules.asks_hook and case.examination.identity:
                case.refuse_late()
                case = replace(case, examined=self._examiner.ask_hook(case.examined, device, record))
            return self._activate(case)
        except Rejected as refusal:
            return self._refuse(case, refusal)

    def _activate(self, case: _Case) -> Decision:
        identity = case.examination.admit()
        certificate, rules = case.examination.certificate, case.rules
        assert certificate is not None  # noqa: S101 -- admitted: it could be read
        assert rules is not None  # noqa: S101 -- admitted: its CA is known
        owner = self._registry.owner(identity.thing_name)
        try:
            refuse_wrong_owner(
                identity.thing_name,
                owner=owner,
                device=case.device,
                certificate=certificate,
                rules=rules,
                may_follow=identity.may_follow,
                now=self._clock(),
            )
            gone = None
        except Rejected:
            if owner is None or is_twin(owner, certificate, rules) or self._exists(owner.certificate_id):
                raise
            gone = owner.certificate_id  # nobody's name any more
        share = rules.on_replacement is OnReplacement.SHARE
        replaces = owner.certificate_id if owner and not share and not gone else None
        decision = replace(
            self._decision(case.device, Outcome.ACTIVATED, Status.ACTIVE, case.examined),
            thing_name=identity.thing_name,
            replaces=None if replaces == case.device.certificate_id else replaces,
            after=case.record.decided_at,
        )
        for step in plan(identity, case.device, is_ours=owner is not None):
            case.refuse_late()
            match step:
                case Claim():
                    self._registry.claim(
                        decision,
                        case.record,
                        Owner(
                            certificate_id=case.device.certificate_id,
                            ca_certificate_id=rules.certificate_id,
                            serial=certificate.serial,
                            issued_at=certificate.not_before,
                            ends_at=certificate.not_after,
                            registered_at=case.device.created_at,
                        ),
                        run=case.run,
                        share=share,
                        gone=gone,
                        retire_at=decision.decided_at + timedelta(seconds=rules.overlap),
                    )
                case SetStatus():
                    self._refuse_stale(case)
                    self._iot.apply(step)
                case _:
                    self._apply(step, case.device)
        return replace(decision, decided_at=self._clock())

    def _apply(self, step: IotStep, device: DeviceRegistration) -> None:
        """Apply one step; when what it names is missing, see whether that is the certificate itself.

        Raises as AwsIot.apply, and CertificateUnknown.
        """
        try:
            self._iot.apply(step)
        except Rejected as refusal:
            if refusal.reason is Reason.TARGET_MISSING:
                self._iot.describe(device.certificate_id)
            raise

    def _exists(self, certificate_id: str) -> bool:
        try:
            self._iot.describe(certificate_id)
        except CertificateUnknown:
            return False
        return True

    def _refuse(self, case: _Case, refusal: Rejected) -> Decision:
        on_reject = case.rules.on_reject if case.rules else OnReject.LEAVE
        steps = plan_rejection(on_reject, case.device) if refusal.reason.final else ()
        decision = replace(
            self._decision(
                case.device,
                Outcome.REJECTED if refusal.reason.final else Outcome.HELD,
                steps[-1].status if steps else Status.PENDING_ACTIVATION,
                case.examined,
            ),
            reason=refusal.reason,
            detail=refusal.detail,
            after=case.record.decided_at,
        )
        earlier = case.record.decision
        repeated = earlier is not None and decision.repeats(earlier)
        identity = case.examination.identity
        if identity and not repeated and refusal.reason in (*NAME_LOST, Reason.OPERATOR_VERDICT):
            # What was attached is taken back, under the lock: another run may be about to activate just this.
            self._registry.intend(decision, case.record, run=case.run)
            for withdrawal in plan_withdrawal(identity, case.device):
                self._iot.apply(withdrawal)
            self._registry.end_intent(case.device.certificate_id, run=case.run)
        if steps:
            self._registry.intend(decision, case.record, run=case.run)
        try:
            for step in steps:
                case.refuse_late()
                self._refuse_stale(case)
                self._iot.apply(step)
        except Rejected as undone:
            # AWS does not take the status. The reason stays, so that what was revoked stays known as such.
            detail = f"{refusal.detail}; it stays pending, since {undone.detail}"
            decision = replace(decision, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, detail=detail)
        claimed = case.record.intent.thing_name if case.record.intent else None
        if claimed and refusal.reason.final:
            # An earlier attempt got as far as the claim, under other rules.
            self._registry.disown(claimed, case.device.certificate_id)
        if earlier and repeated:
            return replace(decision, attempts=earlier.attempts + 1, after=earlier.after)
        return decision

    def _refuse_stale(self, case: _Case) -> None:
        """Look again when the first look is old: somebody may have acted meanwhile, and is not to be overruled.

        Raises Overtaken.
        """
        if self._clock() - case.observed_at <= _FRESH:
            return
        again = self._iot.describe(case.device.certificate_id)
        if again.status is not Status.PENDING_ACTIVATION or again.created_at != case.device.created_at:
            raise Overtaken(f"the certificate became {again.status} while it was provisioned")

    def _decision(
        self, device: DeviceRegistration, outcome: Outcome, status: Status, examined: Examined | None = None
    ) -> Decision:
        rules = self._rules_of(device)
        examination = examined.examination if examined else None
        certificate = examination.certificate if examination else None
        return Decision(
            certificate_id=device.certificate_id,
            outcome=outcome,
            status=status,
            registered_at=device.created_at,
            decided_at=self._clock(),
            rules_digest=self._rules_digest,
            ca_certificate_id=device.ca_certificate_id,
            ca=rules.name if rules else None,
            would_reject=examination.would_reject if examination else (),
            serial=certificate.serial if certificate else None,
            issuer=certificate.issuer if certificate else None,
            subject=certificate.subject if certificate else None,
            asks_for=examined.thing_name if examined else None,
            crl=examined.crl if examined else None,
            enrollment=examined.enrollment if examined else None,
        )

    def _rules_of(self, device: DeviceRegistration) -> CaRules | None:
        return self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
