"""Makes the queues of a stage, all encrypted."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from jitr_cdk.encryption import StageKey


def make_queue(
    scope: Construct,
    construct_id: str,
    name: str,
    *,
    days: int,
    key: StageKey,
    tls_only: bool,
    visibility_timeout: cdk.Duration | None = None,
    dead_letter_queue: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    """Make a queue whose messages are kept for `days`, encrypted with the fleet's own key if it has one."""
    return sqs.Queue(
        scope,
        construct_id,
        queue_name=name,
        encryption=key.of_queue,
        encryption_master_key=key.key,
        enforce_ssl=tls_only,
        retention_period=cdk.Duration.days(days),
        visibility_timeout=visibility_timeout,
        dead_letter_queue=dead_letter_queue,
    )


def allow_events_to_send(queue: sqs.Queue, rule_arn: str) -> None:
    """Allow EventBridge to send to the queue for this rule (EventBridge user guide, "Amazon SQS permissions")."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="TheRuleSends",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": rule_arn}},
        )
    )
