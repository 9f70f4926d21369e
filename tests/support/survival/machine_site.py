"""One account of the state machine's world, and what the machine knows of it."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from jitr.admission.enrollment import Subject
from jitr.record import Record
from jitr.store.dynamodb import deserialize
from jitr.store.registry_items import to_record
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator
from simulation import Deployment, SimulatedAccount
from simulation.iot.certificates import DeviceCertificate
from simulation.lambda_ import EventSourceMapping
from tests.support.survival.invariants import Watch
from tests.support.survival.machine_acts import Approve, Enroll, OrderAway, Release, TakeAway, TakeBack


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
    activated: set[int] = field(default_factory=set)  # registrations of which it is recorded, by number
    known: set[str] = field(default_factory=set)  # certificate ids that AWS ever knew here
    gone_at: dict[str, datetime] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # thing name → certificate id, as last seen
    claimed_by: dict[str, int | None] = field(default_factory=dict)  # thing name → the owner's registration then
    owned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # thing name → ever owners
    standing: dict[str, Standing] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # how many began, by certificate id
    running: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # orders under way
    unfinished: list[TakeAway | Release | TakeBack | OrderAway | Approve | Enroll] = field(default_factory=list)
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
        return to_record(deserialize(item)) if item else Record()
