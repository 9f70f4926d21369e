"""Decides when a CA's rules refuse so many certificates that the rules may be wrong: the brake of a CA.

A refusal for a final reason sets a certificate INACTIVE at its first connection. If the reason rests on the fleet's
rules, a mistake in the rules refuses good devices, one after the other. So the refusals that rest on rules are counted,
for each CA and each version of its rules. The brake engages when, within an hour,

- more than `refused` certificates were refused for reasons that rest on rules, and
- they are more than `share` percent of the CA's decisions, or more than `growth` times their share of the last seven
  days. If there were no refusals or no decisions in these days, any share is enough.

While it is engaged, further certificates are held instead of rejected. That is safe: a pending certificate cannot
connect. The brake ends with new rules of the CA, since counts belong to one version of the rules, or when an operator
accepts the rejections (`jitrctl ca accept-rejections`).

A certificate counts once in an hour, however many attempts refuse it, so one bad device does not engage the brake.
Apart from that, counts are approximate, on the side of holding: a refusal is counted before it is carried out, and if
the function dies in between, it may be counted again at the next evaluation. Counts of activations are written later,
and may be lost with their environment.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta

from jitr.frozen import value

# Counts are kept per slot of five minutes, twelve of which are the last hour, and per day, eight of which are the last
# seven days and today.
SLOT, DAY = timedelta(minutes=5), timedelta(days=1)
_SLOTS, _DAYS = 12, 8
# Time in which a refused certificate is not counted again: the greatest length of the last hour.
COUNTED_FOR = _SLOTS * SLOT
# Time for which an operator's acceptance keeps the brake off. It is enough for the sweep to evaluate all held devices
# again. After it the brake works again, since other devices may come under the same rules.
ACCEPTED_FOR = timedelta(days=1)
EVERYTHING = 100.0  # percent


@value
class BrakeLimits:
    """The limits above which a CA's refusals are held."""

    refused: int = 20  # certificates in an hour
    share: float = 50  # percent of the CA's decisions
    growth: float = 3  # times the share of the last seven days


@value
class Tally:
    """The number of decisions in a period: refused for reasons that rest on rules, and all others."""

    refused: int = 0
    others: int = 0

    @property
    def decisions(self) -> int:
        return self.refused + self.others

    @property
    def share(self) -> float:
        """The percentage of refusals; 0 without decisions."""
        return EVERYTHING * self.refused / self.decisions if self.decisions else 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(refused=self.refused + other.refused, others=self.others + other.others)


@value
class Counters:
    """The numbers of decisions under one version of a CA's rules."""

    slots: Mapping[int, Tally] = field(default_factory=dict)  # by slot_of
    days: Mapping[int, Tally] = field(default_factory=dict)  # by day_of

    def last_hour(self, now: datetime) -> Tally:
        """The decisions of the current slot and the eleven before."""
        return sum((tally for slot, tally in self.slots.items() if is_recent_slot(slot, now)), Tally())

    def last_days(self, now: datetime) -> Tally:
        """The decisions of today and the seven days before, without the last hour."""
        days = sum((tally for day, tally in self.days.items() if is_recent_day(day, now)), Tally())
        hour = self.last_hour(now)
        return Tally(refused=max(days.refused - hour.refused, 0), others=max(days.others - hour.others, 0))

    def too_many_refused(self, limits: BrakeLimits, now: datetime) -> bool:
        """Whether the brake engages; the current refusal is already counted."""
        hour = self.last_hour(now)
        usual = self.last_days(now).share
        return hour.refused > limits.refused and hour.share > min(limits.share, limits.growth * usual)


@value
class Engagement:
    """When the brake was engaged, for which rules, and by which numbers."""

    rules: str  # the digest of the CA's rules
    at: datetime
    refused: int  # within the hour before
    decisions: int
    usual_share: float  # percent, of the last seven days
    reason: str  # of the refusal that engaged it
    example: str  # that refusal's detail
    announced: bool = False


@value
class Acceptance:
    """An operator's order to reject what the rules refuse, since the rules are right."""

    rules: str  # the digest of the CA's rules
    by: str  # the caller's ARN
    at: datetime  # by the operator's clock, which is exact enough for a day
    note: str = ""


@value
class Brake:
    """The brake of one CA in one account and Region."""

    counters: Mapping[str, Counters] = field(default_factory=dict)  # by the digest of the CA's rules
    engaged: Engagement | None = None
    accepted: Acceptance | None = None  # the latest one
    acceptances: int = 0  # their number; a held decision keeps it, to see a new acceptance

    def is_engaged(self, rules: str) -> bool:
        """Whether refusals under this version of the CA's rules are held."""
        return self.engaged is not None and self.engaged.rules == rules

    def is_accepted(self, rules: str, now: datetime) -> bool:
        """Whether an operator has accepted all refusals under this version of the CA's rules."""
        return self.accepted is not None and self.accepted.rules == rules and now < self.accepted.at + ACCEPTED_FOR

    def holds(self, rules: str, limits: BrakeLimits, now: datetime) -> bool:
        """Whether a refusal under this version of the CA's rules is held; it is already counted."""
        if self.is_accepted(rules, now):
            return False
        return self.is_engaged(rules) or self.counters.get(rules, Counters()).too_many_refused(limits, now)

    def engagement(self, rules: str, now: datetime, *, reason: str, example: str) -> Engagement:
        """The engagement of the brake at this time."""
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
    """The number of a time's slot of five minutes since the epoch."""
    return int(moment.timestamp() // SLOT.total_seconds())


def day_of(moment: datetime) -> int:
    """The number of a time's day (UTC) since the epoch."""
    return int(moment.timestamp() // DAY.total_seconds())


def is_recent_slot(slot: int, now: datetime) -> bool:
    """Whether a slot is in the last hour; a future slot, by another environment's clock, is."""
    return slot > slot_of(now) - _SLOTS


def is_recent_day(day: int, now: datetime) -> bool:
    """Whether a day is today or in the last seven days; a future day is."""
    return day > day_of(now) - _DAYS
