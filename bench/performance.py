"""Run every bench, and write what they find into docs/performance.md between its two markers: `make bench`.

    python -m bench.performance --devices 1500

Moderate sizes, under ten minutes on two idle processors; each bench takes larger ones by itself.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench import accounts, admit, coldstart, cost, mend, storm, sweep, warm
from bench.conditions import Conditions
from bench.devices import BackOff
from bench.plot import Panel, svg
from bench.side_by_side import side_by_side
from bench.sweep import Sweeps
from bench.table import machine
from bench.world import Storm

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
PLOTS = DOCUMENT.parent / "performance"
_PEERS = ("softchef", "aws-blog", "iot-dr", "jitr")  # the longest first, or it would be waited for alone
BURSTS = (30, 60, 200)  # devices within a second
_PATIENCE = 3.0  # times the bound
_BEGIN, _END = "<!-- figures: make bench -->\n", "<!-- end of figures -->"


def main() -> int:
    """Run everything; the figures go into the document, progress to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.performance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1500, help="of each storm; of the peers' half")
    parser.add_argument("--runs", type=int, default=15, help="cold starts of each kind")
    parser.add_argument("--fleet", type=int, default=1_000_000, help="certificates of the largest sweep")
    options = parser.parse_args()
    PLOTS.mkdir(exist_ok=True)
    sections = [_head(options)]
    for section in (_virtual, _cold_start, _warm, _admit, _cost, _accounts, _mended):
        began = time.monotonic()
        sections.append(section(options))
        sys.stderr.write(f"{section.__name__.strip('_').replace('_', ' ')}: {time.monotonic() - began:.0f} s\n")
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    DOCUMENT.write_text(before + _BEGIN + "\n" + "\n".join(sections) + "\n" + _END + after, encoding="utf-8")
    return 0


def _head(options: argparse.Namespace) -> str:
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}; storms of {options.devices:,} devices, "
        "whose times are virtual and do not depend on the machine.\n"
    )


def _virtual(options: argparse.Namespace) -> str:
    """Everything whose time is virtual, side by side."""
    same = Conditions(devices=options.devices // 2, registrations_bound=False, back_off=BackOff.IMPATIENT)
    sizes = [size for size in (1_000_000, 100_000, 10_000, 1000) if size <= options.fleet]
    works: list[Callable[[], Storm | Sweeps]] = [
        *(partial(storm.weathered, handler, same, _PATIENCE) for handler in _PEERS),
        *(partial(sweep.measured, size) for size in sizes),
        *(partial(storm.weathered, "jitr", one, _PATIENCE) for one in _conditions(options)),
        partial(sweep.in_storm, options.devices // 3),
    ]
    found: list[Any] = []
    for one in side_by_side(works):
        found.append(one)
        sys.stderr.write(f"{storm.told(one) if isinstance(one, Storm) else f'sweep of {one.fleet:,}'}\n")
    peers, found = found[: len(_PEERS)], found[len(_PEERS) :]
    sweeps, storms, swept = found[: len(sizes)], found[len(sizes) : -1], found[-1]
    return "\n".join([_storms(options, storms), _peers(same, peers[::-1]), _sweep(sweeps[::-1], swept)])


def _conditions(options: argparse.Namespace) -> list[Conditions]:
    usual = Conditions(devices=options.devices)
    back_offs = [
        replace(usual, back_off=back_off, latency=latency)
        for back_off in (BackOff.FULL_JITTER, BackOff.IMPATIENT)
        for latency in (0.05, 0.1, 0.2)
    ]
    # Short storms are all beginning and end: as long as the others are, once the quotas are ten times as large.
    # AWS would let in too few of them: with its own limits, storms raised so are bound by those.
    raised = replace(
        usual, devices=options.devices * 5, raised=10.0, registrations_bound=False, connects_per_second=5000
    )
    return [
        *(replace(usual, devices=devices, within=1.0) for devices in BURSTS),
        replace(usual, devices=BURSTS[-1], within=1.0, environments=3),
        *back_offs,
        *(replace(usual, burst=burst) for burst in (0.0, 0.2)),
        replace(usual, registrations_bound=False),
        replace(usual, shuffled=True),
        replace(usual, errors=0.05),
        raised,
        replace(usual, taken=0.5),
        replace(usual, devices=options.devices // 2, held=options.devices * 5, registrations_bound=False),
        replace(
            usual,
            devices=options.devices * 2 // 3,
            held=options.devices * 20 // 3,
            held_every=300.0,
            rules_changed=True,
            lasts=900.0,
            registrations_bound=False,
        ),
    ]


def _storms(options: argparse.Namespace, found: Sequence[Storm]) -> str:
    storms = found[len(BURSTS) + 1 :]
    drawn = {storm.described(one.conditions): one for one in storms[1::3][:2]}
    _draw("storm.svg", f"{options.devices:,} devices within 60 s", drawn)
    (PLOTS / "bursts.svg").write_text(bursts({one.conditions.devices: one for one in found[:2]}), encoding="utf-8")
    return (
        f"### Storms\n\n`python -m bench.storm`\n\n{storm.table(found)}\n![storms](performance/storm.svg)\n\n"
        "Small bursts, and before the account's environments shared one schedule "
        "([bursts-before.json](performance/bursts-before.json)):\n\n![bursts](performance/bursts.svg)\n"
    )


def bursts(now: Mapping[int, Storm]) -> str:
    """Devices ACTIVE in small bursts, by the number of devices: now, and with a fixed share for each environment."""
    before: dict[str, list[tuple[float, float]]] = json.loads((PLOTS / "bursts-before.json").read_text("utf-8"))
    return svg(
        "small bursts, all within a second",
        [
            Panel(
                f"{devices} devices ACTIVE (dashed: what the quota allows)",
                {
                    "shared schedule": [(sample.second, float(sample.active)) for sample in one.samples[:16]],
                    "fixed shares": before[str(devices)],
                },
                ((0.0, 0.0), (one.conditions.bound, float(devices))),
                "quota",
            )
            for devices, one in now.items()
        ],
    )


def _peers(conditions: Conditions, found: Sequence[Storm]) -> str:
    _draw(
        "peers.svg", f"{conditions.devices:,} devices within 60 s, four handlers", {one.registrar: one for one in found}
    )
    return (
        "### Other handlers in the same storm\n\n"
        f"`python -m bench.storm --devices {conditions.devices} --handler {' '.join(_PEERS[::-1])} "
        f"--back-off impatient --no-registrations --patience {_PATIENCE:g}`; written from what is known of them, see "
        f"[bench/peers.py](../bench/peers.py). Each is ended after {_PATIENCE:g} times the bound, which SoftChef's "
        "queue outlasts: it has messages that fail for ever.\n\n"
        f"{storm.table(found)}\n{storm.harm(found)}\n![peers](performance/peers.svg)\n"
    )


def _cold_start(options: argparse.Namespace) -> str:
    starts, imports = coldstart.measured(options.runs)
    return (
        f"### Cold start\n\n`python -m bench.coldstart`, medians of {options.runs}\n\n"
        f"{coldstart.table(starts)}\n{coldstart.imports_table(imports)}"
    )


def _warm(_: argparse.Namespace) -> str:
    return f"### Warm\n\n`python -m bench.warm`\n\n{warm.table(warm.measured(300))}"


def _admit(_: argparse.Namespace) -> str:
    return f"### The decision alone\n\n`python -m bench.admit`\n\n{admit.table(admit.measured(300))}"


def _sweep(sweeps: Sequence[Sweeps], swept: Storm) -> str:
    return f"### Sweep\n\n`python -m bench.sweep`\n\n{sweep.table(sweeps)}\n{sweep.told(swept)}\n"


def _cost(_: argparse.Namespace) -> str:
    return f"### Cost\n\n`python -m bench.cost`, prices of {cost.PRICES_OF}\n\n{cost.table(cost.measured())}"


def _accounts(_: argparse.Namespace) -> str:
    found = [accounts.measured(one, runs=3) for one in (1, accounts.ACCOUNTS)]
    return f"### Many accounts\n\n`python -m bench.accounts`: `jitrctl ca status`\n\n{accounts.table(found)}"


def _mended(_: argparse.Namespace) -> str:
    (found,) = side_by_side([partial(mend.measured, held=900, released=250, new=10)])
    return (
        f"### A wrong rule, mended: few devices\n\n`{mend.command(found)}`; "
        f"[below](#after-a-wrong-rule) are many.\n\n{mend.table([found])}"
    )


def _draw(name: str, title: str, storms: dict[str, Storm]) -> None:
    (PLOTS / name).write_text(storm.plot(title, storms), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
