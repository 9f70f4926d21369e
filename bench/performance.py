"""Runs every bench, and writes the figures into docs/performance.md between its two markers: `make bench`.

    python -m bench.performance --devices 1500

Moderate sizes, some twelve minutes on two idle processors. reached.py measures the larger ones.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from bench import accounts, admit, coldstart, cost, goals, mend, pace, reached, storm, sweep, warm
from bench.conditions import Conditions
from bench.devices import BackOff
from bench.pace import PLOTS, put
from bench.side_by_side import run_side_by_side
from bench.sweep import Sweeps
from bench.table import machine
from bench.world import Storm

_PEERS = ("softchef", "aws-blog", "iot-dr", "jitr")  # the longest first, or it would be waited for alone
_PATIENCE = 3.0  # times the bound
_MENDED = 2000  # held devices
# How held devices come to be evaluated after the correction, and seconds between two CONNECTs of each.
_KNOCKS = {"which knock every minute": 60.0, "found by the sweep": None}
_BEGIN, _END = "<!-- figures: make bench -->\n", "<!-- end of figures -->"


def main() -> int:
    """Run every bench; the figures go into the document, progress to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.performance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1500, help="of each storm; of the peers' half")
    parser.add_argument("--runs", type=int, default=15, help="cold starts of each kind")
    parser.add_argument("--fleet", type=int, default=1_000_000, help="certificates of the largest sweep")
    options = parser.parse_args()
    PLOTS.mkdir(exist_ok=True)
    sections = [_head(options)]
    for section in (_virtual, _cold_start, _warm, _admit, _cost, _accounts):
        began = time.monotonic()
        sections.append(section(options))
        sys.stderr.write(f"{section.__name__.strip('_').replace('_', ' ')}: {time.monotonic() - began:.0f} s\n")
    put(_BEGIN, _END, "\n".join(sections))
    return pace.main()


def _head(options: argparse.Namespace) -> str:
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} at {reached.current_commit()} on {machine()}; storms of "
        f"{options.devices:,} devices, whose times are virtual and do not depend on the machine.\n"
    )


def _virtual(options: argparse.Namespace) -> str:
    """Run everything whose time is virtual, in parallel."""
    same = Conditions(devices=options.devices // 2, registrations_bound=False, back_off=BackOff.IMPATIENT)
    sizes = [size for size in (1_000_000, 100_000, 10_000, 1000) if size <= options.fleet]
    conditions = _conditions(options)
    works: list[Callable[[], Any]] = [
        *(partial(storm.run_storm, handler, same, _PATIENCE) for handler in _PEERS),
        *(partial(sweep.measure, size) for size in sizes),
        *(partial(storm.run_storm, "jitr", one, _PATIENCE) for one in conditions),
        *(partial(mend.measure, held=_MENDED, released=0, new=20, knock_every=every) for every in _KNOCKS.values()),
        partial(sweep.in_storm, options.devices // 3),
    ]
    found: list[Any] = []
    for one in run_side_by_side(works):
        found.append(one)
        sys.stderr.write(f"{storm.summarize(one) if isinstance(one, Storm) else type(one).__name__}\n")
    rest = iter(found)
    peers, sweeps, storms, mended = (list(islice(rest, len(some))) for some in (_PEERS, sizes, conditions, _KNOCKS))
    commit, wanted = reached.current_commit(), {goal.conditions for goal in goals.GOALS}
    for one in storms:
        if one.conditions in wanted:
            reached.keep(one, commit)
    reached.keep_mended(dict(zip(_KNOCKS, mended, strict=True)), commit)
    return "\n".join([_storms(options, storms), _peers(same, peers[::-1]), _sweep(sweeps[::-1], next(rest))])


def _conditions(options: argparse.Namespace) -> list[Conditions]:
    usual = Conditions(devices=options.devices)
    back_offs = [
        replace(usual, back_off=back_off, latency=latency)
        for back_off in (BackOff.FULL_JITTER, BackOff.IMPATIENT)
        for latency in (0.05, 0.1, 0.2)
    ]
    raised = replace(usual, devices=options.devices * 8 // 3, within=10.0, **goals.RAISED)
    storms = [
        *back_offs,
        *(goal.conditions for goal in goals.GOALS),
        replace(usual, devices=goals.BURSTS[-1], within=1.0),
        replace(usual, burst=0.0),
        replace(usual, registrations_bound=False),
        replace(usual, shuffled=True),
        replace(usual, errors=0.05),
        *(replace(raised, latency=latency) for latency in (0.1, 0.2)),
    ]
    return list(dict.fromkeys(storms))


def _storms(options: argparse.Namespace, found: Sequence[Storm]) -> str:
    drawn = {storm.describe(one.conditions): one for one in found[1:6:3]}
    _draw("storm.svg", f"{options.devices:,} devices within 60 s", drawn)
    return f"### Storms\n\n`python -m bench.storm`\n\n{storm.table(found)}\n![storms](performance/storm.svg)\n"


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
    starts, imports = coldstart.measure(options.runs)
    return (
        f"### Cold start\n\n`python -m bench.coldstart`, medians of {options.runs}\n\n"
        f"{coldstart.table(starts)}\n{coldstart.imports_table(imports)}"
    )


def _warm(_: argparse.Namespace) -> str:
    return f"### Warm\n\n`python -m bench.warm`\n\n{warm.table(warm.measure(300))}"


def _admit(_: argparse.Namespace) -> str:
    return f"### The decision alone\n\n`python -m bench.admit`\n\n{admit.table(admit.measure(300))}"


def _sweep(sweeps: Sequence[Sweeps], swept: Storm) -> str:
    return f"### Sweep\n\n`python -m bench.sweep`\n\n{sweep.table(sweeps)}\n{sweep.summarize(swept)}\n"


def _cost(_: argparse.Namespace) -> str:
    return f"### Cost\n\n`python -m bench.cost`, prices of {cost.PRICES_OF}\n\n{cost.table(cost.measure())}"


def _accounts(_: argparse.Namespace) -> str:
    found = [accounts.measure(one, runs=3) for one in (1, accounts.ACCOUNTS)]
    return f"### Many accounts\n\n`python -m bench.accounts`: `jitrctl ca status`\n\n{accounts.table(found)}"


def _draw(name: str, title: str, storms: dict[str, Storm]) -> None:
    (PLOTS / name).write_text(storm.plot(title, storms), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
