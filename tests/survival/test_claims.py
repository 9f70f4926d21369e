"""Conditions of the claim and of the plan that no other single test breaks by itself (mutants.py)."""

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from simulation import Authority, Call, Moment
from tests.support.survival.promises import NAME, Promises

AUTHORITY = Authority.new("Factory")
SUBJECT = Subject(SubjectKind.THING, NAME)


def entries(world: Promises) -> EnrollmentTable:
    client = world.account.client("dynamodb", caller="operator")
    return EnrollmentTable(client, world.deployment.settings.enrollment_table)


def write(world: Promises, rule: EntryRule, *, replaces: Entry | None = None) -> Entry:
    entry = Entry(subject=SUBJECT, rule=rule, by="arn:operator", at=world.clock.now())
    entries(world).change([EntryChange(entry=entry, replaces=replaces)], by="arn:operator", at=world.clock.now())
    return entry


@pytest.mark.parametrize("before", [None, EntryRule.ALLOW], ids=["no entry before", "an allowing entry before"])
def test_a_claim_fails_when_an_entry_was_written_after_it_was_read(before: EntryRule | None) -> None:
    world = Promises({"factory": (AUTHORITY, {})})
    leaf = world.issue("factory")
    earlier = write(world, before) if before else None
    world.clock.advance(1)
    written: list[Entry] = []
    claims: list[bool] = []

    def deny(call: Call, moment: Moment) -> None:
        if (call.caller, call.operation) != ("register", "TransactWriteItems"):
            return
        if moment == "before" and not written:
            written.append(write(world, EntryRule.DENY, replaces=earlier))
        if moment == "after":
            item = world.deployment.registry.items.get((f"certificate#{leaf.certificate_id}",), {})
            intent = item.get("intent", {}).get("M", {})
            claims.append(intent.get("outcome", {}).get("S") == "activated")

    world.aws.fault = deny
    assert world.come_up(leaf) == "INACTIVE"
    assert written
    assert claims
    assert not any(claims), "the claim itself failed, and no later check"
    decision = world.record(leaf).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.ENTRY_DENIES)


def test_a_thing_that_another_certificate_uses_is_not_changed_and_the_device_is_held() -> None:
    world = Promises({"factory": (AUTHORITY, {"attributes": {"site": "berlin"}})})
    device = world.issue("factory")
    user = AUTHORITY.issue("user", not_before=device.not_before, not_after=device.not_after)
    world.account.connect(user, client_id="user")
    world.set_status(user, "ACTIVE")
    world.mapping.drain(within=3600)
    arn = world.certificate(user).arn
    world.admin.create_thing(thingName=NAME, attributePayload={"attributes": {"site": "by-hand"}})
    world.admin.attach_thing_principal(thingName=NAME, principal=arn)
    assert world.come_up(device) == "PENDING_ACTIVATION"
    assert (decision := world.record(device).decision)
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.THING_TAKEN)
    thing = world.account.iot.things.by_name[NAME]
    assert thing.attributes == {"site": "by-hand"}
    assert list(thing.principals) == [arn]
