"""Orders of operators in the state machine's world, from their first call to their last, and what they leave."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import cast

from botocore.exceptions import ClientError

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.errors import JitrError
from jitr.store.enrollment_table import EnrollmentTable, EntryChange, EntryChanged
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import OrderContext
from jitrctl.errors import OperatingError
from tests.support.survival.machine_acts import (
    CURRENT,
    RIVAL,
    Approve,
    Enroll,
    OrderAway,
    Release,
    TakeAway,
    TakeBack,
    Target,
)
from tests.support.survival.machine_checks import MachineChecks
from tests.support.survival.machine_devices import BY_ID, SLOTS, Slot
from tests.support.survival.machine_site import Site, Standing
from tests.support.survival.session_orders import end_sessions


class MachineOrders(MachineChecks):
    """The world, and the operators who give orders in it."""

    def _slot(self, target: Target) -> Slot:
        current = BY_ID.get(self.current or "", SLOTS[0])
        if target == CURRENT:
            return current
        if target == RIVAL:
            return next(
                (one for one in SLOTS if one.common_name == current.common_name and one is not current), current
            )
        return cast("Slot", target)

    @contextmanager
    def _order(
        self, site: Site, actor: TakeAway | Release | TakeBack | OrderAway | Approve, slot: Slot
    ) -> Iterator[Callable[[], bool]]:
        """An order from its first call to its last; asks whether it was the only one on this certificate."""
        fixed = replace(actor, target=slot)
        site.spoken_of.add(slot.id)
        site.orders[slot.id] += 1
        number, alone = site.orders[slot.id], not site.running[slot.id]
        site.running[slot.id] += 1
        site.standing.pop(slot.id, None)
        finished = False
        try:
            yield lambda: alone and site.orders[slot.id] == number
            finished = True
        except OperatingError:
            finished = True  # an answer: nothing was done, or what is left to do was said
        except (JitrError, ClientError):
            pass
        finally:
            site.running[slot.id] -= 1
            if not finished:
                site.unfinished.append(fixed)

    def _take_away(self, site: Site, actor: TakeAway) -> None:
        slot = self._slot(actor.target)
        with self._order(site, actor, slot) as alone:
            status = site.operator.take_away(slot.id, actor.word, OrderContext(by="arn:operator"))
            end_sessions(site.account, "operator", slot.id)
            if alone():
                now = site.certificates.get(slot.id)
                if now and now.status == "ACTIVE":
                    self.broken.append(f"{slot} is ACTIVE although an operator has just set it {status}")
                site.standing[slot.id] = Standing(actor.word, now.number if now else None, now.status if now else None)

    def _release(self, site: Site, actor: Release) -> None:
        slot = self._slot(actor.target)
        before = site.certificates.get(slot.id)
        revoked = before is not None and before.status == "REVOKED"
        standing = site.standing.get(slot.id)
        was_revoked = slot.id in site.revoked
        with self._order(site, actor, slot):
            site.revoked.discard(slot.id)
            try:
                site.operator.release(slot.id, OrderContext(by="arn:operator"), revoked=actor.revoked)
            except OperatingError:
                if was_revoked:
                    site.revoked.add(slot.id)
                if standing and site.orders[slot.id] and site.running[slot.id] == 1:
                    site.standing[slot.id] = standing
                raise
            if revoked and not actor.revoked:
                self.broken.append(f"{slot} was REVOKED, and released without --revoked")

    def _take_back(self, site: Site, actor: TakeBack) -> None:
        slot = self._slot(actor.target)
        standing = site.standing.get(slot.id)
        client = site.account.client("dynamodb", caller="operator")
        outcomes = Outcomes(client, site.deployment.settings.registry_table)
        with self._order(site, actor, slot):
            seen = Registry(client, site.deployment.settings.registry_table).recall([slot.id])[slot.id]
            order = OperatorVerdict(action=OperatorAction.RELEASED, by="arn:operator", at=self.clock.now())
            given = outcomes.order_release(slot.id, order, seen=seen)
            if given is None and standing and site.running[slot.id] == 1:
                site.standing[slot.id] = standing

    def _order_away(self, site: Site, actor: OrderAway) -> None:
        """Write an order, unless the verdict that is seen denies as much; the functions carry it out some time."""
        slot = self._slot(actor.target)
        standing = site.standing.get(slot.id)
        client = site.account.client("dynamodb", caller="operator")
        registry = Registry(client, site.deployment.settings.registry_table)
        with self._order(site, actor, slot):
            seen = registry.recall([slot.id])[slot.id]
            given = None
            if not seen.verdict or (
                seen.verdict.action is not actor.word and not actor.word.is_weaker_than(seen.verdict.action)
            ):
                order = OperatorVerdict(action=actor.word, by="arn:operator", at=self.clock.now())
                given = registry.order_take_away(slot.id, order, seen=seen)
            if given is None and standing and site.running[slot.id] == 1:
                site.standing[slot.id] = standing

    def _approve(self, site: Site, actor: Approve) -> None:
        slot = self._slot(actor.target)
        standing = site.standing.get(slot.id)
        with self._order(site, actor, slot):
            try:
                site.operator.approve(slot.id, OrderContext(by="arn:operator"))
            except OperatingError:
                if standing and site.running[slot.id] == 1:
                    site.standing[slot.id] = standing
                raise

    def _enroll(self, site: Site, actor: Enroll) -> None:
        """Write an entry; whoever claims after it is there must have seen it."""
        slot = self._slot(actor.target)
        subject = Subject(actor.kind, slot.id if actor.kind is SubjectKind.CERTIFICATE else slot.common_name)
        table = EnrollmentTable(
            site.account.client("dynamodb", caller="operator"), site.deployment.settings.enrollment_table
        )
        try:
            before = table.entries([subject]).get(subject)
            entry = Entry(subject=subject, rule=actor.rule, by="arn:operator", at=self.clock.now())
            site.denied.discard(subject)  # while it is written, nobody can say
            with suppress(EntryChanged):  # an answer: somebody else's entry stands
                table.change([EntryChange(entry=entry, replaces=before)], by="arn:operator", at=self.clock.now())
            if table.entries([subject])[subject].rule is EntryRule.DENY:
                site.denied.add(subject)
        except (JitrError, ClientError):
            site.unfinished.append(replace(actor, target=slot))

    def _check_orders(self, site: Site) -> None:
        """At the end: every order was carried out, or is void."""
        if left := self._list_orders(site):
            self.broken.append(f"{len(left)} orders were not carried out")

    @staticmethod
    def _list_orders(site: Site) -> list[str]:
        """The keys of the orders that are due."""
        return [key for (key,) in site.deployment.registry.items if key.startswith("takeaway#")]

    def _active_against_a_word(self, site: Site) -> set[str]:
        return {
            certificate_id
            for certificate_id, certificate in site.certificates.items()
            if certificate.status == "ACTIVE" and site.record(certificate_id).is_denied
        }
