"""The table of enrollment entries of a stage in moto, as the stack makes it."""

from jitrctl.session.stage import Stage


def create_enrollment(stage: Stage) -> None:
    """Create the table, empty."""
    stage.dynamodb.create_table(
        TableName=stage.names.enrollment_table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
