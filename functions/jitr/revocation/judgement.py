"""Decides what a CRL does to one certificate that is registered, by the certificate's record; pure.

    the CRL says          the record says                          then
    a final reason        ACTIVE, INACTIVE                         revoke
    certificateHold       ACTIVE                                   suspend: set INACTIVE
    nothing               suspended by an earlier CRL, and         lift: `register` evaluates it again, ACTIVE last
                          nothing came after that; or such a
                          suspension was begun, and may have
                          been carried out
    anything              PENDING_ACTIVATION                       nothing: `register` asks the CRL itself
    anything              REVOKED                                  nothing: that is final
    anything              another attempt is under way             later

A certificate that an operator or another tool set INACTIVE is not lifted, whatever the CRL says: the hold was not ours.
"""

from datetime import datetime
from enum import StrEnum

from jitr.decisions import Decision, Outcome
from jitr.iot_models import DeviceRegistration, Status
from jitr.record import Record, is_as_rejected
from jitr.x509.crl_entries import RevocationReason


class Action(StrEnum):
    """What is to be done with a certificate because of a CRL."""

    REVOKE = "revoke"
    SUSPEND = "suspend"
    LIFT = "lift"


STATUS_OF = {Action.REVOKE: Status.REVOKED, Action.SUSPEND: Status.INACTIVE, Action.LIFT: Status.INACTIVE}

# More than both at once wait for an operator's yes.
MOST_AT_ONCE = 20
MOST_PERCENT = 5


def judge(record: Record, reason: RevocationReason | None) -> Action | None:
    """What is to be done; None: nothing. An attempt that is under way is the caller's to wait for."""
    status = last_status(record)
    if reason is None:
        return Action.LIFT if _may_lift(record) else None
    if reason.is_for_good:
        return Action.REVOKE if status in (Status.ACTIVE, Status.INACTIVE) else None
    return Action.SUSPEND if status is Status.ACTIVE else None


def _may_lift(record: Record) -> bool:
    """Whether the certificate waits for the end of a hold, and neither an operator nor a successor is against it."""
    if record.is_hold_lifted or record.is_denied or (record.decision and record.decision.replaced_by):
        return False
    return record.is_suspended or is_suspension(record.intent)


def last_status(record: Record) -> Status | None:
    """The certificate's status as the record knows it; an activation that was begun may have been carried out."""
    if record.intent and record.intent.outcome is Outcome.ACTIVATED:
        return Status.ACTIVE
    return record.decision.status if record.decision else None


def ends_a_device(record: Record, action: Action | None) -> bool:
    """Whether the action takes a working device out; the brake counts these."""
    return action in (Action.REVOKE, Action.SUSPEND) and last_status(record) is Status.ACTIVE


def is_too_many(ended: int, devices: int) -> bool:
    """Whether so many of a CA's devices are taken out at once that an operator has to say yes first."""
    return ended > MOST_AT_ONCE and 100 * ended > MOST_PERCENT * devices


def is_of_revocation(intent: Decision | None) -> bool:
    """Whether an intent is that of a revocation or suspension by a CRL."""
    return intent is not None and intent.outcome is Outcome.FOUND and intent.reason is not None


def is_suspension(intent: Decision | None) -> bool:
    """Whether an intent is that of a suspension by a CRL."""
    return intent is not None and is_of_revocation(intent) and intent.status is Status.INACTIVE


def is_settled(began_at: datetime, now: datetime, *, seconds: float) -> bool:
    """Whether no activation that was decided with the CRL before can still come."""
    return (now - began_at).total_seconds() >= seconds


def is_to_be_set(device: DeviceRegistration, record: Record, action: Action) -> bool:
    """Whether the status is to be set, or was set by a run that died before it recorded it; for a lift the latter."""
    if device.status is Status.ACTIVE:
        return action is not Action.LIFT  # the suspension was begun, and not carried out
    if device.status is Status.INACTIVE and action is Action.REVOKE:
        # A claim on it is given back by `register` first.
        return record.intent is None or is_of_revocation(record.intent)
    begun = record.intent
    if action is Action.LIFT and record.is_suspended and device.status is Status.INACTIVE:
        return True
    is_own = is_of_revocation(begun) and begun is not None and begun.is_for(device.created_at)
    if not is_own or begun is None or begun.status is not device.status:
        return False
    if action is not Action.LIFT and device.status is not STATUS_OF[action]:
        return False
    # INACTIVE that another party has set since is theirs, and no later CRL lifts it. REVOKED is final, whoever set it.
    return device.status is Status.REVOKED or is_as_rejected(device, begun.registered_at, begun.decided_at)
