"""The data plane's GetConnection and DeleteConnection, and the end of sessions; docs/aws-facts.md §2.

The local AWS is asked over the network, with IAM enforced; what is answered is held to botocore's model of the service.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from jitrctl.mqtt.client import Device
from tests.support.contract.differences import expected
from tests.support.contract.places import OK, Place, answer, new_name
from tests.support.contract.registered import Ca
from tests.support.local.authority import certificate_id

if TYPE_CHECKING:
    from botocore.model import OperationModel

NOT_FOUND = ("ResourceNotFoundException", 404)
FORBIDDEN = ("ForbiddenException", 403)
INVALID = ("InvalidRequestException", 400)
SOCKET = {"sourceIp", "sourcePort", "targetIp", "targetPort"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
}
TYPES: dict[str, type] = {"boolean": bool, "string": str, "integer": int, "long": int}


@pytest.fixture
def device(place: Place, ca: Ca) -> Device:
    """A device whose certificate is ACTIVE and may connect under any client id."""
    device = ca.device()
    place.connect(device)
    described = ca.described(device)
    thing = place.iot.create_thing(thingName=device.client_id)["thingName"]
    place.iot.attach_thing_principal(thingName=thing, principal=described["certificateArn"])
    name = place.iot.create_policy(policyName=new_name("policy"), policyDocument=json.dumps(POLICY))["policyName"]
    place.iot.attach_policy(policyName=name, target=described["certificateArn"])
    place.iot.update_certificate(certificateId=certificate_id(device), newStatus="ACTIVE")
    return device


@pytest.fixture
def hang_up(place: Place, device: Device) -> Iterator[Callable[[], None]]:
    """The device is connected; what ends that."""
    close = place.open(device)
    yield close
    close()


def model(place: Place, operation: str) -> "OperationModel":
    found: OperationModel = place.data.meta.service_model.operation_model(operation)
    return found


@contextmanager
def bodies(place: Place, operation: str) -> Iterator[list[bytes]]:
    """What is answered meanwhile, before botocore's parser drops what its model does not know."""
    found: list[bytes] = []

    def note(response_dict: dict[str, Any], **_: object) -> None:
        found.append(response_dict["body"])

    event = f"before-parse.iot-data-plane.{operation}"
    place.data.meta.events.register(event, note)
    try:
        yield found
    finally:
        place.data.meta.events.unregister(event, note)


def milliseconds(place: Place) -> int:
    return int(place.now().timestamp() * 1000)  # the milliseconds that have begun, as both places count


@pytest.mark.usefixtures("hang_up")
def test_what_is_told_of_a_connection_is_what_the_model_has_and_of_its_types(place: Place, device: Device) -> None:
    with bodies(place, "GetConnection") as found:
        place.data.get_connection(clientId=device.client_id, includeSocketInformation=True)

    (told,) = (json.loads(body) for body in found)
    shape: Any = model(place, "GetConnection").output_shape
    assert {name: type(value) for name, value in told.items()} == {
        name: TYPES[shape.members[name].type_name] for name in told
    }
    assert {"clientId", "connected", "connectedSince", "cleanSession"} <= told.keys()
    assert (told["clientId"], told["connected"], told["cleanSession"]) == (device.client_id, True, True)
    least = {*SOCKET, "keepAliveDuration"}
    assert least & told.keys() == expected(place, least, connection_half_told={"sourceIp", "targetIp"})


def test_a_connection_is_told_of_since_it_was_accepted_in_milliseconds(place: Place, device: Device) -> None:
    before = milliseconds(place)
    close = place.open(device)
    after = milliseconds(place)

    assert before <= place.data.get_connection(clientId=device.client_id)["connectedSince"] <= after
    close()


@pytest.mark.usefixtures("hang_up")
def test_addresses_are_told_where_they_are_asked_for_alone(place: Place, device: Device) -> None:
    told = place.data.get_connection(clientId=device.client_id)

    assert not SOCKET & told.keys()
    assert place.data.get_connection(clientId=device.client_id, includeSocketInformation=True).keys() & SOCKET


def test_of_a_client_that_hung_up_it_is_told_since_when_and_why(
    place: Place, device: Device, hang_up: Callable[[], None]
) -> None:
    before = milliseconds(place)
    hang_up()

    def gone() -> Any:
        told = place.data.get_connection(clientId=device.client_id)
        return None if told["connected"] else told

    told = place.wait_for(gone, "the end of the connection")
    assert before <= told["disconnectedSince"] <= milliseconds(place)
    assert told["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert "connectedSince" not in told
    assert answer(lambda: place.data.delete_connection(clientId=device.client_id)) == NOT_FOUND


def test_a_client_that_never_connected_or_was_refused_is_not_found(place: Place, ca: Ca) -> None:
    refused = ca.device()
    place.connect(refused)

    for client_id in (new_name("never"), refused.client_id):
        assert answer(lambda: place.data.get_connection(clientId=client_id)) == NOT_FOUND  # noqa: B023 -- called here
        assert answer(lambda: place.data.delete_connection(clientId=client_id)) == NOT_FOUND  # noqa: B023


@pytest.mark.parametrize("more", [{}, {"cleanSession": True}, {"preventWillMessage": True}, {"cleanSession": False}])
@pytest.mark.usefixtures("hang_up")
def test_a_connection_is_deleted_once_and_may_come_back(place: Place, device: Device, more: dict[str, bool]) -> None:
    with bodies(place, "DeleteConnection") as found:
        assert answer(lambda: place.data.delete_connection(clientId=device.client_id, **more)) == OK

    assert model(place, "DeleteConnection").output_shape is None
    assert [body.strip() for body in found] in ([b""], [b"{}"])
    told = place.data.get_connection(clientId=device.client_id)
    assert (told["connected"], told["disconnectReason"]) == (False, "API_INITIATED_DISCONNECT")
    assert answer(lambda: place.data.delete_connection(clientId=device.client_id)) == NOT_FOUND
    close = place.open(device)
    assert place.data.get_connection(clientId=device.client_id)["connected"]
    close()


def test_a_session_that_persists_can_be_deleted_when_its_client_is_gone(place: Place, device: Device) -> None:
    place.open(device, clean=False)()
    place.wait_for(lambda: not place.data.get_connection(clientId=device.client_id)["connected"], "the hanging up")

    def delete(*, clean: bool) -> object:
        return place.data.delete_connection(clientId=device.client_id, cleanSession=clean)

    assert answer(lambda: delete(clean=False)) == OK
    assert answer(lambda: delete(clean=True)) == OK
    assert answer(lambda: delete(clean=True)) == NOT_FOUND


@pytest.mark.parametrize("client_id", ["$aws", "x" * 129])
def test_what_the_model_takes_for_no_client_id_is_refused(place: Place, client_id: str) -> None:
    assert answer(lambda: place.data.get_connection(clientId=client_id)) == INVALID
    assert answer(lambda: place.data.delete_connection(clientId=client_id)) == INVALID


@pytest.mark.parametrize("operation", ["GetConnection", "DeleteConnection"])
def test_every_error_is_one_of_the_models_with_its_status(place: Place, operation: str) -> None:
    method = {"GetConnection": "get_connection", "DeleteConnection": "delete_connection"}[operation]
    nobody = place.data_of_user({"iot:Publish": ["*"]})
    for client, client_id in ((place.data, new_name("never")), (place.data, "$aws"), (nobody, new_name("any"))):
        with pytest.raises(ClientError) as raised:
            getattr(client, method)(clientId=client_id)
        shapes = {shape.name: shape.metadata["error"] for shape in model(place, operation).error_shapes}
        code = raised.value.response["Error"]["Code"]
        assert shapes[code]["httpStatusCode"] == raised.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert isinstance(raised.value, getattr(client.exceptions, code))


# IAM


@pytest.mark.usefixtures("hang_up")
def test_a_user_asks_only_about_clients_that_a_policy_names(place: Place, device: Device) -> None:
    prefix = f"arn:aws:iot:{place.region}:{place.account_id}:client/"
    reads = place.data_of_user({"iot:GetConnection": [f"{prefix}{device.client_id}"]})

    assert answer(lambda: reads.get_connection(clientId=device.client_id)) == OK
    assert answer(lambda: reads.get_connection(clientId="another")) == FORBIDDEN
    assert answer(lambda: reads.delete_connection(clientId=device.client_id)) == FORBIDDEN
    assert place.data.get_connection(clientId=device.client_id)["connected"]


@pytest.mark.usefixtures("hang_up")
def test_a_user_deletes_only_connections_that_a_policy_names(place: Place, device: Device) -> None:
    arn = f"arn:aws:iot:{place.region}:{place.account_id}:client/{device.client_id}"
    deletes = place.data_of_user({"iot:DeleteConnection": [arn]})
    others = place.data_of_user({"iot:DeleteConnection": [f"{arn}-other"], "iot:GetConnection": ["*"]})

    assert answer(lambda: others.delete_connection(clientId=device.client_id)) == FORBIDDEN
    assert answer(lambda: others.get_connection(clientId=device.client_id)) == OK
    assert answer(lambda: deletes.get_connection(clientId=device.client_id)) == FORBIDDEN
    assert answer(lambda: deletes.delete_connection(clientId=device.client_id)) == OK


# Certificates


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
@pytest.mark.usefixtures("hang_up")
def test_a_session_ends_some_time_after_its_certificate_left_active(place: Place, device: Device, status: Any) -> None:
    place.iot.update_certificate(certificateId=certificate_id(device), newStatus=status)
    assert place.data.get_connection(clientId=device.client_id)["connected"], "not at once"

    def gone() -> Any:
        told = place.data.get_connection(clientId=device.client_id)
        return None if told["connected"] else told

    told = place.wait_for(gone, "the end of the session")
    assert told["disconnectReason"] == "SERVER_INITIATED_DISCONNECT"
    assert place.connect(device) == "refused"


@pytest.mark.usefixtures("hang_up")
def test_a_second_connection_of_a_client_takes_over_the_first_one(place: Place, device: Device) -> None:
    first = place.data.get_connection(clientId=device.client_id)["connectedSince"]
    place.wait_for(lambda: milliseconds(place) > first, "a millisecond")
    close = place.open(device)

    told = place.data.get_connection(clientId=device.client_id)
    assert told["connected"]
    assert told["connectedSince"] > first
    close()
