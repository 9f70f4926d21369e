"""Turns: the one schedule by which all of an account's calls to AWS IoT's scarce APIs are spaced in a Region.

The quotas belong to the account, so the schedule does too. It is an item of the registry's table (schedule.py).

One turn is one call of each scarce API: one DescribeCertificate and the UpdateCertificate after it, and what rides
along (AttachPolicy). What calls one of them a second time takes another turn.

A batch reads the item along with its records, and reserves what it needs with one write: a plain ADD, which no
condition can fail. Only when the next free turn lies further back than the bucket (nobody wanted one for a while), the
schedule begins anew, conditionally. What an execution environment reserved and does not use is lost, and nothing else.

When DynamoDB does not answer, an environment takes its share of the rate for that batch, as if all others were there.
It reserves these turns later, so that the rate holds on average.
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

# One retry with a second's patience: whoever waits for a reservation keeps a whole batch waiting.
TURNS_CONFIG = CLIENT_CONFIG.merge(
    Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
)
# How long unused turns are saved up, in seconds. AWS's buckets hold about a second; 0.9 s was throttled in the
# simulation, since calls take unequally long on their way.
BUCKET = 0.5
# A schedule that lies further ahead was written by a broken clock, in seconds.
_BROKEN = 60.0
# How long the line of those that found no turn may be: a quarter of an hour, as what one sweep sends may need at a low
# rate, and of 120,000 messages that a queue may have in flight so many that other work does not feel it.
_LONGEST_LINE = 890.0  # seconds
_MOST_IN_LINE = 15_000
# With a longer line, a held device takes a turn that has come, and waits for none: while an environment waits for it,
# others of the queue's messages wait for the environment, new devices' among them.
_LONG_LINE = 60.0  # seconds
# Messages come up to five seconds later than they are due (batch.py): at exactly the rate of the turns, some of these
# would find nobody.
_LINE_IS_FASTER = 1.25
# Turns of a share are further apart than those of the schedule: what waits for long is left to who can reserve.
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
        """`environments` is how many there are at most; `when_unavailable` tells that a share was taken instead."""
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
        self._noted = (0, 0)  # calls of the scarce APIs, and throttles, that were not told yet
        self._lock = threading.Lock()  # of the four above; never held during a call
        self._mine = threading.local()  # .used: names of the calls that were made in this thread's turn

    @property
    def rate(self) -> float:
        """Turns a second."""
        # An item of before the configured rate was raised, or a wrong one, must not stop everything.
        least = LEAST_PART * self._per_second
        return max(min(self._seen.rate or self._per_second, self._per_second), least)

    @property
    def _interval(self) -> float:
        return 1 / self.rate

    def note(self, attempts: int, throttles: int) -> None:
        """A call of a scarce API took so many attempts, and so many of them were throttled."""
        with self._lock:
            calls, throttled = self._noted
            self._noted = calls + attempts, throttled + throttles

    def expire_in(self, seconds: float) -> None:
        """From now on let nothing wait for longer than that: what calls would be cut off by its deadline."""
        self._until = self._clock() + seconds

    def see(self, item: Mapping[str, Any]) -> None:
        """Take note of the schedule, which was read along with something else."""
        self._seen = to_seen(item)

    def reserve(self, wanted: Mapping[Need, int]) -> list[float]:
        """Take turns for a batch; when each is, at most as many as are wanted. Those that lie too far ahead are left.

        Raises Unavailable never: without DynamoDB these are turns of this environment's own share.
        """
        now = self._clock()
        granted, lanes = self._granted(wanted, now)
        spare = self._take_spare(granted, now)
        missing = granted - len(spare)
        if not missing:
            return spare
        with self._lock:
            owed, self._owed = self._owed, 0
        try:
            self._judge(now)
            interval = self._interval  # what this reads may change the rate
            first = self._reserved(missing + owed, lanes, now, interval)
        except (Unavailable, ClientError):
            self._when_unavailable()
            return spare + self._share_of(missing, now, owed=owed)
        return spare + [first + number * interval for number in range(missing)]

    def give_back(self, turns: Sequence[float]) -> None:
        """Turns that nobody needs: the next batch has them, if it comes in time."""
        with self._lock:
            self._spare = list(turns)

    def line_up(self, number: int) -> list[float]:
        """Seconds after which those that found no turn may ask again: in line, a little faster than the turns.

        So what waits is asked for hardly faster than it can be served, however much of it there is. For fewer than
        asked for, or none, once the line is as long as it may be: who waits in line is in flight, of which a queue
        allows 120,000.
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
        """Wait for a turn; False, at once, when it comes after the function's deadline."""
        now = self._clock()
        if turn > max(now, self._until):
            return False
        if turn > now:
            self._sleep(turn - now)
        return True

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What this thread does inside has a turn that has come."""
        self._mine.used = set()
        try:
            yield
        finally:
            self._mine.used = None

    def wait(self, name: str) -> None:
        """Return when the next call of this name may be made: at once, the first time in a turn.

        Raises Unavailable, at once, when that is too late.
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
        """Take a turn for one call, and wait for it; False when it lies too far ahead."""
        turns = self.reserve({Need.NEW: 1})
        return bool(turns) and self.wait_until(turns[0])

    def _granted(self, wanted: Mapping[Need, int], now: float) -> tuple[int, dict[Need, float]]:
        """How many turns may be taken, and when each class that was guaranteed one has its next one."""
        begins = self._begins(now)
        granted, lanes = 0, {}
        for need, terms in TERMS.items():
            number = wanted.get(need, 0)
            # The one at the reach's very end too, whatever the last digit says.
            reach = 0.0 if need is Need.HELD and self._line_is_long(now) else terms.reach
            room = max(math.floor((now + reach - begins) / self._interval + 1e-3) + 1 - granted, 0)
            if number > room and terms.share and self._seen.guaranteed_at.get(need, 0) <= now:
                room += 1
                lanes[need] = now + self._interval / terms.share
            granted += min(number, room)
        return granted, lanes

    def _line_is_long(self, now: float) -> bool:
        """Whether so many held devices stand in line that none should keep an environment waiting for its turn."""
        return self._seen.line_at - now > _LONG_LINE

    def _begins(self, now: float) -> float:
        """Where the schedule goes on, as far as it is known."""
        seen = self._seen.next_at
        return seen if now - BUCKET <= seen <= now + _BROKEN else now - BUCKET

    def _take_spare(self, most: int, now: float) -> list[float]:
        with self._lock:
            spare, self._spare = self._spare, []
        return [turn for turn in spare if turn >= now - BUCKET][:most]

    def _reserved(self, number: int, lanes: Mapping[Need, float], now: float, interval: float) -> float:
        """Write down that these turns are taken; when the first of them is.

        Raises Unavailable.
        """
        taken = number * interval
        if self._begins(now) != self._seen.next_at and (first := self._begun_anew(taken, lanes, now)) is not None:
            return first
        first = self._added(taken, lanes)
        if now - BUCKET <= first <= now + _BROKEN:
            return first
        # Nobody used it since it was read, or nobody had read it.
        if (anew := self._begun_anew(taken, lanes, now, over=first + taken)) is not None:
            return anew
        return max(self._added(taken, lanes), now - BUCKET)

    def _judge(self, now: float) -> None:
        """Once in a window, whoever comes first sets the rate to what AWS accepts.

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
            return  # another environment did
        self._seen = replace(seen, judged_at=now, judged_calls=seen.calls, judged_throttles=seen.throttles, rate=rate)

    def _added(self, taken: float, lanes: Mapping[Need, float]) -> float:
        """Take so many seconds of the schedule; when they begin."""
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

    def _begun_anew(self, taken: float, lanes: Mapping[Need, float], now: float, *, over: float = -1.0) -> float | None:
        """Let the schedule begin a bucket ago, unless somebody else did; when the first of these turns is."""
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

    def _share_of(self, number: int, now: float, *, owed: int) -> list[float]:
        """Turns of this environment's share of the rate, with all others there; owed beside those that were."""
        interval = self._environments * self._interval
        earliest = now + random.random() * interval  # noqa: S311 -- so that no two environments keep step
        with self._lock:
            start = max(earliest, self._share_at)
            turns = [start + one * interval for one in range(number)]
            turns = [turn for turn in turns if turn <= now + _SHARE_REACH]
            self._share_at = start + len(turns) * interval
            self._owed += owed + len(turns)
        return turns
