"""Defines the registry table, with decisions, owners and verdicts; it outlives the stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from jitr.store.failure_count import EXPIRES_AT
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, OUTCOME_INDEX
from jitr.store.registry import DUE_INDEX
from jitr.store.serial_index import ISSUED_AS, SERIAL_INDEX
from jitr_cdk.encryption import StageKey


class RegistryTable(Construct):
    """One table per fleet, account and Region, with a fixed name."""

    def __init__(self, scope: Construct, construct_id: str, *, table_name: str, key: StageKey) -> None:
        super().__init__(scope, construct_id)
        self.table = dynamodb.TableV2(
            self,
            "Table",
            table_name=table_name,
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            global_secondary_indexes=[
                # Sparse: only items with something due have its keys, so no scan is needed.
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=DUE_INDEX,
                    partition_key=dynamodb.Attribute(name="due", type=dynamodb.AttributeType.STRING),
                    sort_key=dynamodb.Attribute(name="due_at", type=dynamodb.AttributeType.NUMBER),
                    projection_type=dynamodb.ProjectionType.KEYS_ONLY,
                ),
                # Decisions by CA and outcome (outcome_index.py). An update of a stack can add one index, not two.
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=OUTCOME_INDEX,
                    partition_key=dynamodb.Attribute(name=LISTED_AS, type=dynamodb.AttributeType.STRING),
                    sort_key=dynamodb.Attribute(name=LISTED_AT, type=dynamodb.AttributeType.NUMBER),
                    projection_type=dynamodb.ProjectionType.KEYS_ONLY,
                ),
                # Certificates by CA and serial number (serial_index.py), as a CRL names them.
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=SERIAL_INDEX,
                    partition_key=dynamodb.Attribute(name=ISSUED_AS, type=dynamodb.AttributeType.STRING),
                    projection_type=dynamodb.ProjectionType.KEYS_ONLY,
                ),
            ],
            # Only failure counts have it (failure_count.py).
            time_to_live_attribute=EXPIRES_AT,
            billing=dynamodb.Billing.on_demand(),
            encryption=key.of_table,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            # It outlives the stack, except after a failed first deployment: its name would block the next.
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
