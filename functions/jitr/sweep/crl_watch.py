"""Finds CRLs that are published and not applied, and reports those that need a person.

published, not applied    the function `revoke` is asked to apply it: an event was lost, the rules have changed, it
                          has come into force, or all records are in the indexes now
refused, waiting          is reported again in each sweep, until an operator or the CA has acted
late                      it is stale or nearly so, missing or unusable, and new devices depend on it
"""

from datetime import datetime, timedelta

from jitr.aws.crl_bucket import NOTHING, Crls
from jitr.aws.crl_queue import CrlQueue
from jitr.crl_progress import CrlState
from jitr.revocation.lateness import warns_from
from jitr.rules import CaRules, CheckMode
from jitr.store.crl_state import CrlStates
from jitr.store.sweep_state import ACCOUNT, SweepState
from jitr.telemetry import CRL_LATE, CRL_REFUSED, CRL_WAITS, Announcer

# A run that is under way writes its state at least that often.
_UNDER_WAY = timedelta(minutes=30)


class CrlWatch:
    """Watches the CRLs of one account and Region."""

    def __init__(
        self, *, crls: Crls, states: CrlStates, journal: SweepState, queue: CrlQueue, announcer: Announcer
    ) -> None:
        self._crls = crls
        self._states = states
        self._journal = journal
        self._queue = queue
        self._announcer = announcer

    def look(self, ca: CaRules, now: datetime) -> None:
        """Look at one CA's CRL.

        Raises Unavailable, NotPermitted.
        """
        mode = ca.crl_mode
        if ca.mode_of("revocation") is CheckMode.OFF:
            return
        version = self._crls.version_of(ca)
        state = self._states.read([ca.certificate_id])[ca.certificate_id]
        if ca.mode_of("revocation") is CheckMode.ENFORCE:
            self._announcer.count(CRL_LATE, int(is_late(state, version, now)))
        if version == NOTHING.version:
            return
        if mode is CheckMode.ENFORCE:
            waits = state.waits is not None and state.waits.version == version and not state.passes_brake(version)
            self._announcer.count(CRL_WAITS, int(waits))
            refused = state.refused is not None and state.refused.version == version
            self._announcer.count(CRL_REFUSED, int(refused))
        is_unread = state.seen is None or state.seen.version != version
        is_due = mode is not CheckMode.OFF and state.asks_for(
            version, mode.value, is_complete=self._is_complete(), now=now
        )
        is_refused = state.refused is not None and state.refused.version == version
        is_under_way = state.was_at_work_since(now - _UNDER_WAY)
        if (is_due or (is_unread and not is_refused)) and not is_under_way:
            self._queue.ask(ca.certificate_id)

    def _is_complete(self) -> bool:
        return self._journal.last_pass(ACCOUNT).has_all


def is_late(state: CrlState, version: str, now: datetime) -> bool:
    """Whether the published CRL is stale or nearly so, unusable or missing; False while it has not been read yet."""
    if version == NOTHING.version:
        return True
    if (
        state.refused is not None
        and state.refused.version == version
        and (state.seen is None or state.seen.version != version)
    ):
        return True  # it cannot be used
    seen = state.seen
    return seen is not None and seen.version == version and now >= warns_from(seen.this_update, seen.next_update)
