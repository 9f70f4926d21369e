"""The hub: decision events of all accounts into one table, however late and often, and who is out of place."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Decision, Outcome
from jitr.errors import Misconfigured
from jitr.event_details import event_detail
from jitr.handlers.hub import HUB_TABLE, HubHandler, build
from jitr.hub.locations import Homes, Statement
from jitr.hub.table import HubTable
from jitr.iot_models import Status
from jitr.settings import Settings
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from jitr.telemetry import Counts
from tests.support.cases.issuing import NOW, REGION
from tests.support.cloud import LOGGERS, OPERATOR, Cloud, Wire
from tests.support.edge.hub_table import TABLE, create_hub_table
from tests.support.examples import ACTIVATION

DEV, PROD = "111111111111", "222222222222"
SECOND = timedelta(seconds=1)


@pytest.fixture
def table(cloud: Cloud) -> HubTable:
    create_hub_table(cloud.dynamodb)
    return HubTable(cloud.dynamodb, TABLE)


@pytest.fixture
def hub(cloud: Cloud, table: HubTable) -> HubHandler:
    """The hub of a fleet whose factory's devices belong to prod."""
    return HubHandler(
        settings=cloud.settings,
        homes=Homes({"factory": (PROD,)}, frozenset({DEV, PROD})),
        table=table,
        enrollment=EnrollmentTable(cloud.dynamodb, cloud.settings.enrollment_table),
        events=cloud.session.client("events"),
        logger=Logger(service=f"hub-{next(LOGGERS)}", stream=cloud.log),
        counts=Counts(fleet="acme"),
        clock=lambda: NOW,
    )


def record(decision: Decision, settings: Settings, account: str = DEV, number: int = 0) -> dict[str, Any]:
    """A message as the bus's rule puts it into the queue."""
    there = replace(settings, account_id=account)
    event = {"source": "jitr", "account": account, "region": REGION, "detail": event_detail(decision, there)}
    return {"messageId": f"message-{number}", "body": json.dumps(event)}


def later(seconds: float, **changed: Any) -> Decision:
    return replace(ACTIVATION, decided_at=ACTIVATION.decided_at + seconds * SECOND, **changed)


def left(seconds: float) -> Decision:
    return later(seconds, outcome=Outcome.REPLACED, status=Status.INACTIVE, replaced_by="02" * 32)


def announced(wire: Wire) -> list[dict[str, Any]]:
    return [json.loads(entry["Detail"]) for one in wire.of("PutEvents") for entry in one["Entries"]]


def test_a_device_lives_in_every_account_that_activated_it_each_since_its_own_time(
    hub: HubHandler, table: HubTable, cloud: Cloud
) -> None:
    records = [record(ACTIVATION, cloud.settings, DEV), record(later(60), cloud.settings, PROD, 1)]

    assert hub.handle_batch(records) == {"batchItemFailures": []}

    found = {one.account_id: one for one in table.scan()}
    assert {account: one.thing_name for account, one in found.items()} == dict.fromkeys((DEV, PROD), "sensor-0001")
    assert found[DEV].since
    assert found[PROD].since == found[DEV].at + 60 * SECOND


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 0, 2, 1, 1, 2)])
def test_in_whatever_order_and_however_often_events_come_the_latest_holds(
    hub: HubHandler, table: HubTable, cloud: Cloud, order: tuple[int, ...]
) -> None:
    told = [ACTIVATION, left(60), later(120)]
    for number in order:
        hub.handle_batch([record(told[number], cloud.settings)])

    (one,) = table.scan()
    assert (one.status, one.at) == ("ACTIVE", one.since)
    assert abs(one.at - told[2].decided_at) < SECOND


def test_who_left_lives_there_no_more_and_who_is_told_again_lives_there_since_the_first_time(
    hub: HubHandler, table: HubTable, cloud: Cloud
) -> None:
    hub.handle_batch([record(ACTIVATION, cloud.settings)])
    hub.handle_batch([record(later(30), cloud.settings)])
    (one,) = table.scan()
    assert one.since
    assert abs(one.since - ACTIVATION.decided_at) < SECOND

    hub.handle_batch([record(left(60), cloud.settings)])
    (one,) = table.scan()
    assert (one.status, one.since, one.is_out_of_place) == ("INACTIVE", None, False)
    assert list(table.out_of_place()) == []


def test_an_activation_outside_of_the_cas_home_is_announced_once_and_listed(
    hub: HubHandler, table: HubTable, cloud: Cloud, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        hub.handle_batch([record(ACTIVATION, cloud.settings, DEV), record(ACTIVATION, cloud.settings, PROD, 1)])

    (event,) = announced(wire)
    assert (event["account"], event["belongs_to"], event["thing_name"]) == (DEV, [PROD], "sensor-0001")
    assert [one.account_id for one in table.out_of_place()] == [DEV]
    (line,) = [json.loads(one) for one in capsys.readouterr().out.splitlines() if "OutOfPlace" in one]
    assert line["OutOfPlace"] == [1]


def test_an_enrollment_entry_that_names_accounts_comes_before_the_cas_home(
    hub: HubHandler, table: HubTable, cloud: Cloud, wire: Wire
) -> None:
    entry = Entry(subject=Subject(SubjectKind.THING, "sensor-0001"), rule=EntryRule.ALLOW, accounts=(DEV,))
    enrollment = EnrollmentTable(cloud.dynamodb, cloud.settings.enrollment_table)
    enrollment.change([EntryChange(entry=entry, replaces=None)], by=OPERATOR, at=NOW)

    hub.handle_batch([record(ACTIVATION, cloud.settings, DEV), record(ACTIVATION, cloud.settings, PROD, 1)])

    assert [one.account_id for one in table.out_of_place()] == [PROD]
    assert len(announced(wire)) == 1


def test_an_announcement_that_eventbridge_does_not_take_leaves_nothing_recorded_and_comes_again(
    hub: HubHandler, table: HubTable, cloud: Cloud, wire: Wire
) -> None:
    wire.answer("PutEvents", {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]})

    assert hub.handle_batch([record(ACTIVATION, cloud.settings)]) == {
        "batchItemFailures": [{"itemIdentifier": "message-0"}]
    }
    assert list(table.scan()) == []

    assert hub.handle_batch([record(ACTIVATION, cloud.settings)]) == {"batchItemFailures": []}
    assert len({event["id"] for event in announced(wire)}) == 1
    assert [one.account_id for one in table.out_of_place()] == [DEV]


def test_of_two_at_once_the_later_statement_wins_whoever_writes_last(
    table: HubTable, hub: HubHandler, cloud: Cloud
) -> None:
    hub.handle_batch([record(left(60), cloud.settings)])
    (before,) = table.scan()
    statement = Statement.parse(record(ACTIVATION, cloud.settings)["body"], fleet="acme")

    assert not table.record(statement, out_of_place=True), "it was read before the other one wrote"
    assert list(table.scan()) == [before]


def test_one_messages_failure_is_not_its_neighbours(hub: HubHandler, table: HubTable, cloud: Cloud) -> None:
    forged = record(ACTIVATION, cloud.settings, number=1)
    forged["body"] = forged["body"].replace(f'"account": "{DEV}", "region"', f'"account": "{PROD}", "region"', 1)
    records = [{"messageId": "message-0", "body": "no event"}, forged, record(ACTIVATION, cloud.settings, DEV, 2)]

    failed = hub.handle_batch(records)["batchItemFailures"]

    assert [one["itemIdentifier"] for one in failed] == ["message-0", "message-1"]
    assert [one.account_id for one in table.scan()] == [DEV]


def test_a_throttled_table_lets_the_message_come_again(
    hub: HubHandler, cloud: Cloud, wire: Wire, table: HubTable
) -> None:
    wire.fail("UpdateItem", "ProvisionedThroughputExceededException")

    assert hub.handle_batch([record(ACTIVATION, cloud.settings, PROD)])["batchItemFailures"]
    assert not hub.handle_batch([record(ACTIVATION, cloud.settings, PROD)])["batchItemFailures"]
    assert [one.account_id for one in table.scan()] == [PROD]


def test_an_item_of_a_later_version_is_read_as_far_as_it_is_known(table: HubTable, cloud: Cloud) -> None:
    cloud.dynamodb.put_item(
        TableName=TABLE,
        Item={
            "id": {"S": "a" * 64},
            "place": {"S": f"{DEV}/{REGION}"},
            "at": {"N": "1"},
            "schema": {"N": "9"},
            "colour": {"S": "red"},
        },
    )

    (one,) = table.scan()
    assert (one.account_id, one.region, one.status, one.since) == (DEV, REGION, "", None)


def test_a_function_without_its_table_or_its_homes_says_so(cloud: Cloud) -> None:
    environ = cloud.settings.to_environ()

    with pytest.raises(Misconfigured, match="JITR_HUB_TABLE is not set"):
        build(environ)
    with pytest.raises(Misconfigured, match=r"hub\.json is not in the function's asset"):
        build({**environ, HUB_TABLE: TABLE})
    built = build({**environ, HUB_TABLE: TABLE}, homes='{"homes": {}, "accounts": []}')
    assert built.handle_batch([]) == {"batchItemFailures": []}


def test_an_account_of_the_organization_that_is_not_the_fleets_is_refused(
    hub: HubHandler, table: HubTable, cloud: Cloud
) -> None:
    """The bus may be open to the organization; the envelope's account is EventBridge's word."""
    foreign = record(ACTIVATION, cloud.settings, "333333333333")

    assert hub.handle_batch([foreign]) == {"batchItemFailures": [{"itemIdentifier": foreign["messageId"]}]}
    assert list(table.scan()) == []
