"""Conditions of the claim and of the plan that no other single test breaks by itself (mutants.py)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.owners import Owner
from jitr.record import Record
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitr.x509.certificate import Certificate
from jitr.x509.signature_twin import twin_id
from simulation import Authority, Call, Moment
from tests.support.examples import ACTIVATION
from tests.support.survival.promises import DAY, NAME, Promises

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


def act_after_the_read(world: Promises, act: Callable[[], object]) -> list[Call]:
    """Act right after `register` has read a device's entries and the owner of its name; its claims."""
    done: list[object] = []
    claims: list[Call] = []

    def watch(call: Call, moment: Moment) -> None:
        if (call.caller, moment) != ("register", "after"):
            return
        if call.operation == "TransactWriteItems" and f"thing#{NAME}" in str(call.parameters):
            claims.append(call)
        table = world.deployment.settings.enrollment_table
        if call.operation == "BatchGetItem" and table in call.parameters["RequestItems"] and not done:
            assert len(call.parameters["RequestItems"]) == 2, "both tables are read by this call"
            done.append(act())

    world.aws.fault = watch
    return claims


@pytest.mark.parametrize("owned", [False, True], ids=["a free name", "a name that is handed over"])
def test_a_name_that_another_claims_after_it_was_read_stays_with_the_other(*, owned: bool) -> None:
    world = Promises({"factory": (AUTHORITY, {"overlap": 7 * DAY})})
    if owned:
        assert world.come_up(world.issue("factory", begins=-300, ends=30)) == "ACTIVE"
    leaf, other = world.issue("factory"), world.issue("factory", begins=-2)
    registry = Registry(world.account.client("dynamodb", caller="other"), world.deployment.settings.registry_table)
    now = world.clock.now()
    owner = Owner(
        certificate_id=other.certificate_id,
        ca_certificate_id=AUTHORITY.certificate_id,
        serial="0a",
        issued_at=other.not_before,
        ends_at=other.not_after,
        registered_at=now,
    )
    intent = replace(ACTIVATION, certificate_id=other.certificate_id, thing_name=NAME, decided_at=now, twin_id=None)

    def claim() -> None:
        earlier = registry.owner(NAME)
        registry.claim(intent, Record(), owner, run="other", share=False, earlier=earlier, retire_at=now)

    claims = act_after_the_read(world, claim)
    assert world.come_up(leaf) == "PENDING_ACTIVATION"
    assert [one.answer for one in claims] == ["TransactionCanceledException"], (
        "its own claim failed, and no check before it"
    )
    decision = world.record(leaf).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.NOT_A_ROTATION)
    assert world.owner().certificate_id == other.certificate_id
    assert not world.is_whole(leaf), "what was attached is taken back"


def test_a_verdict_on_the_twin_that_comes_after_it_was_read_stops_the_claim() -> None:
    world = Promises({"factory": (AUTHORITY, {})})
    leaf = world.issue("factory")
    twin = twin_id(Certificate.from_pem(leaf.pem), Certificate.from_pem(AUTHORITY.pem))
    assert twin
    registry = Registry(world.account.client("dynamodb", caller="operator"), world.deployment.settings.registry_table)
    verdict = OperatorVerdict(action=OperatorAction.DENIED, by="operator", at=world.clock.now())

    claims = act_after_the_read(world, lambda: registry.give_verdict(twin, verdict, seen=None))
    assert world.come_up(leaf) == "PENDING_ACTIVATION"
    assert [one.answer for one in claims] == ["TransactionCanceledException"], (
        "its claim failed, and there is no second one"
    )
    decision = world.record(leaf).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.OPERATOR_VERDICT)


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
