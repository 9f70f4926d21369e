"""Says what of a stage's health needs an operator, the worst first, and what is only worth knowing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from jitrctl.ca.plan import held_text
from jitrctl.queues.dead_letters import LetterQueue
from jitrctl.status import health as reading
from jitrctl.status.alarms import counterpart
from jitrctl.status.brake import describe_brake
from jitrctl.status.ca_problems import find_ca_problems
from jitrctl.status.deployment import GOOD_STACK
from jitrctl.status.function import ON, PAUSED
from jitrctl.status.problems import RUNBOOK, WHERE, Kind, Problem, Severity
from jitrctl.status.stage_commands import deploy_command, restore_command
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from jitrctl.session.stage import Stage
    from jitrctl.status.alarms import RingingAlarm
    from jitrctl.status.function import Failure
    from jitrctl.status.health import Health

_NEVER_DEPLOYED = "REVIEW_IN_PROGRESS"
_LETTERS = {
    LetterQueue.DEAD: (Kind.DEAD_LETTERS, "dead letter", "of what could not be read, or failed ten times"),
    LetterQueue.UNDELIVERED: (Kind.UNDELIVERED, "undelivered event", "which AWS IoT could not send to the queue"),
    LetterQueue.UNFORWARDED: (Kind.UNFORWARDED, "unforwarded event", "which the hub's table lacks"),
    LetterQueue.HUB: (Kind.HUB_LETTERS, "event", "given up by the hub's function"),
}
# What cannot be known where this was not read.
_KINDS_OF = {reading.ERRORS: (Kind.FAILING,), reading.AGE: (Kind.BACKLOG,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is to be said of one stage."""

    problems: tuple[Problem, ...]  # the worst first
    notes: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()  # what could not be read, and decides nothing

    @property
    def needs_operator(self) -> bool:
        """Whether there is a problem that was seen, not only what could not be read."""
        return any(problem.kind is not Kind.NOT_READ for problem in self.problems)


def diagnose(stage: Stage, health: Health, now: datetime) -> Diagnosis:
    """The problems and the notes of a stage at a time."""
    problems = [
        *_of_stack(stage, health),
        *_of_function(stage, health),
        *find_ca_problems(stage, health, now),
        *_of_brakes(health),
        *_of_letters(health),
        *_of_backlog(stage, health),
        *_of_sweep(stage, health, now),
        *_of_expiring(stage, health),
        *_of_drift(stage, health),
        *_of_not_read(health),
    ]
    known = {problem.kind for problem in problems}
    notes = _notes(stage, health)
    for alarm in health.alarms:
        direct = counterpart(alarm)
        if known & set(direct.reads):
            continue
        if direct.reads and direct.is_conclusive and not _unknown(health) & set(direct.reads):
            notes.append(f"the alarm {alarm.name} still rings, and what it watches is well again")
        else:
            problems.append(_of_alarm(alarm))
    return Diagnosis(
        problems=tuple(sorted(problems, key=lambda one: one.severity)),
        notes=tuple(notes),
        not_read=tuple(what for what in health.not_read if what not in reading.DECISIVE),
    )


def _unknown(health: Health) -> set[Kind]:
    """The kinds of problems that may be there unseen."""
    unknown = {kind for what in health.not_read for kind in _KINDS_OF.get(what, ())}
    return unknown | ({Kind.BACKLOG} if health.waiting and health.oldest is None else set())


def _of_stack(stage: Stage, health: Health) -> Iterator[Problem]:
    if health.stack is None or health.stack == _NEVER_DEPLOYED:
        yield Problem(
            kind=Kind.STACK,
            severity=Severity.STOPPED,
            text=f"the stack {stage.names.stack} is not deployed",
            cures=(deploy_command(stage),),
        )
    elif health.stack not in GOOD_STACK:
        yield Problem(
            kind=Kind.STACK,
            severity=Severity.DRIFTED,
            text=f"the stack {stage.names.stack} is {health.stack}: see its events, then deploy again",
            cures=(deploy_command(stage),),
        )


def _of_function(stage: Stage, health: Health) -> Iterator[Problem]:
    function = health.function
    if function.state == PAUSED:
        yield _paused(health)
    elif function.state != ON and health.stack is not None:
        texts = {"missing": "is missing", "no queue": "has no queue", "update failed": "could not be updated"}
        yield Problem(
            kind=Kind.FUNCTION,
            severity=Severity.STOPPED,
            text=f"the function `register` {texts.get(function.state, f'is {function.state}')}: devices wait",
            cures=(restore_command(stage),),
        )
    if health.failure:
        yield _failing(stage, health, health.failure)


def _paused(health: Health) -> Problem:
    pause = health.function.pause
    since = f" since {at(pause.since)}" if pause and pause.since else ""
    if pause and pause.by:
        who = f" by {pause.by}" + (f" ({pause.note!r})" if pause.note else ", who gave no reason")
    else:
        who = ", by no order of jitrctl: CloudTrail has who disabled the mapping (UpdateEventSourceMapping)"
    return Problem(
        kind=Kind.PAUSED,
        severity=Severity.STOPPED,
        text=f"decisions are paused{since}{who}; {_waiting(health)}",
        cures=(f"jitrctl ca resume{WHERE}",),
    )


def _failing(stage: Stage, health: Health, failure: Failure) -> Problem:
    last, devices = failure.last, failure.devices
    whom = f" on {_counted(len(devices), 'device')}, such as certificate {devices[-1]}" if devices else ""
    cures: tuple[str, ...] = ()
    if last.refused_action:
        why, section, cures = f"AWS refuses it {last.refused_action}", "not-permitted", (restore_command(stage),)
    else:
        why, section = last.text, "register-errors" if last.is_crash else "failures"
    return Problem(
        kind=Kind.FAILING,
        severity=Severity.FAILING,
        text=f"the function `register` fails{whom}, last {at(last.at)}: {why}; {_waiting(health)}",
        cures=cures,
        runbook=section,
    )


def _waiting(health: Health) -> str:
    """7 messages wait, the oldest for 12m."""
    if not health.waiting:
        return "no message waits"
    text = "1 message waits" if health.waiting == 1 else f"{health.waiting} messages wait"
    return text + (f", the oldest for {in_words(health.oldest)}" if health.oldest else "")


def _of_brakes(health: Health) -> Iterator[Problem]:
    for ca, engaged in health.brakes.items():
        yield Problem(
            kind=Kind.BRAKE,
            severity=Severity.FAILING,
            text=f"CA {ca}: the brake holds what its rules refuse, {describe_brake(engaged)}; correct the rules and "
            f'deploy, or `jitrctl ca accept-rejections {ca} --note "why"{WHERE}`, if these devices are not yours',
            cures=(f"jitrctl device list --held --ca {ca}{WHERE}",),
            runbook=Kind.BRAKE.value,
        )


def _of_letters(health: Health) -> Iterator[Problem]:
    for queue, (kind, name, why) in _LETTERS.items():
        if count := health.letters.get(queue):
            option = "" if queue is LetterQueue.DEAD else f" --queue {queue}"
            yield Problem(
                kind=kind,
                severity=Severity.LOST,
                text=f"{_counted(count, name)}, {why}: see to the cause, which the list names, then send again",
                cures=(f"jitrctl dlq list{option}{WHERE}", f"jitrctl dlq redrive --all{option}{WHERE}"),
            )


def _of_backlog(stage: Stage, health: Health) -> Iterator[Problem]:
    limit = timedelta(seconds=stage.fleet.alarms.backlog)
    if health.oldest is None or health.oldest < limit or health.function.state == PAUSED:
        return
    yield Problem(
        kind=Kind.BACKLOG,
        severity=Severity.WAITING,
        text=f"devices wait: {_waiting(health)}, and {in_words(limit)} are allowed",
        runbook=Kind.BACKLOG.value,
    )


def _of_sweep(stage: Stage, health: Health, now: datetime) -> Iterator[Problem]:
    if health.stack is None:
        return
    last = health.sweep.last_run
    every = stage.fleet.sweep.every
    if late := health.sweep.late_by(every=every, deployed_at=health.deployed_at, now=now):
        what = f"last ran {in_words(late)} ago" if last else f"has not run since the deployment, {in_words(late)} ago"
        yield Problem(
            kind=Kind.SWEEP_LATE,
            severity=Severity.WAITING,
            text=f"the sweep {what}, and is to run every {in_words(timedelta(seconds=every))}: lost events are not "
            "made up for; run it, then see to its schedule",
            cures=(f"jitrctl sweep{WHERE}",),
            runbook=Kind.SWEEP_LATE.value,
        )
    if last and last.failed:
        yield Problem(
            kind=Kind.SWEEP_FAILED,
            severity=Severity.WAITING,
            text=f"the last sweep, {at(last.finished_at)}, failed in part: {', '.join(last.failed)}; its log says why",
            runbook=Kind.SWEEP_FAILED.value,
        )


def _of_expiring(stage: Stage, health: Health) -> Iterator[Problem]:
    within = timedelta(seconds=stage.fleet.alarms.device_expiry)
    for ca, number in health.sweep.expiring.items():
        certificates = "1 ACTIVE certificate ends" if number == 1 else f"{number:,} ACTIVE certificates end"
        yield Problem(
            kind=Kind.DEVICES_EXPIRING,
            severity=Severity.SOON,
            text=f"CA {ca}: {certificates} within {in_words(within)}, and no other one has followed",
            cures=(f"jitrctl fleet expiring --within {in_words(within)}{WHERE}",),
            runbook=Kind.DEVICES_EXPIRING.value,
        )


def _of_drift(stage: Stage, health: Health) -> Iterator[Problem]:
    for text in health.policies:
        yield Problem(
            kind=Kind.POLICY,
            severity=Severity.DRIFTED,
            text=text.removesuffix(": deploy the stack"),
            cures=(restore_command(stage),),
        )
    if health.template:
        order = deploy_command(stage, "diff") if "cdk diff" in health.template else "make synth"
        yield Problem(
            kind=Kind.TEMPLATE, severity=Severity.DRIFTED, text=health.template.partition(": ")[0], cures=(order,)
        )


def _of_not_read(health: Health) -> Iterator[Problem]:
    if unread := [f"{what} ({why})" for what, why in health.not_read.items() if what in reading.DECISIVE]:
        yield Problem(
            kind=Kind.NOT_READ,
            severity=Severity.FAILING,
            text=f"could not be read wholly: {', '.join(unread)}; then look again",
            cures=(f"jitrctl fleet status{WHERE}",),
        )


def _of_alarm(alarm: RingingAlarm) -> Problem:
    known = counterpart(alarm)
    about = f" of {alarm.subject}" if alarm.subject else ""
    since = f" since {at(alarm.since)}" if alarm.since else ""
    return Problem(
        kind=Kind.ALARM,
        severity=known.severity,
        text=f"the alarm {alarm.section}{about}: {known.meaning} (rings{since})",
        cures=known.cures,
        runbook=alarm.section,
    )


def _notes(stage: Stage, health: Health) -> list[str]:
    notes = []
    if (rate := _rate(stage, health)) is not None:
        notes.append(rate)
    if health.orders_waiting:
        waiting = "1 certificate has" if health.orders_waiting == 1 else f"{health.orders_waiting:,} certificates have"
        notes.append(f"{waiting} an order to be deactivated or revoked, which the functions have not carried out yet")
    if health.waiting_for_hub:
        waiting = "1 event waits" if health.waiting_for_hub == 1 else f"{health.waiting_for_hub} events wait"
        notes.append(f"{waiting} for the hub's function, and `jitrctl fleet devices` lags: {RUNBOOK}#hub-errors")
    notes += [
        f"CA {state.name} is {held_text(state, f'--account {stage.account.name} --region {stage.region}')}"
        for state in health.cas
        if state.is_held
    ]
    for name, by_status in health.sources.items():
        notes.append(f"registered without a CA, source {name}: {_by_status(by_status) or 'none counted yet'}")
    if unclaimed := _by_status(health.sweep.unclaimed):
        notes.append(
            f"of no CA and no source of the fleet file here, and not judged by jitr: {unclaimed} (docs/migrate.md, "
            "Unclaimed)"
        )
    limit = timedelta(seconds=stage.fleet.sweep.pending_after)
    if health.oldest and health.oldest >= limit and health.oldest < timedelta(seconds=stage.fleet.alarms.backlog):
        notes.append(f"{_waiting(health)}: sweeps send nothing meanwhile")
    notes += [f"{what} not read: {why}" for what, why in health.not_read.items() if what not in reading.DECISIVE]
    return notes


def _by_status(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {status}" for status, number in numbers.items())


def _rate(stage: Stage, health: Health) -> str | None:
    """The present rate of activations, when AWS throttles; None when it is the fleet file's."""
    wanted = stage.account.activations_per_second
    rate, throttled = health.turns_per_second, health.throttled
    if rate is None or (rate >= wanted and not throttled):
        return None
    reached = f"{wanted:g}/s" if rate >= wanted else f"{rate:.1f} of {wanted:g}/s"
    return f"works at {reached}, {throttled:.0%} throttled" if throttled else f"works at {reached}"


def in_words(length: timedelta) -> str:
    """A length of time in the largest unit that fits: 12m."""
    seconds = max(length.total_seconds(), 0)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
