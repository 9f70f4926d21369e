"""Measures a cold start: init and first event of the built asset in a new process, against the floor (floor.py).

    python -m bench.coldstart --runs 15

Processor time, not wall time, so that a busy machine matters less. The asset and the floor take turns. The processes
see what Lambda gives them: the function's directory, its layer, and the runtime's boto3, byte-compiled; the network is
answered in process.
"""

import argparse
import json
import re
import statistics
import sys
from dataclasses import dataclass

from bench.process import Sandbox, sandboxes
from bench.situation import situation
from bench.table import markdown

_CLIENT = "boto3.client alone"  # for the record
_COSTLIEST = 10
_TIMES = ("init", "total")

_INIT = {
    "jitr": "from jitr.handlers.register import handler",
    "floor": "from floor import handler",
    _CLIENT: "import boto3; boto3.client('iot')",
}
_MEASURED = """
import time
began = time.process_time()
{init}
ready = time.process_time()
{event}
done = time.process_time()
print(json.dumps({{"init": ready - began, "total": done - began, **wire.calls}}))
"""
_EVENT = "handler(situation['event'], Context())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One subject's medians, in seconds of processor time."""

    subject: str
    byte_code: bool
    init: float
    with_first_event: float
    times_the_floor: (
        float  # the median of the ratios of each run to its floor: run in succession, both are slow together
    )
    runs: int


def main() -> int:
    """Measure, and print tables, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.coldstart", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    starts, imports = measure(options.runs)
    if options.json:
        rows = [{name: getattr(start, name) for name in Start.__slots__} for start in starts]
        sys.stdout.write(json.dumps({"starts": rows, "imports": imports}, indent=2) + "\n")
    else:
        sys.stdout.write(table(starts) + "\n" + imports_table(imports))
    return 0


def measure(runs: int) -> tuple[list[Start], list[tuple[str, float]]]:
    """Measure every subject with and without byte-code, in turns; and the costliest imports, with their own seconds."""
    with sandboxes(situation()) as places:
        found: dict[tuple[str, bool], list[dict[str, float]]] = {}
        for _ in range(runs):
            for byte_code, sandbox in places.items():
                for subject in _INIT:
                    found.setdefault((subject, byte_code), []).append(sandbox.measure(_code(subject)))
        imports = _imports(places[True])
    check_same_calls(found["jitr", True][0], found["floor", True][0])
    return [
        Start(
            subject=subject,
            byte_code=byte_code,
            init=statistics.median(run["init"] for run in taken),
            with_first_event=statistics.median(run["total"] for run in taken),
            times_the_floor=statistics.median(
                run["total"] / floor["total"] for run, floor in zip(taken, found["floor", byte_code], strict=True)
            ),
            runs=runs,
        )
        for (subject, byte_code), taken in found.items()
    ], imports


def table(starts: list[Start]) -> str:
    """Milliseconds, and jitr's ratio to the floor beside each byte-code."""
    rows = [
        [
            start.subject,
            "yes" if start.byte_code else "no",
            round(start.init * 1000),
            None if start.subject == _CLIENT else round(start.with_first_event * 1000),
            None if start.subject == _CLIENT else start.times_the_floor,
        ]
        for start in starts
    ]
    return markdown(("", "byte-code", "init, ms", "init and first event, ms", "times the floor"), rows)


def imports_table(imports: list[tuple[str, float]]) -> str:
    return markdown(("costliest imports of jitr", "own time, ms"), [[name, own * 1000] for name, own in imports])


def check_same_calls(ours: dict[str, float], floors: dict[str, float]) -> None:
    """Raises SystemExit if the floor makes other calls than the handler: bench/floor.py is then out of date."""
    mine, theirs = ({name: run[name] for name in run if name not in _TIMES} for run in (ours, floors))
    if mine != theirs:
        raise SystemExit(f"bench/floor.py makes other calls than the handler: {theirs} instead of {mine}")


def _code(subject: str) -> str:
    return _MEASURED.format(init=_INIT[subject], event="" if subject == _CLIENT else _EVENT)


def _imports(sandbox: Sandbox) -> list[tuple[str, float]]:
    """The modules whose own code takes longest to import, with seconds."""
    lines = sandbox.run(_code("jitr"), "-X", "importtime").stderr.splitlines()
    own: list[tuple[str, float]] = []
    for line in lines:
        found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line)
        # On Lambda the handler's module builds the function when it is imported: that is init, not import time.
        if found and found[2] != "jitr.handlers.register":
            own.append((found[2], int(found[1]) / 1e6))
    return sorted(own, key=lambda one: -one[1])[:_COSTLIEST]


if __name__ == "__main__":
    sys.exit(main())
