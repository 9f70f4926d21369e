"""Defines the enrollment table, with the devices that the fleet expects and denies; it outlives the stack.

A stack that is deployed again must not start with an empty deny-list. So the table has a fixed name and is never
deleted with its stack: a second deployment fails because the name exists, until `cdk import` takes the table over
(docs/enrollment.md). It is made after every resource whose name may exist already, so that a first deployment that
fails for such a reason leaves no table behind.
"""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct, IDependable

from jitr_cdk.encryption import StageKey


class EnrollmentList(Construct):
    """One table per fleet, account and Region, with a fixed name; the functions may only read it."""

    def __init__(self, scope: Construct, construct_id: str, *, table_name: str, key: StageKey) -> None:
        super().__init__(scope, construct_id)
        self.table = dynamodb.TableV2(
            self,
            "Table",
            table_name=table_name,
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing=dynamodb.Billing.on_demand(),
            encryption=key.of_table,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )

    def read_statement(self, *actions: str) -> iam.PolicyStatement:
        """The statement that allows a function to read the table."""
        return iam.PolicyStatement(sid="ReadEnrollment", actions=list(actions), resources=[self.table.table_arn])

    def make_after(self, *others: IDependable) -> None:
        """Make the table after these."""
        self.table.node.add_dependency(*others)
