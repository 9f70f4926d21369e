"""What must hold in the state machine's world: after every call, between two steps, and at the end.

Looked at on the model's state. An error found here is kept in `broken`, not raised, since the code under test has an
`except Exception` at its boundary.
"""

from collections import defaultdict
from datetime import timedelta
from typing import Any

from jitr.admission.enrollment import Subject, SubjectKind
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.event_details import _event_id
from jitr.record import Record
from jitr.rules import OnReplacement
from simulation import Call
from simulation.iot.certificates import DeviceCertificate
from tests.support.survival.machine_devices import BY_ID, SLOTS, Slot
from tests.support.survival.machine_site import Look, Site
from tests.support.survival.machine_state import MachineState

ROTATION_WINDOW = timedelta(days=60)


UNREADABLE = ("this is no event", "{}")


# What `register` may still do on a look at a certificate: 5 s, and the pacer's turn.
_LOOK_IS_GOOD_FOR = timedelta(seconds=5.6)


def _said(decision: Decision) -> tuple[str, str, str]:
    return decision.certificate_id, decision.outcome.value, decision.reason.name if decision.reason else ""


class MachineChecks(MachineState):
    """The world, and what must hold in it."""

    def _watch_before(self, site: Site, call: Call) -> None:
        """A status is only set on a look that is fresh, and at what is still pending."""
        if call.operation != "UpdateCertificate" or call.attempt != 1 or call.caller == "operator":
            return
        certificate_id, status = call.parameters["certificateId"], call.parameters["newStatus"]
        slot = BY_ID[certificate_id]
        looks = site.swept_looks
        wanted = "ACTIVE"
        if call.caller != "sweep":
            wanted = "PENDING_ACTIVATION"
            looks = next(one for one in site.environments if one.caller == call.caller).looks
        look = looks.get(certificate_id)
        is_released = look is not None and look.status == "INACTIVE" and look.number in site.watch.release_orders
        item = site.deployment.registry.items.get((f"certificate#{certificate_id}",), {})
        is_ordered = "ordered" in item and status != "ACTIVE"
        if look is None or (look.status != wanted and not is_released and not is_ordered):
            self.broken.append(f"{call.caller} sets {slot} {status}, having been told that it is {look}")
        elif self.clock.now() - look.at > _LOOK_IS_GOOD_FOR:
            self.broken.append(f"{call.caller} sets {slot} {status} on a look that is {self.clock.now() - look.at} old")
        if call.caller == "sweep":
            owner = site.owners.get(slot.common_name)
            follower = looks.get(owner or "")
            if status != "INACTIVE" or owner == slot.id or follower is None or follower.status != "ACTIVE":
                self.broken.append(f"the sweep sets {slot} {status}, its follower being {follower}")

    def _watch_after(self, site: Site, call: Call) -> None:
        if call.service == "iot":
            if call.operation == "DescribeCertificate":
                self._looked(site, call)
            return
        if call.service == "dynamodb" and call.operation in ("UpdateItem", "TransactWriteItems", "DeleteItem"):
            self._wrote(site, call)

    def _looked(self, site: Site, call: Call) -> None:
        certificate_id = call.parameters["certificateId"]
        certificate = site.certificates.get(certificate_id)
        looks = next((one.looks for one in site.environments if one.caller == call.caller), None)
        if call.caller == "sweep":
            looks = site.swept_looks
        if looks is not None:
            self.current = certificate_id
            if certificate:
                looks[certificate_id] = Look(self.clock.now(), certificate.status, certificate.number)

    def _wrote(self, site: Site, call: Call) -> None:
        """After a write to the registry: owners follow lawfully, ids are known, what is recorded was announced."""
        items = site.deployment.registry.items
        site.known |= site.certificates.keys()
        for (key,) in items:
            kind, _, rest = key.partition("#")
            if kind == "certificate" and rest not in site.known and rest not in site.spoken_of:
                self.broken.append(f"an item for {rest[:8]}, which AWS never knew in {site.account.id}")
            if kind == "certificate" and rest in BY_ID:
                self._began(site, BY_ID[rest], items[key,].get("intent", {}).get("M", {}))
            if kind == "thing" and (owner := items[key,]["certificate_id"]["S"]) != site.owners.get(rest):
                self._changed_owner(site, rest, owner)
        for name in [name for name in site.owners if (f"thing#{name}",) not in items]:
            self._freed(site, name)
        decision = call.parameters.get("ExpressionAttributeValues", {}).get(":decision")
        if decision:
            self._recorded(site, call.parameters["Key"]["id"]["S"].partition("#")[2])

    def _began(self, site: Site, slot: Slot, intent: dict[str, Any]) -> None:
        """A claim is never made against an entry that was there before it."""
        run = intent.get("run", {}).get("S") or None
        if run is None or site.begun.get(slot.id) == run:
            return
        site.begun[slot.id] = run
        subjects = {Subject(SubjectKind.CERTIFICATE, slot.id), Subject(SubjectKind.THING, slot.common_name)}
        if intent["outcome"]["S"] == Outcome.ACTIVATED and subjects & site.denied:
            self.broken.append(f"{slot} is claimed, and an entry denies it")

    def _freed(self, site: Site, name: str) -> None:
        """A name is free again only if it is not recorded that the certificate that claimed it became ACTIVE."""
        certificate = site.certificates.get(site.owners.pop(name))
        if certificate and certificate.number in site.activated:
            self.broken.append(f"{name} is free, and {BY_ID[certificate.certificate_id]} was activated")

    def _changed_owner(self, site: Site, name: str, owner: str) -> None:
        before = site.owners.get(name)
        had_it = owner in site.owned[name]
        claimed_by = site.claimed_by.get(name)
        site.owners[name] = owner
        site.claimed_by[name] = site.certificates[owner].number if owner in site.certificates else None
        site.owned[name].add(owner)
        if before is None or self.on_replacement is OnReplacement.SHARE:
            return
        gone_at = site.gone_at.get(before)
        if before not in site.certificates or (gone_at and self.clock.now() - gone_at < timedelta(seconds=120)):
            return
        if site.certificates[before].number != claimed_by:
            return  # what claimed it was deleted, and registered again
        if claimed_by not in site.activated and site.certificates[before].status != "ACTIVE":
            return  # it was claimed in vain
        statuses = [one and one.status for one in (site.certificates.get(before), site.certificates.get(owner))]
        if had_it and statuses[1] == "ACTIVE" and statuses[0] != "ACTIVE":
            return  # it was claimed for one that did not become ACTIVE, and goes back
        old, new = BY_ID[before], BY_ID[owner]
        if self.on_replacement is OnReplacement.REJECT or not self._may_follow(site, old, new):
            self.broken.append(f"{new} took the name {name} from {old}")

    def _may_follow(self, site: Site, old: Slot, new: Slot) -> bool:
        """Whether a certificate may follow another, in the words of design.md."""
        first, second = site.certificates[old.id], site.certificates.get(new.id)
        if second is None:
            return True
        later = (new.leaf.not_before, second.created_at) > (old.leaf.not_before, first.created_at)
        # On a tie the registration counts; one that was deleted and came back has another time by now.
        if new.leaf.not_before == old.leaf.not_before:
            later = True
        return later and old.leaf.not_after - self.clock.now() <= ROTATION_WINDOW + timedelta(minutes=2)

    def _recorded(self, site: Site, certificate_id: str) -> None:
        self._read_events(site)
        decision = site.record(certificate_id).decision
        if decision and decision.status == "REVOKED":
            site.revoked.add(certificate_id)
        if decision and decision.outcome is Outcome.ACTIVATED and certificate_id in site.certificates:
            site.activated.add(site.certificates[certificate_id].number)
        if decision is None or decision.outcome not in (
            Outcome.ACTIVATED,
            Outcome.REJECTED,
            Outcome.HELD,
            Outcome.REPLACED,
        ):
            return
        ids = site.announced[_said(decision)]
        if _event_id(decision, site.deployment.settings) not in ids:
            self.broken.append(f"{BY_ID[certificate_id]} is recorded as {decision.outcome}, which was never announced")

    def _read_events(self, site: Site) -> None:
        put = site.account.events.put
        for event in put[site.events_seen :]:
            detail = event.detail
            said = detail.get("outcome") or detail["verdict"]  # an order that the functions carried out
            site.announced[detail["certificate_id"], said, detail.get("reason", "")].add(detail["id"])
        site.events_seen = len(put)

    # What must hold at every moment

    def check(self, site: Site, call: Call | None) -> None:
        """Look at every certificate of one account; after every call, so nothing is parsed here."""
        iot = site.account.iot
        certificates = iot.certificates.by_id
        now = self.clock.now()
        for gone in site.known - certificates.keys():
            site.gone_at[gone] = now
        site.known |= certificates.keys()
        for certificate in certificates.values():
            slot = BY_ID[certificate.certificate_id]
            if certificate.status == "ACTIVE":
                if not iot.policies.of_target(certificate.arn):
                    self._break(call, f"{slot} is ACTIVE without a policy")
                if slot.common_name not in iot.things.of_principal(certificate.arn):
                    self._break(call, f"{slot} is ACTIVE without its thing")
            before = site.statuses.get(certificate.number)
            if certificate.status != before:
                site.statuses[certificate.number] = certificate.status
                self._changed(site, slot, before, certificate.status, call)
        for certificate_id, standing in site.standing.items():
            found = certificates.get(certificate_id)
            if found and found.status == "ACTIVE":
                self._break(call, f"{BY_ID[certificate_id]} is ACTIVE, and was {standing.word}")
            if found and found.number == standing.number and found.status != standing.status:
                self._break(call, f"{BY_ID[certificate_id]} is {found.status}, and was {standing}")

    def _changed(self, site: Site, slot: Slot, before: str | None, status: str, call: Call | None) -> None:
        """A certificate's status changed: nothing is lifted, save while an operator is still at it."""
        is_released = before == "INACTIVE" and site.certificates[slot.id].number in site.watch.release_orders
        if before in ("REVOKED", "INACTIVE") and not site.running[slot.id] and not is_released and status != "REVOKED":
            self._break(call, f"{slot} was {before}, and is {status}")
        if status == "ACTIVE" and slot.id in site.revoked and not site.running[slot.id]:
            self._break(call, f"{slot} was recorded as revoked, deleted, and is ACTIVE")
        if status == "ACTIVE":
            self._became_active(site, slot, call)

    def _became_active(self, site: Site, slot: Slot, call: Call | None) -> None:
        """One thing, one certificate: the owner, and those that it followed."""
        if self.on_replacement is not OnReplacement.SHARE and slot.id not in site.owned[slot.common_name]:
            self._break(call, f"{slot} is ACTIVE, and never owned {slot.common_name}")

    # What must hold between two steps

    def check_rest(self) -> None:
        """Nobody is forgotten, nothing is dead-lettered but what is unreadable, and ids of events are stable."""
        for site in self.sites:
            waiting = {str(message.body) for message in site.deployment.registrations.messages}
            for message in site.deployment.dead_letters.messages:
                if str(message.body) not in UNREADABLE:
                    self.broken.append(f"dead-lettered: {message.body} {message.attributes}")
            self._read_events(site)
            for slot in SLOTS:
                certificate = site.certificates.get(slot.id)
                if certificate and certificate.status == "PENDING_ACTIVATION":
                    self._check_waiting(site, slot, certificate, queued=any(slot.id in body for body in waiting))

    def _check_waiting(self, site: Site, slot: Slot, certificate: DeviceCertificate, *, queued: bool) -> None:
        item = site.deployment.registry.items.get((f"certificate#{slot.id}",), {})
        decision = site.record(slot.id).decision
        if queued or decision is None or not decision.is_for(certificate.created_at):
            return  # in the queue, or found by the next sweep
        if site.record(slot.id).is_denied:
            return  # nothing becomes of it until it is released
        match decision.outcome:
            case Outcome.HELD if decision.reason is Reason.OPERATOR_VERDICT or item.get("due", {}).get("S") == "look":
                return
            case Outcome.REJECTED if decision.status == "PENDING_ACTIVATION":
                return
        due = item.get("due", {}).get("S")
        self.broken.append(f"{slot} is forgotten: {decision.outcome} {decision.reason}, {decision.status}, due {due}")

    def _check_swept(self) -> None:
        """What no device asked for again was found by the sweep."""
        for site in self.sites:
            for slot in SLOTS:
                certificate = site.certificates.get(slot.id)
                if certificate is None or certificate.status != "PENDING_ACTIVATION":
                    continue
                decision = site.record(slot.id).decision
                recent = self.clock.now() - certificate.created_at < timedelta(days=6)
                if recent and (decision is None or not decision.is_for(certificate.created_at)):
                    self.broken.append(f"{slot} in {site.account.id} waits, and three sweeps did not find it")

    def _check_settled(self, site: Site) -> None:
        active: dict[str, list[Slot]] = defaultdict(list)
        for slot in SLOTS:
            certificate = site.certificates.get(slot.id)
            if certificate is None:
                continue
            if certificate.status == "ACTIVE":
                active[slot.common_name].append(slot)
            record = site.record(slot.id)
            if not self._is_settled(site, slot, certificate, record):
                said = f"{record.decision}, {record.verdict}"
                self.broken.append(f"{slot} in {site.account.id} settled {certificate.status}: {said}")
        if self.on_replacement is not OnReplacement.SHARE:
            for name, slots in active.items():
                owner = site.owners.get(name)
                if len(slots) > 1 and owner in [slot.id for slot in slots]:
                    self.broken.append(f"{slots} are ACTIVE for {name} long after the overlap")

    def _is_settled(self, site: Site, slot: Slot, certificate: DeviceCertificate, record: Record) -> bool:
        decision = record.decision
        match certificate.status:
            case "ACTIVE":
                return decision is not None and decision.outcome is Outcome.ACTIVATED and not record.is_denied
            case "PENDING_ACTIVATION":
                return self._waits_rightly(site, slot, certificate, record)
        if slot.id in site.spoken_of or certificate.number in site.by_hand or decision is None:
            return decision is not None or slot.id in site.spoken_of or certificate.number in site.by_hand
        return decision.outcome in (Outcome.REJECTED, Outcome.REPLACED) and decision.status == certificate.status

    def _waits_rightly(self, site: Site, slot: Slot, certificate: DeviceCertificate, record: Record) -> bool:
        decision = record.decision
        if decision is None or not decision.is_for(certificate.created_at):
            return False
        if decision.outcome is Outcome.REJECTED:
            return decision.status == "PENDING_ACTIVATION"
        match decision.reason:
            case Reason.OPERATOR_VERDICT:
                waits = record.is_denied and not record.was_revoked_or_deactivated
            case Reason.AWAITING_APPROVAL:
                waits = self.variant == "approve" and not record.is_approved
            case Reason.NOT_YET_VALID:
                waits = self.clock.now() < slot.leaf.not_before
            case Reason.NOT_A_ROTATION:
                owner = site.owners.get(slot.common_name)
                waits = owner in site.certificates and owner != slot.id
            case _:
                waits = False
        return waits
