"""Measures a warm function: processor time per activation, against the bare calls, and per decided duplicate.

    python -m bench.warm --devices 300

The built asset runs in a process of its own, in turns with floor.py, which makes the same calls and decides nothing;
the network is answered in process, at the same cost for both.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass

from bench.process import sandboxes
from bench.situation import situation
from bench.table import markdown

_ROUNDS = 6
_CODE = """
import time
import floor
from jitr.handlers import register

def taken(handler, batches):
    began = time.process_time()
    for batch in batches:
        answer = handler(batch, Context())
        assert answer == {{"batchItemFailures": []}}, answer
    return time.process_time() - began

new, duplicates = situation["new"], situation["duplicates"]
taken(register.handler, new[:2]), taken(floor.handler, new[:2]), taken(register.handler, duplicates[:2])
seconds = {{"jitr": 0.0, "floor": 0.0, "duplicates": 0.0}}
calls = {{}}
share = max(len(new) // {rounds}, 1)
for number in range({rounds}):
    some = new[number * share : (number + 1) * share]
    for name, handler, batches in (
        ("jitr", register.handler, some), ("floor", floor.handler, some), ("duplicates", register.handler, duplicates)
    ):
        wire.calls.clear()
        seconds[name] += taken(handler, batches)
        calls.setdefault(name, {{}})
        for call, count in wire.calls.items():
            calls[name][call] = calls[name].get(call, 0) + count
activated = sum(len(batch["Records"]) for batch in new[: share * {rounds}])
skimmed = sum(len(batch["Records"]) for batch in duplicates) * {rounds}
print(json.dumps({{
    "jitr": seconds["jitr"] / activated,
    "floor": seconds["floor"] / activated,
    "duplicate": seconds["duplicates"] / skimmed,
    "calls": sum(calls["jitr"].values()) / activated,
    "calls_of_floor": sum(calls["floor"].values()) / activated,
    "iot_calls_of_duplicates": sum(count for call, count in calls["duplicates"].items() if " " in call),
}}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """Seconds of processor time, and calls, for each activation; seconds for each duplicate."""

    jitr: float
    floor: float
    duplicate: float
    calls: float
    calls_of_floor: float
    iot_calls_of_duplicates: float

    @property
    def times_the_floor(self) -> float:
        return self.jitr / self.floor


def main() -> int:
    """Measure, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.warm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warm = measure(options.devices)
    sys.stdout.write(json.dumps(asdict(warm), indent=2) + "\n" if options.json else table(warm))
    return 0


def measure(devices: int) -> Warm:
    """Measure. Raises SystemExit if the floor makes fewer or more calls than the handler."""
    with sandboxes(situation(devices, decided=200)) as places:
        warm = Warm(**places[True].measure(_CODE.format(rounds=_ROUNDS)))
    if round(warm.calls, 1) != round(warm.calls_of_floor, 1):
        raise SystemExit(f"bench/floor.py makes {warm.calls_of_floor:.2f} calls instead of {warm.calls:.2f}")
    return warm


def table(warm: Warm) -> str:
    return markdown(
        ("warm, for each", "jitr, ms", "bare calls, ms", "times the bare calls"),
        [
            ["activation", warm.jitr * 1000, warm.floor * 1000, warm.times_the_floor],
            ["decided duplicate", warm.duplicate * 1000, None, None],
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
