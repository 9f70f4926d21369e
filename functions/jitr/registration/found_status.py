"""Records what became of a certificate that is not, or no longer, PENDING_ACTIVATION: another party set its status."""

from collections.abc import Callable
from datetime import datetime

from jitr.admission.applicant import Applicant
from jitr.decisions import Decision, Outcome
from jitr.errors import Overtaken
from jitr.iot_models import Status
from jitr.observed_status import observe
from jitr.record import Record
from jitr.registration.name_rollback import NameRollbacks
from jitr.store.registry import Registry
from jitr.store.registry_writes import is_being_decided
from jitr.store.withdrawal_marks import marks
from jitr.telemetry import Announcer


class FoundStatus:
    """Records statuses that were found, in one account and Region."""

    def __init__(
        self,
        *,
        registry: Registry,
        rollbacks: NameRollbacks,
        announcer: Announcer,
        rules_digest: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._rollbacks = rollbacks
        self._announcer = announcer
        self._rules_digest = rules_digest
        self._clock = clock

    def record(self, applicant: Applicant, record: Record, now: datetime) -> tuple[Outcome, Decision | None]:
        """Record what became of a certificate that is not, or no longer, PENDING_ACTIVATION.

        Raises Overtaken, Unavailable.
        """
        device, intent = applicant.device, record.intent
        if device.status is not Status.ACTIVE and (intent or record.is_news(self._observe(applicant, record))):
            self.mark_for_withdrawal(device.certificate_id, record, applicant.policy)
        if intent and intent.is_for(device.created_at) and intent.status is device.status:
            # An attempt set this status and died before it recorded it; or another party set it before the name was
            # given back.
            if device.status is not Status.ACTIVE:
                self._rollbacks.give_back(intent)
            done = intent.without_claim
            self._announcer.announce(done)
            if done.outcome is Outcome.FOUND:  # a CRL's or an order's, which replaces what was decided before
                self._registry.record_found(done, record)
            else:
                self._registry.record(done, record)
            return done.outcome, done
        if intent:
            # Another party set another status, perhaps between the claim and ACTIVE.
            refuse_to_overtake(record, now)
            if device.status is not Status.ACTIVE:
                self._rollbacks.give_back(intent)
        found = self._observe(applicant, record)
        # A release order that is void, since another party has acted, ends with what was found.
        is_void = record.has_unfinished_release
        # Of a held import this INACTIVE is another party's: it ends the import's order.
        ends_import = record.import_order and record.decision and record.decision.is_for(device.created_at)
        if (is_void or ends_import or record.is_news(found)) and not self._registry.record_found(found, record):
            raise Overtaken("another decision on the certificate was made meanwhile")
        if is_void:
            self._registry.clear_release(device.certificate_id, record)
        return Outcome.FOUND, found

    def mark_for_withdrawal(self, certificate_id: str, record: Record, policy: str | None) -> None:
        """Let the sweep take back what attempts left of a certificate that will not be activated.

        Raises Unavailable.
        """
        if record.tried_names:
            left = marks(certificate_id, record.tried_names, policy, self._clock())
            self._registry.note_withdrawals(left)

    def _observe(self, applicant: Applicant, record: Record) -> Decision:
        """The decision that records the certificate's status as it was found."""
        return observe(
            applicant.device,
            record,
            ca_certificate_id=applicant.device.ca_certificate_id,
            ca=applicant.rules,
            rules_digest=self._rules_digest,
            now=self._clock(),
        )


def refuse_to_overtake(record: Record, now: datetime) -> None:
    """Leave a certificate to the attempt that has begun, until that one is known to be dead.

    Raises Overtaken.
    """
    if is_being_decided(record, now):
        raise Overtaken("another attempt is on its way to a decision")
