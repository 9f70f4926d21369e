"""A deployed stage in moto, as far as `jitrctl fleet status` looks at it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from jitr_fleet.resources import rule_sql
from jitrctl.localaws.workspace import CHECKOUT
from jitrctl.session.stage import Stage
from tests.support.cloud import create_registry

TEMPLATE = {"Resources": {"Nothing": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}}
DEPLOYED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def deploy_stack(monkeypatch: pytest.MonkeyPatch, region: str, *, at: datetime = DEPLOYED_AT) -> None:
    """Have CloudFormation, for which moto asks for more packages, know the stack in one Region."""
    call: Any = vars(BaseClient)["_make_api_call"]

    def answer(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "GetV2LoggingOptions":  # which moto does not have
            return {"defaultLogLevel": "ERROR"}
        if operation not in ("DescribeStacks", "GetTemplate"):
            return call(client, operation, parameters)
        assert parameters["StackName"] == "jitr-acme"
        if client.meta.region_name != region:
            said = {"Error": {"Code": "ValidationError", "Message": "Stack with id jitr-acme does not exist"}}
            raise ClientError(said, operation)  # type: ignore[arg-type]
        if operation == "GetTemplate":
            return {"TemplateBody": json.dumps(TEMPLATE)}
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "CreationTime": at}]}

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)


def deploy_resources(stage: Stage, ca_pem: str) -> None:
    """The registry, the queues, the policy, and the CA registered; neither a topic rule nor a function."""
    create_registry(stage.dynamodb, stage.names.registry_table)
    names = stage.names
    for queue in (names.registrations_queue, names.dead_letter_queue, names.undelivered_queue):
        stage.sqs.create_queue(QueueName=queue)
    stage.iot.register_ca_certificate(caCertificate=ca_pem, setAsActive=True, allowAutoRegistration=True)
    document = (CHECKOUT / "policies/device.json").read_text()
    for placeholder, value in (("<partition>", "aws"), ("<region>", stage.region), ("<account>", stage.account.id)):
        document = document.replace(placeholder, value)
    stage.iot.create_policy(policyName="jitr-acme--factory", policyDocument=document)


def deploy_rule(stage: Stage) -> None:
    """The topic rule of the CA."""
    (one,) = stage.account.cas
    stage.iot.create_topic_rule(
        ruleName=stage.names.rule(one.ca.name),
        topicRulePayload={"sql": rule_sql(one.ca.certificate_id), "actions": []},
    )
