"""CRLs in the state machine's world: each account publishes its own, in any order, and `revoke` applies them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

from cryptography.x509 import ReasonFlags

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.record import Record
from jitr.rules import OnStaleCrl
from simulation import Call
from simulation.clock import START
from simulation.iot.certificates import DeviceCertificate
from simulation.lambda_ import EventSourceMapping
from tests.support.cases.listing import make_crl
from tests.support.survival.machine_acts import Target
from tests.support.survival.machine_devices import AUTHORITY, BY_ID, Slot
from tests.support.survival.machine_site import Site
from tests.support.survival.machine_state import _rules
from tests.support.survival.revoking import ENFORCED, FOR_GOOD, HOLD
from tests.support.survival.world import World

# The message of a run that died comes again after the queue's visibility timeout, an hour and a half.
_APPLIED_WITHIN = 3 * 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class NextCrl:
    """The CA issues its next CRL: one certificate more is listed, or no hold any more; an event comes."""

    site: int
    target: Target | None
    is_hold: bool = True


@dataclass(frozen=True, slots=True)
class OlderCrl:
    """Somebody uploads the CRL before the newest one; then the newest one again."""

    site: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """`revoke` takes a message."""

    site: int


@dataclass(slots=True)
class Published:
    """What one account's CRLs say."""

    mapping: EventSourceMapping
    number: int = 1
    listed: dict[str, ReasonFlags] = field(default_factory=dict)  # by certificate id, in the newest one
    before: dict[str, ReasonFlags] = field(default_factory=dict)  # in the one before
    ever: set[str] = field(default_factory=set)
    is_busy: bool = False


@cache
def _crl(listed: tuple[tuple[str, ReasonFlags], ...], number: int) -> bytes:
    entries = {BY_ID[one].leaf: reason for one, reason in listed}
    return make_crl(AUTHORITY, START + timedelta(seconds=number), entries, number=number)


class CrlWorld(World):
    """Two accounts whose CA publishes CRLs, and everything that goes on in them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.published = [Published(site.deployment.revoke_mapping()) for site in self.sites]
        for site, published in zip(self.sites, self.published, strict=True):
            self._publish(site, published.listed, published.number)

    def rules(self) -> Any:
        plain = super().rules()
        (ca,) = plain.cas

        return _rules(
            f"crl {plain.digest}", lambda: replace(plain, cas=(replace(ca, **ENFORCED, on_stale_crl=OnStaleCrl.ADMIT),))
        )

    def _publish(self, site: Site, listed: dict[str, ReasonFlags], number: int) -> None:
        site.deployment.publish_crl(AUTHORITY.certificate_id, _crl(tuple(sorted(listed.items())), number))

    def _act(self, actor: Any) -> None:
        match actor:
            case NextCrl(site=number):
                self._issue(self.sites[number], self.published[number], actor)
            case OlderCrl(site=number):
                published = self.published[number]
                self._publish(self.sites[number], published.before, published.number - 1)
                self._revoke(published)
                self._publish(self.sites[number], published.listed, published.number)
            case Revoke(site=number):
                self._revoke(self.published[number])
            case _:
                super()._act(actor)

    def _issue(self, site: Site, published: Published, actor: NextCrl) -> None:
        published.before, published.number = published.listed, published.number + 1
        if actor.target is None:
            published.listed = {one: reason for one, reason in published.listed.items() if reason is not HOLD}
        else:
            reason = HOLD if actor.is_hold else FOR_GOOD
            published.listed = {self._slot(actor.target).id: reason} | published.listed
        published.ever |= published.listed.keys()
        site.watch.listed_by_crl = set(published.listed)
        self._publish(site, published.listed, published.number)
        self._revoke(published)

    def _revoke(self, published: Published) -> None:
        if published.is_busy:
            return  # it has one environment
        published.is_busy = True
        try:
            published.mapping.poll()
        finally:
            published.is_busy = False

    # What must hold

    def _watch_before(self, site: Site, call: Call) -> None:
        if call.caller != "revoke":
            super()._watch_before(site, call)
        elif call.operation == "UpdateCertificate":
            certificate_id, status = call.parameters["certificateId"], call.parameters["newStatus"]
            if certificate_id not in self.published[self.sites.index(site)].ever:
                self.broken.append(f"revoke sets {BY_ID[certificate_id]} {status}, which no CRL lists")
            if status == "ACTIVE":
                self.broken.append(f"revoke sets {BY_ID[certificate_id]} ACTIVE")

    def _watch_after(self, site: Site, call: Call) -> None:
        if call.caller == "revoke" and call.operation == "UpdateCertificate":
            standing = site.standing.get(call.parameters["certificateId"])
            certificate = site.certificates.get(call.parameters["certificateId"])
            if standing and certificate and standing.number == certificate.number:
                standing.status = certificate.status
        super()._watch_after(site, call)

    def _is_settled(self, site: Site, slot: Slot, certificate: DeviceCertificate, record: Record) -> bool:
        reason, decision = self.published[self.sites.index(site)].listed.get(slot.id), record.decision
        by_hand = slot.id in site.spoken_of or certificate.number in site.by_hand
        if reason is not None:
            wanted = ("REVOKED",) if reason is FOR_GOOD else ("INACTIVE", "REVOKED", "PENDING_ACTIVATION")
            is_left = decision and decision.outcome is Outcome.REJECTED and decision.status == certificate.status
            return certificate.status in wanted or by_hand or bool(is_left)
        if certificate.status == "REVOKED" and decision and decision.reason is Reason.REVOKED_BY_CA:
            return True
        if certificate.status == "INACTIVE" and decision and decision.outcome is Outcome.HELD:
            return by_hand or self._waits_rightly(site, slot, certificate, record)  # its hold was lifted
        if certificate.status == "INACTIVE" and record.is_suspended:
            return by_hand or record.is_denied or bool(decision and decision.replaced_by)
        return super()._is_settled(site, slot, certificate, record)

    def drain(self, busy: Sequence[int] = (0, 1)) -> None:
        super().drain(busy)
        for number in busy:
            arrivals = self.sites[number].deployment.crl_arrivals
            until = self.clock.monotonic() + _APPLIED_WITHIN
            while self.clock.monotonic() < until:
                wait = arrivals.next_visible_in()
                if wait is None:
                    break
                self.clock.advance(wait)
                self.together([Revoke(number)], [])  # type: ignore[list-item]  # an act of this world's own
            else:
                self.broken.append("a CRL is never applied")
        super().drain(busy)
