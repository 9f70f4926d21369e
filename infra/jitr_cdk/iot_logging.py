"""Sets the log level of AWS IoT itself, one setting per account and Region, if the fleet file has it.

The setting is deleted with the stack: CloudFormation makes it only if AWS IoT logs nothing yet, so one that a stack
left behind would block the next stack, and would write with an unused role. When the stack or the key of the fleet file
is removed, AWS IoT logs nothing again; the log that it wrote stays.
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from constructs import Construct

from jitr_cdk.findings import acknowledge_wildcards
from jitr_fleet.choices import IotLogging
from jitr_fleet.resources import ResourceNames

_LEVELS = {IotLogging.OFF: "DISABLED"}


class AwsIotLogging(Construct):
    """AWS IoT writes its log, AWSIotLogsV2, at this level; the group's name is AWS's."""

    def __init__(self, scope: Construct, construct_id: str, *, names: ResourceNames, level: IotLogging) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        group = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name="AWSIotLogsV2:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        role = iam.Role(
            self,
            "Role",
            role_name=names.role("iot-logging", stack.region),
            assumed_by=iam.ServicePrincipal(
                "iot.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
            inline_policies={
                "log": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="WriteAwsIotsLog",
                            actions=[
                                "logs:CreateLogGroup",
                                "logs:CreateLogStream",
                                "logs:PutLogEvents",
                                "logs:PutMetricFilter",
                                "logs:PutRetentionPolicy",
                            ],
                            resources=[group],
                        )
                    ]
                )
            },
        )
        acknowledge_wildcards(role, {group: "AWS IoT names the streams of its log"})
        iot.CfnLogging(
            self,
            "Logging",
            account_id=stack.account,
            default_log_level=_LEVELS.get(level, level.value.upper()),
            role_arn=role.role_arn,
        )
