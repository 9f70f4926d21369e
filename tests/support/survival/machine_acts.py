"""What acts in the state machine's world, and what interrupts it: values that a falsifying example shows."""

from dataclasses import dataclass
from typing import Literal

from jitr.admission.enrollment import EntryRule, SubjectKind
from jitr.verdicts import OperatorAction
from simulation import Call, Fault, Moment
from tests.support.survival.machine_devices import Slot

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
class OrderAway:
    """`jitrctl device deactivate | revoke --from`: an order that the functions carry out."""

    site: int
    target: Target
    word: OperatorAction


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


Actor = (
    Deliver | DeliverAgain | Sweeping | Connect | TakeAway | Release | TakeBack | OrderAway | Approve | Enroll | Console
)


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
