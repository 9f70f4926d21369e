"""Defines the bucket for CRLs: one object per CA; old versions are kept for 90 days."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from jitr.aws.crl_bucket import FOLDER
from jitr_cdk.encryption import StageKey
from jitr_cdk.findings import acknowledge
from jitr_cdk.target import Target

_DAYS_THAT_OLD_VERSIONS_STAY = 90


class CrlBucket(Construct):
    """One bucket per fleet, account and Region, with a fixed name; the functions may only read it."""

    def __init__(self, scope: Construct, construct_id: str, *, bucket_name: str, key: StageKey, target: Target) -> None:
        super().__init__(scope, construct_id)
        self.bucket_name = bucket_name
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=bucket_name,
            versioned=True,
            encryption=key.of_bucket,
            encryption_key=key.key,
            # One data key for many objects, so that reads make few calls of KMS.
            bucket_key_enabled=key.key is not None,
            enforce_ssl=target.tls_only,
            minimum_tls_version=1.2 if target.tls_only else None,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="ForgetOldVersions",
                    noncurrent_version_expiration=cdk.Duration.days(_DAYS_THAT_OLD_VERSIONS_STAY),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
            # It outlives the stack, except after a failed first deployment: its name would block the next.
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )

        # CDK's own `event_bridge_enabled` would add a function that sets it.
        self.bucket.node.default_child.notification_configuration = (  # type: ignore[union-attr]  # a CfnBucket
            s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
            )
        )
        acknowledge(self.bucket, "S1", "CRLs are public, and old versions are kept")
        self.objects = self.bucket.arn_for_objects(f"{FOLDER}/*")

    def read_statements(self) -> list[iam.PolicyStatement]:
        """The statements with which a function may read CRLs.

        Without ListBucket S3 answers "access denied" for an object that does not exist, which could have other causes.
        Which CAs have published a CRL is no secret. The condition key `s3:prefix` is not in a GetObject's context, so
        the list cannot be narrowed; the bucket holds nothing else.
        """
        return [
            iam.PolicyStatement(sid="ReadCrls", actions=["s3:GetObject"], resources=[self.objects]),
            iam.PolicyStatement(
                sid="SeeThatNoCrlIsThere", actions=["s3:ListBucket"], resources=[self.bucket.bucket_arn]
            ),
        ]
