"""The schedule of turns as it is stored, and the terms on which each class of work gets turns.

turns.py reserves turns from it. It is an item of the registry's table:

    pace   next_at      when the next free turn is; microseconds since 1970
           held_at      when held devices may take their next guaranteed turn
           ordered_at   the same for operators' orders and imports
           other_at     the same for calls outside of batches: the sweep's own, and operators' over many devices
           line_at      when the last message that found no turn is to ask again
           calls, throttles      of the scarce APIs so far, by all environments; each adds its own when it reserves
           judged_at, judged_calls, judged_throttles    their values when the rate was last adjusted (rate_limit.py)
           rate         the turns per second that AWS accepts, in thousandths; absent: the configured number

Version 1 of the registry ignores this item.

Where work gets its class of turns:

    what       a message of the registrations queue, from an event or the sweep; `register` does the work
    which one  Registration.needs() alone decides from the record which Need a message has
    terms      TERMS below; docs/how-it-works.md has the same table
    turns      Batch reserves them (Turns.reserve), and lines up the messages that find none (Turns.line_up)

For work outside of batches (the sweep, an operator's command over many devices), AwsIot takes its turns from a
TurnByTurn (turn_by_turn.py).
"""

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Any

from jitr.aws.calls import calling
from jitr.frozen import value
from jitr.store.dynamodb import deserialize, key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PACE = "pace"
_MICROSECONDS = 1_000_000
THOUSAND = 1000
_COUNTS = ("calls", "throttles", "judged_calls", "judged_throttles")


class Need(Enum):
    """The classes of work that want turns, in the order in which they get them."""

    NEW = "new"
    ORDERED = "ordered"
    HELD = "held"
    OTHER = "other"


@value
class Terms:
    """The terms of one class of work."""

    reach: float  # seconds; turns further ahead are not taken, so the class with the longest reach goes first
    share: float = 0.0  # of all turns, guaranteed; the class gets more only of what is idle


# New devices may take every turn but the guaranteed ones; the other classes have those, and what is idle. The reach of
# new devices is what the first batches of all environments want at ten a second: eleven times ten turns.
TERMS: Mapping[Need, Terms] = {
    Need.NEW: Terms(reach=11.5),
    Need.ORDERED: Terms(reach=2.0, share=0.1),
    Need.HELD: Terms(reach=1.0, share=0.05),
    Need.OTHER: Terms(reach=0.5, share=0.05),
}


@value
class Seen:
    """The schedule as it was last read; times in seconds since 1970, 0 for never."""

    next_at: float = 0.0
    guaranteed_at: Mapping[Need, float] = field(default_factory=dict)
    line_at: float = 0.0
    calls: int = 0
    throttles: int = 0
    judged_at: float = 0.0
    judged_calls: int = 0
    judged_throttles: int = 0
    rate: float | None = None

    @property
    def throttled(self) -> float:
        """The share of the calls that were throttled, since the rate was last adjusted."""
        return (self.throttles - self.judged_throttles) / max(self.calls - self.judged_calls, 1)


def read_schedule(client: "DynamoDBClient", table: str) -> Seen:
    """The schedule as it is now.

    Raises Unavailable.
    """
    with calling("GetItem"):
        answer = client.get_item(TableName=table, Key=key(PACE), ConsistentRead=True)
    return to_seen(deserialize(answer.get("Item", {})))


def to_seen(item: Mapping[str, Any]) -> Seen:
    """The schedule that an item holds."""
    return Seen(
        next_at=_seconds(item.get("next_at", 0)),
        guaranteed_at={need: _seconds(item.get(lane(need), 0)) for need in Need if TERMS[need].share},
        line_at=_seconds(item.get("line_at", 0)),
        judged_at=_seconds(item.get("judged_at", 0)),
        rate=float(item["rate"]) / THOUSAND if "rate" in item else None,
        **{name: int(item.get(name, 0)) for name in _COUNTS},
    )


def lane(need: Need) -> str:
    """The attribute with the time of a class's next guaranteed turn."""
    return f"{need.value}_at"


def lanes_in_microseconds(lanes: Mapping[Need, float]) -> dict[str, int]:
    """Times in seconds by class, as they are stored: by the class's name."""
    return {need.value: in_microseconds(at) for need, at in lanes.items()}


def _seconds(microseconds: Any) -> float:
    return float(microseconds) / _MICROSECONDS


def in_microseconds(seconds: float) -> int:
    """A time in seconds since 1970, as it is stored."""
    return round(seconds * _MICROSECONDS)
