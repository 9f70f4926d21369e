"""What a CRL does to a certificate by its record, on which serial numbers two CRLs differ, and which CRL may follow."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.record import Record
from jitr.revocation.difference import changed_serials
from jitr.revocation.judgement import Action, ends_a_device, is_too_many, judge
from jitr.revocation.lateness import warns_from
from jitr.revocation.succession import CrlIdentity, in_force_from, why_not_after
from jitr.store.serial_index import issued_as_of
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitr.x509.crl_entries import RevocationReason
from jitr.x509.der import number_width
from tests.support.cases.issuing import NOW
from tests.support.examples import LEAST

FOR_GOOD, HOLD = RevocationReason.keyCompromise, RevocationReason.certificateHold
ACTIVE = replace(LEAST, outcome=Outcome.ACTIVATED, status=Status.ACTIVE, thing_name="sensor-0001")
SUSPENDED = replace(ACTIVE, outcome=Outcome.FOUND, status=Status.INACTIVE, reason=Reason.SUSPENDED_BY_CA)
HELD = replace(LEAST, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, reason=Reason.CA_INACTIVE)
REVOKED = replace(ACTIVE, outcome=Outcome.FOUND, status=Status.REVOKED)
BY_HAND = replace(SUSPENDED, reason=None)
DENIED = OperatorVerdict(action=OperatorAction.DENIED, by="ann", at=NOW, version=1)
LIFTED = OperatorVerdict(
    action=OperatorAction.RELEASED, by="the CRL", at=NOW, version=1, of_rejection=SUSPENDED.decided_at
)


@pytest.mark.parametrize(
    ("decision", "for_good", "hold", "nothing"),
    [
        (ACTIVE, Action.REVOKE, Action.SUSPEND, None),
        (replace(LEAST, outcome=Outcome.REJECTED, status=Status.INACTIVE), Action.REVOKE, None, None),
        (replace(ACTIVE, outcome=Outcome.REPLACED, status=Status.INACTIVE), Action.REVOKE, None, None),
        (SUSPENDED, Action.REVOKE, None, Action.LIFT),
        (BY_HAND, Action.REVOKE, None, None),
        (REVOKED, None, None, None),
        (HELD, None, None, None),
        (None, None, None, None),
    ],
    ids=["ACTIVE", "rejected", "replaced", "suspended", "by hand", "REVOKED", "held", "unknown"],
)
def test_a_crl_ends_what_is_registered_and_lifts_its_own_holds(
    decision: Decision | None, for_good: Action | None, hold: Action | None, nothing: Action | None
) -> None:
    record = Record(decision=decision)
    assert (judge(record, FOR_GOOD), judge(record, HOLD), judge(record, None)) == (for_good, hold, nothing)


@pytest.mark.parametrize(
    "record",
    [
        Record(decision=SUSPENDED, verdict=DENIED),
        Record(decision=SUSPENDED, verdict=LIFTED),
        Record(decision=replace(SUSPENDED, replaced_by="cd" * 32)),
    ],
    ids=["an operator denies it", "it is lifted already", "another certificate follows it"],
)
def test_a_hold_is_not_lifted_against_what_came_after_it(record: Record) -> None:
    assert judge(record, None) is None


@pytest.mark.parametrize("decision", [ACTIVE, None], ids=["ACTIVE", "not recorded"])
def test_a_suspension_that_was_begun_is_lifted_like_one_that_was_recorded(decision: Decision | None) -> None:
    assert judge(Record(decision=decision, intent=SUSPENDED), None) is Action.LIFT
    assert judge(Record(decision=decision, intent=SUSPENDED, verdict=DENIED), None) is None
    for other in (BY_HAND, REVOKED, replace(REVOKED, reason=Reason.REVOKED_BY_CA)):
        assert judge(Record(decision=decision, intent=other), None) is None


def test_a_claim_counts_as_active_since_it_may_have_been_carried_out() -> None:
    record = Record(intent=ACTIVE)
    assert judge(record, FOR_GOOD) is Action.REVOKE
    assert ends_a_device(record, Action.REVOKE)


def test_a_lifted_hold_is_a_release_order_and_nothing_else_that_is_inactive_is() -> None:
    order = replace(LIFTED, of_registration=SUSPENDED.registered_at, of_status=Status.INACTIVE)
    assert Record(decision=SUSPENDED, verdict=order).is_release_ordered
    assert not Record(decision=SUSPENDED, verdict=order).was_revoked_or_deactivated
    assert Record(decision=SUSPENDED).was_revoked_or_deactivated
    for other in (BY_HAND, REVOKED, replace(SUSPENDED, decided_at=NOW + timedelta(days=1))):
        assert not Record(decision=other, verdict=order).is_release_ordered
        assert Record(decision=other, verdict=order).was_revoked_or_deactivated


@pytest.mark.parametrize(
    ("ended", "devices", "waits"),
    [(20, 20, False), (21, 21, True), (21, 419, True), (21, 420, False), (5000, 100_000, False), (5001, 100_000, True)],
)
def test_more_than_twenty_and_more_than_five_percent_wait(ended: int, devices: int, *, waits: bool) -> None:
    assert is_too_many(ended, devices) is waits


def test_the_brake_counts_working_devices_alone() -> None:
    assert ends_a_device(Record(decision=ACTIVE), Action.SUSPEND)
    assert not ends_a_device(Record(decision=SUSPENDED), Action.REVOKE)
    assert not ends_a_device(Record(decision=SUSPENDED), Action.LIFT)


def rows(entries: Mapping[int, int]) -> dict[int, bytes]:
    """The rows of a CRL with these serial numbers and reason bytes, as crl_entries.index_of makes them."""
    by_width: dict[int, list[bytes]] = {}
    for serial, reason in entries.items():
        width = number_width(serial)
        by_width.setdefault(width, []).append(serial.to_bytes(width, "big", signed=True) + bytes([reason]))
    return {width: b"".join(sorted(some)) for width, some in by_width.items()}


ENTRIES = st.dictionaries(st.integers(min_value=1, max_value=2**20), st.sampled_from([0, 1, 255]), max_size=40)


@given(ENTRIES, ENTRIES)
def test_two_crls_differ_on_the_serial_numbers_that_only_one_has_or_for_other_reasons(
    new: dict[int, int], old: dict[int, int]
) -> None:
    expected = {serial for serial in {*new, *old} if new.get(serial) != old.get(serial)}
    found = list(changed_serials(rows(new), rows(old)))
    assert len(found) == len(set(found))
    assert set(found) == expected


FIRST = CrlIdentity(number=4, this_update=NOW)
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("new", "refused"),
    [
        (CrlIdentity(number=5, this_update=LATER), None),
        (CrlIdentity(number=4, this_update=NOW), None),
        (CrlIdentity(number=3, this_update=LATER), "number 3 is older"),
        (CrlIdentity(number=4, this_update=LATER), "has the same number"),
        (CrlIdentity(number=5, this_update=NOW - timedelta(hours=1)), "it was issued"),
        (CrlIdentity(number=None, this_update=NOW - timedelta(hours=1)), "it was issued"),
        (CrlIdentity(number=None, this_update=LATER), None),
    ],
)
def test_an_older_crl_may_not_follow(new: CrlIdentity, refused: str | None) -> None:
    why = why_not_after(new, FIRST)
    assert (why is None) is (refused is None)
    assert why is None or refused is None or refused in why


def test_a_crl_of_a_clock_that_is_a_little_ahead_is_in_force() -> None:
    assert in_force_from(FIRST) == NOW - timedelta(minutes=5)


@pytest.mark.parametrize(("life", "warned"), [(30, 2.0), (7, 2.0), (3, 1.0), (1, 1 / 3)])
def test_a_crl_warns_days_before_its_end(life: float, warned: float) -> None:
    ends = NOW + timedelta(days=life)
    assert ends - warns_from(NOW, ends) == timedelta(days=warned)


def test_a_held_certificate_is_not_in_the_index_of_serial_numbers() -> None:
    known = replace(ACTIVE, ca_certificate_id="ef" * 32, serial="0a1b")
    assert issued_as_of(known) == f"{'ef' * 32}#0a1b"
    assert issued_as_of(replace(known, outcome=Outcome.HELD)) is None
    assert issued_as_of(replace(known, serial=None)) is None
