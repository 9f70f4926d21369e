"""Defines the path of a registration event: a topic rule per CA, a queue, `register`, and two queues for failures.

rule ──► registrations ──► register
  │            (dead letters) ──► dead-letter queue
  └─ error action ──► undelivered
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from jitr.aws.rate_limit import BATCH_SIZE, max_concurrency_for
from jitr.settings import Settings
from jitr_cdk.asset import Asset
from jitr_cdk.crls import CrlBucket
from jitr_cdk.encryption import READ, SEND, StageKey
from jitr_cdk.enrollment import EnrollmentList
from jitr_cdk.findings import acknowledge, acknowledge_wildcards
from jitr_cdk.function import JitrFunction
from jitr_cdk.queues import make_queue
from jitr_cdk.registry import RegistryTable
from jitr_cdk.revocation import CrlArrivals
from jitr_cdk.target import LocalDifference, Target
from jitr_fleet.model import CaDeployment
from jitr_fleet.resources import ResourceNames, rule_sql

_FUNCTION_TIMEOUT = cdk.Duration.seconds(60)
# Lambda developer guide, "Configuring a queue": at least six times the function's timeout.
_VISIBILITY = cdk.Duration.seconds(6 * 60)
# Only for a function that cannot start; `register` itself moves the messages that fail to the dead-letter queue.
_RECEIVES = 1000
# A role's inline policies hold 10,240 characters together (IAM guide, "IAM and AWS STS quotas"), an ARN of a CA 110.
MOST_CAS_BY_ARN = 30


class RegistrationPath(Construct):
    """Everything between AWS IoT's event and the registry, in one account and Region."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        cas: tuple[CaDeployment, ...],
        thing_groups: tuple[str, ...],
        billing_groups: tuple[str, ...],
        has_shadows: bool,
        activations_per_second: float,
        rejections_by_reason: bool,
        registry: RegistryTable,
        crls: CrlBucket,
        crl_arrivals: CrlArrivals,
        enrollment: EnrollmentList,
        hooks: tuple[str, ...],
        snap_start: bool,
        key: StageKey,
        target: Target,
        code: Asset,
        layer: lambda_.ILayerVersion,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = make_queue(
            self, "DeadLetters", names.dead_letter_queue, days=14, key=key, tls_only=target.tls_only
        )
        self.undelivered = make_queue(
            self, "Undelivered", names.undelivered_queue, days=14, key=key, tls_only=target.tls_only
        )
        acknowledge(
            self.undelivered, "SQS3", "it is itself for messages that could not be delivered; an alarm watches it"
        )
        self.registrations = make_queue(
            self,
            "Registrations",
            names.registrations_queue,
            days=4,
            key=key,
            tls_only=target.tls_only,
            visibility_timeout=_VISIBILITY,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=_RECEIVES),
        )
        self.queues = (self.dead_letters, self.undelivered, self.registrations)
        stack = cdk.Stack.of(self)
        concurrency = target.limit_environments(max_concurrency_for(activations_per_second))
        self.settings = Settings(
            fleet=names.fleet,
            account_id=stack.account,
            region=stack.region,
            registry_table=registry.table.table_name,
            crl_bucket=crls.bucket.bucket_name,
            enrollment_table=enrollment.table.table_name,
            registrations_queue_url=self.registrations.queue_url,
            dead_letter_queue_url=self.dead_letters.queue_url,
            crl_queue_url=crl_arrivals.queue.queue_url,
            event_bus="default",
            activations_per_second=activations_per_second,
            max_concurrency=concurrency,
            rejections_by_reason=rejections_by_reason,
        )
        register = JitrFunction(
            self,
            "Register",
            name=names.register_function,
            handler="jitr.handlers.register.handler",
            key=key,
            key_actions=[READ, SEND],
            target=target,
            code=code,
            layer=layer,
            timeout=_FUNCTION_TIMEOUT,
            environment=self.settings.to_environ(),
            statements=[
                *self._statements(cas, thing_groups, registry, target),
                *self._extra_statements(billing_groups, has_shadows=has_shadows),
                *crls.read_statements(),
                enrollment.read_statement("dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem"),
                *_hook_statements(hooks),
            ],
            wildcards={
                stack.format_arn(service="iot", resource="cert/*"): "certificate ids come from devices' certificates",
                stack.format_arn(service="iot", resource="thing/*"): "thing names come from devices' certificates",
                stack.format_arn(service="iot", resource="client/*"): "client ids are devices' thing names",
                stack.format_arn(service="iot", resource="cacert/*"): "the role cannot name each of so many CAs",
                crls.objects: "one object for each CA, named by the CA's certificate id",
            },
            snap_start=snap_start and LocalDifference.NO_SNAPSHOTS not in target.differences,
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=register.live,
            event_source_arn=self.registrations.queue_arn,
            batch_size=BATCH_SIZE,
            max_concurrency=concurrency,
            report_batch_item_failures=True,
        )
        self._rules(names, cas, key)

    @property
    def _certificates(self) -> str:
        return cdk.Stack.of(self).format_arn(service="iot", resource="cert/*")

    def _statements(
        self,
        cas: tuple[CaDeployment, ...],
        thing_groups: tuple[str, ...],
        registry: RegistryTable,
        target: Target,
    ) -> list[iam.PolicyStatement]:
        """The permissions of `register`; resources are as narrow as the service authorization reference allows."""

        def iot_arn(resource: str) -> str:
            return cdk.Stack.of(self).format_arn(service="iot", resource=resource)

        certificates, things = self._certificates, iot_arn("thing/*")
        statements = [
            iam.PolicyStatement(
                sid="DecideOnCertificates",
                actions=["iot:DescribeCertificate", "iot:UpdateCertificate"],
                resources=[certificates],
            ),
            iam.PolicyStatement(
                sid="EndSessions",
                actions=["iot:DeleteConnection", "iot:GetConnection"],
                resources=[iot_arn("client/*")],
            ),
            *permit_on_cas(self, cas, "ReadCas", "iot:DescribeCACertificate"),
            iam.PolicyStatement(
                sid="ProvisionThings",
                actions=["iot:CreateThing", "iot:DescribeThing", "iot:ListThingPrincipals", "iot:UpdateThing"],
                resources=[things],
            ),
            iam.PolicyStatement(
                sid="AttachToCertificates",
                actions=[
                    "iot:AttachPolicy",
                    "iot:AttachThingPrincipal",
                    "iot:DetachPolicy",
                    "iot:DetachThingPrincipal",
                    # The thing name may change between two attempts; then the certificate is attached to another thing.
                    "iot:ListPrincipalThings",
                ],
                resources=[certificates],
            ),
            iam.PolicyStatement(
                sid="KeepRegistry",
                actions=[
                    "dynamodb:BatchGetItem",
                    "dynamodb:ConditionCheckItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:UpdateItem",
                ],
                resources=[registry.table.table_arn],
            ),
            iam.PolicyStatement(
                sid="TakeRegistrations",
                actions=[
                    "sqs:ChangeMessageVisibility",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ReceiveMessage",
                ],
                resources=[self.registrations.queue_arn],
            ),
            iam.PolicyStatement(sid="DeadLetter", actions=["sqs:SendMessage"], resources=[self.dead_letters.queue_arn]),
            iam.PolicyStatement(
                sid="Announce",
                actions=["events:PutEvents"],
                resources=[cdk.Stack.of(self).format_arn(service="events", resource="event-bus/default")],
            ),
        ]
        if thing_groups:
            groups = [iot_arn(f"thinggroup/{group}") for group in thing_groups]
            statements.append(
                iam.PolicyStatement(sid="JoinGroups", actions=["iot:AddThingToThingGroup"], resources=[things, *groups])
            )
        if LocalDifference.BATCH_ACTIONS_CHECKED in target.differences:
            statements.append(
                iam.PolicyStatement(
                    sid=LocalDifference.BATCH_ACTIONS_CHECKED.value,
                    actions=["sqs:DeleteMessageBatch"],
                    resources=[self.registrations.queue_arn],
                )
            )
        if LocalDifference.OTHER_ARNS_CHECKED in target.differences:
            statements.append(
                iam.PolicyStatement(
                    sid=LocalDifference.OTHER_ARNS_CHECKED.value,
                    actions=[
                        "iot:AttachPolicy",
                        "iot:AttachThingPrincipal",
                        "iot:DescribeCACertificate",
                        "iot:DetachPolicy",
                        "iot:DetachThingPrincipal",
                        "iot:ListPrincipalThings",
                    ],
                    resources=["*"],
                )
            )
        return statements

    def _extra_statements(self, billing_groups: tuple[str, ...], *, has_shadows: bool) -> list[iam.PolicyStatement]:
        """The permissions for billing groups and first shadows, where a CA's rules give them."""

        def iot_arn(resource: str) -> str:
            return cdk.Stack.of(self).format_arn(service="iot", resource=resource)

        statements = []
        if billing_groups:
            groups = [iot_arn(f"billinggroup/{group}") for group in billing_groups]
            statements.append(
                iam.PolicyStatement(
                    sid="JoinBillingGroups",
                    actions=["iot:AddThingToBillingGroup", "iot:CreateThing"],
                    resources=[iot_arn("thing/*"), *groups],
                )
            )
        if has_shadows:
            statements.append(
                iam.PolicyStatement(
                    sid="WriteFirstShadows",
                    actions=["iot:GetThingShadow", "iot:UpdateThingShadow"],
                    resources=[iot_arn("thing/*")],
                )
            )
        return statements

    def _rules(self, names: ResourceNames, cas: tuple[CaDeployment, ...], key: StageKey) -> None:
        rule_names = {registration.ca.name: names.rule(registration.ca.name) for registration in cas}
        stack = cdk.Stack.of(self)
        role = iam.Role(
            self,
            "RuleRole",
            role_name=names.role("rules", stack.region),
            # Only this fleet's rules in this account may assume the role (confused deputy).
            assumed_by=iam.ServicePrincipal(
                "iot.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    # One pattern for all: a trust policy holds 2,048 characters.
                    "ArnLike": {"aws:SourceArn": stack.format_arn(service="iot", resource=f"rule/{names.rule('*')}")},
                },
            ),
            inline_policies={
                "rules": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="Deliver",
                            actions=["sqs:SendMessage"],
                            resources=[self.registrations.queue_arn, self.undelivered.queue_arn],
                        ),
                        *key.use(READ, SEND),
                    ]
                )
            },
        )
        acknowledge_wildcards(role, key.wildcards)
        for registration in cas:
            ca = registration.ca
            iot.CfnTopicRule(
                self,
                f"Rule-{ca.name}",
                rule_name=rule_names[ca.name],
                topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                    description=f"First connections of devices of CA {ca.name}, for jitr",
                    # CloudFormation's default is the version 2015-10-08.
                    aws_iot_sql_version="2016-03-23",
                    sql=rule_sql(ca.certificate_id),
                    # `jitrctl ca adopt` enables it, once AWS IoT provisions no device of the CA any more.
                    rule_disabled=registration.jitp or None,
                    actions=[_send_to(self.registrations, role)],
                    error_action=_send_to(self.undelivered, role),
                ),
            )


def permit_on_cas(
    scope: Construct, cas: tuple[CaDeployment, ...], sid: str, *actions: str
) -> list[iam.PolicyStatement]:
    """The permission of these actions on the CAs, or on all if so many would fill the role's inline policies.

    There is none where the account has sources alone: a statement needs a resource.
    """
    ids = ["*"] if len(cas) > MOST_CAS_BY_ARN else [registration.ca.certificate_id for registration in cas]
    arns = [cdk.Stack.of(scope).format_arn(service="iot", resource=f"cacert/{ca_id}") for ca_id in ids]
    return [iam.PolicyStatement(sid=sid, actions=list(actions), resources=arns)] if arns else []


def _hook_statements(hooks: tuple[str, ...]) -> list[iam.PolicyStatement]:
    """The permission to invoke the CAs' hooks: exactly these functions, or versions of them."""
    if not hooks:
        return []
    return [iam.PolicyStatement(sid="AskHooks", actions=["lambda:InvokeFunction"], resources=sorted(set(hooks)))]


def _send_to(queue: sqs.Queue, role: iam.IRole) -> iot.CfnTopicRule.ActionProperty:
    return iot.CfnTopicRule.ActionProperty(
        sqs=iot.CfnTopicRule.SqsActionProperty(queue_url=queue.queue_url, role_arn=role.role_arn, use_base64=False)
    )
