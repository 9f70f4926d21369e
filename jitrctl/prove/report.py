"""Renders a run: the plan before it, the table after it, and the document that docs/measured keeps."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jitrctl.prove.probe import NotAnswered, Probe
    from jitrctl.prove.run import Run
    from jitrctl.prove.runner import ProbeOutcome

FORMAT = 1
_SHARED_CALLS, _SHARED_SECONDS = 40, 10.0  # CAs, listeners, looking around
_LONGEST = 60  # characters of what was found, in the table


def plan(run_id: str, labels: Sequence[str], probes: Sequence[Probe], left_out: Sequence[NotAnswered]) -> list[str]:
    """The plan: what would be made and called, one line each."""
    calls = _SHARED_CALLS + sum(probe.calls for probe in probes)
    minutes = math.ceil((_SHARED_SECONDS + sum(probe.seconds for probe in probes)) * 1.5 / 60)
    dollars = max(0.01, sum(probe.dollars for probe in probes))
    lines = [
        f"In {' and '.join(labels)}, as run {run_id}, with which every name begins:",
        "  shared: 2 CAs, the policy of the run's devices",
    ]
    lines += [f"  {probe.name}: {probe.makes}" for probe in probes]
    lines += [f"  left out: {one.probe.name}: {one.why}" for one in left_out]
    cost = f"At most {calls} calls of AWS APIs, and as many again to clean; about {minutes} min; under ${dollars:.2f}."
    end = "Everything is deleted at the end, which AWS may allow only after five minutes; a registration code is kept."
    return [*lines, cost, end]


def rows(outcome: ProbeOutcome) -> list[dict[str, str]]:
    """The table's rows; an answer other than assumed has the number of its note."""
    notes = iter(range(1, len(outcome.answers) + 1))
    return [
        {
            "probe": answer.probe.name,
            "looked at": answer.expectation.what,
            "assumed": _shown(answer.expectation.assumed),
            "found": _shown(answer.found),
            "so what": "as assumed" if answer.as_assumed else f"see ({next(notes)})",
        }
        for answer in outcome.answers
        if not answer.is_recorded
    ]


def notes(outcome: ProbeOutcome) -> list[str]:
    """What answers other than assumed mean, numbered as in the table; then what was recorded without an assumption."""
    different = [answer for answer in outcome.answers if not answer.as_assumed]
    lines = [
        f"({number}) {answer.probe.name}, {answer.expectation.what}: {answer.expectation.otherwise}"
        for number, answer in enumerate(different, start=1)
    ]
    return lines + [
        f"{answer.probe.name}, {answer.expectation.what}: {answer.found}"
        for answer in outcome.answers
        if answer.is_recorded
    ]


def summary(outcome: ProbeOutcome) -> str:
    """The run in one line."""
    different = sum(1 for answer in outcome.answers if not answer.as_assumed)
    failed = sum(1 for one in outcome.not_answered if one.failed)
    parts = [f"{len(outcome.answers)} answers, {different} other than assumed"]
    if failed:
        parts.append(f"{failed} probes failed")
    parts.append(f"{sum(outcome.calls.values())} calls")
    parts.append(f"{len(outcome.left)} things left")
    return "; ".join(parts)


def document(
    run: Run, outcome: ProbeOutcome, *, began: datetime, on_aws: bool, left_out: Sequence[NotAnswered]
) -> dict[str, Any]:
    """As `--json` prints it, and docs/measured keeps it; docs/measured/README.md describes it."""
    found = {
        "format": FORMAT,
        "ok": outcome.ok,
        "run": run.id,
        "jitr": version("jitr"),
        "on_aws": on_aws,
        "began": began.isoformat(timespec="seconds"),
        "ended": run.time.now().isoformat(timespec="seconds"),
        "region": run.first.region,
        "accounts": len(run.places),
        "answers": [
            {
                "probe": answer.probe.name,
                "what": answer.expectation.what,
                "assumed": _plain(answer.expectation.assumed),
                "found": answer.found,
                "as_assumed": answer.as_assumed,
                **({} if answer.as_assumed else {"so_what": answer.expectation.otherwise}),
            }
            for answer in outcome.answers
        ],
        "not_answered": [
            {"probe": one.probe.name, "what": one.what or None, "failed": one.failed, "why": one.why}
            for one in (*outcome.not_answered, *left_out)
        ],
        "switches": {
            answer.expectation.switch: answer.expectation.to_switch(answer.found)
            for answer in outcome.answers
            if answer.expectation.switch
        },
        "calls": dict(sorted(outcome.calls.items())),
        "left": [str(entry) + (f": {entry.refused}" if entry.refused else "") for entry in outcome.left],
    }
    return _without_accounts(found, run)


def _without_accounts(found: dict[str, Any], run: Run) -> dict[str, Any]:
    """The document without the accounts' ids, so that it can be published."""
    text = json.dumps(found)
    for number, place in enumerate(run.places, start=1):
        text = text.replace(place.account, f"<account {number}>")
    return dict(json.loads(text))


def _shown(value: Any) -> str:
    text = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else str(value)
    text = str(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
