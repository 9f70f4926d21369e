"""Measures the recovery after a wrong rule is corrected: held, released and new devices, in virtual time.

    python -m bench.mend --held 36000 --released 10000 --new 60
    python -m bench.mend --held 10000 --released 0 --new 60 --knock-every 300

At the start the rules are corrected, and the release orders are written; the first sweep comes 15 minutes later. New
devices connect every now and then; there is no other load. Held devices connect too, or only the sweep finds them.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from random import Random

from bench.conditions import SECONDS_OF_OTHERS, SPREAD, Conditions
from bench.devices import BackOff, BenchDevice, ConnectingDevices
from bench.ours import Jitr
from bench.table import markdown
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.record import Record
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction, OperatorVerdict
from simulation import Authority, Aws, Call, Leaf, SimulatedAccount
from simulation.iot.certificates import DeviceCertificate

_ACCOUNT = "111111111111"
_PATIENCE = 72 * 3600.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What became of the devices; virtual seconds after the correction, None if some were not ACTIVE by the end."""

    held: int
    released: int
    new: int
    rate: float
    held_after: float | None
    share: float | None  # held devices activated a second, of the rate; without the first and last hundredth
    released_after: float | None
    longest_wait: float | None  # of a new device, from its first CONNECT until it was accepted
    not_active: int
    throttled: int
    calls: int  # of AWS IoT's control plane
    processor_seconds: float


def main() -> int:
    """Measure, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.mend", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--held", type=int, default=36_000)
    parser.add_argument("--released", type=int, default=10_000)
    parser.add_argument("--new", type=int, default=60, help="devices that connect for the first time meanwhile")
    parser.add_argument(
        "--knock-every", type=float, help="seconds between two attempts of a held device; never, if not given"
    )
    parser.add_argument("--rate", type=float, default=10, help="activations a second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    mended = measure(
        held=options.held,
        released=options.released,
        new=options.new,
        rate=options.rate,
        knock_every=options.knock_every,
    )
    sys.stdout.write(json.dumps(asdict(mended), indent=2) + "\n" if options.json else table([mended]) + "\n")
    return 0


def measure(*, held: int, released: int, new: int, rate: float = 10, knock_every: float | None = None) -> Mended:
    """Correct the rules, and let time pass until every device is ACTIVE, or three days are over."""
    random.seed(1)
    rng = Random(1)  # noqa: S311 -- a simulation
    began = time.process_time()
    aws = Aws(keep_calls=False)
    account, clock, authority = aws.account(_ACCOUNT), aws.clock, Authority.new("factory")
    account.client("iot").register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    conditions = Conditions(registrations_bound=False)
    jitr = Jitr(activations_per_second=rate, rules_changed=True)
    jitr.deploy(account, authority, conditions)

    def registered(leaf: Leaf, status: str) -> DeviceCertificate:
        ca_id = authority.certificate_id
        return account.iot.certificates.register(leaf, status=status, mode="SNI_ONLY", ca_certificate_id=ca_id)

    leaves = [authority.issue(f"sensor-{number:06}") for number in range(held + released)]
    waiting = [registered(leaf, "PENDING_ACTIVATION") for leaf in leaves[:held]]
    rejected = [registered(leaf, "INACTIVE") for leaf in leaves[held:]]
    _refuse(waiting, rejected, authority, account, jitr.deployment.settings.registry_table)
    knocking = ConnectingDevices(account, clock, BackOff.FULL_JITTER, rng)
    devices = [BenchDevice(f"sensor-9{number:06}", authority.issue) for number in range(new)]
    began_at = {device.name: 60.0 * number for number, device in enumerate(devices)}
    for device in devices:
        knocking.begin(device, after=began_at[device.name])
    back = ConnectingDevices(account, clock, BackOff.FULL_JITTER, rng)
    for number, leaf in enumerate(leaves[:held] if knock_every else ()):
        device = BenchDevice(f"sensor-{number:06}", authority.issue, leaf, every=knock_every)
        back.begin(device, after=rng.uniform(0, knock_every or 0))
    account.limit(burst=conditions.burst, factor=rate / 10)
    account.counts.clear()
    account.throttled.clear()

    def latency(call: Call) -> float:
        median = conditions.latency if call.service == "iot" else SECONDS_OF_OTHERS[call.service]
        return median * rng.lognormvariate(0, SPREAD)

    aws.latency = latency
    jitr.start()
    after: dict[str, float | None] = {"held": None, "released": None}
    groups = {"held": waiting, "released": rejected}
    came_up: list[tuple[float, int]] = []  # when, and how many of the held devices were ACTIVE
    while clock.monotonic() < _PATIENCE:
        clock.advance(10)
        came_up.append((clock.monotonic(), sum(one.status == "ACTIVE" for one in waiting)))
        for name, group in groups.items():
            if after[name] is None and all(one.status == "ACTIVE" for one in group):
                after[name] = clock.monotonic()
        if None not in after.values() and knocking.accepted == new:
            break
    clock.close()
    waits = [device.accepted_at - began_at[device.name] for device in devices if device.accepted_at is not None]
    return Mended(
        held=held,
        released=released,
        new=new,
        rate=rate,
        held_after=after["held"],
        share=_share(came_up, held=held, rate=rate),
        released_after=after["released"],
        longest_wait=max(waits, default=None),
        not_active=sum(one.status != "ACTIVE" for one in (*waiting, *rejected)) + new - knocking.accepted,
        throttled=sum(number for name, number in account.throttled.items() if name.startswith("iot:")),
        calls=sum(number for name, number in account.counts.items() if name.startswith("iot:")),
        processor_seconds=time.process_time() - began,
    )


def _share(came_up: Sequence[tuple[float, int]], *, held: int, rate: float) -> float | None:
    """Devices activated a second between the first and the last hundredth, divided by the rate."""
    most = [one for one in came_up if 0.01 * held <= one[1] <= 0.99 * held]
    if len(most) < 2:  # noqa: PLR2004 -- a beginning and an end
        return None
    (began, first), (ended, last) = most[0], most[-1]
    return (last - first) / (ended - began) / rate


def table(found: Sequence[Mended]) -> str:
    return markdown(
        (
            "held",
            "released",
            "rate",
            "held ones ACTIVE after",
            "at what share of the rate",
            "released ones",
            "longest wait of a new one",
            "throttled",
        ),
        [
            [
                one.held,
                one.released,
                one.rate,
                _hours(one.held_after),
                one.share,
                _hours(one.released_after) if one.released else "-",
                "-" if one.longest_wait is None else f"{one.longest_wait:.0f} s",
                one.throttled,
            ]
            for one in found
        ],
    )


def _hours(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))


def _refuse(
    waiting: Sequence[DeviceCertificate],
    rejected: Sequence[DeviceCertificate],
    authority: Authority,
    account: SimulatedAccount,
    table: str,
) -> None:
    """Record the wrong rules' decisions, and order the release of the rejected devices."""
    registry, outcomes = Registry(account.client("dynamodb"), table), Outcomes(account.client("dynamodb"), table)
    for one in waiting:
        registry.record(_refused(one, authority, Outcome.HELD))
    order = OperatorVerdict(action=OperatorAction.RELEASED, by="arn:ann", at=account.aws.clock.now())
    for one in rejected:
        decision = _refused(one, authority, Outcome.REJECTED)
        registry.record(decision)
        outcomes.order_release(one.certificate_id, order, seen=Record(decision=decision))


def _refused(certificate: DeviceCertificate, authority: Authority, outcome: Outcome) -> Decision:
    """The wrong rules' decision on a certificate."""
    is_held = outcome is Outcome.HELD
    return Decision(
        certificate_id=certificate.certificate_id,
        outcome=outcome,
        status=Status.PENDING_ACTIVATION if is_held else Status.INACTIVE,
        registered_at=certificate.created_at,
        decided_at=certificate.created_at,
        rules_digest="",
        ca_certificate_id=authority.certificate_id,
        ca="factory",
        reason=Reason.COMMON_NAME_REFUSED,
        attempts=4,
        verdict_seen=0,
        brake=0 if is_held else None,
    )


if __name__ == "__main__":
    sys.exit(main())
