"""The state machine's world: two accounts under one CA, what acts there at once, and what must hold.

Everything that acts (an execution environment that takes a batch, the sweep, an operator with jitrctl, a device,
somebody in the console) is a task on the virtual clock, so that each goes on while another waits, as in reality. Where
they meet is drawn: an Interruption says at which moment of which AWS call something else begins, how long the caller is
held up there, or what goes wrong with the call.

What must hold is looked at after every call, on the model's state. An error found there is kept in `World.broken`, not
raised, since the code under test has an `except Exception` at its boundary.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, cast

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.decisions import Decision, Outcome
from jitr.errors import JitrError, Reason
from jitr.record import Record
from jitr.rules import EnrollmentRule, OnReject, OnReplacement
from jitr.store.dynamodb import plain
from jitr.store.enrollment_table import EnrollmentTable, EntryChange, EntryChanged
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.registry_items import to_record
from jitr.telemetry import _event_id
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device.operations import OperatingError, Operator, OrderContext
from simulation import Authority, Call, DeadlinePassed, Deployment, Died, Fault, Leaf, Moment, SimulatedAccount
from simulation.clock import START
from simulation.deployment import ca_rules, rules
from simulation.faults import PARTIAL
from simulation.iot.certificates import DeviceCertificate
from simulation.lambda_ import EventSourceMapping
from tests.support.survival.invariants import Watch
from tests.support.survival.warm import WarmAws

ACCOUNTS = ("111111111111", "222222222222")
OVERLAP = 3600
ROTATION_WINDOW = timedelta(days=60)
UNREADABLE = ("this is no event", "{}")
# What `register` may still do on a look at a certificate: 5 s, and the pacer's turn.
_LOOK_IS_GOOD_FOR = timedelta(seconds=5.6)
_DAY = timedelta(days=1)


# Certificates: made once, the same in every process, so that a run can be repeated.


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One certificate that a device may connect with."""

    label: str
    common_name: str
    leaf: Leaf

    @property
    def id(self) -> str:
        return self.leaf.certificate_id

    def __repr__(self) -> str:
        return self.label

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(self.label)


def _authority() -> Authority:
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Survival CA")])
    builder = _builder(name, name, key.public_key(), START - 3650 * _DAY, START + 3650 * _DAY, 1)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(certificate=builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True), key=key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


AUTHORITY = _authority()
_DEVICE_KEY = ec.derive_private_key(11, ec.SECP256R1()).public_key()


def _slot(number: int, label: str, common_name: str, begins: float, ends: float) -> Slot:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(
        subject, AUTHORITY.certificate.subject, _DEVICE_KEY, START + begins * _DAY, START + ends * _DAY, 100 + number
    )
    signed = builder.sign(AUTHORITY.key, hashes.SHA256(), ecdsa_deterministic=True)
    leaf = Leaf.of(signed, ca_certificate_id=AUTHORITY.certificate_id)
    return Slot(label=label, common_name=common_name, leaf=leaf)


_FAMILY = (
    # label, name, and the days from the clock's start to its begin and end
    ("ending", "sensor-1", -300, 30),
    ("follower", "sensor-1", -1, 365),
    ("twin_follower", "sensor-1", -1, 365),
    ("issued_earlier", "sensor-1", -400, 10),
    ("long_lived", "sensor-2", -100, 300),
    ("duplicate", "sensor-2", -1, 365),
    ("badger", "badger-3", -1, 365),
    ("not_yet_valid", "sensor-4", 2, 365),
    ("short_lived", "sensor-5", -10, 1),
    ("next_short_lived", "sensor-5", -0.1, 365),
)
# Several of each, so that there is always one that nothing was decided on yet.
SLOTS = tuple(
    _slot(family * 100 + number, f"{label}_{family}", f"{name}{family}", begins, ends)
    for family in range(3)
    for number, (label, name, begins, ends) in enumerate(_FAMILY)
)
BY_ID = {slot.id: slot for slot in SLOTS}
NAMES = sorted({slot.common_name for slot in SLOTS})

# What may be deployed: changes of the CA's rules.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attributes": {"attributes": {"model": "two"}},
    "narrow": {"common_name": "sensor-[25].*"},
    "wide": {"common_name": "[a-z]+-[0-9]+"},
    "group": {"thing_groups": ("factory-1",)},
    "approve": {"enrollment": EnrollmentRule.APPROVE},
}


# What acts, and what interrupts it: drawn by the machine, readable in a falsifying example.

CURRENT = "current"  # in place of a slot: the certificate that was looked at last
RIVAL = "rival"  # another one of the same thing name
Target = Slot | Literal["current", "rival"]


@dataclass(frozen=True, slots=True)
class Deliver:
    """An execution environment takes a batch."""

    site: int


@dataclass(frozen=True, slots=True)
class DeliverAgain:
    """A message is delivered twice, and another environment takes the second one at once."""

    site: int


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The sweep runs."""

    site: int


@dataclass(frozen=True, slots=True)
class Connect:
    """A device connects."""

    site: int
    target: Target


@dataclass(frozen=True, slots=True)
class TakeAway:
    """`jitrctl device deny`, `deactivate`, `revoke`."""

    site: int
    target: Target
    word: OperatorAction


@dataclass(frozen=True, slots=True)
class Release:
    """`jitrctl device release`."""

    site: int
    target: Target
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class TakeBack:
    """`jitrctl device release --rejected-for`: a release order on our own rejection."""

    site: int
    target: Target


@dataclass(frozen=True, slots=True)
class Console:
    """Somebody sets a status by hand, or deletes the certificate (if it is not ACTIVE)."""

    site: int
    target: Target
    what: Literal["INACTIVE", "REVOKED", "delete"]


@dataclass(frozen=True, slots=True)
class Approve:
    """`jitrctl device approve`."""

    site: int
    target: Target


@dataclass(frozen=True, slots=True)
class Enroll:
    """`jitrctl enrollment deny`, `allow` and `remove`, of a certificate's id or of its thing name."""

    site: int
    target: Target
    rule: EntryRule
    kind: SubjectKind


Actor = Deliver | DeliverAgain | Sweeping | Connect | TakeAway | Release | TakeBack | Approve | Enroll | Console


@dataclass(frozen=True, slots=True)
class Interruption:
    """What happens so many moments after the one before: two for each call, before it is carried out and after.

    With `at` it happens at the function's next call of that name instead: before, or after when the number is odd.
    `what` is a fault, a death, or somebody who begins to act; the caller is held up for `stall` seconds.
    """

    after: int
    what: Fault | Literal["die"] | Actor | None = None
    times: int = 1  # for a fault: how many attempts of that call
    stall: float = 0.0
    then: Actor | None = None  # two seconds later
    at: str | None = None

    def fits(self, moments: int, call: Call, moment: Moment) -> bool:
        if self.at is None:
            return moments > self.after
        return call.operation == self.at and call.caller != "operator" and (moment == "after") == bool(self.after % 2)


@dataclass(slots=True)
class Look:
    """What an environment was last told of a certificate."""

    at: datetime
    status: str
    number: int  # of the registration


@dataclass(slots=True)
class Standing:
    """An operator's verdict that was given to the end, and what it left."""

    word: OperatorAction
    number: int | None  # of the registration, if there was one
    status: str | None


@dataclass(slots=True, eq=False)
class Environment:
    """One execution environment of `register`."""

    caller: str
    mapping: EventSourceMapping
    busy: bool = False
    stalled: bool = False
    looks: dict[str, Look] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Site:
    """One account with jitr in it, and what the machine knows of it."""

    account: SimulatedAccount
    deployment: Deployment
    environments: list[Environment]
    operator: Operator
    watch: Watch
    sweeps: bool = False
    swept_looks: dict[str, Look] = field(default_factory=dict)
    statuses: dict[int, str] = field(default_factory=dict)  # by the registration's number, as last seen
    known: set[str] = field(default_factory=set)  # certificate ids that AWS ever knew here
    gone_at: dict[str, datetime] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # thing name → certificate id, as last seen
    owned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # thing name → ever owners
    standing: dict[str, Standing] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # how many began, by certificate id
    running: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # orders under way
    unfinished: list[TakeAway | Release | TakeBack | Approve | Enroll] = field(default_factory=list)
    denied: set[Subject] = field(default_factory=set)  # by an entry that was written to the end
    begun: dict[str, str] = field(default_factory=dict)  # certificate id → the attempt that last wrote an intent
    spoken_of: set[str] = field(default_factory=set)  # certificate ids that an operator gave a word on
    revoked: set[str] = field(default_factory=set)  # certificate ids whose record says so, until they are released
    by_hand: set[int] = field(default_factory=set)  # registrations that somebody changed in the console
    events_seen: int = 0
    announced: dict[tuple[str, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def certificates(self) -> dict[str, DeviceCertificate]:
        return self.account.iot.certificates.by_id

    def record(self, certificate_id: str) -> Record:
        item = self.deployment.registry.items.get((f"certificate#{certificate_id}",))
        return to_record(plain(item)) if item else Record()


class World:
    """Two accounts, and everything that goes on in them."""

    def __init__(
        self, *, on_replacement: OnReplacement, on_reject: OnReject, batch_size: int, unnamed: bool = False
    ) -> None:
        """`unnamed`: AWS says of no certificate whose it is (Undocumented.hide_sni_only_cas)."""
        self.batch_size = batch_size
        self.aws = WarmAws(keep_calls=False)
        if unnamed:
            self.aws.undocumented.hide_sni_only_cas()
        self.clock = self.aws.clock
        self.on_replacement = on_replacement
        self.on_reject = on_reject
        self.variant = "plain"
        self.broken: list[str] = []
        self._running = 0
        self._moments = 0
        self._plan: list[Interruption] = []
        self._failing: dict[tuple[str, str], tuple[int, Fault]] = {}
        self.current: str | None = None
        self.sites = [self._site(account_id) for account_id in ACCOUNTS]
        self._by_account = {site.account.id: site for site in self.sites}
        self.aws.fault = self._hook
        self.trace: list[str] | None = None

    def _site(self, account_id: str) -> Site:
        account = self.aws.account(account_id)
        account.iot.cas.register_ca_certificate(
            {
                "caCertificate": AUTHORITY.pem,
                "certificateMode": "SNI_ONLY",
                "setAsActive": True,
                "allowAutoRegistration": True,
            }
        )
        deployment = Deployment(account, self.rules())
        deployment.journal.keep = False
        account.iot.things.groups.add("factory-1")
        iot = account.client("iot", caller="operator")
        operator = Operator(
            client=iot,
            iot=AwsIot(
                iot,
                Unpaced(),
                clock=self.clock.now,
                rules=deployment.rules,
            ),
            registry=Registry(account.client("dynamodb", caller="operator"), deployment.settings.registry_table),
            rules=deployment.rules,
            clock=self.clock.now,
            monotonic=self.clock.monotonic,
            sleep=lambda seconds: self.clock.sleep(10 * seconds),  # a patient one: fewer looks to simulate
        )
        environments = [
            Environment(caller=caller, mapping=deployment.mapping(batch_size=self.batch_size, caller=caller))
            for caller in ("register-1", "register-2")
        ]
        watch = Watch(account, deployment, lambda certificate_id: str(BY_ID.get(certificate_id, certificate_id[:8])))
        site = Site(account=account, deployment=deployment, environments=environments, operator=operator, watch=watch)
        watch.running = site.running
        return site

    def rules(self) -> Any:
        settings = {
            "overlap": OVERLAP,
            "on_replacement": self.on_replacement,
            "on_reject": self.on_reject,
            **VARIANTS[self.variant],
        }
        return _rules(repr(sorted(settings.items())), lambda: rules(ca_rules(AUTHORITY, **settings)))

    def deploy(self, variant: str, on_reject: OnReject) -> None:
        """Changed rules: environments that are at work go on under the old ones to the end of their batch."""
        self.variant, self.on_reject = variant, on_reject
        for site in self.sites:
            site.deployment.rules = self.rules()
            for environment in site.environments:
                environment.mapping = site.deployment.mapping(batch_size=self.batch_size, caller=environment.caller)

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

    def _act(self, actor: Actor) -> None:  # noqa: C901 -- each way to act is a case
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
            case Approve():
                self._approve(site, actor)
            case Enroll():
                self._enroll(site, actor)
            case Console(target=target, what=what):
                self._by_hand(site, self._slot(target), what)
        self.check(site, None)

    def _slot(self, target: Target) -> Slot:
        current = BY_ID.get(self.current or "", SLOTS[0])
        if target == CURRENT:
            return current
        if target == RIVAL:
            return next(
                (one for one in SLOTS if one.common_name == current.common_name and one is not current), current
            )
        return cast("Slot", target)

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

    @contextmanager
    def _order(
        self, site: Site, actor: TakeAway | Release | TakeBack | Approve, slot: Slot
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

    def _note(self, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.clock.monotonic():9.2f} {what}")

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
        if look is None or (look.status != wanted and not is_released):
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
        if call.service == "dynamodb" and call.operation in ("UpdateItem", "TransactWriteItems"):
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

    def _changed_owner(self, site: Site, name: str, owner: str) -> None:
        before = site.owners.get(name)
        had_it = owner in site.owned[name]
        site.owners[name] = owner
        site.owned[name].add(owner)
        if before is None or self.on_replacement is OnReplacement.SHARE:
            return
        gone_at = site.gone_at.get(before)
        if before not in site.certificates or (gone_at and self.clock.now() - gone_at < timedelta(seconds=120)):
            return
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
            site.announced[detail["certificate_id"], detail["outcome"], detail.get("reason", "")].add(detail["id"])
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

    def _break(self, call: Call | None, what: str) -> None:
        if len(self.broken) < 5:
            by = f" (after {call.caller} {call.name})" if call else ""
            self.broken.append(what + by)

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

    # The end

    def settle(self) -> None:
        """Stop everything that goes wrong, let days pass in which devices knock and the sweep runs, and look."""
        self._plan = []
        for site in self.sites:
            site.account.iot.cas.by_id[AUTHORITY.certificate_id].status = "ACTIVE"
            for rule in site.account.iot.broker.rules[AUTHORITY.certificate_id]:
                rule.enabled = True
        busy = [number for number, site in enumerate(self.sites) if site.known or site.deployment.registrations.size]
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

    def _active_against_a_word(self, site: Site) -> set[str]:
        return {
            certificate_id
            for certificate_id, certificate in site.certificates.items()
            if certificate.status == "ACTIVE" and site.record(certificate_id).is_denied
        }

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


@cache
def _pairs() -> dict[str, Any]:
    return {}


def _rules(key: str, make: Callable[[], Any]) -> Any:
    """Rules are the same for all worlds."""
    if key not in _pairs():
        _pairs()[key] = make()
    return _pairs()[key]


def _said(decision: Decision) -> tuple[str, str, str]:
    return decision.certificate_id, decision.outcome.value, decision.reason.name if decision.reason else ""
