"""Same thing name, new certificate: which one may follow, which may share, and which is a second device."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.admission.rotation import refuse_wrong_owner
from jitr.errors import NAME_LOST, Reason, Rejected
from jitr.owners import Owner
from jitr.rules import OnReplacement, source_id
from jitr.x509.certificate import Certificate
from tests.support.cases.issuing import DAY, NOW, SECOND, applying, factory

APPLICATION = applying(factory().leaf(begins=NOW - DAY))
DEVICE = APPLICATION.device
CERTIFICATE = Certificate.from_pem(DEVICE.pem)
ADMITTED = APPLICATION.examine().admit()
RULES = APPLICATION.ca_rules
OTHER_CA = "0c" * 32
TWIN_ID = "7" * 64
MICROSECOND = timedelta(microseconds=1)

# One that the certificate may follow: same CA, issued earlier, near its end.
OLD = Owner(
    certificate_id="f" * 64,
    ca_certificate_id=RULES.certificate_id,
    serial="0a",
    issued_at=NOW - 360 * DAY,
    ends_at=NOW + 5 * DAY,
    registered_at=NOW - 359 * DAY,
)


def reason(
    owner: Owner | None, *, later: timedelta = 0 * SECOND, may_follow: bool = False, **rules: Any
) -> Reason | None:
    """Why the certificate may not have the name; None if it may."""
    try:
        admitted = replace(
            ADMITTED, rules=replace(RULES, **rules), identity=replace(ADMITTED.identity, may_follow=may_follow)
        )
        refuse_wrong_owner(admitted, owner=owner, twin_id=TWIN_ID, now=NOW + later)
    except Rejected as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize("on_replacement", OnReplacement)
def test_a_name_that_nobody_owns_is_free(on_replacement: OnReplacement) -> None:
    assert reason(None, on_replacement=on_replacement) is None


@pytest.mark.parametrize("on_replacement", OnReplacement)
def test_a_name_that_this_certificate_owns_is_its_own_whatever_else_the_owner_says(
    on_replacement: OnReplacement,
) -> None:
    mine = replace(OLD, certificate_id=DEVICE.certificate_id, ca_certificate_id=OTHER_CA, ends_at=NOW + 999 * DAY)
    assert reason(mine, on_replacement=on_replacement) is None
    assert reason(replace(mine, serial=CERTIFICATE.serial), on_replacement=on_replacement) is None


# What the owner is, and what becomes of one that asks for its name: under rotate, reject, share.
NOT = Reason.NOT_A_ROTATION
TABLE: dict[str, tuple[dict[str, Any], Reason | None]] = {
    "a rotation": ({}, None),
    "issued at the same second, registered earlier": (
        {"issued_at": CERTIFICATE.not_before, "registered_at": DEVICE.created_at - MICROSECOND},
        None,
    ),
    "issued at the same second, registered at the same moment": (
        {"issued_at": CERTIFICATE.not_before, "registered_at": DEVICE.created_at},
        NOT,
    ),
    "issued at the same second, registered later": (
        {"issued_at": CERTIFICATE.not_before, "registered_at": DEVICE.created_at + MICROSECOND},
        NOT,
    ),
    "issued earlier, registered later": ({"registered_at": DEVICE.created_at + DAY}, None),
    "issued later, registered earlier": ({"issued_at": CERTIFICATE.not_before + SECOND}, NOT),
    "at the window's edge": ({"ends_at": NOW + 60 * DAY}, None),
    "a moment outside the window": ({"ends_at": NOW + 60 * DAY + SECOND}, NOT),
    "at its end": ({"ends_at": NOW}, None),
    "long past its end": ({"ends_at": NOW - 900 * DAY}, None),
    "under another CA": ({"ca_certificate_id": OTHER_CA}, NOT),
    "adopted, of no CA": ({"ca_certificate_id": ""}, NOT),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_a_rotation(name: str) -> None:
    changes, expected = TABLE[name]
    assert reason(replace(OLD, **changes)) is expected


@pytest.mark.parametrize("name", TABLE)
def test_where_the_rules_allow_no_other_there_is_none(name: str) -> None:
    changes, _ = TABLE[name]
    assert reason(replace(OLD, **changes), on_replacement=OnReplacement.REJECT) is Reason.REPLACEMENT_REFUSED


@pytest.mark.parametrize("name", TABLE)
def test_things_are_shared_under_one_ca_and_elsewhere_a_rotation_is_asked_for(name: str) -> None:
    changes, expected = TABLE[name]
    old = replace(OLD, **changes)
    under_one_ca = old.ca_certificate_id == OLD.ca_certificate_id
    assert reason(old, on_replacement=OnReplacement.SHARE) is (None if under_one_ca else expected)


def test_a_certificate_of_the_successor_ca_may_follow() -> None:
    under_the_old_ca = replace(OLD, ca_certificate_id=OTHER_CA)
    assert reason(under_the_old_ca, succeeds=OTHER_CA) is None
    assert reason(under_the_old_ca, succeeds="0d" * 32) is NOT
    assert reason(OLD, succeeds=OTHER_CA) is None  # its own CA's still


@pytest.mark.parametrize(
    "changes",
    [
        {"issued_at": CERTIFICATE.not_before + SECOND},
        {"ends_at": NOW + 61 * DAY},
    ],
    ids=["not issued later", "not near its end"],
)
def test_a_successor_ca_is_not_enough_of_a_sign(changes: dict[str, Any]) -> None:
    assert reason(replace(OLD, ca_certificate_id=OTHER_CA, **changes), succeeds=OTHER_CA) is NOT


@pytest.mark.parametrize(
    ("window", "left", "expected"), [(0, 1, NOT), (0, 0, None), (86_400, 86_400, None), (86_400, 86_401, NOT)]
)
def test_the_window_is_the_rules(window: int, left: int, expected: Reason | None) -> None:
    assert reason(replace(OLD, ends_at=NOW + left * SECOND), rotation_window=window) is expected


def test_an_entry_stands_in_for_the_old_ones_near_end_and_for_nothing_else() -> None:
    far_from_its_end = replace(OLD, ends_at=NOW + 999 * DAY)
    assert reason(far_from_its_end) is Reason.NOT_A_ROTATION
    assert reason(far_from_its_end, may_follow=True) is None
    for changes in ({"issued_at": NOW}, {"ca_certificate_id": OTHER_CA}, {"certificate_id": TWIN_ID}):
        other = replace(far_from_its_end, **{"ca_certificate_id": RULES.certificate_id} | changes)
        assert reason(other, may_follow=True) is Reason.NOT_A_ROTATION, changes
    refused = reason(far_from_its_end, may_follow=True, on_replacement=OnReplacement.REJECT)
    assert refused is Reason.REPLACEMENT_REFUSED


@pytest.mark.parametrize("ca", ["", source_id("maker")])
def test_an_entry_lets_a_cas_certificate_follow_one_without_a_ca_and_nothing_else_does(ca: str) -> None:
    without = replace(OLD, ca_certificate_id=ca, ends_at=NOW + 999 * DAY)
    assert reason(without) is Reason.NOT_A_ROTATION
    assert reason(without, may_follow=True) is None
    assert reason(replace(without, issued_at=NOW), may_follow=True) is Reason.NOT_A_ROTATION
    assert reason(without, may_follow=True, certificate_id=source_id("other")) is Reason.NOT_A_ROTATION


@pytest.mark.parametrize(
    ("ca", "said"),
    [(source_id("maker"), "the old one was registered without a CA"), ("", "no CA of the old one is known")],
)
def test_a_refusal_says_only_of_an_import_that_it_was_registered_without_a_ca(ca: str, said: str) -> None:
    with pytest.raises(Rejected, match=f"is no rotation: {said}, and no enrollment entry"):
        refuse_wrong_owner(ADMITTED, owner=replace(OLD, ca_certificate_id=ca), twin_id=TWIN_ID, now=NOW)


def test_a_duplicate_becomes_a_rotation_when_the_window_opens() -> None:
    owner = replace(OLD, ends_at=NOW + 100 * DAY)
    assert reason(owner, later=40 * DAY - SECOND) is NOT
    assert reason(owner, later=40 * DAY) is None


@pytest.mark.parametrize("on_replacement", OnReplacement)
@pytest.mark.parametrize("name", TABLE)
def test_the_same_certificate_in_another_encoding_gets_no_second_chance(
    on_replacement: OnReplacement, name: str
) -> None:
    changes, _ = TABLE[name]
    same = replace(OLD, **changes | {"certificate_id": TWIN_ID})
    assert reason(same, on_replacement=on_replacement) is NOT


def test_a_factory_that_gives_a_serial_number_twice_has_not_made_the_same_certificate_twice() -> None:
    assert reason(replace(OLD, serial=CERTIFICATE.serial)) is None


@pytest.mark.parametrize("on_replacement", [OnReplacement.ROTATE, OnReplacement.REJECT])
def test_a_refusal_names_the_thing_and_the_owner_and_is_announced_as_a_duplicate(
    on_replacement: OnReplacement,
) -> None:
    with pytest.raises(Rejected) as refusal:
        refuse_wrong_owner(
            replace(ADMITTED, rules=replace(RULES, on_replacement=on_replacement)),
            owner=replace(OLD, ends_at=NOW + 100 * DAY + SECOND),
            twin_id=TWIN_ID,
            now=NOW,
        )
    assert "sensor-0001" in refusal.value.detail
    assert "f" * 16 in refusal.value.detail
    assert refusal.value.reason in NAME_LOST
    if on_replacement is OnReplacement.ROTATE:
        assert "100 more days, rotation_window is 60 days" in refusal.value.detail


@given(st.integers(-10, 10), st.integers(-10, 10), st.integers(-100, 100))
def test_of_two_certificates_never_may_each_follow_the_other(issued: int, registered: int, left: int) -> None:
    """Otherwise a clone and its original would take the name from each other in turn."""
    other = replace(
        OLD,
        issued_at=CERTIFICATE.not_before + issued * SECOND,
        registered_at=DEVICE.created_at + registered * SECOND,
        ends_at=NOW + left * DAY,
    )
    follows = reason(other) is None
    followed = (CERTIFICATE.not_before, DEVICE.created_at) < (other.issued_at, other.registered_at)
    assert not (follows and followed)
