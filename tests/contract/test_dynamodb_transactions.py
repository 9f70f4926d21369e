"""DynamoDB's transactions, on the model and on the local AWS."""

from typing import Any

import pytest

from tests.support.contract.places import answer
from tests.support.contract.tables import INVALID, Table


def transact(table: Table, *updates: dict[str, Any], **more: str) -> Any:
    items: Any = [{"Update": update} for update in updates]
    return table.client.transact_write_items(TransactItems=items, **more)  # type: ignore[arg-type]


def cancelled(table: Table, *updates: dict[str, Any]) -> list[str]:
    """The codes of each entry's reason, in a transaction that is cancelled."""
    with pytest.raises(table.client.exceptions.TransactionCanceledException) as error:
        transact(table, *updates)
    answered: Any = error.value.response
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 400
    return [reason["Code"] for reason in answered["CancellationReasons"]]


def test_a_transaction_writes_all_or_nothing_and_gives_each_entrys_reason_in_order(table: Table) -> None:
    table.put(id="b", owner="other")
    free = "attribute_not_exists(#o)"
    names = {"#o": "owner"}

    def own(of: str) -> dict[str, Any]:
        return table.update(of, "SET #o = :me", free, me="me") | {"ExpressionAttributeNames": names}

    unconditional = table.update("c", "SET x = :one", one=1)

    assert cancelled(table, own("a"), own("b"), unconditional) == ["None", "ConditionalCheckFailed", "None"]
    assert (table.item("a"), table.item("c")) == (None, None)
    assert cancelled(table, own("b"), own("a")) == ["ConditionalCheckFailed", "None"]

    transact(table, own("a"), unconditional)
    assert table.item("a") == {"id": "a", "owner": "me"}
    assert table.item("c") == {"id": "c", "x": 1}


def test_every_failed_condition_of_a_transaction_has_its_reason(table: Table) -> None:
    failing = [table.update(of, "SET x = :one", "x = :one", one=1) for of in ("a", "b")]

    assert cancelled(table, *failing) == ["ConditionalCheckFailed"] * 2


def test_one_item_twice_in_a_transaction_is_refused(table: Table) -> None:
    update = table.update("a", "SET x = :one", one=1)

    assert answer(lambda: transact(table, update, update)) == INVALID


def test_a_transaction_with_the_same_token_is_carried_out_once(table: Table) -> None:
    def count(token: str) -> None:
        update = table.update("a", "SET n = if_not_exists(n, :zero) + :one", zero=0, one=1)
        transact(table, update, ClientRequestToken=token)

    count("first")
    count("first")
    assert table.item("a") == {"id": "a", "n": 1}
    count("second")
    assert table.item("a") == {"id": "a", "n": 2}


def test_an_unused_value_in_a_transaction_is_refused_and_nothing_is_written(table: Table) -> None:
    good, bad = table.update("a", "SET x = :one", one=1), table.update("b", "SET x = :one", one=1, unused=2)

    assert answer(lambda: transact(table, good, bad)) == INVALID
    assert table.item("a") is None
