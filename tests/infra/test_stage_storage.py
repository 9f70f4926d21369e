"""The stage's tables and bucket: kept, restorable, closed, and with the indexes that the functions read."""

import json
from typing import Any

from jitr.store.outcome_index import OUTCOME_INDEX
from jitr.store.registry import DUE_INDEX
from jitr.store.serial_index import SERIAL_INDEX
from tests.support.infra.synthesis import NAMES


def test_the_enrollment_table_is_kept_protected_and_restorable(production: Any) -> None:
    (table,) = [
        table
        for table in production.of_type("AWS::DynamoDB::GlobalTable")
        if table["Properties"]["TableName"] == NAMES.enrollment_table
    ]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    (replica,) = table["Properties"]["Replicas"]
    assert replica["DeletionProtectionEnabled"]
    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_enrollment_table_is_made_after_what_a_first_deployment_may_fail_at(production: Any) -> None:
    """It would stay behind, and its name would be taken at the next attempt."""
    (table,) = [
        table
        for table in production.of_type("AWS::DynamoDB::GlobalTable")
        if table["Properties"]["TableName"] == NAMES.enrollment_table
    ]
    resources = production.template.to_json()["Resources"]
    first = {resources[logical_id]["Type"] for logical_id in table["DependsOn"]}
    assert first == {
        "AWS::DynamoDB::GlobalTable",
        "AWS::IoT::Policy",
        "AWS::IoT::ThingGroup",
        "AWS::IoT::ThingType",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
    }


def test_no_role_may_write_the_enrollment_table(production: Any) -> None:
    statements = production.statements("ReadEnrollment")
    assert [statement["Action"] for statement in statements] == [
        ["dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem"],
        ["dynamodb:BatchGetItem", "dynamodb:GetItem"],
    ]
    for role in production.of_type("AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                if "EnrollmentTable" in json.dumps(statement["Resource"]):
                    assert statement["Sid"] == "ReadEnrollment"


def test_the_registry_can_be_restored_to_a_point_in_time(production: Any) -> None:
    (replica,) = production.one("AWS::DynamoDB::GlobalTable", TableName=NAMES.registry_table)["Replicas"]

    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_what_is_due_and_what_was_decided_are_found_by_sparse_indexes(production: Any) -> None:
    table = production.one("AWS::DynamoDB::GlobalTable", TableName=NAMES.registry_table)

    indexes = {one["IndexName"]: one for one in table["GlobalSecondaryIndexes"]}
    keys = {name: [key["AttributeName"] for key in one["KeySchema"]] for name, one in indexes.items()}
    assert keys == {
        DUE_INDEX: ["due", "due_at"],
        OUTCOME_INDEX: ["listed_as", "listed_at"],
        SERIAL_INDEX: ["issued_as"],
    }
    assert all(one["Projection"] == {"ProjectionType": "KEYS_ONLY"} for one in indexes.values())


def test_the_crls_bucket_is_closed_encrypted_versioned_and_speaks_tls_only(production: Any) -> None:
    bucket = production.one("AWS::S3::Bucket", BucketName="jitr-acme-crl-222222222222-eu-central-1")
    (policy,) = production.of_type("AWS::S3::BucketPolicy")
    statements = policy["Properties"]["PolicyDocument"]["Statement"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert {(statement["Effect"], json.dumps(statement["Condition"])) for statement in statements} == {
        ("Deny", '{"Bool": {"aws:SecureTransport": "false"}}'),
        ("Deny", '{"NumericLessThan": {"s3:TlsVersion": 1.2}}'),
    }


def test_the_functions_read_crls_and_nothing_else_of_s3(production: Any) -> None:
    read, see = production.statements("ReadCrls"), production.statements("SeeThatNoCrlIsThere")

    assert len(read) == len(see) == 3
    assert all("/crl/*" in json.dumps(one["Resource"]) for one in read)
    assert {one["Action"] for one in read} == {"s3:GetObject"}
    assert {one["Action"] for one in see} == {"s3:ListBucket"}
