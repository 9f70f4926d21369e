"""The registry's table: conditions, transactions, batches and the sparse index; docs/aws-facts.md §10.

The expressions have the form of claims.py, registry.py and journal.py.
"""

from typing import Any

import pytest

from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer
from tests.support.contract.tables import INVALID, Table, key, plain, values

REFUSED = ("ConditionalCheckFailedException", 400)


# Conditional writes


def test_an_update_makes_an_item_that_is_not_there(table: Table) -> None:
    table.client.update_item(**table.update("a", "SET intent = :intent", intent={"run": "1"}))

    assert table.item("a") == {"id": "a", "intent": {"run": "1"}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("attribute_not_exists(verdict)", True),
        ("attribute_exists(verdict)", False),
        ("intent.run = :run", True),
        ("intent.nobody = :run", False),
        ("intent.nobody < :run", False),
        ("intent.nobody <> :run", True),
        ("absent.run = :run", False),
        ("NOT absent.run = :run", True),
        ("looks < :ten AND intent.run = :run", True),
        ("looks > :ten OR intent.run = :run", True),
        ("looks > :ten", False),
        ("intent.run IN (:ten, :run)", True),
        ("intent.run IN (:ten)", False),
        ("(attribute_not_exists(intent) OR intent.run = :run) AND attribute_not_exists(verdict)", True),
        ("attribute_not_exists(intent) OR intent.run = :run AND attribute_exists(verdict)", False),
        ("looks = :text_ten", False),
        ("flag = :true", True),
    ],
)
def test_a_write_is_made_if_its_condition_holds_and_else_refused(table: Table, condition: str, *, holds: bool) -> None:
    table.put(id="a", intent={"run": "1"}, looks=9, flag=True)
    given = {"run": "1", "ten": 10, "text_ten": "9", "true": True}
    used = {name: value for name, value in given.items() if f":{name}" in condition.replace("(", " ").replace(")", " ")}

    answered = table.answered(table.update("a", "SET done = :done", condition, done=1, **used))

    assert answered == (OK if holds else REFUSED)
    item = table.item("a")
    assert item is not None
    assert ("done" in item) is holds


def test_what_a_condition_names_need_not_be_there_nor_the_item(table: Table) -> None:
    free = "attribute_not_exists(certificate_id) OR certificate_id = :mine"

    assert table.answered(table.update("a", "SET certificate_id = :mine", free, mine="m")) == OK
    assert table.answered(table.update("a", "SET certificate_id = :mine", free, mine="m")) == OK
    assert table.answered(table.update("a", "SET certificate_id = :mine", free, mine="o")) == REFUSED
    assert table.answered(table.update("b", "SET x = :mine", "x = :mine", mine="m")) == REFUSED
    assert table.item("b") is None


def test_what_a_set_reads_is_the_item_as_it_was(table: Table) -> None:
    table.put(id="a", first=1)

    table.client.update_item(
        **table.update("a", "SET #first = :two, #second = #first, #third = if_not_exists(#third, :two)", two=2),
        ExpressionAttributeNames={"#first": "first", "#second": "second", "#third": "third"},
    )

    assert table.item("a") == {"id": "a", "first": 2, "second": 1, "third": 2}


def test_set_and_remove_go_together_and_removing_what_is_not_there_is_fine(table: Table) -> None:
    table.put(id="a", due="look", due_at=1)

    table.client.update_item(**table.update("a", "SET schema_ = :one REMOVE due, due_at, intent", one=1))

    assert table.item("a") == {"id": "a", "schema_": 1}


def test_a_deletion_has_a_condition_too_and_deleting_nothing_is_fine(table: Table) -> None:
    table.put(id="a", holder="me")

    def delete(of: str, **more: Any) -> object:
        return table.client.delete_item(TableName=table.name, Key=key(of), **more)

    mine = {"ConditionExpression": "holder = :who", "ExpressionAttributeValues": values(who="you")}
    assert answer(lambda: delete("a", **mine)) == REFUSED
    assert answer(lambda: delete("b", **mine)) == REFUSED
    assert answer(lambda: delete("b")) == OK
    assert answer(lambda: delete("a", **mine | {"ExpressionAttributeValues": values(who="me")})) == OK
    assert table.item("a") is None


def test_the_item_as_it_was_is_answered_when_asked_for(table: Table) -> None:
    update = table.update("a", "SET verdict = :verdict", verdict="denied")

    first = table.client.update_item(**update, ReturnValues="ALL_OLD")
    second = table.client.update_item(
        **update | {"ExpressionAttributeValues": values(verdict="approved")}, ReturnValues="ALL_OLD"
    )

    assert first.get("Attributes", {}) == {}
    assert plain(second["Attributes"]) == {"id": "a", "verdict": "denied"}


# What is refused for its form


@pytest.mark.parametrize(
    ("expression", "names", "given"),
    [
        ("SET x = :x", {}, {"x": 1, "unused": 2}),
        ("SET x = :x", {"#unused": "y"}, {"x": 1}),
        ("SET x = :missing", {}, {"x": 1}),
        ("SET #missing = :x", {}, {"x": 1}),
        ("SET schema = :x", {}, {"x": 1}),  # a reserved word
        ("SET id = :x", {}, {"x": "b"}),
    ],
    ids=[
        "an unused value",
        "an unused name",
        "a value that is not given",
        "a name that is not given",
        "a reserved word",
        "the key",
    ],
)
def test_an_expression_that_aws_does_not_take_is_refused(
    table: Table, expression: str, names: dict[str, str], given: dict[str, Any]
) -> None:
    update = table.update("a", expression, **given)
    if names:
        update["ExpressionAttributeNames"] = names

    assert table.answered(update) == INVALID
    assert table.item("a") is None


def test_one_attribute_twice_in_an_update_is_refused(place: Place, table: Table) -> None:
    table.put(id="a")

    for twice in ("SET x = :x, x = :x", "SET x = :x REMOVE x"):
        answered = table.answered(table.update("a", twice, x=1))
        assert answered == expected(place, INVALID, overlapping_paths_taken=OK)


def test_a_key_of_another_form_is_refused(table: Table) -> None:
    def get(wrong: dict[str, Any]) -> object:
        return table.client.get_item(TableName=table.name, Key=wrong)

    assert answer(lambda: get({"other": {"S": "a"}})) == INVALID
    assert answer(lambda: get(key("a") | {"other": {"S": "a"}})) == INVALID
    assert answer(lambda: get({"id": {"N": "1"}})) == INVALID
    assert answer(lambda: get({"id": {"S": ""}})) == INVALID


def test_a_table_that_is_not_there_is_not_found(place: Place) -> None:
    refused = answer(lambda: place.dynamodb.get_item(TableName="nowhere", Key=key("a")))

    assert refused == ("ResourceNotFoundException", 400)


# BatchGetItem


def batch(table: Table, *ids: str) -> dict[str, Any]:
    request: Any = {table.name: {"Keys": [key(one) for one in ids], "ConsistentRead": True}}
    answered: Any = table.client.batch_get_item(RequestItems=request)
    return {item["id"]["S"]: plain(item) for item in answered["Responses"].get(table.name, [])}


def test_a_batch_answers_the_items_that_are_there(table: Table) -> None:
    table.put(id="a", x=1)
    table.put(id="b", x=2)

    assert batch(table, "a", "b", "c") == {"a": {"id": "a", "x": 1}, "b": {"id": "b", "x": 2}}
    assert batch(table, "c") == {}


def test_a_batch_says_that_nothing_is_left_unprocessed(table: Table) -> None:
    answered = table.client.batch_get_item(RequestItems={table.name: {"Keys": [key("a")]}})

    assert answered["UnprocessedKeys"] == {}


def test_a_batch_with_a_key_twice_is_refused(table: Table) -> None:
    assert answer(lambda: batch(table, "a", "b", "a")) == INVALID


def test_a_batch_holds_100_keys_at_most(table: Table) -> None:
    ids = [str(number) for number in range(101)]

    assert answer(lambda: batch(table, *ids[:100])) == OK
    assert answer(lambda: batch(table, *ids)) == INVALID


# The sparse index


def test_the_index_holds_what_has_its_keys_in_their_order(table: Table) -> None:
    for of, at in (("late", 300), ("early", 20), ("middle", 100), ("future", 1000)):
        table.put(id=of, due="look", due_at=at)
    table.put(id="other", due="retire", due_at=1)
    table.put(id="none")
    table.put(id="half", due="look")

    answered = table.due("look", 500)

    assert [item["id"]["S"] for item in answered["Items"]] == ["early", "middle", "late"]
    assert answered["Count"] == 3
    assert "LastEvaluatedKey" not in answered


def test_an_item_leaves_the_index_with_the_attribute_and_moves_with_its_value(table: Table) -> None:
    for of, at in (("a", 1), ("b", 2), ("c", 3)):
        table.put(id=of, due="look", due_at=at)

    table.client.update_item(**table.update("a", "REMOVE due, due_at"))
    table.client.update_item(**table.update("b", "SET due_at = :later", later=9))
    table.client.delete_item(TableName=table.name, Key=key("c"))
    table.client.update_item(**table.update("d", "SET due = :look, due_at = :five", look="look", five=5))

    assert [item["id"]["S"] for item in table.due("look", 10)["Items"]] == ["d", "b"]


def test_the_index_is_read_by_pages_none_of_which_repeats_an_item(table: Table) -> None:
    for number in range(5):
        table.put(id=str(number), due="look", due_at=number // 2)  # some at the same moment
    pages: list[list[str]] = []
    start: dict[str, Any] = {}
    while True:
        answered = table.due("look", 10, Limit=2, **start)
        pages.append([item["id"]["S"] for item in answered["Items"]])
        if "LastEvaluatedKey" not in answered:
            break
        assert set(answered["LastEvaluatedKey"]) == {"id", "due", "due_at"}
        start = {"ExclusiveStartKey": answered["LastEvaluatedKey"]}

    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(one for page in pages for one in page) == ["0", "1", "2", "3", "4"]


def test_a_page_goes_on_where_it_ended_although_its_last_item_has_left(table: Table) -> None:
    for number in range(4):
        table.put(id=str(number), due="look", due_at=number)
    page = table.due("look", 10, Limit=2)
    table.client.update_item(**table.update("1", "REMOVE due, due_at"))

    rest = table.due("look", 10, ExclusiveStartKey=page["LastEvaluatedKey"])

    assert [item["id"]["S"] for item in rest["Items"]] == ["2", "3"]


def test_an_index_is_not_read_consistently(table: Table) -> None:
    assert answer(lambda: table.due("look", 1, ConsistentRead=True)) == INVALID


def test_an_index_that_is_not_there_is_refused(table: Table) -> None:
    def query() -> object:
        return table.client.query(
            TableName=table.name,
            IndexName="nothing",
            KeyConditionExpression="due = :due",
            ExpressionAttributeValues=values(due="look"),
        )

    assert answer(query) == INVALID
