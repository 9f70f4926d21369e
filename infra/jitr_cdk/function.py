"""Defines a Lambda function of jitr with its log group, role, layer, runtime and environment; the same for all."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from jitr_cdk.asset import Asset, layer_asset
from jitr_cdk.encryption import READ, StageKey
from jitr_cdk.findings import acknowledge, acknowledge_wildcards
from jitr_cdk.target import Target
from jitr_fleet.resources import LIVE


class JitrFunction(Construct):
    """A function whose role has the given statements, and may write the function's own log.

    `wildcards` has each resource of the statements with a wildcard, and the reason why nothing narrower is possible.
    `key_actions` are its actions with the stage's own key, if there is one.

    `live` is the target for events: the function, or with a snapshot the alias of its published version, since Lambda
    makes snapshots only of published versions.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        handler: str,
        key: StageKey,
        target: Target,
        code: Asset,
        layer: lambda_.ILayerVersion,
        timeout: cdk.Duration,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        wildcards: Mapping[str, str],
        key_actions: Sequence[str] = (READ,),
        snap_start: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{name}",
            encryption_key=key.key,
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        own_streams = f"{log_group.log_group_arn}:*"
        write_log = iam.PolicyStatement(
            sid="WriteOwnLog", actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[own_streams]
        )
        role = iam.Role(
            self,
            "Role",
            role_name=f"{name}-{cdk.Stack.of(self).region}",  # ResourceNames.role, with the function's name
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "function": iam.PolicyDocument(statements=[write_log, *statements, *key.use(*key_actions)])
            },
        )
        acknowledge_wildcards(
            role, {own_streams: "Lambda names the streams of the function's own log", **wildcards, **key.wildcards}
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            runtime=target.runtime,
            architecture=target.architecture,
            handler=handler,
            code=code.code(),
            layers=[layer],
            # CDK would add grants to the role; the statements above are complete.
            role=role.without_policy_updates(),
            timeout=timeout,
            memory_size=512,
            environment=dict(environment),
            environment_encryption=key.of_environment,
            log_group=log_group,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
        )
        self.live: lambda_.IFunction = self.function
        if snap_start:
            # CDK makes a new version only when the function changes; the version has to follow the layer too.
            self.function.invalidate_version_based_on(layer_asset(target).hash)
            self.live = lambda_.Alias(self, "Live", alias_name=LIVE, version=self.function.current_version)
        acknowledge(
            self.function, "L1", "the layer's wheels are made and tested for this runtime; AWS supports it until 2029"
        )
