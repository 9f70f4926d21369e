"""Retires replaced certificates: sets them INACTIVE and detaches them, once the overlap is over.

Only while the replacing certificate is ACTIVE and has its thing and a policy, so that no device is left without a
working certificate; and never against an operator's verdict. A replacing certificate that lacks the thing or the policy
is announced as `Device Broken`.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.admission.issuers import with_recorded_ca
from jitr.aws.calls import SECONDS_OF_A_HANGING_CALL
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision, Outcome
from jitr.errors import CertificateUnknown, Overtaken, Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.provisioning import IotStep, SetStatus, plan_retirement
from jitr.record import Record
from jitr.rules import CaRules, Rules
from jitr.store.registry import Registry
from jitr.store.registry_writes import STALE_INTENT
from jitr.telemetry import Announcer

_RETIRE_LATER = timedelta(hours=1)
_WHILE_BROKEN = timedelta(days=1)
# As in attempt.py: an observation older than this is made again before the status is set.
_FRESH = timedelta(seconds=5)
# For so long after an intent a status may be set; then UpdateCertificate ends before the intent is stale.
_INTENT_HOLDS = STALE_INTENT - timedelta(seconds=SECONDS_OF_A_HANGING_CALL)


class CertificateRetirement:
    """Ends replaced certificates of one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._iot = iot
        self._registry = registry
        self._announcer = announcer
        self._clock = clock
        self._run = f"sweep {uuid.uuid4()}"

    def retire(self, certificate_id: str, record: Record, now: datetime) -> bool:  # noqa: PLR0911 -- each way out is a case
        """End one replaced certificate, if what replaced it works; whether it is ended.

        Raises Unavailable.
        """
        decision = record.decision
        if decision is None and record.intent is not None:
            self._registry.postpone_retirement(certificate_id, now + _RETIRE_LATER)  # it is still to be recorded
            return False
        thing_name = record.former_thing_name or (decision.thing_name if decision else None)
        if thing_name is None or not _may_end(decision):
            # Something else became of it since.
            self._registry.end_retirement(certificate_id, now)
            return False
        observed_at = self._clock()
        owner = self._registry.owner(thing_name)
        follower = self._described(owner.certificate_id) if owner else None
        if owner is None or owner.certificate_id == certificate_id:
            self._registry.end_retirement(certificate_id, now)  # it has the name (again)
            return False
        if follower is None or follower.status is not Status.ACTIVE:
            self._registry.postpone_retirement(certificate_id, now + _RETIRE_LATER)
            return False
        if self._is_broken(follower, thing_name, now):
            self._registry.postpone_retirement(certificate_id, now + _WHILE_BROKEN)
            return False
        device = self._described(certificate_id, record)
        if device is None or _is_another_matter(decision, device):
            # It was deleted, and is new if it has come back; or somebody has activated it again.
            self._registry.end_retirement(certificate_id, now)
            return False
        ca = self._rules.ca(device.ca_certificate_id or "")
        replaced = replace(
            decision or self._unrecorded(device, ca),
            # What somebody else deactivated stays known as such.
            outcome=Outcome.FOUND if _was_deactivated_by_hand(decision, device) else Outcome.REPLACED,
            status=Status.INACTIVE if device.status is Status.ACTIVE else device.status,
            decided_at=self._clock(),
            thing_name=thing_name,
            replaced_by=owner.certificate_id,
            attempts=1,
            # One that is recorded already was announced, and keeps its event's id.
            after=decision.after if decision and _is_recorded(decision) else record.decided_at,
            verdict_seen=record.verdict_number,
        )
        steps = plan_retirement(thing_name, ca.policy if ca else None, device)
        try:
            replaced = self._carry_out(steps, replaced, record, observed_at, device, follower)
        except (Rejected, Overtaken, CertificateUnknown) as refusal:
            self._announcer.log_failure(
                "certificate cannot be retired", certificate_id=certificate_id, why=str(refusal)
            )
            self._registry.postpone_retirement(certificate_id, now + _RETIRE_LATER)
            return False
        self._announce(replaced, decision)
        self._registry.record(replaced, record, run=self._run)
        self._registry.end_retirement(certificate_id, now)
        self._announcer.report_outcome(replaced.outcome, certificate_id, replaced)
        return True

    def _carry_out(
        self,
        steps: tuple[IotStep, ...],
        replaced: Decision,
        record: Record,
        observed_at: datetime,
        *devices: DeviceRegistration,
    ) -> Decision:
        """Write the intent and run the steps; return the decision, dated when it was written.

        Raises Rejected, Overtaken, CertificateUnknown, Unavailable.
        """
        # All turns are waited for before the intent is written: at a low rate they take minutes, and an intent that is
        # older than STALE_INTENT counts as a dead function's.
        for step in steps:
            if isinstance(step, SetStatus):
                observed_at = self._refuse_changed(observed_at, *devices)
                self._iot.take_turn(step)
        intent = replace(replaced, decided_at=self._clock())
        # As for every change of a status, the intent comes first: no operator's verdict is missed or undone.
        self._registry.intend(intent, record, run=self._run)
        for step in steps:
            if isinstance(step, SetStatus):
                self._refuse_changed(observed_at, *devices)
                self._refuse_stale(intent)
            self._iot.apply(step)
        return intent

    def _announce(self, replaced: Decision, earlier: Decision | None) -> None:
        """Announce the end, unless `register` has when it recorded it."""
        if not _is_recorded(earlier):
            self._announcer.announce(replaced)

    def _is_broken(self, follower: DeviceRegistration, thing_name: str, now: datetime) -> bool:
        """Whether the ACTIVE certificate that followed lacks its thing or a policy; then that is announced."""
        try:
            lacks = self._iot.find_missing(follower, thing_name=thing_name)
        except (Rejected, CertificateUnknown):
            return True  # it was deleted a moment ago; what it is now, the next sweep sees
        if lacks:
            ca = self._rules.ca(follower.ca_certificate_id or "")
            name = ca.name if ca else None
            self._announcer.announce_broken(follower, lacks=lacks, ca=name, thing_name=thing_name, at=now)
        return bool(lacks)

    def _refuse_changed(self, observed_at: datetime, *devices: DeviceRegistration) -> datetime:
        """Observe the certificates again if the observation is old, and return when they were observed.

        So what an operator or the console did meanwhile is not overwritten.

        Raises Overtaken, CertificateUnknown, Unavailable.
        """
        if self._clock() - observed_at <= _FRESH:
            return observed_at
        for device in devices:
            again = self._iot.describe(device.certificate_id)
            if again.status is not device.status or again.created_at != device.created_at:
                raise Overtaken(f"certificate {device.certificate_id[:16]} became {again.status} meanwhile")
        return self._clock()

    def _refuse_stale(self, intent: Decision) -> None:
        """Refuse to act on an intent that another attempt may soon take for a dead function's.

        Raises Overtaken.
        """
        if self._clock() - intent.decided_at > _INTENT_HOLDS:
            raise Overtaken("the turns came too late for the intent")

    def _unrecorded(self, device: DeviceRegistration, ca: CaRules | None) -> Decision:
        """What would have been found of a certificate of which nothing was ever recorded."""
        return Decision(
            certificate_id=device.certificate_id,
            outcome=Outcome.FOUND,
            status=device.status,
            registered_at=device.created_at,
            decided_at=self._clock(),
            rules_digest=self._rules.digest,
            ca_certificate_id=device.ca_certificate_id,
            ca=ca.name if ca else None,
        )

    def _described(self, certificate_id: str, record: Record | None = None) -> DeviceRegistration | None:
        try:
            device = self._iot.describe(certificate_id)
            return with_recorded_ca(device, record) if record else device
        except CertificateUnknown:
            return None


def _may_end(decision: Decision | None) -> bool:
    """Whether a retirement may still be due: nothing else became of the certificate since."""
    return decision is None or decision.outcome in (Outcome.ACTIVATED, Outcome.FOUND) or _is_recorded(decision)


def _is_recorded(decision: Decision | None) -> bool:
    """Whether `register` has recorded what a sweep began; the certificate may still be attached."""
    return decision is not None and decision.outcome is Outcome.REPLACED


def _is_another_matter(decision: Decision | None, device: DeviceRegistration) -> bool:
    """Whether the certificate is not the one that was replaced, or is not to be ended any more."""
    if device.status is Status.PENDING_ACTIVATION:
        return True
    return device.status is Status.ACTIVE and _is_recorded(decision)


def _was_deactivated_by_hand(decision: Decision | None, device: DeviceRegistration) -> bool:
    """Whether the certificate is INACTIVE, and was recorded as found so."""
    return (
        decision is not None
        and device.status is Status.INACTIVE
        and (decision.outcome, decision.status) == (Outcome.FOUND, Status.INACTIVE)
    )
