"""A name that was claimed for a certificate that did not become ACTIVE: whose it is in the end."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from jitr.admission.enrollment import EntryRule
from jitr.owners import Owner
from jitr.registration.name_rollback import NameRollbacks
from jitr.rules import OnReject, OnReplacement
from jitr.verdicts import OperatorAction
from tests.support.cases.enrollment import of_device
from tests.support.cases.issuing import DAY, NOW, factory, rules_for
from tests.support.cloud import Cloud
from tests.support.edge.records import deny
from tests.support.examples import MINUTE

NAME = "sensor-0001"
Claimed = tuple[str, Owner | None, Callable[[], list[str]]]


def crash(cloud: Cloud, operation: str, go: Callable[[], list[str]]) -> None:
    """Die at the next call of an operation; whoever takes the message up again comes when the intent is stale."""
    cloud.wire.break_down(operation, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        go()
    cloud.now += 2 * MINUTE


@pytest.fixture
def claimed(cloud: Cloud) -> Claimed:
    """A certificate that took the name over from an ACTIVE one, and whose run died right before ACTIVE.

    Its id, who owned the name before, and what hands its message out again.
    """
    first = cloud.knock(factory().leaf(begins=NOW - 300 * DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(first)))
    before = cloud.registry.owner(NAME)
    second = cloud.knock(factory().leaf(begins=NOW - DAY))
    record = cloud.record(cloud.event(second))
    crash(cloud, "UpdateCertificate", lambda: cloud.batch(record))
    after = cloud.registry.owner(NAME)
    assert before
    assert after
    assert (before.certificate_id, after.certificate_id) == (first, second)
    return second, before, lambda: cloud.batch(record)


@pytest.mark.parametrize("on_reject", OnReject)
@pytest.mark.parametrize("dies_at", ["UpdateItem", "DescribeCertificate", "UpdateCertificate", "PutEvents", None])
def test_a_refusal_that_dies_anywhere_leaves_the_name_with_the_certificate_that_works(
    cloud: Cloud, claimed: Claimed, on_reject: OnReject, dies_at: str | None
) -> None:
    device, before, again = claimed
    cloud.under(rules_for(cloud.authority, thing_groups=(), on_reject=on_reject))
    cloud.enroll(of_device(device, EntryRule.DENY))
    if dies_at and not (dies_at == "UpdateCertificate" and on_reject is OnReject.LEAVE):
        crash(cloud, dies_at, again)
    assert again() == []
    assert cloud.registry.owner(NAME) == before
    item = cloud.items()[f"certificate#{device}"]
    assert item["decision"]["M"]["outcome"]["S"] == "rejected"
    assert not {"thing_name", "replaces"} & set(item["decision"]["M"])
    assert "intent" not in item


def test_a_throttle_between_the_intent_and_the_name_loses_no_name(
    cloud: Cloud, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, before, again = claimed
    cloud.enroll(of_device(device, EntryRule.DENY))
    give_back = cloud.registry.give_back

    def throttled(*args: Any, **more: Any) -> None:
        monkeypatch.undo()
        cloud.wire.fail("UpdateItem", "ThrottlingException")
        give_back(*args, **more)

    monkeypatch.setattr(cloud.registry, "give_back", throttled)
    assert again() != []
    assert again() == []
    assert cloud.registry.owner(NAME) == before


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_what_somebody_else_took_away_after_the_claim_has_no_name(
    cloud: Cloud, claimed: Claimed, status: Literal["INACTIVE", "REVOKED"]
) -> None:
    device, before, again = claimed
    cloud.iot.update_certificate(certificateId=device, newStatus=status)
    assert again() == []
    assert cloud.registry.owner(NAME) == before


def test_who_sets_the_status_in_place_of_a_refusal_that_died_takes_no_name(
    cloud: Cloud, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, before, again = claimed
    cloud.enroll(of_device(device, EntryRule.DENY))

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud.registry, "give_back", die)
    with pytest.raises(KeyboardInterrupt):
        again()
    monkeypatch.undo()
    cloud.now += 2 * MINUTE
    cloud.iot.update_certificate(certificateId=device, newStatus="INACTIVE")
    assert again() == []
    assert cloud.registry.owner(NAME) == before


def test_while_the_run_that_claimed_may_live_the_name_stays(cloud: Cloud, claimed: Claimed) -> None:
    device, _, again = claimed
    cloud.now -= MINUTE
    cloud.iot.update_certificate(certificateId=device, newStatus="INACTIVE")
    assert again() != []
    owner = cloud.registry.owner(NAME)
    assert owner
    assert owner.certificate_id == device


@pytest.mark.parametrize("word", [OperatorAction.DENIED, OperatorAction.REVOKED])
def test_an_operators_verdict_after_the_claim_gives_the_name_back(
    cloud: Cloud, claimed: Claimed, word: OperatorAction
) -> None:
    device, before, again = claimed
    deny(cloud, device, word)
    assert again() == []
    assert cloud.registry.owner(NAME) == before


def test_giving_up_a_certificate_takes_no_name_that_another_attempt_claims_meanwhile(
    cloud: Cloud, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, _, again = claimed
    rightful = NameRollbacks.find_rightful_owner

    def registered_again(self: NameRollbacks, previous_owners: tuple[str, ...]) -> Owner | None:
        monkeypatch.undo()
        crash(cloud, "UpdateCertificate", again)
        cloud.now -= 2 * MINUTE
        return rightful(self, previous_owners)

    cloud.wire.fail("DescribeCertificate", "ResourceNotFoundException", status=404)
    monkeypatch.setattr(NameRollbacks, "find_rightful_owner", registered_again)
    assert cloud.batch(cloud.record(cloud.event(device), receives=3, age=MINUTE)) == []
    owner = cloud.registry.owner(NAME)
    assert owner
    assert owner.certificate_id == device


def test_a_certificate_that_was_deleted_after_the_claim_has_no_name(cloud: Cloud, claimed: Claimed) -> None:
    device, before, again = claimed
    cloud.wire.fail("DescribeCertificate", "ResourceNotFoundException", status=404)
    assert again() != []
    cloud.now += MINUTE
    cloud.wire.fail("DescribeCertificate", "ResourceNotFoundException", status=404)
    assert cloud.batch(cloud.record(cloud.event(device), receives=3, age=MINUTE)) == []
    assert cloud.registry.owner(NAME) == before


def test_a_second_attempt_still_knows_whom_it_follows(cloud: Cloud, claimed: Claimed) -> None:
    device, before, again = claimed
    crash(cloud, "UpdateCertificate", again)
    cloud.enroll(of_device(device, EntryRule.DENY))
    assert again() == []
    assert cloud.registry.owner(NAME) == before


def test_a_second_attempt_that_ends_well_says_whom_it_follows(cloud: Cloud, claimed: Claimed) -> None:
    device, before, again = claimed
    assert again() == []
    assert before
    decision = cloud.items()[f"certificate#{device}"]["decision"]["M"]
    assert decision["replaces"]["S"] == before.certificate_id
    assert cloud.status(device) == "ACTIVE"


def test_rules_that_turn_to_share_between_two_attempts_make_nobody_forget_whose_the_name_was(
    cloud: Cloud, claimed: Claimed
) -> None:
    device, before, again = claimed
    cloud.under(rules_for(cloud.authority, thing_groups=(), on_replacement=OnReplacement.SHARE))
    crash(cloud, "UpdateCertificate", again)
    cloud.enroll(of_device(device, EntryRule.DENY))
    assert again() == []
    assert cloud.registry.owner(NAME) == before


def test_a_hold_gives_the_name_back_and_what_is_cured_claims_it_again(cloud: Cloud, claimed: Claimed) -> None:
    device, before, again = claimed
    ca = cloud.authority.certificate_id
    cloud.iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
    assert again() == []
    assert cloud.registry.owner(NAME) == before
    cloud.iot.update_ca_certificate(certificateId=ca, newStatus="ACTIVE")
    cloud.now += DAY
    assert again() == []
    owner = cloud.registry.owner(NAME)
    assert owner
    assert owner.certificate_id == device
    assert cloud.status(device) == "ACTIVE"


@pytest.mark.parametrize("knows_the_ca", [True, False])
def test_rules_that_make_no_name_of_the_certificate_any_more_leave_none_with_it(
    cloud: Cloud, claimed: Claimed, *, knows_the_ca: bool
) -> None:
    _, before, again = claimed
    rules = rules_for(cloud.authority, common_name="gateway-.*")
    cloud.under(rules if knows_the_ca else replace(rules, cas=()))
    assert again() == []
    assert cloud.registry.owner(NAME) == before


@pytest.fixture
def claimed_twice(cloud: Cloud) -> Claimed:
    """As `claimed`, after a third certificate took the name from the second one, and its run died, too."""
    first = cloud.knock(factory().leaf(begins=NOW - 300 * DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(first)))
    before = cloud.registry.owner(NAME)
    for begins in (NOW - 2 * DAY, NOW - DAY):
        device = cloud.knock(factory().leaf(begins=begins, ends=NOW + 40 * DAY))
        record = cloud.record(cloud.event(device))
        crash(cloud, "UpdateCertificate", lambda record=record: cloud.batch(record))  # type: ignore[misc]
    owner = cloud.registry.owner(NAME)
    assert before
    assert owner
    assert (owner.certificate_id, owner.previous_owners[1:]) == (device, (first,))
    return device, before, lambda: cloud.batch(record)


def test_a_name_goes_back_over_every_claim_that_came_to_nothing(cloud: Cloud, claimed_twice: Claimed) -> None:
    device, before, again = claimed_twice
    cloud.enroll(of_device(device, EntryRule.DENY))
    assert again() == []
    assert cloud.registry.owner(NAME) == before
    assert before
    assert cloud.registry.recall([before.certificate_id])[before.certificate_id].replaced_by is None


def test_a_name_does_not_go_back_to_what_was_replaced_for_good(cloud: Cloud, claimed_twice: Claimed) -> None:
    device, before, again = claimed_twice
    owner = cloud.registry.owner(NAME)
    assert owner
    second = owner.previous_owners[0]
    found = cloud.registry.recall([second])[second].intent
    assert found
    cloud.registry.record(found)  # it did become ACTIVE, and was deactivated later
    cloud.iot.update_certificate(certificateId=second, newStatus="INACTIVE")
    cloud.enroll(of_device(device, EntryRule.DENY))
    assert again() == []
    assert cloud.registry.owner(NAME) is None
    assert before
    assert cloud.status(before.certificate_id) == "ACTIVE"
