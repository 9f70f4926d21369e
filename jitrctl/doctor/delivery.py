"""Checks the links that carry an event: the topic rule, its role, and the queue that it sends to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jitr_fleet.authorization.evaluation import PolicyAnswer, Request, evaluate
from jitr_fleet.resources import rule_sql
from jitrctl.ca.plan import RuleState
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.status.stage_commands import aws_command, deploy_command, restore_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.doctor.context import DeviceContext

_SQL_VERSION = "2016-03-23"
_IOT = "iot.amazonaws.com"


def check_rule(case: DeviceContext) -> LinkFinding:
    """The CA's topic rule exists."""
    if case.ca.rule is RuleState.MISSING:
        return broken(f"there is no topic rule {_name(case)}: events of first connections are lost", _deploy(case))
    return good(_name(case))


def check_rule_enabled(case: DeviceContext) -> LinkFinding:
    """The rule is enabled."""
    if case.rule.get("ruleDisabled") and case.ca.is_held:
        return note("held: it is disabled as deployed, as long as a provisioning template is on the CA")
    if case.rule.get("ruleDisabled") and case.ca.is_freed:
        return broken(
            "it is disabled, as deployed for a provisioning template that is not on the CA any more: first connections "
            "wait for the sweep",
            f"remove jitp = true from the CA's entry in the fleet file, then `{deploy_command(case.stage)}`; then "
            f"`jitrctl sweep {case.options}` finds the devices whose events were lost",
        )
    if case.rule.get("ruleDisabled"):
        return broken(
            "it is disabled: events of first connections are lost",
            f"`{aws_command(case.stage, f'iot enable-topic-rule --rule-name {_name(case)}')}`; then `jitrctl sweep "
            f"{case.options}` finds the devices whose events were lost",
        )
    return good("enabled")


def check_rule_sql(case: DeviceContext) -> LinkFinding:
    """The rule's SQL is the stack's: it selects this CA's topic, and drops no event."""
    expected, found = rule_sql(case.issuing.ca.certificate_id), case.rule["sql"]
    if _plain(found) != _plain(expected):
        return broken(f"its SQL is not the stack's: {_plain(found)}", _deploy(case))
    if case.rule.get("awsIotSqlVersion", _SQL_VERSION) != _SQL_VERSION:
        return broken(f"its SQL is of version {case.rule['awsIotSqlVersion']}, not {_SQL_VERSION}", _deploy(case))
    return good("as deployed")


def check_rule_action(case: DeviceContext) -> LinkFinding:
    """The rule sends to the queue that the function reads."""
    queue = case.stage.names.registrations_queue
    if _role_arn(case) is None:
        return broken(f"it does not send to the queue {queue}", _deploy(case))
    return good(f"to {queue}")


def check_rule_role(case: DeviceContext) -> LinkFinding:
    """AWS IoT may assume the rule's role, and the role may send to the queue."""
    arn = _role_arn(case)
    found = case.read_role(arn) if arn else None
    if found is None:
        return broken(f"the rule's role {arn} does not exist", _deploy(case))
    context = {"aws:SourceAccount": case.stage.account.id, "aws:SourceArn": case.rule_arn}
    asks = {
        "AWS IoT may act in it": evaluate(
            [found.trust], Request(action="sts:AssumeRole", resource=found.arn, service=_IOT, context=context)
        ),
        "it may send to the queue": evaluate(
            found.permissions, Request(action="sqs:SendMessage", resource=case.queue_arn)
        ),
    }
    for what, answer in asks.items():
        if answer in (PolicyAnswer.DENIED, PolicyAnswer.NOT_ALLOWED):
            return broken(f"role {found.arn}: that {what} is {answer}", _deploy(case))
    unsure = [what for what, answer in asks.items() if answer is PolicyAnswer.UNSURE]
    if unsure:
        return note(f"whether {' and '.join(unsure)} depends on conditions that cannot be evaluated here")
    return good("AWS IoT may act in it, and it may send to the queue")


def check_queue(case: DeviceContext) -> LinkFinding:
    """The queue exists, and its policy does not deny the rule's role."""
    found = case.queue
    if found is None:
        return broken(f"there is no queue {case.stage.names.registrations_queue}", _deploy(case))
    documents = [json.loads(found["Policy"])] if found.get("Policy") else []
    context = {"aws:SecureTransport": "true"}
    if case.source is None:  # an import's message comes from jitrctl, and later from the sweep
        context["aws:SourceArn"] = case.rule_arn
    answer = evaluate(documents, Request(action="sqs:SendMessage", resource=case.queue_arn, context=context))
    if answer is PolicyAnswer.DENIED:
        return broken("the queue's policy denies it to the rule's role", _deploy(case))
    if answer is PolicyAnswer.UNSURE:
        return note("the queue's policy has conditions or principals that cannot be evaluated here")
    return good(f"there; {case.backlog}")


def _name(case: DeviceContext) -> str:
    return case.stage.names.rule(case.issuing.ca.name)


def _role_arn(case: DeviceContext) -> str | None:
    """The ARN of the role in which the rule sends to the queue; None if it does not send there."""
    queue = case.stage.names.registrations_queue
    sends: list[Mapping[str, Any]] = [one["sqs"] for one in case.rule.get("actions", []) if "sqs" in one]
    return next((str(one["roleArn"]) for one in sends if one["queueUrl"].rpartition("/")[2] == queue), None)


def _deploy(case: DeviceContext) -> str:
    return f"deploy the stack: `{restore_command(case.stage)}`"


def _plain(text: str) -> str:
    return " ".join(text.split())
