"""Measures the sweep by the fleet's size: list calls, time, and what it sends, with a hundred devices pending.

    python -m bench.sweep --fleet 1000 10000 100000 1000000 --storm 1000

The real sweep on the simulated AWS. It lists back to its horizon only, so it does not grow with the fleet; the daily
count reads every certificate, and does. In a storm many devices are pending for long, but their messages are in the
queue, and the sweep must not send them again.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from bench.conditions import Conditions
from bench.ours import Jitr
from bench.table import markdown
from bench.world import Storm, simulate
from jitr.pacing.schedule import TERMS, Need
from jitr.store.sweep_state import ACCOUNT, Pass, SweepState
from simulation import Authority, Aws, Deployment, SimulatedAccount
from simulation.deployment import ca_rules, rules
from simulation.leaf import Leaf

_PENDING = 100
_OLDER_THAN_THE_HORIZON = 8 * 86_400.0
_LONGER_THAN_PENDING_AFTER = 700.0
_LISTS = ("iot:ListCertificates", "iot:ListCertificatesByCA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeps:
    """One fleet size: what a sweep did, and what the daily count did."""

    fleet: int
    sent: int
    list_calls: int
    seconds: float  # virtual, with 50 ms for each call
    count_list_calls: int
    count_seconds: float
    processor_seconds: float


def main() -> int:
    """Measure each size, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fleet", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--storm", type=int, default=1000, help="devices of the storm to sweep in")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = [measure(size) for size in options.fleet]
    storm = in_storm(options.storm)
    if options.json:
        found = {"sweeps": [asdict(size) for size in sizes], "sent_in_storm": storm.swept}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        sys.stdout.write(table(sizes) + "\n" + summarize(storm) + "\n")
    return 0


def in_storm(devices: int) -> Storm:
    """A storm at AWS's default quotas with a sweep in every tenth of it, when most devices are pending for long."""
    conditions = Conditions(devices=devices, within=1.0, registrations_bound=False)
    tenth = max(conditions.bound // 10, 1)
    # A message that waits in an environment for its turn is not in the queue: `pending_after` must be longer than that.
    return simulate(Jitr(sweep_every=tenth, pending_after=max(tenth, TERMS[Need.NEW].reach)), conditions)


def summarize(storm: Storm) -> str:
    """What the sweeps of a storm sent, in words."""
    return (
        f"In a storm of {storm.conditions.devices:,}, most of which wait for longer than `pending_after`, ten sweeps "
        f"sent {storm.swept:,} messages beside {storm.events:,} events, and {storm.lost:,} devices were lost."
    )


def measure(fleet: int) -> Sweeps:
    """Sweep a fleet of that size once, and then count it."""
    aws = Aws(keep_calls=False)
    account = aws.account("111111111111")
    authority = Authority.new("factory")
    deployment = Deployment(account, rules(ca_rules(authority)))
    account.client("iot").register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    _register(account, authority, 0, fleet - _PENDING, "ACTIVE")
    aws.clock.advance(_OLDER_THAN_THE_HORIZON)
    journal = SweepState(account.client("dynamodb"), deployment.settings.registry_table)
    counted = Pass(began_at=aws.clock.now(), finished_at=aws.clock.now(), lists=True, has_serials=True)
    for listed in (authority.certificate_id, ACCOUNT):
        journal.keep_pass(listed, counted)
    deployment.sweep()  # the first one of a stack also notes the rules
    _register(account, authority, fleet, _PENDING, "PENDING_ACTIVATION")
    aws.clock.advance(_LONGER_THAN_PENDING_AFTER)
    aws.latency = lambda _call: 0.05
    account.counts.clear()
    began, virtually = time.process_time(), aws.clock.monotonic()
    swept = deployment.sweep()
    processor_seconds, seconds = time.process_time() - began, aws.clock.monotonic() - virtually
    list_calls = _list_calls(account)
    yesterday = aws.clock.now() - timedelta(days=2)
    for listed in (authority.certificate_id, ACCOUNT):
        journal.keep_pass(listed, Pass(began_at=yesterday, finished_at=yesterday, lists=True, has_serials=True))
    account.counts.clear()
    virtually = aws.clock.monotonic()
    deployment.sweep()
    return Sweeps(
        fleet=fleet,
        sent=swept.sent,
        list_calls=list_calls,
        seconds=seconds,
        count_list_calls=_list_calls(account) - list_calls,
        count_seconds=aws.clock.monotonic() - virtually,
        processor_seconds=processor_seconds,
    )


def table(sizes: Sequence[Sweeps]) -> str:
    return markdown(
        (
            "certificates",
            "pending, sent",
            "list calls",
            "seconds",
            "list calls of the daily count and pass",
            "their seconds",
        ),
        [
            [
                size.fleet,
                size.sent,
                size.list_calls,
                round(size.seconds, 1),
                size.count_list_calls,
                round(size.count_seconds),
            ]
            for size in sizes
        ],
    )


def _list_calls(account: SimulatedAccount) -> int:
    return sum(account.counts[name] for name in _LISTS)


def _register(account: SimulatedAccount, authority: Authority, first: int, number: int, status: str) -> None:
    """Register certificates whose contents are never read: any id and PEM will do."""
    now = account.aws.clock.now()
    for at in range(first, first + number):
        leaf = Leaf(
            certificate_id=f"{at:064x}",
            pem="",
            ca_certificate_id=authority.certificate_id,
            not_before=now,
            not_after=now + timedelta(days=3650),
        )
        account.iot.certificates.register(
            leaf, status=status, mode="SNI_ONLY", ca_certificate_id=authority.certificate_id
        )


if __name__ == "__main__":
    sys.exit(main())
