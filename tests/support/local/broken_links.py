"""Links of a first connection, broken in a deployed stage and mended again."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitr.aws.queues import REASON_ATTRIBUTE
from jitr.events import event_document
from tests.support.local.deployed import Deployed, role_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


RULE, QUEUE, FUNCTION = "jitr_acme__factory", "jitr-acme-registrations", "jitr-acme-register"


@contextmanager
def ca_deleted(fleet: Deployed) -> Iterator[None]:
    _delete_ca(fleet)
    yield
    fleet.local.register_ca("factory", fleet.cas["factory"])


@contextmanager
def ca_in_another_mode(fleet: Deployed) -> Iterator[None]:
    _delete_ca(fleet)
    fleet.local.iot.register_ca_certificate(
        caCertificate=fleet.cas["factory"].pem,
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
    )
    yield
    _delete_ca(fleet)
    fleet.local.register_ca("factory", fleet.cas["factory"])


def _delete_ca(fleet: Deployed) -> None:
    ca = fleet.cas["factory"].certificate_id
    fleet.local.iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
    fleet.local.iot.delete_ca_certificate(certificateId=ca)


def ca_with(broken: dict[str, Any], mended: dict[str, Any]) -> Callable[[Deployed], AbstractContextManager[None]]:
    """The CA updated to be broken, and updated back."""

    @contextmanager
    def changed(fleet: Deployed) -> Iterator[None]:
        ca = fleet.cas["factory"].certificate_id
        fleet.local.iot.update_ca_certificate(certificateId=ca, **broken)
        yield
        fleet.local.iot.update_ca_certificate(certificateId=ca, **mended)

    return changed


@contextmanager
def template_set(fleet: Deployed) -> Iterator[None]:
    ca = fleet.cas["factory"].certificate_id
    template = {"templateBody": "{}", "roleArn": "arn:aws:iam::111111111111:role/jitp"}
    fleet.local.iot.update_ca_certificate(certificateId=ca, registrationConfig=template)
    yield
    # The local AWS switches auto-registration off as it is told to remove the template, and keeps the template.
    _delete_ca(fleet)
    fleet.local.register_ca("factory", fleet.cas["factory"])


@contextmanager
def rule_deleted(fleet: Deployed) -> Iterator[None]:
    rule = _rule(fleet)
    fleet.local.iot.delete_topic_rule(ruleName=RULE)
    yield
    fleet.local.iot.create_topic_rule(ruleName=RULE, topicRulePayload=rule)


@contextmanager
def rule_disabled(fleet: Deployed) -> Iterator[None]:
    with fleet.local.disable_rule():
        yield


def rule_with(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Deployed], AbstractContextManager[None]]:
    """The rule replaced by a changed one."""

    @contextmanager
    def changed(fleet: Deployed) -> Iterator[None]:
        rule = _rule(fleet)
        fleet.local.iot.replace_topic_rule(ruleName=RULE, topicRulePayload=rule | change(rule))
        yield
        fleet.local.iot.replace_topic_rule(ruleName=RULE, topicRulePayload=rule)

    return changed


def _rule(fleet: Deployed) -> dict[str, Any]:
    found = fleet.local.iot.get_topic_rule(ruleName=RULE)["rule"]
    wanted = ("sql", "description", "actions", "ruleDisabled", "awsIotSqlVersion", "errorAction")
    return {name: found[name] for name in wanted if found.get(name) is not None}


def _to_another_queue(rule: dict[str, Any]) -> dict[str, Any]:
    (action,) = rule["actions"]
    return {"actions": [{"sqs": {**action["sqs"], "queueUrl": f"{action['sqs']['queueUrl']}-old"}}]}


@contextmanager
def role_without_permission(fleet: Deployed) -> Iterator[None]:
    name = _rule(fleet)["actions"][0]["sqs"]["roleArn"].rpartition("/")[2]
    with role_policy(fleet, name, lambda held: [{**one, "Resource": "arn:aws:sqs:::old"} for one in held]):
        yield


@contextmanager
def queue_policy_denies(fleet: Deployed) -> Iterator[None]:
    sqs = fleet.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


@contextmanager
def paused(fleet: Deployed) -> Iterator[None]:
    fleet.run("ca", "pause", "--yes")
    yield
    fleet.run("ca", "resume")


def message_in(queue: str) -> Callable[[Deployed], AbstractContextManager[None]]:
    """A message about the new device, left there."""

    @contextmanager
    def sent(fleet: Deployed) -> Iterator[None]:
        sqs = fleet.client("sqs")
        url = sqs.get_queue_url(QueueName=f"jitr-acme-{queue}")["QueueUrl"]
        event = event_document(
            certificate_id=fleet.issue("sensor-0002").certificate_id,
            ca_certificate_id=fleet.cas["factory"].certificate_id,
            account_id=fleet.local.account.id,
            published_at=None,
            registered_at=None,
        )
        reason = {REASON_ATTRIBUTE: {"DataType": "String", "StringValue": "failed 10 times"}}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=reason)
        yield
        sqs.purge_queue(QueueUrl=url)

    return sent


FIRST_CONNECTION = {
    "CA registered": ca_deleted,
    "CA mode": ca_in_another_mode,
    "CA active": ca_with({"newStatus": "INACTIVE"}, {"newStatus": "ACTIVE"}),
    "auto-registration": ca_with({"newAutoRegistrationStatus": "DISABLE"}, {"newAutoRegistrationStatus": "ENABLE"}),
    "provisioning template": template_set,
    "rule present": rule_deleted,
    "rule enabled": rule_disabled,
    "rule SQL": rule_with(lambda rule: {"sql": rule["sql"].replace("PENDING_ACTIVATION", "ACTIVE")}),
    "rule action": rule_with(_to_another_queue),
    "rule role": role_without_permission,
    "queue": queue_policy_denies,
    "mapping": paused,
    "messages": message_in("dead-letters"),
}
