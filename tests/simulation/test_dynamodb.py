"""DynamoDB as careful code uses it: the same assertions against the model and against moto.

Where moto is known to differ from AWS, the test runs against the model alone and says why.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from simulation import Aws, Call, Fault, Moment, NotModelled
from simulation.dynamodb import Index

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "registry"

# For moto; made once, since a session's first client takes a third of a second.
_session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def model(aws: Aws) -> "DynamoDBClient":
    account = aws.account("111111111111")
    account.dynamodb.create(
        TABLE, partition="id", indexes={"due": Index("kind", "due_at"), "kinds": Index(partition="kind")}
    )
    client: DynamoDBClient = account.client("dynamodb")
    return client


@pytest.fixture
def moto() -> Iterator["DynamoDBClient"]:
    with mock_aws():
        client = _session.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "kind", "AttributeType": "S"},
                {"AttributeName": "due_at", "AttributeType": "N"},
            ],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "kind", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        yield client


@pytest.fixture(params=["model", "moto"])
def dynamodb(request: pytest.FixtureRequest) -> "DynamoDBClient":
    client: DynamoDBClient = request.getfixturevalue(request.param)
    return client


def key(item_id: str) -> dict[str, Any]:
    return {"id": {"S": item_id}}


def item(client: "DynamoDBClient", item_id: str) -> dict[str, Any] | None:
    return client.get_item(TableName=TABLE, Key=key(item_id), ConsistentRead=True).get("Item")


RICH = {
    **key("rich"),
    "kind": {"S": "held"},
    "due_at": {"N": "10"},
    "tags": {"SS": ["a", "b"]},
    "flags": {"L": [{"S": "x"}, {"N": "1"}]},
    "decision": {"M": {"outcome": {"S": "held"}, "tries": {"N": "2"}}},
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("attribute_exists(decision)", True),
        ("attribute_exists(#decision.reason)", False),
        ("attribute_not_exists(denied_by)", True),
        ("NOT attribute_exists(denied_by)", True),
        ("#decision.outcome = :held", True),
        ("#decision.outcome <> :held", False),
        ("denied_by = :held", False),
        ("due_at < :n9", False),
        ("due_at > :n9", True),
        ("due_at BETWEEN :n9 AND :n10", True),
        ("due_at = :n10 AND #decision.tries >= :n9", False),
        ("due_at = :n10 OR #decision.tries >= :n9", True),
        ("due_at = :n9 OR due_at = :n10 AND NOT due_at > :n10", True),
        ("(due_at = :n10 OR due_at = :n9) AND due_at = :n9", False),
        ("kind IN (:held, :n9)", True),
        ("begins_with(kind, :he)", True),
        ("contains(tags, :a)", True),
        ("contains(tags, :he)", False),
        ("contains(kind, :he)", True),
        ("size(tags) = :n2", True),
        ("size(kind) > :n2", True),
        ("attribute_type(#decision, :type_m)", True),
        ("attribute_type(kind, :type_m)", False),
        ("flags[1] = :n1", True),
    ],
)
def test_conditions(dynamodb: "DynamoDBClient", condition: str, *, holds: bool) -> None:
    dynamodb.put_item(TableName=TABLE, Item=RICH)
    values = {
        ":held": {"S": "held"},
        ":he": {"S": "he"},
        ":a": {"S": "a"},
        ":type_m": {"S": "M"},
        **{f":n{number}": {"N": str(number)} for number in (1, 2, 9, 10)},
    }
    condition = condition.replace("(decision)", "(#decision)")
    used = {name: values[name] for name in set(re.findall(r":\w+", condition))}
    request: dict[str, Any] = {"TableName": TABLE, "Key": key("rich"), "ConditionExpression": condition}
    if "#decision" in condition:
        request["ExpressionAttributeNames"] = {"#decision": "decision"}
    if used:
        request["ExpressionAttributeValues"] = used
    if holds:
        dynamodb.delete_item(**request)
        assert item(dynamodb, "rich") is None
    else:
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.delete_item(**request)
        assert item(dynamodb, "rich") == RICH


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ("SET note = :s", {"note": {"S": "s"}}),
        ("SET decision.outcome = :s", {"decision": {"M": {"outcome": {"S": "s"}, "tries": {"N": "2"}}}}),
        (
            "SET decision.tries = decision.tries + :n, due_at = due_at - :n",
            {"decision": {"M": {"outcome": {"S": "held"}, "tries": {"N": "5"}}}, "due_at": {"N": "7"}},
        ),
        ("SET due_at = if_not_exists(due_at, :n), more = if_not_exists(more, :n)", {"more": {"N": "3"}}),
        ("SET flags = list_append(flags, :l)", {"flags": {"L": [{"S": "x"}, {"N": "1"}, {"S": "s"}]}}),
        ("SET flags[0] = :s", {"flags": {"L": [{"S": "s"}, {"N": "1"}]}}),
        ("REMOVE decision.tries, note", {"decision": {"M": {"outcome": {"S": "held"}}}}),
        ("ADD due_at :n, more :n", {"due_at": {"N": "13"}, "more": {"N": "3"}}),
        ("SET note = :s REMOVE flags", {"note": {"S": "s"}, "flags": None}),
    ],
)
def test_updates(dynamodb: "DynamoDBClient", update: str, expected: dict[str, Any]) -> None:
    dynamodb.put_item(TableName=TABLE, Item=RICH)
    values = {":s": {"S": "s"}, ":n": {"N": "3"}, ":l": {"L": [{"S": "s"}]}}
    used = {name: value for name, value in values.items() if name in update}
    request: dict[str, Any] = {"ExpressionAttributeValues": used} if used else {}
    answer = dynamodb.update_item(
        TableName=TABLE, Key=key("rich"), UpdateExpression=update, ReturnValues="ALL_NEW", **request
    )
    after = {name: value for name, value in {**RICH, **expected}.items() if value is not None}
    assert item(dynamodb, "rich") == after
    assert answer["Attributes"] == after


def test_sets_grow_and_shrink_and_vanish(dynamodb: "DynamoDBClient") -> None:
    for update, expected in (
        ("ADD tags :t", {"c", "d"}),
        ("ADD tags :u", {"c", "d", "e"}),
        ("DELETE tags :t", {"e"}),
        ("DELETE tags :u", None),
    ):
        value = {"SS": ["c", "d"]} if ":t" in update else {"SS": ["e"]}
        dynamodb.update_item(
            TableName=TABLE,
            Key=key("new"),
            UpdateExpression=update,
            ExpressionAttributeValues={update[-2:]: value},
        )
        found = item(dynamodb, "new")
        assert found is not None
        assert (set(found["tags"]["SS"]) if "tags" in found else None) == expected


@pytest.mark.parametrize(
    ("update", "values"),
    [
        ("SET id = :v", {":v": {"S": "x"}}),
        ("SET note = missing", {}),
        ("SET nowhere.deep = :v", {":v": {"S": "x"}}),
        ("SET status = :v", {":v": {"S": "x"}}),  # a reserved word
        ("SET note = :v, note = :v", {":v": {"S": "x"}}),
        ("SET note = :v", {":v": {"S": "x"}, ":unused": {"S": "x"}}),
        ("SET note = :missing", {}),
        ("SET note :v", {":v": {"S": "x"}}),
        ("SET kind = kind + :v", {":v": {"N": "1"}}),
    ],
)
def test_an_update_that_aws_refuses_is_refused(dynamodb: "DynamoDBClient", update: str, values: dict[str, Any]) -> None:
    dynamodb.put_item(TableName=TABLE, Item=RICH)
    request: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
    with pytest.raises(dynamodb.exceptions.ClientError) as raised:
        dynamodb.update_item(TableName=TABLE, Key=key("rich"), UpdateExpression=update, **request)
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    assert item(dynamodb, "rich") == RICH


def test_a_batch_gets_distinct_keys(dynamodb: "DynamoDBClient") -> None:
    dynamodb.put_item(TableName=TABLE, Item=RICH)
    answer = dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": [key("rich"), key("missing")]}})
    assert (answer["Responses"][TABLE], answer["UnprocessedKeys"]) == ([RICH], {})
    with pytest.raises(dynamodb.exceptions.ClientError) as raised:
        dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": [key("rich"), key("rich")]}})
    assert raised.value.response["Error"]["Code"] == "ValidationException"


def test_a_transaction_is_all_or_nothing_and_says_why(dynamodb: "DynamoDBClient") -> None:
    dynamodb.put_item(TableName=TABLE, Item=RICH)

    def transact(*entries: dict[str, Any]) -> None:
        dynamodb.transact_write_items(TransactItems=entries)  # type: ignore[arg-type]  # plain dicts

    put = {"Put": {"TableName": TABLE, "Item": key("new")}}
    refused = {
        "Update": {
            "TableName": TABLE,
            "Key": key("rich"),
            "UpdateExpression": "SET note = :x",
            "ConditionExpression": "attribute_not_exists(kind)",
            "ExpressionAttributeValues": {":x": {"S": "x"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as raised:
        transact(put, refused)
    reasons = raised.value.response["CancellationReasons"]
    assert [reason.get("Code") for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert reasons[1].get("Item") == RICH
    assert item(dynamodb, "new") is None

    check = {"TableName": TABLE, "Key": key("rich"), "ConditionExpression": "attribute_exists(kind)"}
    transact(put, {"ConditionCheck": check}, {"Delete": {"TableName": TABLE, "Key": key("gone")}})
    assert item(dynamodb, "new") == key("new")
    with pytest.raises(dynamodb.exceptions.ClientError) as raised_again:
        transact(put, put)
    assert raised_again.value.response["Error"]["Code"] == "ValidationException"


def test_a_sparse_index_holds_what_has_its_keys_in_order(dynamodb: "DynamoDBClient") -> None:
    for number in (3, 1, 2):
        dynamodb.put_item(
            TableName=TABLE, Item={**key(f"held-{number}"), "kind": {"S": "held"}, "due_at": {"N": str(number)}}
        )
    dynamodb.put_item(TableName=TABLE, Item={**key("not-due"), "kind": {"S": "held"}})
    dynamodb.update_item(TableName=TABLE, Key=key("held-3"), UpdateExpression="REMOVE due_at")

    def query(**more: Any) -> tuple[list[str], Any]:
        answer = dynamodb.query(
            TableName=TABLE,
            IndexName="due",
            KeyConditionExpression="kind = :kind AND due_at <= :now",
            ExpressionAttributeValues={":kind": {"S": "held"}, ":now": {"N": "10"}},
            **more,
        )
        return [str(found["id"]["S"]) for found in answer["Items"]], answer.get("LastEvaluatedKey")

    assert query() == (["held-1", "held-2"], None)
    assert query(ScanIndexForward=False)[0] == ["held-2", "held-1"]
    shown, last = query(Limit=1)
    assert shown == ["held-1"]
    assert query(ExclusiveStartKey=last)[0] == ["held-2"]


def test_a_filter_leaves_out_what_was_read(dynamodb: "DynamoDBClient") -> None:
    for number in range(3):
        dynamodb.put_item(
            TableName=TABLE, Item={**key(f"i{number}"), "kind": {"S": "held"}, "due_at": {"N": str(number)}}
        )
    answer = dynamodb.query(
        TableName=TABLE,
        IndexName="due",
        KeyConditionExpression="#k = :kind",
        FilterExpression="due_at > :zero",
        ProjectionExpression="id",
        ExpressionAttributeNames={"#k": "kind"},
        ExpressionAttributeValues={":kind": {"S": "held"}, ":zero": {"N": "0"}},
    )
    assert answer["Items"] == [key("i1"), key("i2")]
    assert (answer["Count"], answer["ScannedCount"]) == (2, 3)


def test_a_transaction_whose_answer_was_lost_succeeds_at_the_retry(aws: Aws, model: "DynamoDBClient") -> None:
    """By its ClientRequestToken, though its condition does not hold any more."""

    def lose(call: Call, moment: Moment) -> Fault | None:
        return Fault.TIMEOUT if moment == "after" and call.attempt == 1 else None

    aws.fault = lose
    entry = {"TableName": TABLE, "Item": key("new"), "ConditionExpression": "attribute_not_exists(id)"}
    model.transact_write_items(TransactItems=[{"Put": entry}])  # type: ignore[typeddict-item]  # plain dict
    assert [call.answer for call in aws.calls] == ["timeout", "ok"]


def test_unprocessed_keys_can_be_had(aws: Aws, model: "DynamoDBClient") -> None:
    model.put_item(TableName=TABLE, Item=RICH)
    aws.fault = lambda _, moment: Fault.PARTIAL if moment == "before" else None
    answer = model.batch_get_item(RequestItems={TABLE: {"Keys": [key("rich"), key("other")]}})
    assert list(answer["UnprocessedKeys"][TABLE]["Keys"]) == [key("rich")]


def test_a_missing_attribute_differs_from_every_value(model: "DynamoDBClient") -> None:
    """As in AWS: `<>` holds where there is nothing."""
    model.put_item(
        TableName=TABLE,
        Item=key("new"),
        ConditionExpression="denied_by <> :x",
        ExpressionAttributeValues={":x": {"S": "x"}},
    )
    assert item(model, "new") == key("new")


def test_values_of_different_types_have_no_order(model: "DynamoDBClient") -> None:
    """As in AWS; moto fails with a TypeError."""
    model.put_item(TableName=TABLE, Item=RICH)
    with pytest.raises(model.exceptions.ConditionalCheckFailedException):
        model.delete_item(
            TableName=TABLE,
            Key=key("rich"),
            ConditionExpression="kind < :n OR kind > :n",
            ExpressionAttributeValues={":n": {"N": "1"}},
        )


def test_what_is_not_modelled_is_loud(model: "DynamoDBClient") -> None:
    with pytest.raises(NotModelled):
        model.scan(TableName=TABLE, Limit=1)
    with pytest.raises(NotModelled):
        model.update_item(TableName=TABLE, Key=key("x"), ReturnValues="UPDATED_NEW")
    with pytest.raises(model.exceptions.ResourceNotFoundException):
        model.get_item(TableName="missing", Key=key("x"))
