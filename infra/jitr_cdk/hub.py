"""Defines the central view: every stage forwards its events to one stage, whose table has the accounts of each device.

default bus of each stage ──► bus of the hub ──► queue ──► function `hub` ──► table
        └─ unforwarded                              └─ dead letters   └─ `Device Out Of Place`
"""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from jitr.handlers.hub import HUB_TABLE
from jitr.hub.table import OUT_OF_PLACE_INDEX
from jitr.settings import Settings
from jitr.telemetry import (
    DETAIL_TYPES,
    DUPLICATE_DETAIL_TYPE,
    EVENT_SOURCE,
    REVOKED_DETAIL_TYPE,
    VERDICT_DETAIL_TYPE,
)
from jitr_cdk.asset import Asset
from jitr_cdk.encryption import READ, StageKey
from jitr_cdk.enrollment import EnrollmentList
from jitr_cdk.findings import acknowledge
from jitr_cdk.function import JitrFunction
from jitr_cdk.queues import allow_events_to_send, make_queue
from jitr_cdk.target import LocalDifference, Target
from jitr_fleet.model import HubPlace
from jitr_fleet.resources import ResourceNames

_FUNCTION_TIMEOUT = cdk.Duration.seconds(60)
_RECEIVES = 10
_CONCURRENCY = 2  # the least that Lambda allows for SQS; writes to the table are conditional
# `Device Out Of Place` is not among them: the hub would receive its own events.
_FORWARDED = sorted({*DETAIL_TYPES.values(), DUPLICATE_DETAIL_TYPE, REVOKED_DETAIL_TYPE, VERDICT_DETAIL_TYPE})


class Forwarding(Construct):
    """In every stage: a rule that sends jitr's events to the hub's bus, and a queue for events that fail."""

    def __init__(
        self, scope: Construct, construct_id: str, *, names: ResourceNames, hub: HubPlace, key: StageKey, target: Target
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        unforwarded = make_queue(
            self, "Unforwarded", names.unforwarded_queue, days=14, key=key, tls_only=target.tls_only
        )
        acknowledge(unforwarded, "SQS3", "it is itself for events that could not be forwarded; an alarm watches it")
        bus = stack.format_arn(
            service="events", region=hub.region, account=hub.account_id, resource=f"event-bus/{names.hub_bus}"
        )
        rule_arn = stack.format_arn(service="events", resource=f"rule/{names.forwarding_rule}")
        role = iam.Role(
            self,
            "Role",
            role_name=names.role("forwarding", stack.region),
            assumed_by=iam.ServicePrincipal(
                "events.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnEquals": {"aws:SourceArn": rule_arn},
                },
            ),
            inline_policies={
                "forward": iam.PolicyDocument(
                    statements=[iam.PolicyStatement(sid="ForwardToHub", actions=["events:PutEvents"], resources=[bus])]
                )
            },
        )
        events.CfnRule(
            self,
            "Rule",
            name=names.forwarding_rule,
            description=f"Events of the fleet {names.fleet} to its hub in account {hub.account_id}",
            event_pattern={
                "source": [EVENT_SOURCE],
                "detail-type": _FORWARDED,
                "detail": {"fleet": [names.fleet]},
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="hub",
                    arn=bus,
                    role_arn=role.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=unforwarded.queue_arn),
                )
            ],
        )
        allow_events_to_send(unforwarded, rule_arn)


class HubResources(Construct):
    """In one stage: the bus that all stages forward to, and the queue, function and table for the events."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        account_ids: Sequence[str],
        organization: str | None,
        settings: Settings,
        enrollment: EnrollmentList,
        key: StageKey,
        target: Target,
        code: Asset,
        layer: lambda_.ILayerVersion,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        self._bus(names, account_ids, organization, target)
        dead = make_queue(self, "DeadLetters", names.hub_dead_letter_queue, days=14, key=key, tls_only=target.tls_only)
        queue = make_queue(
            self,
            "Queue",
            names.hub_queue,
            days=4,
            key=key,
            tls_only=target.tls_only,
            visibility_timeout=cdk.Duration.seconds(6 * _FUNCTION_TIMEOUT.to_seconds()),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=_RECEIVES),
        )
        rule_arn = stack.format_arn(service="events", resource=f"rule/{names.hub_bus}/{names.hub_rule}")
        rule = events.CfnRule(
            self,
            "Rule",
            name=names.hub_rule,
            description=f"Events of the fleet {names.fleet} to the queue of its central view",
            event_bus_name=names.hub_bus,
            event_pattern={"source": [EVENT_SOURCE], "detail-type": _FORWARDED},
            targets=[events.CfnRule.TargetProperty(id="queue", arn=queue.queue_arn)],
        )
        rule.node.add_dependency(self.bus)
        allow_events_to_send(queue, rule_arn)
        table = self._table(names, key)
        function = JitrFunction(
            self,
            "Function",
            name=names.hub_function,
            handler="jitr.handlers.hub.handler",
            key=key,
            key_actions=[READ],
            target=target,
            code=code,
            layer=layer,
            timeout=_FUNCTION_TIMEOUT,
            environment={**settings.to_environ(), HUB_TABLE: table.table_name},
            statements=[
                iam.PolicyStatement(
                    sid="KeepHubTable",
                    actions=["dynamodb:GetItem", "dynamodb:UpdateItem"],
                    resources=[table.table_arn],
                ),
                enrollment.read_statement("dynamodb:BatchGetItem"),
                iam.PolicyStatement(
                    sid="TakeEvents",
                    actions=["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
                    resources=[queue.queue_arn],
                ),
                iam.PolicyStatement(
                    sid="Announce",
                    actions=["events:PutEvents"],
                    resources=[stack.format_arn(service="events", resource="event-bus/default")],
                ),
            ],
            wildcards={},
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=function.function,
            event_source_arn=queue.queue_arn,
            batch_size=10,
            max_concurrency=_CONCURRENCY,
            report_batch_item_failures=True,
        )

    def _bus(self, names: ResourceNames, account_ids: Sequence[str], organization: str | None, target: Target) -> None:
        """Make the bus, and the policy that says who may send to it.

        A bus's policy holds 10,240 characters, some 300 accounts. An organization takes one line; the function then
        refuses events of accounts that are not in the fleet.
        """
        self.bus = events.CfnEventBus(self, "Bus", name=names.hub_bus)
        if LocalDifference.NO_BUS_POLICY in target.differences:
            return
        stack = cdk.Stack.of(self)
        policy = events.CfnEventBusPolicy(
            self,
            "BusPolicy",
            event_bus_name=names.hub_bus,
            statement_id="TheFleetsAccountsForward",
            statement={
                "Sid": "TheFleetsAccountsForward",
                "Effect": "Allow",
                "Principal": (
                    "*"
                    if organization
                    else {"AWS": [f"arn:{stack.partition}:iam::{account}:root" for account in sorted(account_ids)]}
                ),
                "Action": "events:PutEvents",
                "Resource": stack.format_arn(service="events", resource=f"event-bus/{names.hub_bus}"),
                "Condition": {
                    "StringEquals": {
                        "events:source": EVENT_SOURCE,
                        **({"aws:PrincipalOrgID": organization} if organization else {}),
                    }
                },
            },
        )
        policy.node.add_dependency(self.bus)

    def _table(self, names: ResourceNames, key: StageKey) -> dynamodb.TableV2:
        """Make the table; it outlives the stack, but not a failed first deployment: its name would block the next."""
        return dynamodb.TableV2(
            self,
            "Table",
            table_name=names.hub_table,
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="place", type=dynamodb.AttributeType.STRING),
            global_secondary_indexes=[
                # Sparse: only devices that are out of place have its key, so no scan is needed.
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=OUT_OF_PLACE_INDEX,
                    partition_key=dynamodb.Attribute(name="out_of_place", type=dynamodb.AttributeType.STRING),
                    sort_key=dynamodb.Attribute(name="since", type=dynamodb.AttributeType.NUMBER),
                )
            ],
            billing=dynamodb.Billing.on_demand(),
            encryption=key.of_table,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
