"""The world of the explored schedules: one account, CAs of which one may be hostile, and who acts there.

Each act is a function without arguments, to be run as a task: a look at a certificate by an execution environment of
its own, under the rules that were deployed when it was made; the sweep; an operator's order; a change in the console.
Time passes only where somebody sleeps: turns are not paced here, so that states can be compared between schedules.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.brake import Acceptance
from jitr.errors import JitrError
from jitr.store.brakes import Brakes
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import Operator, OrderContext
from jitrctl.errors import OperatingError
from simulation import Authority, Call, Deployment, Died, Leaf, Moment
from simulation.clock import START
from simulation.deployment import ca_rules, rules
from simulation.lambda_ import EventSourceMapping
from simulation.queue import SqsMessage
from tests.support.survival.brake_promises import announced_ids
from tests.support.survival.invariants import Watch
from tests.support.survival.one_thread import Act, OneThread, _Bound
from tests.support.survival.warm import WarmAws

if TYPE_CHECKING:
    from jitr.rules import CaRules

DAY = 86_400.0
HOME, HOSTILE = "home", "hostile"
HOOK = "name-giver"


@cache
def authority(name: str) -> Authority:
    return Authority.new(name)


@cache
def issued(ca: str, common_name: str, begins: float, ends: float, number: int) -> Leaf:  # noqa: ARG001 -- of several
    start, end = START + timedelta(days=begins), START + timedelta(days=ends)
    return authority(ca).issue(common_name, not_before=start, not_after=end)


class ExploredWorld:
    """One account with jitr in it, and a watch on every call."""

    def __init__(self, **cas: dict[str, Any]) -> None:
        random.seed(7)  # the queue's delays
        self.aws = WarmAws(keep_calls=False)
        self.clock = self.aws.clock
        self.account = self.aws.account("111111111111")
        self.cas = {name: {"overlap": 3600} | settings for name, settings in cas.items()}
        self.sources: tuple[CaRules, ...] = ()  # of imports
        for name in self.cas:
            self.account.iot.cas.register_ca_certificate(
                {
                    "caCertificate": authority(name).pem,
                    "certificateMode": "SNI_ONLY",
                    "setAsActive": True,
                    "allowAutoRegistration": True,
                }
            )
        self.deployment = Deployment(self.account, self.rules(), activations_per_second=1e9, with_threads=False)
        self.deployment.journal.keep = False
        self.mapping = self.deployment.mapping()
        self.devices: dict[str, Leaf] = {}  # by label, what connects again and again
        self.silent: set[str] = set()  # labels of those that connect no more
        self.unfinished: list[Act] = []  # orders that were cut off
        self.watch = Watch(self.account, self.deployment, self.label)
        self.aws.fault = self.watch

    def label(self, certificate_id: str) -> str:
        names = (name for name, leaf in self.devices.items() if leaf.certificate_id == certificate_id)
        return next(names, certificate_id[:8])

    def rules(self) -> Any:
        cas = (ca_rules(authority(name), name=name, **settings) for name, settings in self.cas.items())
        return rules(*cas, sources=self.sources)

    def deploy(self, ca: str = HOME, **changed: Any) -> None:
        """Other rules, in new execution environments."""
        self.cas[ca] = self.cas[ca] | changed
        self.deployment.rules = self.rules()
        self.mapping = self.deployment.mapping()
        self.account.iot.things.groups |= set(self.cas[ca].get("thing_groups", ()))

    def hook(self, answers: Sequence[str | None]) -> str:
        """A function that gives these names in turn, `{n}` being how often it was asked; None refuses the device."""
        asked: list[int] = []

        def answer(_request: Any) -> dict[str, Any]:
            name = answers[len(asked) % len(answers)]
            asked.append(1)
            if name is None:
                return {"allowProvisioning": False}
            thing_name = f"sensor-{name.format(n=len(asked))}"
            return {"allowProvisioning": True, "parameterOverrides": {"ThingName": thing_name}}

        return self.account.functions.create(HOOK, answer)

    # Devices

    def device(
        self, label: str, *, ca: str = HOME, name: str = "sensor-1", begins: float = -1, ends: float = 365
    ) -> Leaf:
        number = len(self.devices)
        self.devices[label] = issued(ca, name, begins, ends, number)
        return self.devices[label]

    def connect(self, leaf: Leaf) -> None:
        self.account.connect(leaf, client_id="sensor-1")

    def bring_up(self, leaf: Leaf) -> None:
        self.connect(leaf)
        self.mapping.drain(within=3600)

    def begin_and_die(self, leaf: Leaf, operation: str) -> None:
        """A look at this that dies right after its call of that name."""

        def fault(call: Call, moment: Moment) -> None:
            self.watch(call, moment)
            if (call.operation, moment) == (operation, "after"):
                raise Died

        self.connect(leaf)
        self.aws.fault = fault
        self.mapping.poll()
        self.aws.fault = self.watch

    def status(self, leaf: Leaf) -> str | None:
        certificate = self.account.iot.certificates.by_id.get(leaf.certificate_id)
        return certificate.status if certificate else None

    # Acts

    def look(self, caller: str, *leaves: Leaf) -> Act:
        """An environment of its own takes a batch with one event of each of these; it has received them already."""
        queue, messages = self.deployment.registrations, []
        for leaf in leaves:
            self.clock.advance(20)  # not right behind its first event
            self.connect(leaf)
            messages += queue.receive(10)
        return self._take(caller, messages)

    def threads(self, caller: str, *leaves: Leaf) -> tuple[Act, Act]:
        """A look at two of these in one batch: the handler, which decides on the last one, and its thread."""
        thread = OneThread(self.clock)
        deployment = self.deployment
        deployment.with_threads, deployment.threads = True, lambda: thread
        look = self.look(caller, *leaves)
        deployment.with_threads = False

        def handle() -> None:
            try:
                look()
            finally:
                thread.kill()  # should there have been none to start

        return handle, thread.run

    def look_at_sent(self, caller: str) -> Act:
        """An environment of its own takes what the sweep sent; it has received it already."""
        self.deployment.sweep()
        return self._take(caller, self.deployment.registrations.receive(10))

    def _take(self, caller: str, messages: list[SqsMessage]) -> Act:
        queue = self.deployment.registrations
        handler = self.deployment.environment(caller=caller)
        bound: Any = _Bound(queue, messages)
        mapping = EventSourceMapping(bound, self.account.sqs, lambda: handler, batch_size=10)

        def poll() -> None:
            invocation = mapping.poll()
            if invocation and isinstance(invocation.error, Exception):
                raise invocation.error

        return poll

    def sweep(self) -> Act:
        def run() -> None:
            with suppress(JitrError):  # the scheduler tries again
                self.deployment.sweep()

        return run

    def operator(self, name: str) -> Operator:
        client = self.account.client("iot", caller=name)
        return Operator(
            client=client,
            iot=AwsIot(
                client,
                Unpaced(),
                clock=self.clock.now,
                rules=self.deployment.rules,
            ),
            registry=Registry(self.account.client("dynamodb", caller=name), self.deployment.settings.registry_table),
            rules=self.deployment.rules,
            clock=self.clock.now,
            monotonic=self.clock.monotonic,
            sleep=lambda seconds: self.clock.sleep(10 * seconds),  # a patient one: fewer looks to simulate
        )

    def take_away(self, name: str, leaf: Leaf, word: OperatorAction) -> Act:
        order = OrderContext(by=f"arn:{name}")
        return self._order(name, leaf, lambda one: one.take_away(leaf.certificate_id, word, order), took_away=True)

    def release(self, name: str, leaf: Leaf) -> Act:
        order = OrderContext(by=f"arn:{name}")
        return self._order(name, leaf, lambda one: one.release(leaf.certificate_id, order), released=True)

    def order_release(self, name: str, leaf: Leaf) -> Act:
        """A rejection is taken back, as it is seen when the order begins."""
        client = self.account.client("dynamodb", caller=name)
        registry = Registry(client, self.deployment.settings.registry_table)
        outcomes = Outcomes(client, self.deployment.settings.registry_table)
        verdict = OperatorVerdict(action=OperatorAction.RELEASED, by=f"arn:{name}", at=self.clock.now())

        def give(_operator: Operator) -> None:
            seen = registry.recall([leaf.certificate_id])[leaf.certificate_id]
            outcomes.order_release(leaf.certificate_id, verdict, seen=seen)

        return self._order(name, leaf, give, released=True)

    def approve(self, name: str, leaf: Leaf) -> Act:
        order = OrderContext(by=f"arn:{name}")
        return self._order(name, leaf, lambda one: one.approve(leaf.certificate_id, order), released=True)

    def accept_rejections(self, name: str) -> Act:
        """What `jitrctl ca accept-rejections` writes about the brake, if it is engaged when the order begins."""
        client = self.account.client("dynamodb", caller=name)
        brakes = Brakes(client, self.deployment.settings.registry_table, clock=self.clock.now)
        ca_id = authority(HOME).certificate_id

        def run() -> None:
            engaged = brakes.read([ca_id])[ca_id].engaged
            if engaged is not None:
                brakes.accept(ca_id, engaged, Acceptance(rules=engaged.rules, by=name, at=self.clock.now()))

        return run

    def _order(self, name: str, leaf: Leaf, give: Callable[[Operator], object], **ends: bool) -> Act:
        operator = self.operator(name)

        def run() -> None:
            self.watch.running[leaf.certificate_id] += 1
            done = False
            try:
                give(operator)
                self.watch.order_ends(leaf.certificate_id, name, **ends)
                done = True
            except OperatingError:
                done = True  # an answer: it said what is in the way
            except (JitrError, ClientError):
                pass
            finally:
                self.watch.running[leaf.certificate_id] -= 1
                if not done:
                    self.watch.began.pop(name, None)  # the same person looks anew
                    self.unfinished.append(self._order(name, leaf, give, **ends))

        return run

    def console(self, leaf: Leaf, what: str) -> Act:
        """Somebody sets a status by hand, or takes a certificate off everything and deletes it."""
        client = self.account.client("iot", caller="console")
        certificate_id = leaf.certificate_id

        def run() -> None:
            if what != "delete":
                client.update_certificate(certificateId=certificate_id, newStatus=what)
                return
            arn = self.account.iot.certificates.arn(certificate_id)
            if self.status(leaf) == "ACTIVE":
                client.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
            try:
                for policy in client.list_attached_policies(target=arn)["policies"]:
                    client.detach_policy(policyName=policy["policyName"], target=arn)
                for thing in client.list_principal_things(principal=arn)["things"]:
                    client.detach_thing_principal(thingName=thing, principal=arn)
                self.clock.sleep(6)
                client.delete_certificate(certificateId=certificate_id)
            except ClientError:
                pass  # somebody attached it again meanwhile; the person leaves it so

        return run

    # The end

    def settle(self) -> None:
        """Order again what was cut off, let days pass in which devices connect and the sweep runs, and judge."""
        self.aws.fault = self.watch
        self.mapping = self.deployment.mapping()
        while self.unfinished:
            self.unfinished.pop()()
        for seconds in (400, 4000, 4000, 90_000, 4000, 90_000):
            self.drain()
            self.clock.advance(seconds)
            for label in sorted(self.devices.keys() - self.silent):
                self.connect(self.devices[label])
            self.drain()
            self.deployment.sweep()
            self.drain()
            if self.watch.broken:
                return
            if self._is_at_rest():
                break
        self.watch.settled()

    def drain(self) -> None:
        """Let the functions work off their queues."""
        self.mapping.drain(within=DAY)

    def _is_at_rest(self) -> bool:
        """Whether nothing waits: no certificate, no message, nothing that is due."""
        waits = any(one.status == "PENDING_ACTIVATION" for one in self.account.iot.certificates.by_id.values())
        due = any("due" in item for item in self.deployment.registry.items.values())
        return not waits and not due and not self.deployment.registrations.size

    def state(self) -> object:
        """All that the future depends on, to know whether this end was checked before; without the ids of runs."""
        iot, watch = self.account.iot, self.watch
        registry = {
            key: repr({name: value for name, value in item.items() if name != "intent"})
            + repr({name: value for name, value in item.get("intent", {}).get("M", {}).items() if name != "run"})
            + repr(bool(item.get("intent", {}).get("M", {}).get("run", {}).get("S")))
            for key, item in sorted(self.deployment.registry.items.items())
        }
        queue = [
            (str(one.body), one.receives, repr(one.attributes), one.visible_at, one.sent_at)
            for one in self.deployment.registrations.messages
        ]
        certificates = [
            (
                one.certificate_id,
                one.number,
                one.status,
                one.created_at,
                sorted(iot.things.of_principal(one.arn)),
                [policy.name for policy in iot.policies.of_target(one.arn)],
                one.number in watch.by_hand,
                one.number in watch.overridden,
                repr(watch.taken_away.get(one.certificate_id)),
            )
            for one in iot.certificates.by_id.values()
        ]
        things = [
            (
                one.name,
                one.type_name,
                sorted(one.attributes.items()),
                sorted(one.groups),
                sorted(one.principals),
                sorted(watch.owned[one.name]),
            )
            for one in iot.things.by_name.values()
        ]
        verdicts = {key: (one.allows, one.by) for key, one in watch.verdicts.items()}
        return repr(
            (
                registry,
                queue,
                certificates,
                things,
                verdicts,
                self.cas,
                len(self.unfinished),
                self.clock.monotonic(),
                sorted((key, value.allows) for key, value in watch.verdicts.items()),
                repr(sorted(self.deployment.enrollment.items.items())),
                sorted(when for when, _, _ in self.clock._due),  # what is being detached
                announced_ids(self.watch),
                sorted(self.watch.engagements),
            )
        )


Prepared = tuple[ExploredWorld, Mapping[str, Act]]
