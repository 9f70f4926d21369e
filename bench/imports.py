"""Measures an import of certificates without a CA, in virtual time, against what AWS's quotas allow.

    python -m bench.imports --devices 1000
    python -m bench.imports --devices 1000 --new 5

The real import of jitrctl and the real `register`, on the simulated AWS with default quotas, 100 ms for each call of
AWS IoT and the usual times of others. `--new` devices of a CA connect for the first time in each second beside it. The
bound is one RegisterCertificateWithoutCA, and one DescribeCertificate, for each certificate at ten a second.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.conditions import SECONDS_OF_OTHERS
from bench.table import markdown
from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend, send_events
from jitr.aws.rate_limit import Unpaced
from jitr.import_order import ImportOrder
from jitr.record import Record
from jitr.store.registry import Registry
from jitrctl.device.certificate_import import CertificateImport
from jitrctl.device.imports import AHEAD
from simulation import Authority, Aws, Deployment, Leaf, SimulatedAccount
from simulation.deployment import ca_rules, rules, source_rules

_IOT_SECONDS = 0.1
_AT_ONCE = 10
_ENVIRONMENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One import."""

    devices: int
    new: int  # devices of a CA that connected beside it, each second
    seconds: float  # virtual, until the last certificate was ACTIVE
    calls: Counter[str]  # of AWS IoT, by operation
    throttled: int


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--new", type=int, default=0, help="devices of a CA that connect in each second")
    options = parser.parse_args()
    one = measure(options.devices, options.new)
    per_device = sum(one.calls.values()) / (one.devices + one.new * one.seconds)
    heading = (
        "certificates",
        "new devices a second",
        "bound, s",
        "all ACTIVE, s",
        "a second",
        "IoT calls per device",
        "throttled",
    )
    row: list[Any] = [f"{one.devices:,}", one.new, one.devices // 10, round(one.seconds)]
    row += [round(one.devices / one.seconds, 1), round(per_device, 2), one.throttled]
    sys.stdout.write(markdown(heading, [row]) + "\n")
    return 0


def measure(devices: int, new: int) -> Measured:
    """Import so many certificates while so many new devices connect in each second."""
    aws = Aws(keep_calls=False)
    account, maker, factory = aws.account("111111111111"), Authority.new("Maker"), Authority.new("Factory")
    source = source_rules()
    deployment = Deployment(account, rules(ca_rules(factory), sources=(source,)))
    account.client("iot").register_ca_certificate(
        caCertificate=factory.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    leaves = list(_issue(aws, maker, devices, first=0))
    joining = _issue(aws, factory, new * devices, first=devices)
    account.limit()
    rng = random.Random(1)  # noqa: S311 -- the same latencies every time
    aws.latency = lambda call: rng.lognormvariate(0, 0.4) * SECONDS_OF_OTHERS.get(call.service, _IOT_SECONDS)
    account.counts.clear()
    certificates = account.iot.certificates.by_id
    is_over = False

    def work() -> None:
        mapping = deployment.mapping()
        while not is_over:
            if mapping.poll() is None:
                aws.clock.sleep(0.2)

    def connect() -> None:
        while not is_over:
            for leaf, _ in zip(joining, range(new), strict=False):
                account.connect(leaf, client_id=leaf.certificate_id[:8])
            aws.clock.sleep(1.0)

    for _ in range(_ENVIRONMENTS):
        aws.clock.spawn(work)
    if new:
        aws.clock.spawn(connect)
    began = aws.clock.monotonic()
    aws.clock.spawn(lambda: _import(aws, account, deployment, leaves, source.certificate_id))
    while not all(
        one.certificate_id in certificates and certificates[one.certificate_id].status == "ACTIVE" for one in leaves
    ):
        aws.clock.advance(1.0)
    seconds = aws.clock.monotonic() - began
    is_over = True
    aws.clock.advance(60)
    calls = Counter({name.removeprefix("iot:"): n for name, n in account.counts.items() if name.startswith("iot:")})
    return Measured(devices=devices, new=new, seconds=seconds, calls=calls, throttled=sum(account.throttled.values()))


def _issue(aws: Aws, authority: Authority, count: int, *, first: int) -> Iterator[Leaf]:
    now = aws.clock.now()
    for number in range(first, first + count):
        yield authority.issue(
            f"sensor-{number:06}", not_before=now - timedelta(days=1), not_after=now + timedelta(days=365)
        )


def _import(aws: Aws, account: SimulatedAccount, deployment: Deployment, leaves: list[Leaf], source: str) -> None:
    """As jitrctl.device.imports.StageImport, whose threads are tasks here: ten at once, ten a second, AHEAD at most."""
    settings, client = deployment.settings, account.client("iot", caller="jitrctl")
    registry = Registry(account.client("dynamodb", caller="jitrctl"), settings.registry_table)
    iot = AwsIot(client, Unpaced(), clock=aws.clock.now, rules=deployment.rules)
    one = CertificateImport(client, iot, registry)
    certificates = account.iot.certificates.by_id
    began = aws.clock.monotonic()
    for start in range(0, len(leaves), _AT_ONCE):
        some = leaves[start : start + _AT_ONCE]
        while (
            sum(
                leaf.certificate_id in certificates and certificates[leaf.certificate_id].status != "ACTIVE"
                for leaf in leaves[max(0, start - 2 * AHEAD) : start]
            )
            >= AHEAD
        ):
            aws.clock.sleep(1.0)
        order = ImportOrder(source=source, by="bench", at=aws.clock.now())
        left = [len(some)]

        def register(leaf: Leaf, order: ImportOrder = order, left: list[int] = left) -> None:
            one.register(leaf.certificate_id, leaf.pem, order, Record())
            left[0] -= 1

        for leaf in some:
            aws.clock.spawn(lambda leaf=leaf: register(leaf))  # type: ignore[misc]
        while left[0]:
            aws.clock.sleep(0.05)
        events = [
            EventToSend(certificate_id=leaf.certificate_id, ca_certificate_id=None, registered_at=None) for leaf in some
        ]
        sqs = account.client("sqs", caller="jitrctl")
        send_events(sqs, settings.registrations_queue_url, events, account_id=settings.account_id, now=aws.clock.now())
        pause = began + (start + len(some)) / 10 - aws.clock.monotonic()
        if pause > 0:
            aws.clock.sleep(pause)


if __name__ == "__main__":
    sys.exit(main())
