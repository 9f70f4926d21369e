"""Checks the links from the queue to a decision: mapping, messages, function, certificate status, decision."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jitr.decisions import Outcome
from jitr.iot_models import Status
from jitr.verdicts import OperatorAction
from jitrctl.audit.log import PAUSE
from jitrctl.ca.plan import held_text
from jitrctl.doctor.cures import LEFT_PENDING, cure_decision, release_and_return
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.queues.dead_letters import LetterQueue
from jitrctl.status.stage_commands import restore_command
from jitrctl.terminal import ago, at

if TYPE_CHECKING:
    from jitr.decisions import Decision
    from jitrctl.doctor.context import DeviceContext

_RECENT = timedelta(minutes=15)
_PENDING = Status.PENDING_ACTIVATION


def check_mapping(case: DeviceContext) -> LinkFinding:
    """The event source mapping is on: the function receives from the queue."""
    if case.function is None:
        return broken("there is no function `register`", _deploy(case))
    if case.mapping is None:
        return broken("the function has no queue", _deploy(case))
    if not case.mapping.is_on:
        return broken(
            f"it is {case.mapping.state}, {_paused_by(case)}: {case.backlog}, and nothing is lost",
            f"`jitrctl ca resume {case.options}`",
        )
    return good(case.mapping.state)


def check_messages(case: DeviceContext) -> LinkFinding:
    """No message about this certificate is in the dead-letter queue or in `undelivered`."""
    dead = case.receive_letters(LetterQueue.DEAD)
    if dead:
        return broken(
            f"{len(dead)} in the dead-letter queue, since {at(dead[-1].sent_at)}: {dead[-1].reason}",
            f"remove the cause, then `jitrctl dlq redrive --all {case.options}`",
        )
    undelivered = case.receive_letters(LetterQueue.UNDELIVERED)
    if undelivered:
        return broken(
            f"{len(undelivered)} could not be delivered to the queue, since {at(undelivered[-1].sent_at)}: "
            f"{undelivered[-1].reason}",
            f"remove the cause, then `jitrctl dlq redrive --all --queue undelivered {case.options}`",
        )
    own = f"; {case.own_messages}" if case.own_messages and case.stage_certificate.record.decision is None else ""
    return good(f"none about it dead or undelivered; {case.backlog}{own}")


def check_function(case: DeviceContext) -> LinkFinding:
    """The function can start, and did not fail on this certificate."""
    configuration = case.function or {}
    if configuration.get("State", "Active") not in ("Active", "Inactive"):
        why = configuration.get("StateReason", "Lambda does not say why")
        return broken(f"it is {configuration['State']}: {why}", _deploy(case))
    own = [one for one in case.errors if one.certificate_id == case.certificate_id]
    if own:
        return broken(
            f"it failed on this certificate {ago(own[-1].at, case.now)}: {own[-1].text}",
            f"deploy what it lacks, usually a permission: `{restore_command(case.stage)}`; the message is then tried "
            "again by itself",
        )
    crashes = [one for one in case.errors if one.certificate_id is None and case.now - one.at < _RECENT]
    if crashes and case.stage_certificate.record.decision is None:
        return broken(
            f"it fails for every device, last {ago(crashes[-1].at, case.now)}: {crashes[-1].text}",
            f"deploy a version that starts: `{restore_command(case.stage)}`; its log is {_log(case)}",
        )
    if case.errors:
        return note(f"its last error was not about this certificate: {case.errors[-1].text}")
    return good(f"no error in {_log(case)}")


def check_status(case: DeviceContext) -> LinkFinding:
    """The certificate is registered in this stage, and ACTIVE or pending."""
    registered = case.stage_certificate.registered
    if registered is None:
        return broken(
            f"AWS IoT in {case.stage} has never seen it: the device did not get as far as a CONNECT here",
            "check the device: the account's endpoint, SNI, port 8883, its key; with its key, `jitrctl doctor "
            f"{case.device} --key KEY.pem {case.options}` connects as the device does",
        )
    if registered.status in (Status.ACTIVE, _PENDING):
        return good(f"{registered.status}, in mode {registered.mode}")
    decision, verdict = case.stage_certificate.record.decision, case.stage_certificate.record.verdict
    if verdict and not verdict.action.allows_activation:
        why = f"{verdict.action} by {verdict.by}, {at(verdict.at)}" + (f": {verdict.note}" if verdict.note else "")
    elif decision and decision.reason:
        why = f"{decision.outcome} {at(decision.decided_at)}, {decision.reason}: {decision.detail}"
    else:
        why = "set by something other than jitr"
    cure = f"if it is to be let in: {release_and_return(case)}"
    if decision and decision.outcome is Outcome.REPLACED:
        why, cure = f"a newer certificate replaced it{_by_which(decision)}", "the device has to use its new certificate"
    elif decision and decision.reason and not verdict:
        cure = cure_decision(case, decision)
    return broken(f"{registered.status}, {why}", cure)


def check_decision(case: DeviceContext) -> LinkFinding:
    """What `register` decided, and why."""
    record, registered = case.stage_certificate.record, case.stage_certificate.registered
    made = record.decision
    is_active = registered is not None and registered.status is Status.ACTIVE
    if made is None:
        if is_active:
            return note("none: something other than jitr set it ACTIVE")
        if case.source is None and case.ca.is_held:
            return broken(f"none: {held_text(case.ca, case.options)}", LEFT_PENDING)
        return broken(
            f"none yet; {case.backlog}" + (f"; {case.own_messages}" if case.own_messages else ""),
            "wait a minute; then have the device connect again, which sends a new event, or `jitrctl sweep "
            f"{case.options}`",
        )
    text = f"{made.outcome} {at(made.decided_at)}"
    if made.reason:
        text += f", {made.reason}: {made.detail}"
    if is_active:
        return good(text) if made.outcome is Outcome.ACTIVATED else note(text)
    if record.verdict and record.verdict.action is OperatorAction.APPROVED and record.has_new_verdict:
        return broken(
            f"{text}; approved since, {at(record.verdict.at)}",
            f"it is evaluated again when the device connects, or by `jitrctl sweep {case.options}`",
        )
    if record.is_held_under_template:
        text += "; evaluated again once no provisioning template is on its CA"
    elif made.next_evaluation:
        text += f"; evaluated again after {at(made.next_evaluation)}, or when what it waits for changes"
    return broken(text, cure_decision(case, made))


def _by_which(decision: Decision) -> str:
    return f", {decision.replaced_by}" if decision.replaced_by else ""


def _paused_by(case: DeviceContext) -> str:
    """Who paused: the last order, if it was to pause; else something other than jitrctl disabled the mapping."""
    last = case.last_switch
    if last is None or last.order != PAUSE:
        return "by no order of jitrctl (CloudTrail has who disabled the mapping: UpdateEventSourceMapping)"
    return f"paused by {last.by} {at(last.at)}" + (f" ({last.note!r})" if last.note else ", who gave no reason")


def _deploy(case: DeviceContext) -> str:
    return f"deploy the stack: `{restore_command(case.stage)}`"


def _log(case: DeviceContext) -> str:
    return case.stage.names.log_group(case.stage.names.register_function)
