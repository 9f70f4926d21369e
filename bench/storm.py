"""Runs storms: many new devices at once, the real handler, a simulated AWS with its quotas, in virtual time.

    python -m bench.storm --devices 10000 --latency 0.05 0.1 0.2 --plot build/storm.svg
    python -m bench.storm --handler jitr aws-blog iot-dr softchef

Each combination of the options that take several values is one storm. The handler, its boto3 clients and their retries
are those that are deployed; AWS is simulation/, which the failure matrix uses too. Times are virtual, and the same seed
gives the same storm.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from bench.conditions import Conditions
from bench.devices import BackOff
from bench.ours import Jitr
from bench.peers import AwsBlog, IotDr, SoftChef
from bench.plot import Panel, svg
from bench.side_by_side import run_side_by_side
from bench.table import markdown
from bench.world import Registrar, Storm, simulate

_DEFAULT_RATE = 10.0
_A_BURST = 60.0  # seconds: a shorter `within` is named in a storm's description

HANDLERS: dict[str, Callable[[Conditions], Registrar]] = {
    "aws-blog": lambda _: AwsBlog(),
    "iot-dr": lambda _: IotDr(),
    "softchef": lambda _: SoftChef(),
    "jitr": lambda conditions: Jitr(
        activations_per_second=_DEFAULT_RATE * conditions.raised,
        max_concurrency=conditions.environments,
        rules_changed=conditions.rules_changed,
    ),
}

HEADER = (
    "handler",
    "devices",
    "conditions",
    "bound, s",
    "last registered, s",
    "all ACTIVE, s",
    "times the bound",
    "seconds above",
    "lost",
    "dead-lettered",
    "throttled",
    "IoT calls per device",
    "DynamoDB calls per device",
    "Lambda seconds per device",
    "events",
    "most waiting",
    "most in flight",
)


def table(storms: Sequence[Storm]) -> str:
    """One line for each storm."""
    return markdown(HEADER, [_row(storm) for storm in storms])


def harm(storms: Sequence[Storm]) -> str:
    """What became of the devices, for handlers that lose some or leave them incomplete."""
    return markdown(
        (
            "handler",
            "devices ACTIVE",
            "ACTIVE without policy, for a while",
            "in the end",
            "ACTIVE without thing",
            "never ACTIVE",
            "events given up",
        ),
        [
            [storm.registrar, storm.active, storm.bare, storm.policyless, storm.thingless, storm.lost, storm.dead]
            for storm in storms
        ],
    )


def describe(conditions: Conditions) -> str:
    """The conditions that differ from the default, in words."""
    every = f" every {conditions.held_every:g} s" if conditions.held_every else ""
    usual = Conditions()
    words = [conditions.back_off.value, f"{conditions.latency * 1000:.0f} ms", f"burst {conditions.burst:g} s"]
    differing = {
        f"quotas times {conditions.raised:g}": conditions.raised != usual.raised,
        f"{conditions.connects_per_second:,.0f} connects/s": conditions.connects_per_second
        != usual.connects_per_second,
        "registrations unlimited": not conditions.registrations_bound,
        f"{conditions.errors:.0%} of calls fail": conditions.errors,
        f"{conditions.taken:.0%} of the quota taken": conditions.taken,
        f"{conditions.held:,} held devices knock{every}": conditions.held,
        "rules changed": conditions.rules_changed,
        f"for {conditions.lasts / 60:g} min": conditions.lasts,
        f"within {conditions.within:g} s": conditions.within < _A_BURST,
        f"{conditions.environments} environments": conditions.environments,
        "queue in no order": conditions.shuffled,
    }
    words += [word for word, differs in differing.items() if differs]
    return ", ".join(words)


def plot(title: str, storms: dict[str, Storm]) -> str:
    """Devices ACTIVE against the quota's line, events waiting, events so far, throttled calls so far; an SVG."""
    first = next(iter(storms.values())).conditions
    return svg(
        title,
        [
            Panel(
                "devices ACTIVE (dashed: what the quota allows)",
                _lines(storms, "active"),
                ((0.0, 0.0), (first.bound, float(first.devices))),
                "quota",
            ),
            Panel("events waiting", _lines(storms, "backlog")),
            Panel("events published", _lines(storms, "events")),
            Panel("IoT calls throttled", _lines(storms, "throttled")),
        ],
    )


def _lines(storms: dict[str, Storm], quantity: str) -> dict[str, list[tuple[float, float]]]:
    return {
        name: [(sample.second, float(getattr(sample, quantity))) for sample in storm.samples]
        for name, storm in storms.items()
    }


def _row(storm: Storm) -> list[str | float | None]:
    conditions = storm.conditions
    return [
        storm.registrar,
        conditions.devices,
        describe(conditions),
        round(conditions.bound),
        None if storm.all_registered is None else round(storm.all_registered),
        None if storm.all_active is None else round(storm.all_active),
        None if storm.times_the_bound is None else round(storm.times_the_bound, 3),
        None if storm.seconds_above is None else f"{storm.seconds_above:.1f}",
        storm.lost,
        storm.dead,
        f"{storm.throttled_share:.1%}",
        round(storm.iot_calls / conditions.devices, 2),
        round(storm.dynamodb_calls / conditions.devices, 2),
        round(storm.lambda_seconds / conditions.devices, 2) or None,
        storm.events,
        storm.most_backlog,
        storm.most_in_flight or None,
    ]


def main() -> int:
    """Run the storms that the command line asks for."""
    options = _parser().parse_args()
    wanted = product(options.handler, list(_conditions(options)))
    storms = []
    for storm in run_side_by_side([partial(run_storm, *one, options.patience) for one in wanted]):
        sys.stderr.write(summarize(storm) + "\n")
        storms.append(storm)
    if options.plot:
        named = {f"{storm.registrar} {describe(storm.conditions)}": storm for storm in storms}
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_text(plot(f"{options.devices:,} devices", named), encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps([as_json(storm) for storm in storms], indent=2) + "\n")
    else:
        sys.stdout.write(table(storms) + "\n" + harm(storms))
    return 0


def run_storm(handler: str, conditions: Conditions, patience: float) -> Storm:
    """Run one storm with the handler of that name."""
    return simulate(HANDLERS[handler](conditions), conditions, patience=patience)


def summarize(storm: Storm) -> str:
    """The storm and its processor time, in a line."""
    return f"{storm.registrar}, {describe(storm.conditions)}: {storm.processor_seconds:.0f} s of processor time"


def as_json(storm: Storm) -> dict[str, Any]:
    """Everything but the samples."""
    fields = asdict(storm)
    del fields["samples"]
    return fields | {
        "bound": storm.conditions.bound,
        "times_the_bound": storm.times_the_bound,
        "seconds_above": storm.seconds_above,
        "dynamodb_calls": storm.dynamodb_calls,
        "held_share": storm.held_share,
        "throttled_share": storm.throttled_share,
    }


def _conditions(options: argparse.Namespace) -> Iterator[Conditions]:
    for back_off, latency, burst in product(options.back_off, options.latency, options.burst):
        yield Conditions(
            devices=options.devices,
            within=options.within,
            back_off=back_off,
            latency=latency,
            burst=burst,
            errors=options.errors,
            raised=options.raised,
            taken=options.taken,
            held=options.held,
            held_every=options.held_every,
            rules_changed=options.rules_changed,
            lasts=options.lasts,
            environments=options.environments,
            connects_per_second=options.connects,
            registrations_bound=options.registrations,
            shuffled=options.shuffled,
            seed=options.seed,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=(__doc__ or "").splitlines()[0])
    default = Conditions()
    parser.add_argument("--handler", nargs="+", choices=sorted(HANDLERS), default=["jitr"])
    parser.add_argument("--devices", type=int, default=default.devices)
    parser.add_argument("--within", type=float, default=default.within, help="seconds in which they first connect")
    parser.add_argument("--back-off", type=BackOff, nargs="+", choices=list(BackOff), default=[default.back_off])
    parser.add_argument("--latency", type=float, nargs="+", default=[default.latency], help="an IoT call's median, s")
    parser.add_argument(
        "--burst", type=float, nargs="+", default=[default.burst], help="what a quota's bucket holds, s"
    )
    parser.add_argument("--errors", type=float, default=default.errors, help="share of calls that fail with 5xx")
    parser.add_argument("--raised", type=float, default=default.raised, help="quotas against the defaults")
    parser.add_argument("--taken", type=float, default=default.taken, help="share of the quotas another tool takes")
    parser.add_argument("--held", type=int, default=default.held, help="held devices, which also connect")
    parser.add_argument("--held-every", type=float, help="seconds between two of their attempts; else by the back-off")
    parser.add_argument("--rules-changed", action="store_true", help="since those were held: all are due at once")
    parser.add_argument("--lasts", type=float, default=default.lasts, help="seconds that a storm lasts at least")
    parser.add_argument("--environments", type=int, help="of Lambda at most; as many as deployed, if not given")
    parser.add_argument("--registrations", action=argparse.BooleanOptionalAction, default=True, help="15 a second")
    parser.add_argument("--connects", type=float, default=default.connects_per_second, help="CONNECTs a second")
    parser.add_argument("--shuffled", action="store_true", help="the queue keeps no order")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--patience", type=float, default=4.0, help="times the bound after which a storm is ended")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, help="an SVG to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
