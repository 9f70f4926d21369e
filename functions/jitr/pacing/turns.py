"""Reserves turns for calls of AWS IoT's scarce APIs from one schedule for the account and Region.

The quotas belong to the account, so the schedule does too. It is an item of the registry's table (schedule.py).

One turn is one call of each scarce API: one DescribeCertificate, the UpdateCertificate after it, and one AttachPolicy.
A second call of the same API takes another turn.

A batch reads the item with its records, and reserves the turns it needs with one write: an ADD without a condition, so
it cannot fail because of another environment. If the next free turn is longer ago than the bucket, since no one wanted
turns for a while, the schedule is restarted with a conditional write. Turns that an environment reserved and does not
use are lost.

When DynamoDB does not answer, an environment takes its share of the rate for that batch, as if all others ran too. It
reserves these turns later, so that the rate holds on average.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError

from jitr.aws.calls import CLIENT_CONFIG, calling
from jitr.aws.rate_limit import FEWEST_CALLS, LEAST_PART, WINDOW, adjust_rate
from jitr.errors import Unavailable
from jitr.pacing.schedule import (
    PACE,
    TERMS,
    THOUSAND,
    Need,
    Seen,
    in_microseconds,
    lane,
    lanes_in_microseconds,
    to_seen,
)
from jitr.store.dynamodb import deserialize, key, set_attributes, values
from jitr.store.registry_items import SCHEMA

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# One retry, and one second each: a whole batch waits for the reservation.
TURNS_CONFIG = CLIENT_CONFIG.merge(
    Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
)
# How long unused turns are kept, in seconds. AWS's buckets hold about a second; with 0.9 s the simulation throttled
# calls, since their latencies differ.
BUCKET = 0.5
# A schedule that is further ahead was written by a wrong clock; in seconds.
_BROKEN = 60.0
# The longest line of messages that found no turn: a quarter of an hour, which one sweep's messages may need at a low
# rate, and a small part of the 120,000 messages that a queue may have in flight.
_LONGEST_LINE = 890.0  # seconds
_MOST_IN_LINE = 15_000
# While held devices are in line, one takes only a turn that is now (`_grant`): while an environment waits for a turn,
# the queue's other messages wait for the environment, those of new devices too. The exception is the guaranteed turn
# (`guaranteed_at`): it is at the end of the schedule, in a storm up to 11.5 s away, and an environment waits for it.
# Otherwise no held device would be evaluated in a storm. It is one turn in twenty, so few environments wait at once.
# Messages come up to five seconds later than they are due (batch.py). And a device that connects again while it is in
# line gets a second place, at which it needs no turn any more: 2,000 held devices that connect every minute came up at
# 0.85 of the rate with 1.25, since after two minutes every second message in line was such a one. With 1.75 it was
# 0.89, with 2 it is 0.94 (bench/mend.py).
_LINE_IS_FASTER = 2.0
# Seconds. Turns of a share are further apart than those of the schedule; later ones are left to environments that can
# reserve.
_SHARE_REACH = 2.0


class Turns:
    """The schedule of one account and Region, as one execution environment uses it; safe for threads."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        *,
        per_second: float,
        environments: int,
        when_unavailable: Callable[[], None],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`environments`: the greatest number of them; `when_unavailable` is called when a share is taken instead."""
        self._client = client
        self._table = table
        self._per_second = per_second
        self._environments = environments
        self._when_unavailable = when_unavailable
        self._clock = clock
        self._sleep = sleep
        self._seen = Seen()
        self._until = float("inf")
        self._spare: list[float] = []
        self._share_at = 0.0
        self._owed = 0
        self._noted = (0, 0)  # calls of the scarce APIs, and throttles, that are not in the schedule yet
        self._lock = threading.Lock()  # guards the four above; never held during a call
        self._mine = threading.local()  # .used: names of the calls made in this thread's turn

    @property
    def rate(self) -> float:
        """Turns per second."""
        # An item from before the configured rate was raised, or a wrong one, must not stop everything.
        least = LEAST_PART * self._per_second
        return max(min(self._seen.rate or self._per_second, self._per_second), least)

    @property
    def _interval(self) -> float:
        return 1 / self.rate

    def note(self, attempts: int, throttles: int) -> None:
        """Count the attempts of a call of a scarce API, and how many of them were throttled."""
        with self._lock:
            calls, throttled = self._noted
            self._noted = calls + attempts, throttled + throttles

    def expire_in(self, seconds: float) -> None:
        """Let no wait end later than this: the call after it would be cut off by the function's deadline."""
        self._until = self._clock() + seconds

    def see(self, item: Mapping[str, Any]) -> None:
        """Take over the schedule as it was read in another call."""
        self._seen = to_seen(item)

    def reserve(self, wanted: Mapping[Need, int]) -> list[float]:
        """Reserve turns for a batch and return their times, at most as many as wanted: none beyond a class's reach.

        Never raises Unavailable: without DynamoDB these are turns of this environment's share.
        """
        now = self._clock()
        granted, lanes = self._grant(wanted, now)
        spare = self._take_spare(granted, now)
        missing = granted - len(spare)
        if not missing:
            return spare
        with self._lock:
            owed, self._owed = self._owed, 0
        try:
            self._adjust(now)
            interval = self._interval  # the adjusted one
            first = self._reserve(missing + owed, lanes, now, interval)
        except (Unavailable, ClientError):
            self._when_unavailable()
            return spare + self._take_share(missing, now, owed=owed)
        return spare + [first + number * interval for number in range(missing)]

    def give_back(self, turns: Sequence[float]) -> None:
        """Keep turns that were not needed for the next batch, if it comes in time."""
        with self._lock:
            self._spare = list(turns)

    def line_up(self, number: int) -> list[float]:
        """Reserve places in the line of messages that found no turn; the seconds until each may ask again.

        The line moves twice as fast as the turns, so however many messages wait, they ask twice at most for each that
        is served. Fewer places than asked for are returned, or none, when the line is full: messages in line are in
        flight, of which a queue allows 120,000.
        """
        now = self._clock()
        interval = self._interval / _LINE_IS_FASTER
        longest = min(_LONGEST_LINE, _MOST_IN_LINE * interval)
        number = min(number, max(int((now + longest - max(self._seen.line_at, now)) / interval), 0))
        if not number:
            return []
        if self._seen.line_at <= now:
            update, value_ = "SET line_at = :line", in_microseconds(now) + in_microseconds(number * interval)
        else:
            update, value_ = "ADD line_at :line", in_microseconds(number * interval)
        try:
            with calling("UpdateItem"):
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=key(PACE),
                    UpdateExpression=update,
                    ExpressionAttributeValues=values(line=value_),
                    ReturnValues="ALL_NEW",
                )
        except (Unavailable, ClientError):
            self._when_unavailable()
            return [random.uniform(30, 300) for _ in range(number)]  # noqa: S311 -- spreads load, guards nothing
        self.see(deserialize(answer["Attributes"]))
        return [self._seen.line_at - now - one * interval for one in reversed(range(number))]

    def wait_until(self, turn: float) -> bool:
        """Wait for a turn; return False at once if it is after the function's deadline."""
        now = self._clock()
        if turn > max(now, self._until):
            return False
        if turn > now:
            self._sleep(turn - now)
        return True

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Give the calls that this thread makes inside a turn that has come."""
        self._mine.used = set()
        try:
            yield
        finally:
            self._mine.used = None

    def wait(self, name: str) -> None:
        """Wait until a call of this name may be made; the first one in a turn need not wait.

        Raises Unavailable at once if that is too late.
        """
        used = getattr(self._mine, "used", None)
        if used is None or name in used:
            if not self._take_turn():
                raise Unavailable(f"{name}: its turn lies too far ahead")
            if used is None:
                self._mine.used = used = set()
            used.clear()
        used.add(name)

    def _take_turn(self) -> bool:
        """Take a turn for one call and wait for it; False when it is too far ahead."""
        turns = self.reserve({Need.NEW: 1})
        return bool(turns) and self.wait_until(turns[0])

    def _grant(self, wanted: Mapping[Need, int], now: float) -> tuple[int, dict[Need, float]]:
        """The number of turns that may be taken; for each class that takes a guaranteed one, the time of its next."""
        begins = self._next_start(now)
        granted, lanes = 0, {}
        for need, terms in TERMS.items():
            number = wanted.get(need, 0)
            # 1e-3: the turn at the very end of the reach counts, whatever rounding does.
            reach = 0.0 if need is Need.HELD and self._seen.line_at > now else terms.reach
            room = max(math.floor((now + reach - begins) / self._interval + 1e-3) + 1 - granted, 0)
            if number > room and terms.share and self._seen.guaranteed_at.get(need, 0) <= now:
                room += 1
                lanes[need] = now + self._interval / terms.share
            granted += min(number, room)
        return granted, lanes

    def _next_start(self, now: float) -> float:
        """The time of the next free turn, by the schedule as it was last read."""
        seen = self._seen.next_at
        return seen if now - BUCKET <= seen <= now + _BROKEN else now - BUCKET

    def _take_spare(self, most: int, now: float) -> list[float]:
        with self._lock:
            spare, self._spare = self._spare, []
        return [turn for turn in spare if turn >= now - BUCKET][:most]

    def _reserve(self, number: int, lanes: Mapping[Need, float], now: float, interval: float) -> float:
        """Store that these turns are taken, and return the time of the first one.

        Raises Unavailable.
        """
        taken = number * interval
        if self._next_start(now) != self._seen.next_at and (first := self._restart(taken, lanes, now)) is not None:
            return first
        first = self._extend(taken, lanes)
        if now - BUCKET <= first <= now + _BROKEN:
            return first
        # The schedule as it was read said otherwise, or was never read: it is older than the bucket, or wrong.
        if (anew := self._restart(taken, lanes, now, over=first + taken)) is not None:
            return anew
        return max(self._extend(taken, lanes), now - BUCKET)

    def _adjust(self, now: float) -> None:
        """Set the rate to what AWS accepts; the first environment in each window does it.

        Raises Unavailable.
        """
        seen = self._seen
        if now - seen.judged_at < WINDOW or seen.calls - seen.judged_calls < FEWEST_CALLS:
            return
        rate = adjust_rate(
            self.rate,
            calls=seen.calls - seen.judged_calls,
            throttles=seen.throttles - seen.judged_throttles,
            seconds=now - seen.judged_at,
            full=self._per_second,
        )
        judged = {
            "judged_at": in_microseconds(now),
            "judged_calls": seen.calls,
            "judged_throttles": seen.throttles,
            "rate": round(rate * THOUSAND),
        }
        update = set_attributes(self._table, PACE, **judged)
        update["ConditionExpression"] = "attribute_not_exists(judged_at) OR judged_at = :seen"
        update["ExpressionAttributeValues"] = {
            **update.get("ExpressionAttributeValues", {}),
            **values(seen=in_microseconds(seen.judged_at)),
        }
        try:
            with calling("UpdateItem"):
                self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # another environment was first
        self._seen = replace(seen, judged_at=now, judged_calls=seen.calls, judged_throttles=seen.throttles, rate=rate)

    def _extend(self, taken: float, lanes: Mapping[Need, float]) -> float:
        """Take so many seconds of the schedule, and return when they begin."""
        sets = "".join(f" SET {lane(need)} = :{need.value}" for need in lanes)
        with self._lock:
            (calls, throttles), self._noted = self._noted, (0, 0)
        with calling("UpdateItem"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=key(PACE),
                UpdateExpression=f"ADD next_at :taken, calls :calls, throttles :throttles{sets}",
                ExpressionAttributeValues=values(
                    taken=in_microseconds(taken), calls=calls, throttles=throttles, **lanes_in_microseconds(lanes)
                ),
                ReturnValues="ALL_NEW",
            )
        self._seen = seen = to_seen(deserialize(answer["Attributes"]))
        return seen.next_at - taken

    def _restart(self, taken: float, lanes: Mapping[Need, float], now: float, *, over: float = -1.0) -> float | None:
        """Let the schedule begin a bucket ago; the time of the first turn, None if another environment did so."""
        sets = "".join(f", {lane(need)} = :{need.value}" for need in lanes)
        start = now - BUCKET
        try:
            with calling("UpdateItem"):
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=key(PACE),
                    UpdateExpression=f"SET next_at = :next_at, #schema = :schema{sets}",
                    ConditionExpression=(
                        "attribute_not_exists(next_at) OR next_at < :start OR next_at > :broken OR next_at = :over"
                    ),
                    ExpressionAttributeNames={"#schema": "schema"},
                    ExpressionAttributeValues=values(
                        next_at=in_microseconds(start) + in_microseconds(taken),
                        start=in_microseconds(start),
                        broken=in_microseconds(now + _BROKEN),
                        over=in_microseconds(over),
                        schema=SCHEMA,
                        **lanes_in_microseconds(lanes),
                    ),
                    ReturnValues="ALL_NEW",
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        self.see(deserialize(answer["Attributes"]))
        return start

    def _take_share(self, number: int, now: float, *, owed: int) -> list[float]:
        """Take turns of this environment's share of the rate; they add to those it owes the schedule (`owed`)."""
        interval = self._environments * self._interval
        earliest = now + random.random() * interval  # noqa: S311 -- so that environments do not stay in step
        with self._lock:
            start = max(earliest, self._share_at)
            turns = [start + one * interval for one in range(number)]
            turns = [turn for turn in turns if turn <= now + _SHARE_REACH]
            self._share_at = start + len(turns) * interval
            self._owed += owed + len(turns)
        return turns
