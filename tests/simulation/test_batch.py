"""Several messages of a batch at once: what overlaps, what does not, and what one of them does to the others."""

import threading
from collections import defaultdict
from itertools import pairwise

import pytest

from jitr.registration.threads import Threads
from simulation import Authority, Aws, Call, Deployment, Died, Fault, Moment, SimulatedAccount
from simulation.clock import DeadlinePassed
from simulation.lambda_ import EventSourceMapping

LATENCY = 0.1


@pytest.fixture
def mapping(aws: Aws, account: SimulatedAccount, authority: Authority, deployment: Deployment) -> EventSourceMapping:
    """Five devices wait in the queue; each call takes a tenth of a second."""
    for number in range(5):
        name = f"sensor-{number:04}"
        account.connect(authority.issue(name), client_id=name)
    aws.latency = lambda _call: LATENCY
    aws.calls.clear()
    return deployment.mapping()


def of_certificates(calls: list[Call]) -> dict[str, list[str]]:
    """The operations on each certificate, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for call in calls:
        if "certificateId" in call.parameters and call.operation != "DescribeCACertificate":
            found[call.parameters["certificateId"]].append(call.operation)
    return found


def test_the_messages_of_a_batch_are_decided_at_once(
    aws: Aws, account: SimulatedAccount, mapping: EventSourceMapping
) -> None:
    began = aws.clock.monotonic()
    mapping.poll()
    alone = 13 * LATENCY  # recall, reserve, the CA, and ten calls of the device
    assert aws.clock.monotonic() - began < alone + 5 * 0.1
    assert {one.status for one in account.iot.certificates.by_id.values()} == {"ACTIVE"}


def test_each_certificate_is_described_then_activated_and_nothing_is_made_twice(
    aws: Aws, mapping: EventSourceMapping
) -> None:
    mapping.poll()
    assert list(of_certificates(aws.calls).values()) == [["DescribeCertificate", "UpdateCertificate"]] * 5
    assert aws.list_operations().count("DescribeCACertificate") == 1
    assert [call for call in aws.list_operations(service="dynamodb") if call == "BatchGetItem"] == ["BatchGetItem"] * 6


def test_one_turn_is_never_used_twice(aws: Aws, mapping: EventSourceMapping, account: SimulatedAccount) -> None:
    account.limit(burst=0.5)
    mapping.drain()
    described = [call.at for call in aws.calls if call.operation == "DescribeCertificate"]
    assert len(described) == 5
    assert not account.throttled
    assert all(later >= earlier for earlier, later in pairwise(described))


def test_a_message_that_fails_is_nobody_elses_failure(
    aws: Aws, account: SimulatedAccount, mapping: EventSourceMapping, deployment: Deployment
) -> None:
    (poisoned, *others) = account.iot.certificates.by_id

    def fault(call: Call, moment: Moment) -> Fault | None:
        is_his = call.parameters.get("certificateId") == poisoned and call.operation == "DescribeCertificate"
        return Fault.THROTTLED if is_his and moment == "before" else None

    aws.fault = fault
    invocation = mapping.poll()
    assert invocation
    assert len(invocation.failed) == 1
    assert {account.iot.certificates.by_id[one].status for one in others} == {"ACTIVE"}
    aws.fault = None
    mapping.drain()
    assert account.iot.certificates.by_id[poisoned].status == "ACTIVE"
    assert deployment.dead_letters.depth == 0


def test_the_death_of_one_is_the_death_of_all_and_nothing_is_done_after_it(
    aws: Aws, account: SimulatedAccount, mapping: EventSourceMapping
) -> None:
    died: list[Call] = []

    def fault(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("TransactWriteItems", "after") and not died:
            died.append(call)
            raise Died

    aws.fault = fault
    invocation = mapping.poll()
    assert invocation
    assert isinstance(invocation.error, Died)
    made = len(aws.calls)
    aws.fault = None
    aws.clock.advance(5)
    assert len(aws.calls) == made
    assert "ACTIVE" not in {one.status for one in account.iot.certificates.by_id.values()}
    mapping.drain()
    assert {one.status for one in account.iot.certificates.by_id.values()} == {"ACTIVE"}


def test_the_functions_end_ends_all_of_them(
    aws: Aws, account: SimulatedAccount, deployment: Deployment, mapping: EventSourceMapping
) -> None:
    aws.latency = lambda call: 100.0 if call.operation == "CreateThing" else LATENCY
    invocation = mapping.poll()
    assert invocation
    assert isinstance(invocation.error, DeadlinePassed)
    aws.latency = None
    deployment.mapping().drain()
    assert {one.status for one in account.iot.certificates.by_id.values()} == {"ACTIVE"}


def test_two_messages_of_one_certificate_follow_one_another(
    aws: Aws, account: SimulatedAccount, deployment: Deployment, mapping: EventSourceMapping
) -> None:
    for message in list(deployment.registrations.messages):
        deployment.registrations.duplicate(message)
    mapping.poll()
    assert list(of_certificates(aws.calls).values()) == [["DescribeCertificate", "UpdateCertificate"]] * 5
    assert deployment.journal.metrics["Duplicates"] == 5
    assert len(account.iot.certificates.by_id) == 5


def test_threads_run_at_once_and_tell_what_one_of_them_raised() -> None:
    threads, meeting = Threads(), threading.Barrier(3, timeout=10)

    def fail() -> None:
        meeting.wait()
        raise ValueError("of one of them")

    for action in (meeting.wait, fail, meeting.wait):
        threads.start(action)  # type: ignore[arg-type]  # what it returns is not asked for
    with pytest.raises(ValueError, match="of one of them"):
        threads.join()
    threads.join()
