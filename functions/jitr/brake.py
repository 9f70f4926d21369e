"""When so many certificates of a CA are refused for its rules that the rules may be wrong: the brake's arithmetic.

A refusal for a final reason sets a certificate INACTIVE at its first connection. If it rests on the fleet's rules, a
mistake in the rules refuses good devices, one after the other. So the refusals that rest on rules are counted, for each
CA and each version of its rules. The brake engages when, within an hour,

- more than `refused` certificates were refused for reasons that rest on rules, and
- they are more than `share` percent of the CA's decisions, or more than `growth` times their share of the last seven
  days. Where nothing was refused in these, or nothing was decided, that is any share.

While it is engaged, further ones are held instead of rejected. Holding is safe: a pending certificate cannot connect.
Other rules of the CA end it, since everything is counted for one version of the rules; so does an operator, who accepts
the rejections (`jitrctl ca accept-rejections`).

A certificate counts once in an hour, however often its refusal is begun: one bad device engages nothing. Otherwise
counts are approximate, and err on the side of holding: a refusal is counted before it is carried out, and one whose
function died is held and counted at the next look, once more perhaps.
What is counted for activations is written later, and lost with its environment.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta

from jitr.frozen import value

# Counts are kept for slots of five minutes, of which twelve are the last hour, and for days, of which eight are the
# last seven days and today.
SLOT, DAY = timedelta(minutes=5), timedelta(days=1)
_SLOTS, _DAYS = 12, 8
# A certificate that was refused is not counted again for so long: as long as the last hour is at most.
COUNTED_FOR = _SLOTS * SLOT
# An operator's acceptance keeps the brake off for so long: the sweep has all that were held judged again meanwhile.
# Then the brake is on again, for another batch of devices may come under the same rules.
ACCEPTED_FOR = timedelta(days=1)
EVERYTHING = 100.0  # percent


@value
class BrakeLimits:
    """From when on the refusals of a CA's rules are held."""

    refused: int = 20  # certificates in an hour, up to which nothing is held
    share: float = 50  # percent of the CA's decisions
    growth: float = 3  # times the share of the last seven days


@value
class Tally:
    """Decisions of one time: refused for reasons that rest on rules, and all others (activated, or rejected)."""

    refused: int = 0
    others: int = 0

    @property
    def decisions(self) -> int:
        return self.refused + self.others

    @property
    def share(self) -> float:
        """Percent of the decisions that were refusals; 0 where nothing was decided."""
        return EVERYTHING * self.refused / self.decisions if self.decisions else 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(refused=self.refused + other.refused, others=self.others + other.others)


@value
class Counters:
    """What was decided under one version of a CA's rules."""

    slots: Mapping[int, Tally] = field(default_factory=dict)  # by slot_of
    days: Mapping[int, Tally] = field(default_factory=dict)  # by day_of

    def last_hour(self, now: datetime) -> Tally:
        """The slot of this moment, and the eleven before it."""
        return sum((tally for slot, tally in self.slots.items() if is_recent_slot(slot, now)), Tally())

    def last_days(self, now: datetime) -> Tally:
        """Today and the seven days before, without the last hour."""
        days = sum((tally for day, tally in self.days.items() if is_recent_day(day, now)), Tally())
        hour = self.last_hour(now)
        return Tally(refused=max(days.refused - hour.refused, 0), others=max(days.others - hour.others, 0))

    def too_many_refused(self, limits: BrakeLimits, now: datetime) -> bool:
        """Whether the brake engages; the present refusal is counted already."""
        hour = self.last_hour(now)
        usual = self.last_days(now).share
        return hour.refused > limits.refused and hour.share > min(limits.share, limits.growth * usual)


@value
class Engagement:
    """The brake as it was engaged: under which rules, when, and on which figures."""

    rules: str  # the digest of the CA's rules
    at: datetime
    refused: int  # within the hour before
    decisions: int
    usual_share: float  # percent, of the last seven days
    reason: str  # of the refusal at which it was engaged, and its detail: an example
    example: str
    announced: bool = False


@value
class Acceptance:
    """An operator's word that the rules are right, and what they refuse is to be rejected."""

    rules: str  # the digest of the CA's rules that refuse
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock; a day is compared with it, for which that is exact enough
    note: str = ""


@value
class Brake:
    """What is known of one CA in one account and Region."""

    counters: Mapping[str, Counters] = field(default_factory=dict)  # by the digest of the CA's rules
    engaged: Engagement | None = None
    accepted: Acceptance | None = None  # the last one
    acceptances: int = 0  # how many there were: a device that is held knows how many it was held under

    def is_engaged(self, rules: str) -> bool:
        """Whether refusals under this version of the CA's rules are held."""
        return self.engaged is not None and self.engaged.rules == rules

    def is_accepted(self, rules: str, now: datetime) -> bool:
        """Whether refusals under this version of the CA's rules are to be carried out, however many there are."""
        return self.accepted is not None and self.accepted.rules == rules and now < self.accepted.at + ACCEPTED_FOR

    def holds(self, rules: str, limits: BrakeLimits, now: datetime) -> bool:
        """Whether a refusal under this version of the CA's rules, which is counted, is held."""
        if self.is_accepted(rules, now):
            return False
        return self.is_engaged(rules) or self.counters.get(rules, Counters()).too_many_refused(limits, now)

    def engagement(self, rules: str, now: datetime, *, reason: str, example: str) -> Engagement:
        """The brake, as it is engaged now."""
        counters = self.counters.get(rules, Counters())
        hour = counters.last_hour(now)
        return Engagement(
            rules=rules,
            at=now.replace(microsecond=now.microsecond // 1000 * 1000),  # as it is stored
            refused=hour.refused,
            decisions=hour.decisions,
            usual_share=counters.last_days(now).share,
            reason=reason,
            example=example,
        )


def slot_of(moment: datetime) -> int:
    """The number of the five minutes that a moment lies in, from the epoch."""
    return int(moment.timestamp() // SLOT.total_seconds())


def day_of(moment: datetime) -> int:
    """The number of the day (UTC) that a moment lies in, from the epoch."""
    return int(moment.timestamp() // DAY.total_seconds())


def is_recent_slot(slot: int, now: datetime) -> bool:
    """Whether a slot counts for the last hour; one that lies ahead, by another environment's clock, does."""
    return slot > slot_of(now) - _SLOTS


def is_recent_day(day: int, now: datetime) -> bool:
    """Whether a day counts for the last seven days."""
    return day > day_of(now) - _DAYS
