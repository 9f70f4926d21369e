"""Connections: since when, why they went, and that they end after their certificate left ACTIVE; aws-facts §2."""

from typing import Any

import pytest

from simulation import Authority, Aws, Deployment, Leaf, SimulatedAccount

SENSOR = "sensor-0001"


@pytest.fixture
def leaf(account: SimulatedAccount, authority: Authority, deployment: Deployment) -> Leaf:
    """A device that is connected."""
    leaf = authority.issue(SENSOR)
    account.connect(leaf, client_id=SENSOR)
    deployment.mapping().drain()
    assert account.connect(leaf, client_id=SENSOR) == "accepted"
    return leaf


@pytest.fixture
def data(account: SimulatedAccount) -> Any:
    return account.client("iot-data")


def test_a_connection_is_told_of_since_it_was_accepted(aws: Aws, leaf: Leaf, data: Any) -> None:  # noqa: ARG001
    since = round(aws.clock.now().timestamp() * 1000)
    aws.clock.advance(60)
    found = data.get_connection(clientId=SENSOR)
    assert (found["connected"], found["connectedSince"]) == (True, since)


def test_a_client_that_was_refused_has_no_connection(
    account: SimulatedAccount, authority: Authority, data: Any
) -> None:
    account.connect(authority.issue(SENSOR), client_id=SENSOR)
    for operation in (data.get_connection, data.delete_connection):
        with pytest.raises(data.exceptions.ResourceNotFoundException):
            operation(clientId=SENSOR)


def test_a_connection_that_is_deleted_may_come_back_at_once(account: SimulatedAccount, leaf: Leaf, data: Any) -> None:
    data.delete_connection(clientId=SENSOR)
    found = data.get_connection(clientId=SENSOR)
    assert (found["connected"], found["disconnectReason"]) == (False, "API_INITIATED_DISCONNECT")
    assert account.connect(leaf, client_id=SENSOR) == "accepted"
    assert data.get_connection(clientId=SENSOR)["connected"]


def test_a_session_ends_minutes_after_its_certificate_left_active(
    aws: Aws, account: SimulatedAccount, leaf: Leaf, data: Any
) -> None:
    account.client("iot").update_certificate(certificateId=leaf.certificate_id, newStatus="INACTIVE")
    aws.clock.advance(aws.undocumented.session_seconds - 1)
    assert data.get_connection(clientId=SENSOR)["connected"]
    aws.clock.advance(1)
    found = data.get_connection(clientId=SENSOR)
    assert (found["connected"], found["disconnectReason"]) == (False, "SERVER_INITIATED_DISCONNECT")
    aws.clock.advance(30 * 60 + 1)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        data.get_connection(clientId=SENSOR)
