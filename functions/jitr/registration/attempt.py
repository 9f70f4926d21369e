"""One certificate on its way to a decision: what was recalled, observed and examined, and what ends the way early."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jitr.admission.procedure import Examination
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Rejected, Unavailable
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.provisioning import CreateThing, IotStep, SetStatus, UpdateThing
from jitr.record import Record
from jitr.registration.evidence import Examined
from jitr.rules import CaRules
from jitr.store.withdrawal_marks import Withdrawal

# An observation older than this is made again before the status is set (the sixth IoT call).
_FRESH = timedelta(seconds=5)


@dataclass(slots=True)
class AttemptState:
    """One attempt to decide; not its message, which SQS may hand out twice at once."""

    run: str
    has_begun: bool = False  # an intent of this attempt stands in the registry
    claim: Decision | None = None  # the activation that it claimed
    tried: str | None = None  # the name of the thing that it made, or was about to
    taken_back: tuple[Withdrawal, ...] = ()  # marks that end with the record of its decision


@value
class RegistrationAttempt:
    """One certificate, as it was found."""

    device: DeviceRegistration
    record: Record
    attempt: AttemptState
    rules: CaRules | None  # none for a CA that fleet.toml does not list
    rules_digest: str
    examined: Examined
    observed_at: datetime
    time_is_left: Callable[[], bool]
    clock: Callable[[], datetime]
    # The number of the release order under which the certificate, which is INACTIVE, is judged; None: it is pending.
    release: int | None = None

    @property
    def examination(self) -> Examination:
        return self.examined.examination

    @property
    def policy(self) -> str | None:
        """The policy that jitr attaches to the CA's certificates."""
        return self.rules.policy if self.rules else None

    def decision(self, outcome: Outcome, status: Status) -> Decision:
        """The decision that makes this of it, now."""
        certificate = self.examination.certificate
        return Decision(
            certificate_id=self.device.certificate_id,
            outcome=outcome,
            status=status,
            registered_at=self.device.created_at,
            decided_at=self.clock(),
            rules_digest=self.rules_digest,
            ca_certificate_id=self.device.ca_certificate_id,
            ca=self.rules.name if self.rules else None,
            would_reject=self.examination.would_reject,
            serial=certificate.serial if certificate else None,
            twin_id=self.examined.twin_id,
            issuer=certificate.issuer if certificate else None,
            reader=certificate.reader.value if certificate and certificate.was_read_again else None,
            subject=certificate.subject if certificate else None,
            requested_name=self.examined.thing_name,
            crl=self.examined.crl,
            enrollment=self.examined.enrollment,
            after=self.record.decided_at,
            verdict_seen=self.record.verdict_number,
            release=self.release,
        )

    def apply(self, step: IotStep, iot: AwsIot) -> None:
        """Apply one step, if there is time and the certificate is still what it was.

        Raises as AwsIot.apply; Overtaken, Unavailable, CertificateUnknown.
        """
        self.refuse_late()
        if isinstance(step, SetStatus):
            # The turn comes first: a wait for it must not lie between the look and the call.
            iot.take_turn(step)
            self.refuse_late()
            self._refuse_stale(iot)
            iot.apply(step)
            return
        try:
            iot.apply(step)
        except Rejected as refusal:
            if refusal.reason is Reason.TARGET_MISSING:
                iot.describe(self.device.certificate_id)  # is it the certificate itself that is missing?
            raise

    def create_thing(self, step: CreateThing, iot: AwsIot) -> UpdateThing | None:
        """Make the thing, if there is time; where one exists that differs, what is to be done after the claim.

        Raises as AwsIot.create_thing; Unavailable.
        """
        self.refuse_late()
        self.attempt.tried = step.thing_name
        return iot.create_thing(step)

    def refuse_late(self) -> None:
        """Stop before the function's deadline does, between two calls.

        Raises Unavailable.
        """
        if not self.time_is_left():
            raise Unavailable("the function's deadline is near")

    def _refuse_stale(self, iot: AwsIot) -> None:
        """Look again when the first look is old: somebody may have acted meanwhile, and is not to be overruled.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        if self.clock() - self.observed_at <= _FRESH:
            return
        again = iot.describe(self.device.certificate_id)
        seen, now = ((one.status, one.created_at, one.modified_at) for one in (self.device, again))
        if now != seen:
            raise Overtaken(f"the certificate became {again.status} while it was provisioned")
