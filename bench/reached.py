"""Measures and keeps the large storms for docs/performance.md: those of ten thousand devices and more take hours.

    python -m bench.reached --only 10,000

Each is kept as soon as it is done, in docs/performance/reached.json, with its commit; what is there from this commit is
not measured again. `make bench` measures the smaller ones each time.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench import goals, storm
from bench.conditions import Conditions
from bench.devices import BackOff
from bench.mend import Mended
from bench.plot import Points
from bench.side_by_side import run_side_by_side
from bench.world import Storm

KEPT = Path(__file__).parents[1] / "docs" / "performance" / "reached.json"
_PATIENCE = 3.0  # times the bound


def main() -> int:
    """Measure the chosen goals; progress goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.reached", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="those goals whose text has this")
    options = parser.parse_args()
    commit, kept = current_commit(), {one["conditions"]: one["commit"] for one in _storms()}
    wanted = [goal.conditions for goal in (*goals.GOALS, *goals.LARGE) if options.only in goal.what]
    missing = [one for one in dict.fromkeys(wanted) if kept.get(one) != commit]
    for found in run_side_by_side([partial(storm.run_storm, "jitr", one, _PATIENCE) for one in missing]):
        sys.stderr.write(storm.summarize(found) + "\n")
        keep(found, commit)
    return 0


def keep(found: Storm, commit: str) -> None:
    """Keep one storm, instead of an earlier one under the same conditions."""
    others = [one for one in _storms() if one["conditions"] != found.conditions]
    kept = storm.as_json(found) | _origin(commit)
    if found.conditions in goals.ONE_SECOND:
        kept["came_up"] = [
            (one.second, one.active) for one in found.samples if one.second < (found.all_active or 0) + 1
        ]
    _write([*others, kept], _read()["mended"])


def keep_mended(found: Mapping[str, Mended], commit: str) -> None:
    """Keep results of corrected rules, by how held devices come to be evaluated."""
    mended = {name: asdict(one) | _origin(commit) for name, one in found.items()}
    _write(_storms(), _read()["mended"] | mended)


def kept_storms() -> dict[Conditions, Storm]:
    """The kept storms, without their samples."""
    return {one["conditions"]: Storm(**_fields(Storm, one)) for one in _storms()}


def kept_mended() -> dict[str, Mended]:
    return {name: Mended(**_fields(Mended, one)) for name, one in _read()["mended"].items()}


def kept_bursts() -> dict[int, Points]:
    """Devices ACTIVE by second, by the burst's size."""
    return {one["conditions"].devices: [(0.0, 0.0), *one["came_up"]] for one in _storms() if "came_up" in one}


def commits() -> str:
    """The commits of the kept results, in words."""
    found = dict.fromkeys((one["commit"], one["measured"]) for one in [*_storms(), *_read()["mended"].values()])
    return ", ".join(f"{commit} ({measured})" for commit, measured in found)


def current_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=KEPT.parent, check=True, capture_output=True, text=True).stdout.strip()


def _origin(commit: str) -> dict[str, str]:
    return {"commit": commit, "measured": f"{datetime.now(UTC):%Y-%m-%d}"}


def _fields(cls: type, kept: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: kept[field.name] for field in fields(cls) if field.name in kept}


def _storms() -> list[dict[str, Any]]:
    return [one | {"conditions": _conditions(one["conditions"])} for one in _read()["storms"]]


def _conditions(kept: Mapping[str, Any]) -> Conditions:
    return Conditions(**{**kept, "back_off": BackOff(kept["back_off"])})


def _read() -> dict[str, Any]:
    found: dict[str, Any] = {"storms": [], "mended": {}}
    return found | (json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {})


def _write(storms: Sequence[Mapping[str, Any]], mended: Mapping[str, Any]) -> None:
    as_dicts = [
        {**one, "conditions": asdict(one["conditions"])} if isinstance(one["conditions"], Conditions) else one
        for one in storms
    ]
    KEPT.write_text(json.dumps({"storms": as_dicts, "mended": mended}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
