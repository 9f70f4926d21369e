"""Finishes withdrawals that no run finished; the sweep finds them by their marks (withdrawal_marks.py).

    the certificate is          then
    being decided on, or to be  later: the run that has it may still do it
    after a release order
    undecided, PENDING or not   `register` goes on: it is sent to the queue, and nothing is detached
    PENDING_ACTIVATION, or      what it is not attached to is deleted
    INACTIVE by a held import
    INACTIVE, REVOKED           it is detached, and what is left is deleted; its policy only if it was never ACTIVE
    gone                        what is left is deleted
    ACTIVE                      attached again to the thing that the mark names and to its policy, where one is missing
                                and it owns that thing. If it owns another one or none, and lacks one of both, nothing
                                is changed: `Device Broken` is announced

A thing name that the certificate claimed, and was never ACTIVE with, goes back to its previous owner. A thing is
deleted only if jitr made it for this certificate, it was not changed since, no certificate owns its name, and no
principal is attached to it. A certificate without a mark costs no call.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from jitr.admission.issuers import with_recorded_ca
from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend
from jitr.errors import CertificateUnknown, JitrError, Overtaken, Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import NameRollback
from jitr.provisioning import (
    OWNER_ATTRIBUTE,
    AttachPolicy,
    AttachThingPrincipal,
    DetachThingPrincipal,
    IotStep,
    plan_withdrawal,
)
from jitr.record import Record
from jitr.registration.name_rollback import NameRollbacks
from jitr.rules import CaRules, Rules
from jitr.store.registry import Registry
from jitr.store.registry_writes import STALE_INTENT, is_being_decided
from jitr.store.withdrawal_marks import Withdrawal, Withdrawals
from jitr.sweep.resend import SENT_RECENTLY, is_undecided, is_unfinished, was_sent_recently
from jitr.telemetry import Announcer

# DetachThingPrincipal takes several seconds; a certificate that was reactivated meanwhile is seen then, too.
_UNTIL_DETACHED = timedelta(minutes=5)
_WHILE_HELD = timedelta(days=1)
_AFTER_REFUSAL = timedelta(hours=1)


class WithdrawalRepair:
    """Finishes withdrawals in one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        withdrawals: Withdrawals,
        announcer: Announcer,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._iot = iot
        self._registry = registry
        self._withdrawals = withdrawals
        self._rollbacks = NameRollbacks(iot=iot, registry=registry)
        self._announcer = announcer
        self._clock = clock

    def repair(self, mark: Withdrawal, record: Record, now: datetime) -> EventToSend | None:
        """Finish one withdrawal, as far as that can be done now; what is to be sent to the queue for it.

        `record` may be older than the wait for the first call's turn: it is read again after that call, and before the
        certificate is detached.

        Raises Unavailable.
        """
        if is_being_decided(record, now):
            self._withdrawals.postpone(mark, now + STALE_INTENT)
            return None
        try:
            device = self._described(mark.certificate_id, record)
            record = self._recall(mark.certificate_id)
            if device and device.status is not Status.ACTIVE and _is_undone(record, device):
                self._withdrawals.postpone(mark, now + SENT_RECENTLY)
                return None if was_sent_recently(record, now) else _message(device)
            later = self._finish(mark, record, device, now)
        except Overtaken:
            later = STALE_INTENT  # an attempt has begun meanwhile; it may still need what the mark names
        except (Rejected, CertificateUnknown) as refusal:
            self._refused(mark, refusal)
            later = _AFTER_REFUSAL
        if later is None:
            self._withdrawals.end(mark)
        else:
            self._withdrawals.postpone(mark, now + later)
        return None

    def _finish(
        self, mark: Withdrawal, record: Record, device: DeviceRegistration | None, now: datetime
    ) -> timedelta | None:
        """Do what is to be done now; when to look again, None when nothing is left."""
        if device is None:
            self._take_back(mark, record, now)
            return None
        if device.status is Status.ACTIVE:
            self._make_whole(mark, record, device, now)
            return None
        attached = mark.thing_name in self._iot.things_of(device)
        if device.status in (Status.INACTIVE, Status.REVOKED) and not record.is_import_unfinished(device):
            if self._detach(mark, record, device, attached=attached):
                return _UNTIL_DETACHED
        elif attached:
            return _WHILE_HELD  # the next attempt goes on with it, or detaches it
        self._take_back(mark, record, now)
        return None

    def _detach(self, mark: Withdrawal, record: Record, device: DeviceRegistration, *, attached: bool) -> bool:
        """Take back what is attached to a certificate that is INACTIVE or REVOKED; whether anything was."""
        owner = self._registry.owner(mark.thing_name)
        if owner and owner.certificate_id == mark.certificate_id and record.was_active:
            return False  # it was ACTIVE with it, and may be again: that is for who deactivated it
        steps: tuple[IotStep, ...] = ()
        if mark.policy and not record.was_active and mark.policy in self._iot.policies_of(device):
            steps = plan_withdrawal(mark.policy, [mark.thing_name] if attached else [], device)
        elif attached:
            steps = (DetachThingPrincipal(thing_name=mark.thing_name, certificate_arn=device.arn),)
        if steps and self._recall(mark.certificate_id) != record:
            raise Overtaken("the certificate was decided on meanwhile")
        for step in steps:
            self._iot.apply(step)
        return bool(steps)

    def _recall(self, certificate_id: str) -> Record:
        """Read the record as it is now.

        Raises Overtaken while an attempt is on its way to a decision, or a release or import lets one begin;
        Unavailable.
        """
        record = self._registry.recall([certificate_id])[certificate_id]
        is_due = (record.is_release_ordered or record.import_order is not None) and not record.is_held
        if is_due or is_being_decided(record, self._clock()):
            raise Overtaken("another attempt may attach what is to be detached")
        return record

    def _make_whole(self, mark: Withdrawal, record: Record, device: DeviceRegistration, now: datetime) -> None:
        """See that an ACTIVE certificate has its thing and a policy."""
        ca = self._rules.ca(device.ca_certificate_id or "")
        name = self._owned(mark, record)
        if name != mark.thing_name:
            # The withdrawal was not of what it owns: what is missing there, somebody else has detached.
            lacks = self._iot.find_missing(device, thing_name=name)
            if lacks:
                self._announcer.announce_broken(
                    device, lacks=lacks, ca=ca.name if ca else None, thing_name=name, at=self._clock()
                )
        else:
            self._attach_again(name, mark, device, ca)
        if name != mark.thing_name:
            self._leave(mark, record, device, now, owned=name)

    def _attach_again(self, name: str, mark: Withdrawal, device: DeviceRegistration, ca: CaRules | None) -> None:
        policy = ca.policy if ca else mark.policy
        lacks = self._iot.find_missing(device, thing_name=name)
        if "thing" in lacks:
            self._iot.apply(AttachThingPrincipal(thing_name=name, certificate_arn=device.arn))
        if "policy" in lacks and policy:
            self._iot.apply(AttachPolicy(policy=policy, certificate_arn=device.arn))
        if lacks:
            self._announcer.note(
                "an ACTIVE certificate has been attached again",
                certificate_id=device.certificate_id,
                thing_name=name,
                lacked=list(lacks),
            )

    def _owned(self, mark: Withdrawal, record: Record) -> str | None:
        """The thing name that the certificate owns: that of its activation, or else the marked one."""
        decision = record.decision or record.intent
        names = dict.fromkeys((decision.thing_name if decision else None, mark.thing_name))
        owners = self._registry.owners(name for name in names if name)
        return next(
            (name for name in names if name in owners and owners[name].certificate_id == mark.certificate_id), None
        )

    def _leave(
        self, mark: Withdrawal, record: Record, device: DeviceRegistration, now: datetime, *, owned: str | None
    ) -> None:
        """Detach an ACTIVE certificate from another thing than its own, and delete that one."""
        attached = self._iot.things_of(device)
        if mark.thing_name not in attached:
            self._take_back(mark, record, now)
        elif owned in attached:
            self._iot.apply(DetachThingPrincipal(thing_name=mark.thing_name, certificate_arn=device.arn))

    def _take_back(self, mark: Withdrawal, record: Record, now: datetime) -> None:
        """Give the name back if it was claimed for nothing, and delete the thing if it was made for nothing."""
        owner, decision = self._registry.owner(mark.thing_name), record.decision
        is_its_own = record.was_active and decision is not None and decision.thing_name in (None, mark.thing_name)
        if owner and owner.certificate_id == mark.certificate_id and not is_its_own:
            # Its claim was forgotten, by a release: nobody else gives the name back.
            back = NameRollback(
                thing_name=mark.thing_name,
                by=mark.certificate_id,
                to=self._rollbacks.find_rightful_owner(owner.previous_owners),
            )
            self._registry.give_back_if_unchanged(back, record, now)
        self._delete_orphan(mark)

    def _delete_orphan(self, mark: Withdrawal) -> None:
        thing = self._iot.things.describe(mark.thing_name)
        if thing is None or thing.version != 1 or thing.attributes.get(OWNER_ATTRIBUTE) != mark.certificate_id:
            return
        if self._registry.owner(mark.thing_name) or self._iot.things.principals_of(mark.thing_name):
            return
        if self._iot.things.delete(mark.thing_name, version=thing.version):
            self._announcer.note(
                "a thing that no certificate has was deleted",
                thing_name=mark.thing_name,
                certificate_id=mark.certificate_id,
            )

    def _refused(self, mark: Withdrawal, refusal: JitrError) -> None:
        self._announcer.log_failure(
            "withdrawal cannot be finished",
            certificate_id=mark.certificate_id,
            thing_name=mark.thing_name,
            why=str(refusal),
        )

    def _described(self, certificate_id: str, record: Record) -> DeviceRegistration | None:
        try:
            return with_recorded_ca(self._iot.describe(certificate_id), record)
        except CertificateUnknown:
            return None


def _is_undone(record: Record, device: DeviceRegistration) -> bool:
    """Whether `register` has to go on: it began on this registration, or has decided nothing on it."""
    if device.status is Status.PENDING_ACTIVATION and is_undecided(record, device.created_at):
        return True
    return is_unfinished(record, device.created_at)


def _message(device: DeviceRegistration) -> EventToSend:
    return EventToSend(
        certificate_id=device.certificate_id,
        ca_certificate_id=device.ca_certificate_id,
        registered_at=device.created_at,
    )
