"""Chooses the KMS key for a stage's queues, tables, bucket, logs and functions' environments.

The default is AWS's own keys, which cost nothing and need no permissions. A fleet may name its own key by ARN or alias;
that key is made and managed outside the stack, so that no deployment can make data unreadable. What a key and an alias
encrypt: docs/fleet.md, "A key of your own".
"""

from collections.abc import Callable
from typing import TypeVar

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from jitr_cdk.placeholders import fill_placeholders
from jitr_fleet.model import Account, Fleet

T = TypeVar("T")

# The KMS actions that a role needs to read encrypted data (a queue's messages, a table, an object, its function's
# environment), and to send to a queue (SQS developer guide, "Configure KMS permissions for AWS services").
READ = "kms:Decrypt"
SEND = "kms:GenerateDataKey"


class StageKey(Construct):
    """The key of one stage: the fleet's own, or none."""

    def __init__(self, scope: Construct, construct_id: str, *, fleet: Fleet, account: Account) -> None:
        super().__init__(scope, construct_id)
        written = account.kms_key or fleet.stack.kms_key
        self._arn = written and fill_placeholders(written, cdk.Stack.of(self))
        self.key = kms.Key.from_key_arn(self, "Key", self._arn) if self._arn else None

    def choose(self, constructed: Callable[[kms.IKey], T], *, otherwise: T) -> T:
        """Make a value from the fleet's own key; `otherwise` if there is none."""
        return constructed(self.key) if self.key else otherwise

    @property
    def of_queue(self) -> sqs.QueueEncryption:
        return self.choose(lambda _: sqs.QueueEncryption.KMS, otherwise=sqs.QueueEncryption.SQS_MANAGED)

    @property
    def of_bucket(self) -> s3.BucketEncryption:
        return self.choose(lambda _: s3.BucketEncryption.KMS, otherwise=s3.BucketEncryption.S3_MANAGED)

    @property
    def of_table(self) -> dynamodb.TableEncryptionV2:
        return self.choose(
            dynamodb.TableEncryptionV2.customer_managed_key, otherwise=dynamodb.TableEncryptionV2.dynamo_owned_key()
        )

    @property
    def of_environment(self) -> kms.IKey | None:
        """The key for a function's environment and snapshots; None for an alias, which Lambda's KmsKeyArn refuses.

        With an alias Lambda uses AWS's own key. The environment holds names of resources, and no secret.
        """
        return None if ":alias/" in (self._arn or "") else self.key

    def use(self, *actions: str) -> list[iam.PolicyStatement]:
        """The statements that allow a role these actions with the key; empty if there is none."""
        if self._arn is None:
            return []
        before, is_alias, alias = self._arn.partition(":alias/")
        if not is_alias:
            return [iam.PolicyStatement(sid="UseKey", actions=list(actions), resources=[self._arn])]
        # A policy names an alias only in a condition (KMS developer guide, "Use aliases to control access").
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{alias}"}}
        return [
            iam.PolicyStatement(
                sid="UseKey", actions=list(actions), resources=[f"{before}:key/*"], conditions=condition
            )
        ]

    @property
    def wildcards(self) -> dict[str, str]:
        """The reasons for the wildcards in the statements of `use`, by ARN."""
        before, is_alias, _ = (self._arn or "").partition(":alias/")
        return {f"{before}:key/*": "its condition allows only the alias's key"} if is_alias else {}
