"""Where devices live: what an event says, which accounts are a device's own, and what is none of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.errors import Misconfigured, UnreadableEvent
from jitr.event_details import event_detail
from jitr.hub.locations import Homes, Statement, is_out_of_place, out_of_place_detail
from tests.support.examples import MOST, SETTINGS

SCHEMA = Draft202012Validator(
    json.loads(
        (Path(__file__).parents[2] / "docs/events/device-out-of-place.v1.schema.json").read_text(encoding="utf-8")
    )
)
DEV, PROD = "111111111111", "222222222222"


def delivered(**changed: Any) -> dict[str, Any]:
    """An event of `register` as EventBridge delivers it, with other fields in its detail."""
    detail = event_detail(MOST, SETTINGS) | changed
    return {
        "detail-type": "Device Activated",
        "source": "jitr",
        "account": SETTINGS.account_id,
        "region": SETTINGS.region,
        "detail": detail,
    }


def parsed(event: object) -> Statement:
    return Statement.parse(json.dumps(event), fleet="acme")


def test_a_decision_says_where_its_certificate_lives_and_as_of_when() -> None:
    statement = parsed(delivered(status="ACTIVE"))

    assert statement.is_active
    assert statement.certificate_id == MOST.certificate_id
    assert statement.place == f"{SETTINGS.account_id}/{SETTINGS.region}"
    assert (statement.thing_name, statement.ca) == (MOST.thing_name, MOST.ca)
    assert abs((statement.at - MOST.decided_at).total_seconds()) < 0.001


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED", "PENDING_ACTIVATION"])
def test_every_other_status_says_that_it_does_not(status: str) -> None:
    assert not parsed(delivered(status=status)).is_active


def test_an_operators_verdict_is_a_statement_too() -> None:
    detail = {
        "version": "1",
        "id": "0" * 32,
        "fleet": "acme",
        "account": SETTINGS.account_id,
        "region": SETTINGS.region,
        "certificate_id": "a" * 64,
        "verdict": "revoked",
        "at": "2026-11-01T12:00:00.000+00:00",
        "status": "REVOKED",
    }
    statement = parsed(delivered() | {"detail": detail})

    assert (statement.status, statement.is_active, statement.thing_name) == ("REVOKED", False, None)


def test_fields_that_a_later_version_adds_are_ignored() -> None:
    assert parsed(delivered(colour="red")) == parsed(delivered())


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("no event", "not an event of jitr"),
        ({"detail": {}}, "not an event of jitr"),
        ({"detail": []}, "not an event of jitr"),
        (delivered(version="2"), "the detail has version '2'; only 1 can be read"),
        (delivered(certificate_id="A" * 64), "certificate_id is not 64 hexadecimal digits"),
        (delivered(certificate_id=7), "certificate_id is not 64 hexadecimal digits"),
        (delivered(decided_at="soon"), "no time"),
        (delivered(fleet="other"), "of another fleet"),
        (delivered(account="999999999999"), "the detail names 999999999999"),
        (delivered(region="us-east-1"), "sent by"),
    ],
)
def test_what_cannot_be_read_or_is_forged_is_told(event: object, said: str) -> None:
    with pytest.raises(UnreadableEvent, match=said):
        parsed(event)


def allowing(*accounts: str, rule: EntryRule = EntryRule.ALLOW) -> Entry:
    return Entry(subject=Subject(SubjectKind.THING, "sensor-0001"), rule=rule, accounts=accounts)


@pytest.mark.parametrize(
    ("entries", "homes"),
    [
        ((), {PROD}),
        ((allowing(),), {PROD}),
        ((allowing(DEV),), {DEV}),
        ((allowing(DEV), allowing(PROD)), {DEV, PROD}),
        ((allowing(DEV, rule=EntryRule.REMOVED),), {PROD}),
    ],
)
def test_entries_that_name_accounts_come_before_the_cas_home(entries: tuple[Entry, ...], homes: set[str]) -> None:
    assert Homes({"factory": (PROD,)}).of("factory", entries) == homes


def test_a_device_without_a_home_is_at_home_everywhere() -> None:
    homes = Homes({"factory": (PROD,)})

    assert not is_out_of_place(parsed(delivered(status="ACTIVE")), homes.of("partner", ()))
    assert not is_out_of_place(parsed(delivered(status="ACTIVE")), homes.of(None, ()))


@pytest.mark.parametrize(
    ("account", "status", "out"), [(DEV, "ACTIVE", True), (DEV, "INACTIVE", False), (PROD, "ACTIVE", False)]
)
def test_out_of_place_is_who_lives_where_it_does_not_belong(account: str, status: str, out: object) -> None:
    statement = replace(parsed(delivered()), account_id=account, status=status)

    assert is_out_of_place(statement, frozenset({PROD})) is out


def test_homes_come_back_as_they_were_written() -> None:
    homes = Homes({"factory": (DEV, PROD)})

    assert Homes.from_json(homes.to_json()) == homes


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"homes": 7}', '{"homes": {}}'])
def test_homes_that_cannot_be_read_are_told(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"hub\.json cannot be read"):
        Homes.from_json(text)


def test_the_event_has_the_id_of_the_one_that_told_of_it() -> None:
    statement = parsed(delivered(status="ACTIVE"))

    detail = out_of_place_detail(statement, frozenset({PROD}), fleet="acme")

    SCHEMA.validate(detail)
    assert (detail["id"], detail["belongs_to"]) == (statement.event_id, [PROD])
