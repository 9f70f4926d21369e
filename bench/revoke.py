"""Measures how long a CRL takes to take devices out of a fleet, against what AWS's quotas and a function allow.

    python -m bench.revoke                                         the goals of issue 26, in full size
    python -m bench.revoke --fleet 20000 --listed 2000 --new 600 --orders 50 --entries 100000
    python -m bench.revoke --keep                                  and keep them in docs/performance/revoked.json

The real functions `revoke` and `register` on the simulated AWS, in virtual time, with the default quotas, 100 ms for a
call of AWS IoT (log-normal) and the usual times of others.

    many     one CRL lists so many devices of the fleet; it was approved. The bound is one UpdateCertificate for each
    beside   the same, while new devices connect, twelve a second. The bound is one UpdateCertificate for each
    large    a CRL with a million entries, of which a hundred are of the fleet: in one run of the function
    orders   one device at a time: from the CRL's upload, or from `jitrctl device revoke`, until its CONNECT is refused
    memory   the same large CRL after one of nearly the same size, in a process of its own, in real time
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import revoke_memory
from bench.reached import current_commit
from bench.revoke_orders import by_crl, by_operator
from bench.revoke_runs import measure_beside, measure_large, measure_many
from bench.table import markdown

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = Path(__file__).parents[1] / "docs" / "performance" / "revoked.json"
_HITS = 100  # devices of the fleet in the large CRL
_MOST_TIMES_THE_BOUND, _LEAST_SHARE = 1.05, 0.8
_FUNCTION_MEGABYTES, _FUNCTION_SECONDS = 512, 900
_SLOWER = 3  # a function of 512 MB has a third of a processor


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached, and whether it was."""

    what: str
    found: str
    is_met: bool


def main() -> int:
    """Measure, print the goals and what was found; exit code 1 when a goal is missed. Progress goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.revoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fleet", type=int, default=100_000)
    parser.add_argument("--listed", type=int, default=10_000, help="devices of the fleet that the CRL lists")
    parser.add_argument("--new", type=int, default=3000, help="devices that connect beside it")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large CRL")
    parser.add_argument("--orders", type=int, default=200, help="devices that are revoked one by one")
    parser.add_argument("--only", default="", help="those parts whose name has this")
    parser.add_argument("--keep", action="store_true", help=f"in {KEPT.name}, with the commit")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {
        "many": lambda: measure_many(options.fleet, options.listed),
        "beside": lambda: measure_beside(options.fleet, options.listed, options.new),
        "large": lambda: measure_large(options.fleet, _HITS, options.entries),
        "orders": lambda: by_crl(options.fleet, options.orders) | by_operator(options.orders),
        "memory": lambda: revoke_memory.measure_apart(options.entries, _HITS),
    }
    found: dict[str, Any] = {}
    for name, measure in parts.items():
        if options.only in name:
            found[name] = measure()
            sys.stderr.write(f"{name}: {json.dumps(found[name])}\n")
    met = goals(found)
    rows = [[one.what, one.found, "yes" if one.is_met else "no"] for one in met]
    sys.stdout.write(markdown(("goal", "found", "met"), rows))
    if options.keep:
        before = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
        origin = {"commit": current_commit(), "measured": f"{datetime.now(UTC):%Y-%m-%d}"}
        kept = before | {name: one | origin for name, one in found.items()}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0 if all(one.is_met for one in met) else 1


def goals(found: dict[str, Any]) -> list[Goal]:
    """The goals of issue 26 for what was measured."""
    met: list[Goal] = []
    if many := found.get("many"):
        ratio = many["seconds"] / many["bound"]
        met += [
            Goal(
                f"{many['listed']:,} of {many['fleet']:,} devices by one CRL, in 1.05 times the bound at most",
                f"{many['seconds']:,.0f} s, {ratio:.3f} times the bound",
                ratio <= _MOST_TIMES_THE_BOUND,
            ),
            Goal(
                "none is missed, and no other one touched",
                f"{many['revoked']:,} REVOKED, {many['others_touched']} others",
                many["revoked"] == many["listed"] and not many["others_touched"],
            ),
        ]
    if beside := found.get("beside"):
        share = beside["bound"] / beside["seconds"]
        met.append(
            Goal(
                f"{beside['new']:,} devices come up beside it, at 0.8 of the bound at least",
                f"{beside['seconds']:,.0f} s, {share:.3f} of the bound; {beside['revoked_meanwhile']:,} revoked in"
                f" that time, {beside['revoked']:,} in {beside['all_seconds']:,.0f} s",
                share >= _LEAST_SHARE and beside["revoked"] == beside["listed"] and beside["active"] == beside["new"],
            )
        )
    if large := found.get("large"):
        met.append(
            Goal(
                f"a CRL of {large['entries']:,} entries with {large['listed']} hits, in one run",
                f"{large['seconds']:,.1f} s of 900 s, {large['runs']} run",
                large["runs"] == 1 and large["revoked"] == large["listed"] and not large["others_touched"],
            )
        )
    if memory := found.get("memory"):
        met.append(
            Goal(
                f"two CRLs of {memory['entries']:,} entries, within 512 MB and 900 s",
                f"{memory['peak_megabytes']:.0f} MB; {memory['seconds']:.1f} s here, three times that in Lambda",
                memory["peak_megabytes"] <= _FUNCTION_MEGABYTES
                and _SLOWER * memory["seconds"] <= _FUNCTION_SECONDS / 3,
            )
        )
    for name, what in (("crl", "a CRL's upload"), ("operator", "`jitrctl device revoke`")):
        if one := found.get("orders", {}).get(name):
            met.append(
                Goal(
                    f"seconds from {what} to the refused CONNECT",
                    f"p50 {one['p50']:.1f}, p95 {one['p95']:.1f}, p99 {one['p99']:.1f}, most {one['most']:.1f}"
                    f" ({one['devices']} devices)",
                    one["refused"] == one["devices"],
                )
            )
    return met


if __name__ == "__main__":
    sys.exit(main())
