"""Defines the sweep: a function on a schedule, which finds certificates whose events were lost and what is due."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from jitr.store.outcome_index import OUTCOME_INDEX
from jitr.store.registry import DUE_INDEX
from jitr_cdk.asset import Asset
from jitr_cdk.crls import CrlBucket
from jitr_cdk.encryption import READ, SEND, StageKey
from jitr_cdk.enrollment import EnrollmentList
from jitr_cdk.function import JitrFunction
from jitr_cdk.registration import RegistrationPath, permit_on_cas
from jitr_cdk.registry import RegistryTable
from jitr_cdk.revocation import CrlArrivals
from jitr_cdk.target import LocalDifference, Target
from jitr_fleet.model import CaDeployment
from jitr_fleet.resources import ResourceNames

# Ten thousand certificates are 40 pages, at five pages a second.
_FUNCTION_TIMEOUT = cdk.Duration.minutes(10)


class Sweeping(Construct):
    """The function `sweep` and its schedule, in one account and Region."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: ResourceNames,
        every: int,
        cas: tuple[CaDeployment, ...],
        registration: RegistrationPath,
        registry: RegistryTable,
        enrollment: EnrollmentList,
        crls: CrlBucket,
        crl_arrivals: CrlArrivals,
        key: StageKey,
        target: Target,
        code: Asset,
        layer: lambda_.ILayerVersion,
    ) -> None:
        super().__init__(scope, construct_id)
        self._target = target
        stack = cdk.Stack.of(self)
        sweep = JitrFunction(
            self,
            "Sweep",
            name=names.sweep_function,
            handler="jitr.handlers.sweep.handler",
            key=key,
            key_actions=[READ, SEND],
            target=target,
            code=code,
            layer=layer,
            timeout=_FUNCTION_TIMEOUT,
            environment=registration.settings.to_environ(),
            statements=[
                *self._statements(cas, registration, registry, enrollment),
                *crls.read_statements(),
                crl_arrivals.ask_statement(),
            ],
            wildcards={
                "*": "lists of policies and certificates, and GetMetricStatistics, support no resources",
                stack.format_arn(service="iot", resource="cert/*"): "certificate ids come from devices' certificates",
                stack.format_arn(service="iot", resource="thing/*"): "thing names come from devices' certificates",
                stack.format_arn(service="iot", resource="cacert/*"): "the role cannot name each of so many CAs",
                crls.objects: "one object for each CA, named by the CA's certificate id",
            },
        )
        # EventBridge Scheduler user guide, "Confused deputy prevention": the schedule group, never a single schedule.
        schedule_group_arn = stack.format_arn(service="scheduler", resource="schedule-group/default")
        role = iam.Role(
            self,
            "ScheduleRole",
            role_name=names.role("schedule", stack.region),
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnEquals": {"aws:SourceArn": schedule_group_arn},
                },
            ),
            inline_policies={
                "schedule": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="RunSweep",
                            actions=["lambda:InvokeFunction"],
                            resources=[sweep.function.function_arn],
                        )
                    ]
                )
            },
        )
        scheduler.CfnSchedule(
            self,
            "Schedule",
            name=names.sweep_schedule,
            description="Finds devices whose registration event was lost",
            schedule_expression=f"rate({_format_rate(every)})",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=sweep.function.function_arn,
                role_arn=role.role_arn,
                # For a sweep that could not be started; one that failed is tried again by Lambda itself.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=1),
            ),
        )

    def _statements(
        self,
        cas: tuple[CaDeployment, ...],
        registration: RegistrationPath,
        registry: RegistryTable,
        enrollment: EnrollmentList,
    ) -> list[iam.PolicyStatement]:
        stack = cdk.Stack.of(self)
        certificates, things = (stack.format_arn(service="iot", resource=one) for one in ("cert/*", "thing/*"))
        statements = [
            # None of these supports resources or conditions on them (service authorization reference).
            iam.PolicyStatement(
                sid="ListCertificates",
                actions=["iot:ListAttachedPolicies", "iot:ListCertificates", "iot:ListCertificatesByCA"],
                resources=["*"],
            ),
            iam.PolicyStatement(sid="SeeHowOldTheQueueIs", actions=["cloudwatch:GetMetricStatistics"], resources=["*"]),
            iam.PolicyStatement(
                sid="RetireCertificates",
                actions=[
                    "iot:DescribeCertificate",
                    "iot:DetachPolicy",
                    "iot:DetachThingPrincipal",
                    "iot:ListPrincipalThings",  # whether the one that followed has its thing
                    "iot:UpdateCertificate",
                ],
                resources=[certificates],
            ),
            # A CA that an operator has revoked: jitr/sweep/ca_guard.py.
            *permit_on_cas(self, cas, "KeepRevokedCasInactive", "iot:DescribeCACertificate", "iot:UpdateCACertificate"),
            # What attempts left behind: jitr/sweep/withdrawal_repair.py.
            iam.PolicyStatement(
                sid="AttachAgain", actions=["iot:AttachPolicy", "iot:AttachThingPrincipal"], resources=[certificates]
            ),
            iam.PolicyStatement(
                sid="DeleteOrphans",
                actions=["iot:DeleteThing", "iot:DescribeThing", "iot:ListThingPrincipals"],
                resources=[things],
            ),
            iam.PolicyStatement(
                sid="KeepRegistry",
                actions=[
                    "dynamodb:BatchGetItem",
                    "dynamodb:ConditionCheckItem",  # before a name is given back: withdrawal_repair.py
                    "dynamodb:DeleteItem",
                    "dynamodb:GetItem",
                    "dynamodb:UpdateItem",
                ],
                resources=[registry.table.table_arn],
            ),
            enrollment.read_statement("dynamodb:BatchGetItem", "dynamodb:GetItem"),
            iam.PolicyStatement(
                sid="FindWhatIsDue",
                actions=["dynamodb:Query"],
                # The second: devices of a revoked CA that became ACTIVE late, jitr/sweep/late_devices.py.
                resources=[f"{registry.table.table_arn}/index/{index}" for index in (DUE_INDEX, OUTCOME_INDEX)],
            ),
            iam.PolicyStatement(
                sid="SendForgotten",
                actions=["sqs:SendMessage"],
                resources=[registration.registrations.queue_arn],
            ),
            iam.PolicyStatement(
                sid="Announce",
                actions=["events:PutEvents"],
                resources=[stack.format_arn(service="events", resource="event-bus/default")],
            ),
        ]
        if LocalDifference.BATCH_ACTIONS_CHECKED in self._target.differences:
            statements.append(
                iam.PolicyStatement(
                    sid=LocalDifference.BATCH_ACTIONS_CHECKED.value,
                    actions=["sqs:SendMessageBatch"],
                    resources=[registration.registrations.queue_arn],
                )
            )
        if LocalDifference.OTHER_ARNS_CHECKED in self._target.differences:
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
                        "iot:UpdateCACertificate",
                    ],
                    resources=["*"],
                )
            )
        return statements


def _format_rate(seconds: int) -> str:
    """Seconds as a rate expression's value and unit; minutes are the scheduler's least (EventBridge user guide)."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute" if minutes == 1 else f"{minutes} minutes"
