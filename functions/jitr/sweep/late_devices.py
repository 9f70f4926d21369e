"""Orders devices of a revoked CA away that became ACTIVE too late for the operator's count (`ca revoke --devices`).

A batch of `register` that was read before the revocation activates devices until it ends, a minute at most. Such a
device gets the verdict that the operator gave for the CA's devices, unless the revocation was lifted meanwhile, and is
then taken away like every other one (take_away_orders.py). The index of decisions has it; it may lag, and the next
sweep finds what this one does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from jitr.aws.calls import batches
from jitr.decisions import Outcome
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.revoked_cas import CaRevocation
from jitr.telemetry import Announcer
from jitr.verdicts import OperatorVerdict

# The order's time is of the operator's clock, decisions' of the functions'. AWS refuses requests whose clock is more
# than 15 minutes off (RequestTimeTooSkewed; most services, 5 minutes). Devices that were counted have the verdict.
_SKEW = timedelta(minutes=15)


class LateDevices:
    """The late devices of one account and Region."""

    def __init__(self, *, registry: Registry, outcomes: Outcomes, announcer: Announcer) -> None:
        self._registry = registry
        self._outcomes = outcomes
        self._announcer = announcer

    def order_away(self, revoked: Mapping[str, CaRevocation], *, time_is_left: Callable[[], bool]) -> bool:
        """Write the order on each device of these CAs, by certificate id, that lacks it; False if not all were seen.

        Raises Unavailable, NotPermitted.
        """
        for ca_certificate_id, revocation in revoked.items():
            wanted = revocation.devices
            if wanted and not self._order(ca_certificate_id, wanted, time_is_left):
                return False
        return True

    def _order(self, ca_certificate_id: str, wanted: OperatorVerdict, time_is_left: Callable[[], bool]) -> bool:
        ids = list(self._outcomes.list_decided(Outcome.ACTIVATED, ca_certificate_id, since=wanted.at - _SKEW))
        for some in batches(ids):
            if not time_is_left():
                return False
            for certificate_id, record in self._registry.recall(some).items():
                if _lacks(record, ca_certificate_id, wanted) and self._registry.order_take_away(
                    certificate_id, replace(wanted, version=0), seen=record, under=ca_certificate_id
                ):
                    self._announcer.note(
                        "a device of a revoked CA became ACTIVE late, and is ordered away",
                        certificate_id=certificate_id,
                        ca_certificate_id=ca_certificate_id,
                        why=wanted.description,
                    )
        return True


def _lacks(record: Record, ca_certificate_id: str, wanted: OperatorVerdict) -> bool:
    """Whether it is ACTIVE under this CA, by its record, and no verdict denies as much as the one that is wanted."""
    decision, verdict = record.decision, record.verdict
    if decision is None or decision.status is not Status.ACTIVE or decision.ca_certificate_id != ca_certificate_id:
        return False
    return verdict is None or not (verdict.action is wanted.action or wanted.action.is_weaker_than(verdict.action))
