"""Verdicts in the registry: each is conditional on the one that was seen, also on one by an earlier jitrctl."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jitr.iot_models import Status
from jitr.record import Record
from jitr.store.registry_items import from_verdict
from jitr.verdicts import OperatorAction, OperatorVerdict, VerdictConflict
from tests.support.cases.issuing import NOW
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.examples import ACTIVATION, ID, said

SECOND = timedelta(seconds=1)
APPROVED, REVOKED = said(OperatorAction.APPROVED), said(OperatorAction.REVOKED, note="stolen")


def record(cloud: Cloud) -> Record:
    return cloud.registry.recall([ID])[ID]


def give(cloud: Cloud, verdict: OperatorVerdict, seen: OperatorVerdict | None) -> OperatorVerdict:
    given = cloud.registry.give_verdict(ID, verdict, seen=seen).verdict
    assert given
    return given


def by_an_earlier_jitrctl(cloud: Cloud, verdict: OperatorVerdict) -> OperatorVerdict:
    """As the version before writes it: without a condition or a count."""
    fields = {name: value for name, value in from_verdict(verdict).items() if name != "version"}
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"certificate#{ID}"}},
        UpdateExpression="SET verdict = :verdict",
        ExpressionAttributeValues={
            ":verdict": {
                "M": {
                    name: {"BOOL": value}
                    if isinstance(value, bool)
                    else {"N": str(value)}
                    if isinstance(value, int)
                    else {"S": value}
                    for name, value in fields.items()
                }
            }
        },
    )
    return replace(verdict, version=0)


WRITES: dict[str, Callable[[Cloud, OperatorVerdict | None], object]] = {
    "verdict": lambda cloud, seen: cloud.registry.give_verdict(ID, REVOKED, seen=seen),
    "release": lambda cloud, seen: cloud.registry.give_verdict(ID, REVOKED, seen=seen, forget_decision=True),
    "forget": lambda cloud, seen: cloud.registry.forget(ID, seen=seen),
    "forget the decision": lambda cloud, seen: cloud.registry.forget_decision(ID, seen=seen) if seen else None,
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("at", [NOW, NOW + SECOND], ids=["the same time", "later"])
def test_what_rests_on_a_verdict_that_was_replaced_is_not_written(cloud: Cloud, write: str, at: Any) -> None:
    cloud.registry.record(ACTIVATION)
    first = give(cloud, APPROVED, None)
    second = give(cloud, said(OperatorAction.DENIED, at=at), first)
    assert (first.version, second.version) == (1, 2)
    with pytest.raises(VerdictConflict) as another:
        WRITES[write](cloud, first)
    assert another.value.verdict == second
    assert (record(cloud).verdict, record(cloud).decision) == (second, ACTIVATION)


@pytest.mark.parametrize("write", ["verdict", "release", "forget"])
def test_what_saw_no_verdict_is_not_written_over_one(cloud: Cloud, write: str) -> None:
    stands = give(cloud, APPROVED, None)
    with pytest.raises(VerdictConflict, match=r"approved by .*, which came first"):
        WRITES[write](cloud, None)
    assert record(cloud).verdict == stands


def test_a_verdict_is_not_written_where_all_was_forgotten_meanwhile(cloud: Cloud) -> None:
    seen = give(cloud, APPROVED, None)
    cloud.registry.forget(ID, seen=seen)
    with pytest.raises(VerdictConflict, match="its record was deleted meanwhile"):
        give(cloud, REVOKED, seen)
    assert record(cloud) == Record()


def test_a_verdict_of_an_earlier_jitrctl_is_replaced_by_who_saw_it(cloud: Cloud) -> None:
    uncounted = by_an_earlier_jitrctl(cloud, APPROVED)
    assert record(cloud).verdict == uncounted
    with pytest.raises(VerdictConflict):
        give(cloud, REVOKED, replace(uncounted, at=NOW - SECOND))
    assert give(cloud, REVOKED, uncounted).number == uncounted.number + 1


def test_an_earlier_jitrctl_that_overwrites_a_counted_verdict_is_noticed(cloud: Cloud) -> None:
    counted = give(cloud, APPROVED, None)
    cloud.registry.record(replace(ACTIVATION, verdict_seen=counted.number))
    uncounted = by_an_earlier_jitrctl(cloud, said(OperatorAction.DENIED, at=NOW - SECOND))
    assert record(cloud).has_new_verdict
    with pytest.raises(VerdictConflict):
        give(cloud, REVOKED, counted)
    assert give(cloud, REVOKED, uncounted).number > uncounted.number > counted.number


def test_a_release_keeps_what_it_releases(cloud: Cloud) -> None:
    release = replace(said(OperatorAction.RELEASED), of_registration=NOW - SECOND, of_status=Status.REVOKED)
    assert give(cloud, release, None) == record(cloud).verdict == replace(release, version=1)


def test_a_status_of_a_later_version_in_a_release_is_none_that_is_known(cloud: Cloud) -> None:
    give(cloud, replace(said(OperatorAction.RELEASED), of_registration=NOW, of_status=Status.INACTIVE), None)
    item = cloud.items()[f"certificate#{ID}"]
    item["verdict"]["M"]["of_status"] = {"S": "QUARANTINED"}
    cloud.dynamodb.put_item(TableName=TABLE, Item=item)
    verdict = record(cloud).verdict
    assert verdict
    assert (verdict.of_registration, verdict.of_status) == (NOW, None)


def test_an_answer_that_was_lost_makes_no_verdict_a_colleagues(cloud: Cloud, wire: Wire) -> None:
    stored = give(cloud, REVOKED, None)
    wire.fail("UpdateItem", "ConditionalCheckFailedException")
    assert give(cloud, REVOKED, None) == stored
