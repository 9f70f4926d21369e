"""Sessions are ended by DeleteConnection, and only those that can be no other device's."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.aws.connections import Connections
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.errors import NotPermitted, Unavailable
from jitr.session_end import SessionEnd
from jitr.sessions import SessionResult, SessionState
from simulation import Authority, Aws, Call, Fault, Leaf, Moment, SimulatedAccount
from simulation.faults import denied

SENSOR = "sensor-0001"
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'


class Place:
    """One account with a CA; devices that are ACTIVE on things, and what ends their sessions."""

    def __init__(self) -> None:
        self.aws = Aws()
        self.account: SimulatedAccount = self.aws.account("111111111111")
        self.authority = Authority.new("Factory CA")
        self.client = self.account.client("iot")
        self.client.create_policy(policyName="any", policyDocument=POLICY)
        self.connections = Connections(self.account.client("iot-data"))
        self.iot = AwsIot(self.client, Unpaced(), clock=self.aws.clock.now)

    def device(self, thing: str = SENSOR, status: str = "ACTIVE") -> Leaf:
        leaf = self.authority.issue(thing)
        arn = self.account.iot.certificates.register(leaf, status=status, mode="SNI_ONLY").arn
        self.client.create_thing(thingName=thing)
        self.client.attach_thing_principal(thingName=thing, principal=arn)
        self.client.attach_policy(policyName="any", target=arn)
        return leaf

    def connect(self, leaf: Leaf, client_id: str = SENSOR, *, clean: bool = True) -> None:
        assert self.account.connect(leaf, client_id=client_id, clean=clean) == "accepted"

    def revoke(self, leaf: Leaf) -> None:
        self.client.update_certificate(certificateId=leaf.certificate_id, newStatus="REVOKED")

    def end(self, leaf: Leaf, *, clean_session: bool = False) -> SessionResult:
        ends = SessionEnd(self.iot, self.connections)
        (result,) = ends.end(self.iot.describe(leaf.certificate_id), clean_session=clean_session)
        return result

    def is_connected(self, client_id: str = SENSOR) -> bool:
        found = self.connections.find(client_id)
        return found is not None and found.is_connected


@pytest.fixture
def place() -> Place:
    return Place()


def refusing(operation: str) -> Callable[[Call, Moment], Fault | None]:
    def fault(call: Call, moment: Moment) -> Fault | None:
        if call.operation == operation and moment == "before":
            raise denied(call)
        return None

    return fault


def test_the_session_of_a_revoked_certificate_ends_at_once(place: Place) -> None:
    leaf = place.device()
    place.connect(leaf)
    place.revoke(leaf)
    assert place.is_connected(), "AWS ends it only after minutes"
    assert place.end(leaf) == SessionResult(state=SessionState.ENDED, client_id=SENSOR)
    assert not place.is_connected()


def test_a_client_that_is_not_connected_is_an_outcome(place: Place) -> None:
    leaf = place.device()
    place.revoke(leaf)
    assert place.end(leaf).state is SessionState.NOT_CONNECTED
    assert place.end(leaf, clean_session=True).state is SessionState.NOT_CONNECTED


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE"])
def test_the_session_of_another_active_certificate_of_the_thing_is_left(place: Place, status: str) -> None:
    leaf, other = place.device(), place.device(status=status)
    place.connect(other if status == "ACTIVE" else leaf)
    place.revoke(leaf)
    result = place.end(leaf)
    assert place.is_connected() is (status == "ACTIVE")
    assert result.state is (SessionState.LEFT if status == "ACTIVE" else SessionState.ENDED)


def test_a_session_that_aws_says_is_another_things_is_left(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = place.device()
    place.connect(leaf)
    place.revoke(leaf)
    get = place.account.client("iot-data").get_connection
    answered = {**get(clientId=SENSOR), "thingName": "sensor-0002"}
    monkeypatch.setattr(place.account.client("iot-data"), "get_connection", lambda **_: answered)
    result = place.end(leaf)
    assert (result.state, result.why) == (SessionState.LEFT, "the session under this client id is of thing sensor-0002")


def test_a_persistent_session_is_deleted_only_when_the_certificate_is_revoked(place: Place) -> None:
    leaf = place.device()
    place.connect(leaf, clean=False)
    place.account.iot.connections.hang_up(SENSOR)
    place.revoke(leaf)
    place.end(leaf)
    assert place.connections.end(SENSOR, clean_session=False), "it persists"
    assert place.end(leaf, clean_session=True).state is SessionState.NOT_CONNECTED
    assert not place.connections.end(SENSOR, clean_session=False)


def test_a_session_is_ended_also_where_it_may_not_be_read(place: Place) -> None:
    leaf = place.device()
    place.connect(leaf)
    place.revoke(leaf)
    place.aws.fault = refusing("GetConnection")
    assert place.end(leaf).state is SessionState.ENDED
    place.aws.fault = None
    assert not place.is_connected()


@pytest.mark.parametrize("operation", ["ListPrincipalThings", "ListThingPrincipals", "DeleteConnection"])
def test_a_call_that_is_refused_is_a_result_that_names_it(place: Place, operation: str) -> None:
    leaf = place.device()
    place.connect(leaf)
    place.revoke(leaf)
    place.aws.fault = refusing(operation)
    result = place.end(leaf)
    assert result.state is SessionState.FAILED
    assert result.why is not None
    assert operation in result.why


def test_a_certificate_that_is_deleted_meanwhile_does_not_spare_the_session(place: Place) -> None:
    leaf, other = place.device(), place.device(status="INACTIVE")
    place.connect(leaf)
    place.revoke(leaf)

    def fault(call: Call, moment: Moment) -> Fault | None:
        if (
            call.operation == "DescribeCertificate"
            and moment == "before"
            and call.parameters != {"certificateId": leaf.certificate_id}
        ):
            place.account.iot.certificates.by_id.pop(other.certificate_id, None)
        return None

    place.aws.fault = fault
    assert place.end(leaf).state is SessionState.ENDED


def test_what_the_data_plane_refuses_is_sorted_as_every_call(place: Place) -> None:
    place.aws.fault = refusing("DeleteConnection")
    with pytest.raises(NotPermitted, match="DeleteConnection"):
        place.connections.end(SENSOR, clean_session=True)
    place.aws.fault = lambda call, moment: Fault.SERVER_ERROR if moment == "before" else None  # noqa: ARG005
    with pytest.raises(Unavailable):
        place.connections.find(SENSOR)


@pytest.mark.parametrize("call", [lambda it: it.find(SENSOR), lambda it: it.end(SENSOR, clean_session=False)])
def test_a_botocore_without_the_operation_is_unavailable(call: Callable[[Connections], Any]) -> None:
    with pytest.raises(Unavailable, match="this version of botocore does not have it"):
        call(Connections(SimpleNamespace()))


def test_a_connection_is_described_with_times_and_the_reason_of_its_end(place: Place) -> None:
    assert place.connections.find(SENSOR) is None
    leaf = place.device()
    place.connect(leaf)
    found = place.connections.find(SENSOR)
    assert found is not None
    assert (found.is_connected, found.since, found.reason) == (True, place.aws.clock.now(), None)
    place.connections.end(SENSOR, clean_session=False)
    found = place.connections.find(SENSOR)
    assert found is not None
    assert (found.is_connected, found.reason) == (False, "API_INITIATED_DISCONNECT")
