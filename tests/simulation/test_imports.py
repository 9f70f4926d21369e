"""Imports that were killed or are held, and what somebody else does to their certificates meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.x509 import ReasonFlags

from jitr.admission.applicant import Applicant
from jitr.aws.crl_bucket import object_key
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import DeviceRegistration, Status
from jitr.record import Record
from jitr.rules import CheckMode, EnrollmentRule
from jitr.store.revoked_cas import CaRevocation, RevokedCas
from jitr.store.withdrawal_marks import marks
from jitr.telemetry import CONTRADICTIONS
from jitrctl.device.operations import OrderContext
from simulation import Call, Moment
from tests.support.cases.listing import make_crl
from tests.support.survival.import_scenarios import SOURCE, import_one
from tests.support.survival.scenario_world import DAY, World, authority

HOUR = timedelta(hours=1)


class KilledError(Exception):
    """The operator's process ends."""


@pytest.fixture
def world() -> World:
    return World(sources=(SOURCE,))


def record(world: World) -> Record:
    return world.registry().recall([world.leaf.certificate_id])[world.leaf.certificate_id]


def kill_import(world: World, before: str) -> None:
    """Import the certificate, until the process ends before the first call of this operation."""

    def fault(call: Call, moment: Moment) -> None:
        if call.caller == "operator" and call.operation.startswith(before) and moment == "before":
            raise KilledError

    world.aws.fault = fault
    with pytest.raises(KilledError):
        import_one(world)
    world.aws.fault = None


def hold_import(world: World) -> None:
    """Import a certificate whose name another one has."""
    world.connect(world.issue("sensor-0001"))
    world.mapping.drain(within=60)
    import_one(world)
    world.mapping.drain(within=60)
    assert record(world).is_held


def set_status(world: World, status: str) -> None:
    world.aws.clock.advance(60)
    world.admin.update_certificate(certificateId=world.leaf.certificate_id, newStatus=status)


def sweep(world: World, seconds: float = 400) -> None:
    world.aws.clock.advance(seconds)
    world.deployment.sweep()
    world.mapping.drain(within=600)


def assert_taken_away(world: World, status: Status) -> None:
    """The status is recorded, and the certificate stays out when it is deleted and imported again."""
    decision = record(world).decision
    assert decision
    assert (decision.outcome, decision.status, record(world).import_order) == (Outcome.FOUND, status, None)
    if status is Status.INACTIVE:
        assert record(world).was_revoked_or_deactivated
    world.admin.delete_certificate(certificateId=world.leaf.certificate_id)
    world.aws.clock.advance(3600)
    import_one(world)
    world.mapping.drain(within=600)
    assert world.leaf.certificate_id not in world.account.iot.certificates.by_id


@pytest.mark.parametrize("status", ["REVOKED", "INACTIVE"])
def test_what_a_person_sets_on_a_killed_import_is_recorded(world: World, status: str) -> None:
    kill_import(world, "SendMessage")
    set_status(world, status)
    sweep(world)
    assert_taken_away(world, Status(status))


def test_the_order_of_an_import_that_registered_nothing_ends(world: World) -> None:
    kill_import(world, "RegisterCertificate")
    assert record(world).import_order
    sweep(world)
    assert (record(world).import_order, record(world).due) == (None, None)
    import_one(world)
    world.mapping.drain(within=60)
    assert world.status() == "ACTIVE"


def test_the_daily_pass_records_a_held_import_that_was_revoked(world: World) -> None:
    hold_import(world)
    for _ in range(4):
        sweep(world, 3600)  # until it is evaluated once a day only
    set_status(world, "REVOKED")
    due_at = record(world).due_at
    assert due_at
    while world.aws.clock.now() + 2 * HOUR < due_at:
        world.aws.clock.advance(3600)
        world.deployment.sweep()
    assert_taken_away(world, Status.REVOKED)


def test_a_held_import_that_a_person_deactivates_ends(world: World) -> None:
    hold_import(world)
    set_status(world, "INACTIVE")
    sweep(world, DAY)
    assert_taken_away(world, Status.INACTIVE)


def test_no_import_activates_a_certificate_of_a_ca_that_an_operator_revoked(world: World) -> None:
    now = world.aws.clock.now()
    cas = RevokedCas(world.account.client("dynamodb", caller="operator"), world.deployment.settings.registry_table)
    cas.revoke(authority().certificate_id, CaRevocation(by="ann", at=now, note="its key leaked"))
    world.aws.clock.advance(120)
    import_one(world)
    world.mapping.drain(within=60)
    decision = record(world).decision
    assert decision
    assert (decision.reason, world.status()) == (Reason.CA_INACTIVE, "INACTIVE")


def publish_crl(world: World, reason: ReasonFlags | None = None) -> None:
    """Publish the CRL of the CA that signed the certificate; with a reason, the certificate is in it."""
    entries = {world.leaf: reason} if reason else {}
    crl = make_crl(authority(), world.aws.clock.now(), entries, number=None)
    world.account.s3.put(world.deployment.settings.crl_bucket, object_key(authority().certificate_id), crl)


def test_no_import_activates_a_certificate_that_the_crl_of_its_ca_lists() -> None:
    world = World(sources=(SOURCE,), checks={"revocation": CheckMode.ENFORCE})
    publish_crl(world, ReasonFlags.key_compromise)
    import_one(world)
    world.mapping.drain(within=60)
    decision = record(world).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.REJECTED, Reason.REVOKED_BY_CA)
    assert (world.status(), record(world).import_order) == ("INACTIVE", None)


def test_all_cas_of_one_key_are_asked_about_a_certificate_that_they_signed() -> None:
    """A CA and its renewal: which of them publishes the CRL, or was revoked, the certificate does not tell."""
    world = World(sources=(SOURCE,))
    (ca,) = world.deployment.rules.cas
    renewed = replace(ca, name="renewed", certificate_id="ab" * 32)
    rules = replace(world.deployment.rules, cas=(ca, renewed))
    device = DeviceRegistration(
        certificate_id=world.leaf.certificate_id,
        arn="",
        status=Status.INACTIVE,
        pem=world.leaf.pem,
        ca_certificate_id=SOURCE.certificate_id,
        created_at=world.aws.clock.now(),
        is_ca_named=False,
    )
    assert [one.name for one in Applicant.of(device, rules).signers] == [ca.name, "renewed"]


def test_an_import_that_a_crl_holds_is_completed_once_the_hold_is_lifted() -> None:
    world = World(sources=(SOURCE,), checks={"revocation": CheckMode.ENFORCE})
    publish_crl(world, ReasonFlags.certificate_hold)
    import_one(world)
    world.mapping.drain(within=60)
    decision = record(world).decision
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.SUSPENDED_BY_CA)
    assert world.status() == "INACTIVE"
    publish_crl(world)
    sweep(world, 1000)
    assert world.status() == "ACTIVE"


@pytest.mark.parametrize("mode", [CheckMode.ENFORCE, CheckMode.OBSERVE, CheckMode.OFF])
def test_nothing_else_of_a_crl_than_its_list_counts_for_an_import(mode: CheckMode) -> None:
    world = World(sources=(SOURCE,), checks={"revocation": mode})
    if mode is not CheckMode.ENFORCE:  # else there is no CRL at all, which holds the CA's own devices
        publish_crl(world, ReasonFlags.key_compromise)
    import_one(world)
    world.mapping.drain(within=60)
    assert world.status() == "ACTIVE"


def test_the_sweeps_message_about_a_killed_import_contradicts_nothing(world: World) -> None:
    kill_import(world, "SendMessage")
    sweep(world)
    assert world.status() == "ACTIVE"
    assert world.deployment.journal.metrics[CONTRADICTIONS] == 0


def test_an_import_that_waits_for_its_approval_can_be_approved() -> None:
    world = World(sources=(replace(SOURCE, enrollment=EnrollmentRule.APPROVE),))
    import_one(world)
    world.mapping.drain(within=60)
    assert (record(world).is_held, world.status()) == (True, "INACTIVE")
    world.operator.approve(world.leaf.certificate_id, OrderContext(by="ann"))
    sweep(world)
    assert world.status() == "ACTIVE"


def test_a_held_import_is_not_detached_by_the_sweep(world: World) -> None:
    hold_import(world)
    certificate = world.account.iot.certificates.by_id[world.leaf.certificate_id]
    world.admin.attach_thing_principal(thingName="sensor-0001", principal=certificate.arn)
    world.registry().note_withdrawals(
        marks(world.leaf.certificate_id, ["sensor-0001"], None, world.aws.clock.now() - HOUR)
    )
    before = len(world.aws.calls)
    sweep(world)
    assert "DetachThingPrincipal" not in [call.operation for call in world.aws.calls[before:]]


def test_a_status_that_was_found_before_an_order_does_not_end_it(world: World) -> None:
    kill_import(world, "RegisterCertificate")
    before, now = record(world), world.aws.clock.now()
    assert before.import_order
    later = replace(before.import_order, at=now + HOUR)
    assert world.registry().order_import(world.leaf.certificate_id, later, seen=before, look_at=now + HOUR)
    found = Decision(
        certificate_id=world.leaf.certificate_id,
        outcome=Outcome.FOUND,
        status=Status.REVOKED,
        registered_at=now,
        decided_at=now,
        rules_digest="",
    )
    assert not world.registry().record_found(found, before)
    assert record(world).import_order == later
