"""The state machine's world: two accounts under one CA, what acts there at once, and what must hold.

Everything that acts (an execution environment that takes a batch, the sweep, an operator with jitrctl, a device,
somebody in the console) is a task on the virtual clock, so that each goes on while another waits, as in reality. Where
they meet is drawn: an Interruption says at which moment of which AWS call something else begins, how long the caller is
held up there, or what goes wrong with the call.

What must hold is looked at after every call, on the model's state. An error found there is kept in `World.broken`, not
raised, since the code under test has an `except Exception` at its boundary.
"""

from collections.abc import Sequence
from datetime import timedelta

from jitr.errors import JitrError
from jitr.rules import OnReject, OnReplacement
from jitr.verdicts import OperatorAction
from simulation import Call, DeadlinePassed, Died, Fault, Moment
from simulation.faults import PARTIAL
from tests.support.survival.machine_acts import (
    Actor,
    Approve,
    Connect,
    Console,
    Deliver,
    DeliverAgain,
    Enroll,
    Interruption,
    OrderAway,
    Release,
    Sweeping,
    TakeAway,
    TakeBack,
)
from tests.support.survival.machine_devices import AUTHORITY, SLOTS, Slot
from tests.support.survival.machine_orders import MachineOrders
from tests.support.survival.machine_site import Site


class World(MachineOrders):
    """Two accounts, and everything that goes on in them."""

    def __init__(
        self, *, on_replacement: OnReplacement, on_reject: OnReject, batch_size: int, unnamed: bool = False
    ) -> None:
        """`unnamed`: AWS says of no certificate whose it is (Undocumented.hide_sni_only_cas)."""
        super().__init__(on_replacement=on_replacement, on_reject=on_reject, batch_size=batch_size, unnamed=unnamed)
        self._running = 0
        self._moments = 0
        self._plan: list[Interruption] = []
        self._failing: dict[tuple[str, str], tuple[int, Fault]] = {}
        self.aws.fault = self._hook

    # Acting

    def together(self, actors: list[Actor], interruptions: list[Interruption]) -> None:
        """Let some act at the same time, interrupted, until all have ended."""
        self._moments = 0
        self._failing.clear()
        self._plan = list(interruptions)
        for actor in actors:
            self._begin(actor)
        waited = 0
        while self._running:
            self.clock.advance(1)
            waited += 1
            if waited > 5000:
                self.broken.append("somebody acts for ever")
                break
        self._plan = []
        for site in self.sites:
            self.check(site, None)

    def _begin(self, actor: Actor, *, delay: float = 0) -> None:
        self._running += 1

        def run() -> None:
            try:
                self.clock.sleep(delay)
                self._act(actor)
            except (Died, DeadlinePassed):
                pass
            finally:
                self._running -= 1

        self.clock.spawn(run)

    def _act(self, actor: Actor) -> None:  # noqa: C901, PLR0912 -- each way to act is a case
        site = self.sites[actor.site]
        if self.trace is not None:
            self._note(str(actor))
        match actor:
            case Deliver():
                self._deliver(site)
            case DeliverAgain():
                if messages := site.deployment.registrations.messages:
                    site.deployment.registrations.duplicate(messages[-1])
                self._deliver(site)
            case Sweeping():
                self._sweep(site)
            case Connect(target=target):
                slot = self._slot(target)
                site.account.connect(slot.leaf, client_id=slot.common_name)
            case TakeAway():
                self._take_away(site, actor)
            case Release():
                self._release(site, actor)
            case TakeBack():
                self._take_back(site, actor)
            case OrderAway():
                self._order_away(site, actor)
            case Approve():
                self._approve(site, actor)
            case Enroll():
                self._enroll(site, actor)
            case Console(target=target, what=what):
                self._by_hand(site, self._slot(target), what)
        self.check(site, None)

    def _deliver(self, site: Site) -> None:
        environment = next((one for one in site.environments if not one.busy), None)
        if environment is None:
            return
        environment.busy, environment.stalled = True, False
        try:
            invocation = environment.mapping.poll()
        finally:
            environment.busy = False
            environment.looks.clear()
        error = invocation.error if invocation else None
        if isinstance(error, Exception):
            self.broken.append(f"the function failed its batch: {error!r}")
        if isinstance(error, DeadlinePassed) and not environment.stalled:
            self.broken.append("the function ran into its deadline by itself")

    def _sweep(self, site: Site) -> None:
        if site.sweeps:
            return  # it holds the lease
        site.sweeps = True
        try:
            site.deployment.sweep()
        except JitrError:
            pass  # the scheduler tries again
        finally:
            site.sweeps = False
            site.swept_looks.clear()

    def _by_hand(self, site: Site, slot: Slot, what: str) -> None:
        certificate = site.certificates.get(slot.id)
        if certificate is None or (certificate.status == "REVOKED" and what == "INACTIVE"):
            return
        if (
            site.running[slot.id]
            or any(slot.id in one.looks for one in site.environments)
            or slot.id in site.swept_looks
        ):
            # Between a look and what is done on it nothing is promised to the console; orders are not either.
            return
        site.by_hand.add(certificate.number)
        if what == "delete":
            if certificate.status == "ACTIVE":
                return
            for thing in list(site.account.iot.things.of_principal(certificate.arn).values()):
                del thing.principals[certificate.arn]
                del site.account.iot.things._of_principal[certificate.arn][thing.name]
            site.account.iot.policies.forget(certificate.arn)
            site.account.iot.certificates.delete_certificate({"certificateId": slot.id})
            return
        site.account.iot.certificates.update_certificate({"certificateId": slot.id, "newStatus": what})
        site.statuses[certificate.number] = what
        site.watch.console_takes_away(certificate)
        if slot.id in site.standing and site.standing[slot.id].number == certificate.number:
            site.standing[slot.id].status = what

    # The hook: after every call, and whenever somebody is to come between

    def _hook(self, call: Call, moment: Moment) -> Fault | None:
        site = self._by_account[call.account_id]
        if self.trace is not None:
            status = call.parameters.get("newStatus", "")
            self._note(f"{self._moments:3} {moment:6} {call.account_id[0]} {call.caller} {call.operation} {status}")
        site.watch(call, moment)
        self._take_over(site, call)
        if moment == "before":
            self._watch_before(site, call)
        else:
            self._watch_after(site, call)
            self.check(site, call)
        if fault := self._still_failing(call, moment):
            return fault
        self._moments += 1
        answer: Fault | None = None
        while self._plan and self._plan[0].fits(self._moments, call, moment):
            interruption = self._plan.pop(0)
            self._moments = 0
            answer = self._interrupt(interruption, call, moment) or answer
        return answer

    def _take_over(self, site: Site, call: Call | None) -> None:
        """What broke a promise of invariants.py."""
        for name, what in site.watch.broken:
            self._break(call, f"{name}: {what}")
        site.watch.broken.clear()

    def _still_failing(self, call: Call, moment: Moment) -> Fault | None:
        key = call.caller + moment, call.invocation
        left, fault = self._failing.get(key, (0, Fault.THROTTLED))
        if not left:
            return None
        self._failing[key] = (left - 1, fault)
        return fault

    def _interrupt(self, interruption: Interruption, call: Call, moment: Moment) -> Fault | None:
        what = interruption.what
        if self.trace is not None:
            self._note(f"*** {interruption}")
        self._excuse(interruption, call, moment)
        if isinstance(what, Fault):
            impossible = what is Fault.PARTIAL and call.name not in PARTIAL
            if impossible or (moment == "after" and what in (Fault.PARTIAL, Fault.THROTTLED)):
                what = Fault.SERVER_ERROR
            self._failing[call.caller + moment, call.invocation] = (interruption.times - 1, what)
        elif what == "die":
            raise Died
        elif what is not None:
            self._begin(what)
        if interruption.then:
            self._begin(interruption.then, delay=2)
        if interruption.stall:
            self.clock.sleep(interruption.stall)
        return what if isinstance(what, Fault) else None

    def _excuse(self, interruption: Interruption, call: Call, moment: Moment) -> None:
        """Remember who is held up; a process that is frozen on its way back from a look cannot know its age."""
        if not interruption.stall:
            return
        for environment in self._by_account[call.account_id].environments:
            if environment.caller == call.caller:
                environment.stalled = True
                if call.operation == "DescribeCertificate" and moment == "after":
                    for look in environment.looks.values():
                        look.at += timedelta(seconds=interruption.stall)

    def settle(self) -> None:
        """Stop everything that goes wrong, let days pass in which devices knock and the sweep runs, and look."""
        self._plan = []
        for site in self.sites:
            site.account.iot.cas.by_id[AUTHORITY.certificate_id].status = "ACTIVE"
            for rule in site.account.iot.broker.rules[AUTHORITY.certificate_id]:
                rule.enabled = True
        busy = [
            number
            for number, site in enumerate(self.sites)
            if site.known or site.unfinished or site.deployment.registrations.size or self._list_orders(site)
        ]
        for site in self.sites:
            orders, site.unfinished = site.unfinished, []
            for order in orders:
                self.together([order], [])
                # A release that was cut off can find it ACTIVE the next time, and says: deactivate it first.
                slot = self._slot(order.target)
                if slot.id in self._active_against_a_word(site):
                    self.together([TakeAway(order.site, slot, OperatorAction.DEACTIVATED)], [])
        # Beyond pending_after, the sweep's hour of patience, the hour until a retirement is tried again, a daily look.
        for number, seconds in enumerate((400, 1000, 4000, 4000, 90_000, 4000, 4000)):
            self.drain(busy)
            self.clock.advance(seconds)
            if number == 3:
                self._check_swept()
            if number > 3:
                self._knock(busy)
            self.together([Sweeping(site) for site in busy], [])
        self.drain(busy)
        self.check_rest()
        for site in self.sites:
            self._check_settled(site)
            self._check_orders(site)

    def _knock(self, busy: list[int]) -> None:
        """Every device that waits knocks, one after the other, so that each look at a held one finds its turn."""
        for number in busy:
            for slot in SLOTS:
                certificate = self.sites[number].certificates.get(slot.id)
                if certificate and certificate.status == "PENDING_ACTIVATION":
                    self.together([Connect(number, slot)], [])
                    self.drain(busy)
                    self.clock.advance(3)

    def drain(self, busy: Sequence[int] = (0, 1)) -> None:
        """Deliver, and let time pass, until the queues are empty."""
        for _ in range(100):
            waits = [
                wait
                for number in busy
                if (wait := self.sites[number].deployment.registrations.next_visible_in()) is not None
            ]
            if not waits:
                return
            self.clock.advance(min(waits))
            self.together([Deliver(number) for number in busy], [])
        self.broken.append("the queue does not become empty")
