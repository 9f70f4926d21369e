"""One attempt to decide on a certificate: the facts that it rests on, and the runner of its steps."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jitr.admission.applicant import Applicant
from jitr.admission.procedure import Examination
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken, Reason, Rejected, Unavailable
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.provisioning import AddThingToBillingGroup, CreateThing, IotStep, SetStatus, UpdateThing
from jitr.record import Record
from jitr.registration.evidence import Examined
from jitr.rules import CaRules

if TYPE_CHECKING:
    from jitr.store.withdrawal_marks import Withdrawal

# An older observation is repeated before the status is set (a sixth IoT call).
_FRESH = timedelta(seconds=5)


@value
class RegistrationAttempt:
    """The facts of one attempt: the certificate, its record, and what its examination found."""

    applicant: Applicant
    record: Record
    examined: Examined
    rules_digest: str
    observed_at: datetime  # when AWS IoT described the certificate
    release: int | None = None  # the number of the release order on the INACTIVE certificate; None: it is pending

    @property
    def device(self) -> DeviceRegistration:
        """The certificate as AWS IoT described it."""
        return self.applicant.device

    @property
    def rules(self) -> CaRules | None:
        """The rules of its CA; None for a CA that fleet.toml does not list."""
        return self.applicant.rules

    @property
    def policy(self) -> str | None:
        """The policy that jitr attaches to the certificates of its CA."""
        return self.applicant.policy

    @property
    def examination(self) -> Examination:
        """The outcome of the checks."""
        return self.examined.examination

    def decision(self, outcome: Outcome, status: Status, *, at: datetime) -> Decision:
        """The decision with this outcome, made at this time, which leaves the certificate with this status."""
        certificate = self.applicant.certificate
        return Decision(
            certificate_id=self.device.certificate_id,
            outcome=outcome,
            status=status,
            registered_at=self.device.created_at,
            decided_at=at,
            rules_digest=self.rules_digest,
            ca_certificate_id=self.device.ca_certificate_id,
            ca=self.rules.name if self.rules else None,
            would_reject=self.examination.would_reject,
            serial=certificate.serial if certificate else None,
            twin_id=self.examined.twin_id,
            issuer=certificate.issuer if certificate else None,
            reader=certificate.reader.value if certificate and certificate.was_read_again else None,
            subject=certificate.subject if certificate else None,
            not_before=certificate.not_before if certificate else None,
            not_after=certificate.not_after if certificate else None,
            requested_name=self.examined.thing_name,
            crl=self.examined.crl,
            enrollment=self.examined.enrollment,
            after=self.record.decided_at,
            verdict_seen=self.record.verdict_number,
            release=self.release,
        )


class StepRunner:
    """Runs the steps of one attempt, and keeps what the attempt has left so far.

    It belongs to one attempt, not to its message, which SQS may deliver twice at once.
    """

    def __init__(
        self,
        device: DeviceRegistration,
        *,
        iot: AwsIot,
        observed_at: datetime,
        time_is_left: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._device = device
        self._iot = iot
        self._observed_at = observed_at
        self._time_is_left = time_is_left
        self._clock = clock
        self.run = uuid.uuid4().hex  # identifies the attempt in the registry
        self.has_begun = False  # an intent of this attempt may stand in the registry
        self.claim: Decision | None = None  # the activation that it claimed
        self.tried: str | None = None  # the name of the thing that it made, or was about to make
        self.taken_back: tuple[Withdrawal, ...] = ()  # marks that end with the record of its decision

    def now(self) -> datetime:
        """The present time."""
        return self._clock()

    def apply(self, step: IotStep) -> None:
        """Carry out one step, if there is time and the certificate has not changed.

        Raises as AwsIot.apply; Overtaken, Unavailable, CertificateUnknown.
        """
        self.refuse_late()
        if isinstance(step, SetStatus):
            # Wait for the turn first: the wait must not lie between the observation and the call.
            self._iot.take_turn(step)
            self.refuse_late()
            self._refuse_changed()
            self._iot.apply(step)
            return
        try:
            self._iot.apply(step)
        except Rejected as refusal:
            if refusal.reason is Reason.TARGET_MISSING:
                self._iot.describe(self._device.certificate_id)  # raises if the certificate itself is missing
            raise

    def create_thing(self, step: CreateThing) -> tuple[UpdateThing | AddThingToBillingGroup, ...]:
        """Create the thing, if there is time; if it exists and differs, return the steps that follow the claim.

        Raises as Things.create; Unavailable.
        """
        self.refuse_late()
        self.tried = step.thing_name
        return self._iot.things.create(step)

    def refuse_late(self) -> None:
        """Stop between two calls before the function's deadline.

        Raises Unavailable.
        """
        if not self._time_is_left():
            raise Unavailable("the function's deadline is near")

    def _refuse_changed(self) -> None:
        """Observe the certificate again if the observation is old, so that no other party's change is overwritten.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        if self._clock() - self._observed_at <= _FRESH:
            return
        again = self._iot.describe(self._device.certificate_id)
        seen, now = ((one.status, one.created_at, one.modified_at) for one in (self._device, again))
        if now != seen:
            raise Overtaken(f"the certificate became {again.status} while it was provisioned")
