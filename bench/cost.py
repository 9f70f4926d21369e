"""Dollars for a million activations and for a million duplicates, from the calls that are made and the time they take.

    python -m bench.cost

Calls are counted on the simulated AWS; durations are its virtual ones, 100 ms for each IoT call, with the waiting for
turns in a storm as the dearer case. Prices are those of us-east-1, first tier, of the date below; check them before
relying on the sum.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from bench.conditions import SECONDS_OF_OTHERS, Conditions
from bench.ours import Jitr
from bench.table import Row, markdown
from bench.world import weather
from jitr.aws.rate_limit import BATCH_SIZE, max_concurrency_for
from simulation import Authority, Aws, Deployment
from simulation.deployment import ca_rules, rules

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
# Units of each item: under 1 KB written, under 4 KB read, consistently. A transaction writes each of its items twice,
# also one that it only checks (DynamoDB guide, "Transactions"; measured: https://martinhicks.dev/articles/
# what-a-conditional-dynamodb-transaction-costs).
_WRITES = {"UpdateItem": 1, "TransactWriteItems": 2, "DeleteItem": 1}
_INDEXED = 1  # a device's decision is written into the index of outcomes as well (jitr/outcome_index.py)
_READS = {"GetItem": 1, "BatchGetItem": 1}
_LOG_BYTES = 1500  # one line for each outcome, and its share of the metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars for a million, by service."""

    of: str
    dollars: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.dollars.values())


def main() -> int:
    """Count, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    costs = measured()
    rows = [{"of": cost.of, "total": cost.total, **cost.dollars} for cost in costs]
    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if options.json else table(costs))
    return 0


def measured() -> list[Cost]:
    """A device by itself, a device of a storm, and a duplicate."""
    latency = Conditions().latency
    # So far apart that none waits for another; each in a batch of its own. Lambda starts another environment only when
    # all are busy (guide, "Understanding Lambda function scaling"), so there is one, which knows the CA for a minute.
    calls = _calls(Conditions(devices=50, within=500.0, registrations_bound=False, environments=1))
    iot = sum(count for name, count in calls.items() if name.startswith("iot:"))
    others = sum(
        count * SECONDS_OF_OTHERS[name.partition(":")[0]] for name, count in calls.items() if "iot:" not in name
    )
    alone = iot * latency + others
    in_storm = max_concurrency_for(10) / 10  # all environments are busy, and ten devices a second come up
    skimmed = Counter({"dynamodb:BatchGetItem": 1.0 / BATCH_SIZE})
    skim, items = SECONDS_OF_OTHERS["dynamodb"] / BATCH_SIZE, _items_of_an_activation()
    return [
        _cost("activations, each alone", calls, alone, items, batch=1),
        _cost("activations, in a storm", calls, in_storm, items, batch=BATCH_SIZE),
        # The records of its batch, and the schedule.
        _cost("duplicates", skimmed, skim, {"BatchGetItem": BATCH_SIZE + 1}, batch=BATCH_SIZE),
    ]


def table(costs: list[Cost]) -> str:
    services = list(costs[0].dollars)
    rows: list[Row] = [[cost.of, *(cost.dollars[service] for service in services), cost.total] for cost in costs]
    return markdown(("dollars for a million", *services, "all"), rows)


def _calls(conditions: Conditions) -> Counter[str]:
    """Calls for each device."""
    storm = weather(Jitr(max_concurrency=conditions.environments), conditions, patience=200)
    return Counter(
        {name: count / conditions.devices for name, count in storm.calls.items() if "cloudwatch" not in name}
    )


def _items_of_an_activation() -> dict[str, float]:
    """How many items the calls of DynamoDB with several have, on average, where one device is activated."""
    aws = Aws()
    account, authority = aws.account("111111111111"), Authority.new("factory")
    deployment = Deployment(account, rules(ca_rules(authority)))
    account.client("iot").register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    now = aws.clock.now()
    leaf = authority.issue("sensor-0001", not_before=now - timedelta(days=1), not_after=now + timedelta(days=365))
    account.connect(leaf, client_id="sensor-0001")
    deployment.mapping().drain()
    items: dict[str, list[int]] = {"BatchGetItem": [], "TransactWriteItems": []}
    for call in aws.calls:
        if call.operation == "BatchGetItem":
            items[call.operation].append(sum(len(one["Keys"]) for one in call.parameters["RequestItems"].values()))
        elif call.operation == "TransactWriteItems":
            items[call.operation].append(len(call.parameters["TransactItems"]))
    return {operation: sum(numbers) / len(numbers) for operation, numbers in items.items()}


def _cost(of: str, calls: Counter[str], seconds: float, items: Mapping[str, float], *, batch: int) -> Cost:
    named = {name.partition(":")[2]: count for name, count in calls.items() if name.startswith("dynamodb:")}
    iot = sum(count for name, count in calls.items() if name.startswith("iot:"))
    events = calls["events:PutEvents"]
    dynamodb = sum(named.get(call, 0) * units * items.get(call, 1) * _DYNAMODB_WRITE for call, units in _WRITES.items())
    dynamodb += _INDEXED * _DYNAMODB_WRITE if named.get("UpdateItem") else 0
    dynamodb += sum(named.get(call, 0) * units * items.get(call, 1) * _DYNAMODB_READ for call, units in _READS.items())
    dollars = {
        "AWS IoT": iot * _IOT_REGISTRY + _IOT_RULE + _IOT_ACTION,
        "Lambda": seconds * _LAMBDA_SECOND + _LAMBDA_REQUEST / batch,
        # One request to send each event; one to receive and one to delete each batch.
        "SQS": _SQS_REQUEST * (1 + 2 / batch),
        "DynamoDB": dynamodb,
        "EventBridge": events * _EVENT,
        "CloudWatch Logs": _LOG_BYTES / 1e9 * _LOG_GB,
    }
    return Cost(of=of, dollars={service: price * _MILLION for service, price in dollars.items()})


if __name__ == "__main__":
    sys.exit(main())
