"""jitr's real `register` and `sweep`, driven by the model."""

from typing import TYPE_CHECKING

import pytest

from jitr.pacing.schedule import PACE
from jitr.store.revoked_cas import REVOKED_CAS
from simulation import Authority, Aws, Call, Deployment, Died, Fault, Moment, SimulatedAccount
from simulation.deployment import ca_rules, rules
from simulation.faults import ServiceError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

FIVE = ["DescribeCertificate", "CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"]


def iot_calls(aws: Aws) -> list[str]:
    return aws.list_operations(caller="register", service="iot")


def test_a_device_is_refused_activated_by_five_calls_and_accepted(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    assert account.connect(leaf, client_id="sensor-0001") == "refused"
    mapping.drain()
    assert iot_calls(aws) == ["DescribeCertificate", "DescribeCACertificate", *FIVE[1:]]
    assert account.connect(leaf, client_id="sensor-0001") == "accepted"
    assert deployment.registrations.size == 0
    assert [event.detail_type for event in account.events.put] == ["Device Activated"]
    assert deployment.journal.metrics["Activated"] == 1

    second = authority.issue("sensor-0002")  # within the minute for which the CA's description is kept
    account.connect(second, client_id="sensor-0002")
    aws.calls.clear()
    mapping.drain()
    assert iot_calls(aws) == FIVE
    assert account.connect(second, client_id="sensor-0002") == "accepted"


def test_a_batch_of_duplicates_of_a_decided_device_makes_one_call(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")
    (message,) = deployment.registrations.messages
    mapping.drain()
    aws.calls.clear()
    for _ in range(5):
        deployment.registrations.duplicate(message)
    mapping.drain()
    assert aws.list_operations(caller="register") == ["BatchGetItem"]
    assert aws.calls[0].parameters["RequestItems"][deployment.settings.registry_table]["Keys"] == [
        {"id": {"S": f"certificate#{leaf.certificate_id}"}},
        {"id": {"S": PACE}},
        {"id": {"S": REVOKED_CAS}},
    ]


RETRIED = [*(operation for operation in FIVE if operation != "UpdateCertificate"), "TransactWriteItems"]


@pytest.mark.parametrize("operation", [*RETRIED, "PutEvents", "UpdateItem", "BatchGetItem"])
def test_one_throttle_is_retried_without_a_second_delivery(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment, operation: str
) -> None:
    struck: list[Call] = []

    def throttle(call: Call, moment: Moment) -> Fault | None:
        if call.operation == operation and moment == "before" and not struck:
            struck.append(call)
            return Fault.THROTTLED
        return None

    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")
    aws.fault = throttle
    (invocation,) = mapping.drain()
    assert struck
    assert not invocation.failed
    assert account.connect(leaf, client_id="sensor-0001") == "accepted"


def test_a_status_that_was_throttled_is_set_at_the_second_delivery_after_another_look(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    struck: list[Call] = []

    def throttle(call: Call, moment: Moment) -> Fault | None:
        if call.operation == "UpdateCertificate" and moment == "before" and not struck:
            struck.append(call)
            return Fault.THROTTLED
        return None

    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")
    aws.fault = throttle
    _, second = mapping.drain()
    assert struck
    assert not second.failed
    made = aws.list_operations(caller="register")
    assert made.count("UpdateCertificate") == made.count("DescribeCertificate") == 2
    assert account.connect(leaf, client_id="sensor-0001") == "accepted"


def test_a_lasting_throttle_puts_the_message_off_and_loses_nothing(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")
    until = aws.clock.monotonic() + 120
    aws.fault = lambda call, moment: (
        Fault.THROTTLED
        if call.operation == "AttachPolicy" and moment == "before" and aws.clock.monotonic() < until
        else None
    )
    mapping.drain()
    assert account.connect(leaf, client_id="sensor-0001") == "accepted"
    assert deployment.journal.metrics["PutOff"] >= 1
    assert deployment.dead_letters.size == 0


def test_a_death_after_any_call_is_healed_by_the_redelivery(authority: Authority) -> None:
    recorded = len(_activate(authority, die_at=None)[0].list_operations(caller="register"))
    for number in range(recorded):
        aws, outcome, events = _activate(authority, die_at=number)
        assert outcome == "accepted", f"death after call {number}: {aws.list_operations(caller='register')}"
        assert len(events) == 1, f"death after call {number} announced {events}"


def _activate(authority: Authority, *, die_at: int | None) -> tuple[Aws, str, set[str]]:
    """Take one device from its first CONNECT to its last, the process dying after one call; the events' ids."""
    aws = Aws()
    account = aws.account("111111111111")
    account.client("iot").register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    deployment = Deployment(account, rules(ca_rules(authority)))
    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")
    seen = 0

    def die(call: Call, moment: Moment) -> Fault | None:
        nonlocal seen
        certificate = account.iot.certificates.by_id[leaf.certificate_id]
        if certificate.status == "ACTIVE":
            assert account.iot.policies.of_target(certificate.arn)
            assert account.iot.things.of_principal(certificate.arn)
        if moment == "after" and call.caller == "register":
            seen += 1
            if die_at is not None and seen == die_at + 1:
                raise Died
        return None

    aws.fault = die
    mapping.drain()
    assert mapping.cold_starts == (1 if die_at is None else 2)
    return aws, account.connect(leaf, client_id="sensor-0001"), {event.detail["id"] for event in account.events.put}


def test_the_sweep_finds_what_the_rule_lost(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    account.iot.broker.rules[authority.certificate_id][0].enabled = False
    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")
    assert deployment.sweep().sent == 0  # not pending for long enough
    aws.clock.advance(601)
    assert deployment.sweep().sent == 1
    assert deployment.sweep().sent == 0  # nobody twice within the hour
    mapping.drain()
    assert account.connect(leaf, client_id="sensor-0001") == "accepted"


def test_an_operator_who_revokes_between_two_calls_is_not_overruled_by_an_old_look(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment, iot: "IoTClient"
) -> None:
    leaf, mapping = authority.issue("sensor-0001"), deployment.mapping()
    account.connect(leaf, client_id="sensor-0001")

    def revoke(call: Call, moment: Moment) -> None:
        if call.operation == "CreateThing" and moment == "after":
            iot.update_certificate(certificateId=leaf.certificate_id, newStatus="REVOKED")
            aws.clock.sleep(10)

    aws.fault = revoke
    mapping.drain()
    assert account.iot.certificates.by_id[leaf.certificate_id].status == "REVOKED"
    assert account.connect(leaf, client_id="sensor-0001") == "refused"


def test_a_storm_stays_at_the_quota_without_a_throttle(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    account.limit(burst=1)
    account.quotas.pop("Connect")
    account.quotas.pop("AutoRegistration")
    aws.latency = lambda _call: 0.05
    for number in range(200):
        account.connect(authority.issue(f"sensor-{number:04}"), client_id="x")
    for _ in range(deployment.settings.max_concurrency):
        aws.clock.spawn(deployment.mapping().work)
    while deployment.journal.metrics["Activated"] < 200 and aws.clock.monotonic() < 60:
        aws.clock.advance(1)
    aws.clock.close()
    assert deployment.journal.metrics["Activated"] == 200
    assert aws.clock.monotonic() <= 30


def test_each_thing_group_costs_one_iot_call_more(aws: Aws, account: SimulatedAccount, authority: Authority) -> None:
    account.client("iot").register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    deployment = Deployment(account, rules(ca_rules(authority, thing_groups=("one", "two"))))
    mapping = deployment.mapping()
    for number in range(2):  # the first also reads the CA's description, once a minute
        account.connect(authority.issue(f"sensor-{number:04}"), client_id="x")
        aws.calls.clear()
        mapping.drain()
    assert sorted(iot_calls(aws)) == sorted([*FIVE, "AddThingToThingGroup", "AddThingToThingGroup"])


def test_a_function_that_always_fails_comes_to_an_end_and_is_no_loop(
    aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment
) -> None:
    """One device after the other, so that messages are in batches with older ones, whose lineage they would inherit."""

    def refuse(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("AttachPolicy", "before"):
            raise ServiceError("ValidationException", "a failure of ours")

    aws.fault = refuse
    mapping = deployment.mapping()
    for number in range(40):
        account.connect(authority.issue(f"sensor-{number:04}"), client_id="x")
        aws.clock.advance(120)
        while mapping.poll():
            pass
    mapping.drain(within=4 * 3600)
    assert mapping.stopped == 0
    assert deployment.registrations.size == 0
    assert deployment.dead_letters.size == 40
    assert deployment.journal.metrics["Failures"] == 400
