"""Defines the IoT policy of a CA's devices: the fleet's file, with the stack's partition, Region and account."""

import json

import aws_cdk as cdk
from aws_cdk import aws_iot as iot
from constructs import Construct

from jitr_cdk.placeholders import fill_placeholders


class DevicePolicy(Construct):
    """One policy with variables for all devices of a CA; its name is fixed, since the functions attach it by name."""

    def __init__(self, scope: Construct, construct_id: str, *, policy_name: str, document: str) -> None:
        super().__init__(scope, construct_id)
        document = fill_placeholders(document, cdk.Stack.of(self))
        policy = iot.CfnPolicy(self, "Policy", policy_name=policy_name, policy_document=json.loads(document))
        # It is attached to every device: deleting it with the stack would fail, or disconnect the fleet.
        policy.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
