"""Computes dollars for a million activations and a million duplicates, from the calls made and the time they take.

    python -m bench.cost

Calls, the items that they read, and Lambda's seconds are counted on the simulated AWS, with 100 ms for each IoT call:
fifty devices one after the other, and a storm, whose invocations also wait for turns and process duplicates. Prices are
those of us-east-1, first tier, at the date below; check them before relying on the sum.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bench.conditions import SECONDS_OF_OTHERS, Conditions
from bench.ours import Jitr
from bench.table import markdown
from bench.world import Storm, simulate
from jitr.aws.rate_limit import BATCH_SIZE

PRICES_OF = "2026-09-20"
_MILLION = 1e6
_GB = 0.5  # the function's memory
# Dollars. AWS IoT: registry operations, rule and action of an event. DynamoDB: on demand, transactions count twice.
_IOT_REGISTRY, _IOT_RULE, _IOT_ACTION = 1.25 / _MILLION, 0.15 / _MILLION, 0.15 / _MILLION
_LAMBDA_SECOND, _LAMBDA_REQUEST = 0.0000133334 * _GB, 0.20 / _MILLION  # arm64
_SQS_REQUEST = 0.40 / _MILLION
_DYNAMODB_WRITE, _DYNAMODB_READ = 0.625 / _MILLION, 0.125 / _MILLION
_EVENT = 1.00 / _MILLION
_LOG_GB = 0.50
# Units of each call: items of under 1 KB written. One for each item read, of under 4 KB, consistently.
_WRITES = {"UpdateItem": 1, "DeleteItem": 1}
# A transaction writes each of its items twice, also one that it only checks (DynamoDB guide, "Transactions"; measured:
# https://martinhicks.dev/articles/what-a-conditional-dynamodb-transaction-costs).
_WRITES_OF_AN_ITEM_IN_A_TRANSACTION = 2
# A decision is written into the index of outcomes as well, and the claim into that of serial numbers (jitr/store).
_INDEXED = 2
_LOG_BYTES = 1500  # one line for each outcome, and its share of the metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one device, or one duplicate, uses."""

    calls: Mapping[str, float]
    items_read: float
    items_in_transactions: float
    seconds: float  # of Lambda
    messages_of_a_batch: float

    def made_of(self, service: str) -> float:
        """The number of calls of one service."""
        return sum(count for name, count in self.calls.items() if name.startswith(f"{service}:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars for a million, by service."""

    of: str
    use: Use
    dollars: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.dollars.values())


def main() -> int:
    """Count, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    costs = measure()
    rows = [{"of": cost.of, "total": cost.total, **cost.dollars} for cost in costs]
    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if options.json else table(costs))
    return 0


def measure() -> list[Cost]:
    """Count for a device by itself, for a device of a storm, and for a duplicate."""
    # So far apart that none waits for another, each in a batch of its own. Lambda starts another environment only when
    # all are busy (guide, "Understanding Lambda function scaling"), so there is one, which caches the CA for a minute.
    apart = Conditions(devices=50, within=500.0, registrations_bound=False, environments=1)
    alone = simulate(Jitr(max_concurrency=1), apart, patience=200)
    storm = simulate(Jitr(), Conditions(devices=500), patience=20)
    return [
        _cost("activations, each alone", _use(alone, messages_of_a_batch=1)),
        _cost("activations, in a storm", _use(storm, messages_of_a_batch=BATCH_SIZE)),
        _cost("duplicates", measure_duplicate()),
    ]


def table(costs: list[Cost]) -> str:
    """Dollars by service, and calls."""
    services = list(costs[0].dollars)
    return markdown(
        ("dollars for a million", *services, "all", "IoT calls", "DynamoDB calls", "Lambda seconds"),
        [
            [
                cost.of,
                *cost.dollars.values(),
                cost.total,
                cost.use.made_of("iot"),
                cost.use.made_of("dynamodb"),
                cost.use.seconds,
            ]
            for cost in costs
        ],
    )


def _use(storm: Storm, *, messages_of_a_batch: float) -> Use:
    """What each device uses, its repeated events included."""
    devices = storm.conditions.devices
    return Use(
        calls={name: count / devices for name, count in storm.calls.items() if "cloudwatch" not in name},
        items_read=storm.items_read / devices,
        items_in_transactions=storm.items_in_transactions / devices,
        seconds=storm.lambda_seconds / devices,
        messages_of_a_batch=messages_of_a_batch,
    )


def measure_duplicate() -> Use:
    """Measure a duplicate's share of a batch of duplicates: one call reads all their records, and the schedule."""
    return Use(
        calls={"dynamodb:BatchGetItem": 1 / BATCH_SIZE},
        items_read=1 + 1 / BATCH_SIZE,
        items_in_transactions=0,
        seconds=SECONDS_OF_OTHERS["dynamodb"] / BATCH_SIZE,
        messages_of_a_batch=BATCH_SIZE,
    )


def _cost(of: str, use: Use) -> Cost:
    named = {name.partition(":")[2]: count for name, count in use.calls.items() if name.startswith("dynamodb:")}
    writes = sum(named.get(call, 0) * units for call, units in _WRITES.items())
    writes += use.items_in_transactions * _WRITES_OF_AN_ITEM_IN_A_TRANSACTION
    writes += _INDEXED if named.get("UpdateItem") else 0
    batch = use.messages_of_a_batch
    dollars = {
        "AWS IoT": use.made_of("iot") * _IOT_REGISTRY + _IOT_RULE + _IOT_ACTION,
        "Lambda": use.seconds * _LAMBDA_SECOND + _LAMBDA_REQUEST / batch,
        # SQS requests: one to send each event; one to receive and one to delete each batch.
        "SQS": _SQS_REQUEST * (1 + 2 / batch),
        "DynamoDB": writes * _DYNAMODB_WRITE + use.items_read * _DYNAMODB_READ,
        "EventBridge": use.made_of("events") * _EVENT,
        "CloudWatch Logs": _LOG_BYTES / 1e9 * _LOG_GB,
    }
    return Cost(of=of, use=use, dollars={service: price * _MILLION for service, price in dollars.items()})


if __name__ == "__main__":
    sys.exit(main())
