"""Makes a stage's part of `jitrctl fleet status --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrctl.commands.ca.accept_rejections import document as brake_document
from jitrctl.queues.dead_letters import LetterQueue

if TYPE_CHECKING:
    from datetime import datetime

    from jitrctl.status.crls import CrlHealth
    from jitrctl.status.diagnosis import Diagnosis
    from jitrctl.status.function import Failure, Pause
    from jitrctl.status.health import Health
    from jitrctl.status.problems import Problem


def document(one: Health, diagnosis: Diagnosis) -> dict[str, Any]:
    """A stage's fields; the options are in the problems' commands."""
    last = one.sweep.last_run
    return {
        "problems": [_problem(problem) for problem in diagnosis.problems],
        "notes": list(diagnosis.notes),
        "stack": one.stack,
        "deployed_at": _time(one.deployed_at),
        "cas": [{"ca": state.name, "registered": state.found is not None, "rule": state.rule} for state in one.cas],
        "unclaimed": dict(one.sweep.unclaimed),
        "sources": {name: dict(by_status) for name, by_status in one.sources.items()},
        "function": one.function_state,
        "paused": _pause(one.function.pause),
        "failing": _failure(one.failure),
        "waiting": one.waiting,
        "oldest_seconds": one.oldest.total_seconds() if one.oldest else None,
        "dead": one.letters.get(LetterQueue.DEAD),
        "undelivered": one.letters.get(LetterQueue.UNDELIVERED),
        "unforwarded": one.letters.get(LetterQueue.UNFORWARDED),
        "hub_waiting": one.waiting_for_hub,
        "hub_dead": one.letters.get(LetterQueue.HUB),
        "swept_at": _time(last.finished_at if last else None),
        "sweep_failed": list(last.failed) if last else [],
        "counted_at": _time(one.sweep.counted_at),
        "enrollment": one.enrollment,
        "turns_per_second": one.turns_per_second,
        "throttled": one.throttled,
        "iot_logging": one.iot_logging,
        "orders_waiting": one.orders_waiting,
        "brakes": {ca: brake_document(engaged) for ca, engaged in one.brakes.items()},
        "crls": {ca: _crl(crl) for ca, crl in one.crls.items()},
        "alarms": [{"name": alarm.name, "since": _time(alarm.since)} for alarm in one.alarms],
        "templates_compared": one.template_compared,
        "drift": list(one.drift),
        "not_read": dict(one.not_read),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "problem": problem.kind.value,
        "severity": problem.severity.name.lower(),
        "text": problem.text,
        "cures": list(problem.cures),
        "runbook": problem.link,
    }


def _pause(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {"by": pause.by, "since": _time(pause.since), "note": pause.note}


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "last_at": _time(failure.last.at),
        "error": failure.last.text,
        "refused_action": failure.last.refused_action,
        "certificate_ids": list(failure.devices),
    }


def _crl(crl: CrlHealth) -> dict[str, Any]:
    return {"state": crl.state.value, "next_update": _time(crl.next_update)}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
