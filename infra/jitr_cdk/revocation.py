"""Defines how a CRL reaches devices that are ACTIVE: S3's event, a queue, and the function `revoke`.

bucket ──► EventBridge's rule ──► queue `crls` ──► function `revoke`
                 sweep, `jitrctl crl approve` ──┘        └─ dead letters

The event goes by EventBridge, not from S3 to the queue: S3 tests its destination when the bucket is updated, and with a
key of the fleet's own whose policy does not name S3 the update would fail. An event that EventBridge cannot deliver is
found by the sweep.
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from jitr.aws.crl_bucket import FOLDER
from jitr.settings import Settings
from jitr.store.outcome_index import OUTCOME_INDEX
from jitr.store.serial_index import SERIAL_INDEX
from jitr_cdk.asset import Asset
from jitr_cdk.crls import CrlBucket
from jitr_cdk.encryption import READ, StageKey
from jitr_cdk.function import JitrFunction
from jitr_cdk.queues import allow_events_to_send, make_queue
from jitr_cdk.registry import RegistryTable
from jitr_cdk.target import LocalDifference, Target
from jitr_fleet.resources import ResourceNames

# The longest that Lambda allows: each run reads the CRL again.
_FUNCTION_TIMEOUT = cdk.Duration.minutes(15)
# Lambda developer guide, "Configuring a queue": at least six times the function's timeout. `revoke` puts its messages
# off itself; this counts only where it ends before it can.
_VISIBILITY = cdk.Duration.minutes(6 * 15)
# A CRL that takes hours is received once in a quarter of an hour.
_RECEIVES = 1000
_CONCURRENCY = 2  # the least that Lambda allows for SQS; each CA has a lease


class CrlArrivals(Construct):
    """The queues for CRLs that have arrived, and the rule that sends S3's events there."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        crls: CrlBucket,
        key: StageKey,
        target: Target,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = make_queue(
            self, "DeadLetters", names.crl_dead_letter_queue, days=14, key=key, tls_only=target.tls_only
        )
        self.queue = make_queue(
            self,
            "Queue",
            names.crl_queue,
            days=14,
            key=key,
            tls_only=target.tls_only,
            visibility_timeout=_VISIBILITY,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=_RECEIVES),
        )
        events.CfnRule(
            self,
            "Rule",
            name=names.crl_rule,
            description=f"CRLs of the fleet {names.fleet} that arrive in its bucket, to the function `revoke`",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [crls.bucket_name]}, "object": {"key": [{"prefix": f"{FOLDER}/"}]}},
            },
            targets=[events.CfnRule.TargetProperty(id="queue", arn=self.queue.queue_arn)],
        )
        rule_arn = cdk.Stack.of(self).format_arn(service="events", resource=f"rule/{names.crl_rule}")
        allow_events_to_send(self.queue, rule_arn)

    def ask_statement(self) -> iam.PolicyStatement:
        """The statement with which a function may ask for a CRL to be applied."""
        return iam.PolicyStatement(sid="AskForCrls", actions=["sqs:SendMessage"], resources=[self.queue.queue_arn])


class Revocation(Construct):
    """The function `revoke`, in one account and Region."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        settings: Settings,
        arrivals: CrlArrivals,
        registry: RegistryTable,
        crls: CrlBucket,
        key: StageKey,
        target: Target,
        code: Asset,
        layer: lambda_.ILayerVersion,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        certificates, things, clients = (
            stack.format_arn(service="iot", resource=one) for one in ("cert/*", "thing/*", "client/*")
        )
        statements = [
            iam.PolicyStatement(
                sid="EndCertificates",
                actions=["iot:DescribeCertificate", "iot:ListPrincipalThings", "iot:UpdateCertificate"],
                resources=[certificates],
            ),
            iam.PolicyStatement(sid="SeeWhoseSession", actions=["iot:ListThingPrincipals"], resources=[things]),
            iam.PolicyStatement(
                sid="EndSessions", actions=["iot:DeleteConnection", "iot:GetConnection"], resources=[clients]
            ),
            iam.PolicyStatement(
                sid="KeepRegistry",
                actions=[
                    "dynamodb:BatchGetItem",
                    "dynamodb:DeleteItem",  # the lease
                    "dynamodb:GetItem",
                    "dynamodb:UpdateItem",
                ],
                resources=[registry.table.table_arn],
            ),
            iam.PolicyStatement(
                sid="FindCertificates",
                actions=["dynamodb:Query"],
                resources=[f"{registry.table.table_arn}/index/{one}" for one in (OUTCOME_INDEX, SERIAL_INDEX)],
            ),
            # The CRL that was applied last is an earlier version of the object.
            iam.PolicyStatement(sid="ReadEarlierCrls", actions=["s3:GetObjectVersion"], resources=[crls.objects]),
            iam.PolicyStatement(
                sid="TakeArrivals",
                actions=[
                    "sqs:ChangeMessageVisibility",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ReceiveMessage",
                ],
                resources=[arrivals.queue.queue_arn],
            ),
            iam.PolicyStatement(
                sid="Announce",
                actions=["events:PutEvents"],
                resources=[stack.format_arn(service="events", resource="event-bus/default")],
            ),
            *crls.read_statements(),
        ]
        if LocalDifference.OTHER_ARNS_CHECKED in target.differences:
            statements.append(
                iam.PolicyStatement(
                    sid=LocalDifference.OTHER_ARNS_CHECKED.value, actions=["iot:ListPrincipalThings"], resources=["*"]
                )
            )
        revoke = JitrFunction(
            self,
            "Revoke",
            name=names.revoke_function,
            handler="jitr.handlers.revoke.handler",
            key=key,
            key_actions=[READ],
            target=target,
            code=code,
            layer=layer,
            timeout=_FUNCTION_TIMEOUT,
            environment=settings.to_environ(),
            statements=statements,
            wildcards={
                certificates: "the CRL names serial numbers, and any certificate of the account may have one of them",
                things: "thing names come from devices' certificates",
                clients: "client ids are the things' names",
                crls.objects: "one object for each CA, named by the CA's certificate id",
            },
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=revoke.function,
            event_source_arn=arrivals.queue.queue_arn,
            batch_size=1,
            max_concurrency=_CONCURRENCY,
            report_batch_item_failures=True,
        )
