"""An import's order: for which registration of a certificate it is good, and for which it is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jitr.decisions import Decision, Outcome
from jitr.import_order import ImportOrder
from jitr.iot_models import DeviceRegistration, Status
from jitr.record import Record
from jitr.rules import source_id

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ORDER = ImportOrder(source=source_id("maker"), by="ann", at=NOW)
MADE = DeviceRegistration(
    certificate_id="ab" * 32,
    arn="arn",
    status=Status.INACTIVE,
    pem="",
    ca_certificate_id=None,
    created_at=NOW + SECOND,
    modified_at=NOW + SECOND,
    is_ca_named=False,
)
REJECTED = Decision(
    certificate_id=MADE.certificate_id,
    outcome=Outcome.REJECTED,
    status=Status.INACTIVE,
    registered_at=MADE.created_at,
    decided_at=NOW + 2 * SECOND,
    rules_digest="",
    ca_certificate_id="cd" * 32,
)


def test_what_an_import_registered_is_its_own() -> None:
    assert Record(import_order=ORDER).is_import_unfinished(MADE)
    assert not Record().is_import_unfinished(MADE)


@pytest.mark.parametrize(
    "other",
    [
        replace(MADE, is_ca_named=True),
        replace(MADE, status=Status.PENDING_ACTIVATION),
        replace(MADE, status=Status.ACTIVE),
        replace(MADE, status=Status.REVOKED),
        replace(MADE, modified_at=MADE.created_at + 2 * SECOND),
        replace(MADE, modified_at=None),
        replace(MADE, created_at=NOW - 10 * SECOND, modified_at=NOW - 10 * SECOND),
        replace(MADE, created_at=NOW + 400 * SECOND, modified_at=NOW + 400 * SECOND),
    ],
    ids=["named", "pending", "active", "revoked", "set-since", "unknown", "older", "much-later"],
)
def test_nothing_else_is_an_imports(other: DeviceRegistration) -> None:
    assert not Record(import_order=ORDER).is_import_unfinished(other)


def test_what_a_ca_decided_on_this_registration_is_no_imports() -> None:
    for record in (Record(import_order=ORDER, decision=REJECTED), Record(import_order=ORDER, intent=REJECTED)):
        assert not record.is_registered_by_import(MADE)
        assert not record.is_import_unfinished(MADE)


def test_a_decision_on_an_earlier_registration_does_not_end_an_import() -> None:
    earlier = replace(REJECTED, registered_at=NOW - timedelta(days=1))
    assert Record(import_order=ORDER, decision=earlier).is_import_unfinished(MADE)
