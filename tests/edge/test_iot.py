"""AWS IoT: each step as it goes over the wire, and where each error of AWS ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from jitr.aws.calls import attempts_of
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.errors import CertificateUnknown, NotPermitted, Overtaken, Reason, Rejected, Unavailable
from jitr.iot_models import Status
from jitr.provisioning import (
    AddThingToThingGroup,
    AttachPolicy,
    AttachThingPrincipal,
    CreateThing,
    DetachPolicy,
    DetachThingPrincipal,
    IotStep,
    SetStatus,
)
from tests.support.cases.issuing import NOW, factory
from tests.support.cloud import Cloud, Wire

ARN = "arn:aws:iot:eu-central-1:111111111111:cert/" + "ab" * 32
OTHER_ARN = "arn:aws:iot:eu-central-1:111111111111:cert/" + "cd" * 32
ATTRIBUTES = {"model": "Mark-2", "jitr_certificate": "ab" * 32}
CREATE = CreateThing(thing_name="sensor-0001", thing_type="sensor", attributes=ATTRIBUTES, certificate_arn=ARN)
ADD = AddThingToThingGroup(thing_name="sensor-0001", thing_group="factory-1")
ATTACH = AttachThingPrincipal(thing_name="sensor-0001", certificate_arn=ARN)
ATTACH_POLICY = AttachPolicy(policy="jitr-acme-factory", certificate_arn=ARN)
DETACH_POLICY = DetachPolicy(policy="jitr-acme-factory", certificate_arn=ARN)
DETACH = DetachThingPrincipal(thing_name="sensor-0001", certificate_arn=ARN)
ACTIVATE = SetStatus(certificate_id="ab" * 32, status=Status.ACTIVE)
# Each step with the one call that makes it so, and that call's parameters.
STEPS: list[tuple[IotStep, str, dict[str, Any]]] = [
    (
        CREATE,
        "CreateThing",
        {"thingName": "sensor-0001", "thingTypeName": "sensor", "attributePayload": {"attributes": ATTRIBUTES}},
    ),
    (ADD, "AddThingToThingGroup", {"thingName": "sensor-0001", "thingGroupName": "factory-1"}),
    (
        ATTACH,
        "AttachThingPrincipal",
        {"thingName": "sensor-0001", "principal": ARN, "thingPrincipalType": "EXCLUSIVE_THING"},
    ),
    (ATTACH_POLICY, "AttachPolicy", {"policyName": "jitr-acme-factory", "target": ARN}),
    (DETACH_POLICY, "DetachPolicy", {"policyName": "jitr-acme-factory", "target": ARN}),
    (DETACH, "DetachThingPrincipal", {"thingName": "sensor-0001", "principal": ARN}),
    (ACTIVATE, "UpdateCertificate", {"certificateId": "ab" * 32, "newStatus": "ACTIVE"}),
]
OPERATIONS = [operation for _, operation, _ in STEPS]
ASK: dict[str, Callable[[AwsIot], object]] = {
    "DescribeCertificate": lambda iot: iot.describe("ab" * 32),
    "DescribeCACertificate": lambda iot: iot.describe_ca("cd" * 32),
    "ListCertificates": lambda iot: list(iot.certificates()),
    "ListCertificatesByCA": lambda iot: list(iot.certificates_of("cd" * 32)),
}
DO: dict[str, Callable[[AwsIot], object]] = {
    **ASK,
    **{operation: lambda iot, step=step: iot.apply(step) for step, operation, _ in STEPS},  # type: ignore[misc]
}
EMPTY: dict[str, Any] = {}


@pytest.mark.parametrize(("step", "operation", "parameters"), STEPS, ids=OPERATIONS)
def test_a_step_is_one_call(
    cloud: Cloud, wire: Wire, step: IotStep, operation: str, parameters: dict[str, Any]
) -> None:
    wire.answer(operation, EMPTY)
    cloud.aws_iot.apply(step)
    assert wire.calls == [("iot", operation, parameters)]


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.INACTIVE, Status.REVOKED])
def test_a_status_is_set_as_it_is_called(cloud: Cloud, status: Status) -> None:
    device = cloud.knock()
    cloud.aws_iot.apply(SetStatus(certificate_id=device, status=status))
    assert cloud.status(device) == status.value


def test_a_thing_without_a_type_is_made_without_one(cloud: Cloud, wire: Wire) -> None:
    step = CreateThing(thing_name="sensor-0001", thing_type=None, attributes=ATTRIBUTES, certificate_arn=ARN)
    cloud.aws_iot.apply(step)
    assert wire.of("CreateThing") == [{"thingName": "sensor-0001", "attributePayload": {"attributes": ATTRIBUTES}}]
    assert cloud.iot.describe_thing(thingName="sensor-0001")["attributes"] == ATTRIBUTES


def test_the_steps_can_be_taken_twice(cloud: Cloud) -> None:
    device = cloud.knock()
    arn = cloud.aws_iot.describe(device).arn
    cloud.iot.create_thing_group(thingGroupName="factory-1")
    steps: list[IotStep] = [
        CREATE,
        ADD,
        AttachThingPrincipal(thing_name="sensor-0001", certificate_arn=arn),
        AttachPolicy(policy="jitr-acme-factory", certificate_arn=arn),
        SetStatus(certificate_id=device, status=Status.ACTIVE),
    ]
    for _ in range(2):
        for step in steps:
            cloud.aws_iot.apply(step)
    assert cloud.iot.list_thing_principals(thingName="sensor-0001")["principals"] == [arn]
    assert [one["policyName"] for one in cloud.iot.list_attached_policies(target=arn)["policies"]] == [
        "jitr-acme-factory"
    ]
    assert cloud.iot.list_things_in_thing_group(thingGroupName="factory-1")["things"] == ["sensor-0001"]
    assert cloud.status(device) == "ACTIVE"


@pytest.mark.parametrize("principals", [[], [ARN]], ids=["of nobody", "of this certificate"])
@pytest.mark.parametrize("thing_type", ["sensor", None])
def test_a_thing_that_exists_otherwise_is_adopted(
    cloud: Cloud, wire: Wire, principals: list[str], thing_type: str | None
) -> None:
    wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
    wire.answer("ListThingPrincipals", {"principals": principals})
    wire.answer("DescribeThing", {"thingName": "sensor-0001", "attributes": {"site": "somebody's"}, "version": 3})
    wire.answer("UpdateThing", EMPTY)
    cloud.aws_iot.apply(
        CreateThing(thing_name="sensor-0001", thing_type=thing_type, attributes=ATTRIBUTES, certificate_arn=ARN)
    )
    assert wire.operations("iot") == ["CreateThing", "ListThingPrincipals", "DescribeThing", "UpdateThing"]
    assert wire.of("ListThingPrincipals") == [{"thingName": "sensor-0001"}]
    assert wire.of("UpdateThing") == [
        {"thingName": "sensor-0001", "attributePayload": {"attributes": ATTRIBUTES, "merge": True}}
        | ({"thingTypeName": thing_type} if thing_type else {})
    ]


@pytest.mark.parametrize("thing_type", ["sensor", None])
def test_a_thing_that_the_registry_says_is_this_devices_is_brought_in_line_whoever_is_attached(
    cloud: Cloud, wire: Wire, thing_type: str | None
) -> None:
    wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
    wire.answer("UpdateThing", EMPTY)
    cloud.aws_iot.apply(replace(CREATE, thing_type=thing_type, is_ours=True))
    assert wire.operations("iot") == ["CreateThing", "UpdateThing"]
    assert wire.of("UpdateThing") == [
        {"thingName": "sensor-0001", "attributePayload": {"attributes": ATTRIBUTES, "merge": True}}
        | ({"thingTypeName": thing_type} if thing_type else {})
    ]


@pytest.mark.parametrize("step", [DETACH_POLICY, DETACH], ids=["policy", "principal"])
def test_what_is_detached_already_is_detached(cloud: Cloud, wire: Wire, step: IotStep) -> None:
    operation = type(step).__name__
    wire.fail(operation, "ResourceNotFoundException", status=404)
    cloud.aws_iot.apply(step)
    assert wire.operations("iot") == [operation]


def test_a_thing_that_vanishes_in_a_conflict_is_missing(cloud: Cloud, wire: Wire) -> None:
    wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
    wire.fail("ListThingPrincipals", "ResourceNotFoundException", status=404)
    with pytest.raises(Rejected, match="thing sensor-0001") as refusal:
        cloud.aws_iot.apply(CREATE)
    assert refusal.value.reason is Reason.TARGET_MISSING


@pytest.mark.parametrize("principals", [[OTHER_ARN], [ARN, OTHER_ARN], ["arn:aws:iot:::identity/x"]])
def test_a_thing_that_another_principal_is_attached_to_is_taken(
    cloud: Cloud, wire: Wire, principals: list[str]
) -> None:
    wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
    wire.answer("ListThingPrincipals", {"principals": principals})
    with pytest.raises(Rejected) as refusal:
        cloud.aws_iot.apply(CREATE)
    assert refusal.value.reason is Reason.THING_TAKEN
    assert wire.of("UpdateThing") == []


@pytest.mark.parametrize(
    ("is_shared", "same_ca", "is_taken"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_a_thing_that_may_be_shared_is_taken_only_from_another_cas_certificates(
    cloud: Cloud, wire: Wire, *, is_shared: bool, same_ca: bool, is_taken: bool
) -> None:
    sharer = cloud.knock()
    cloud.iot.update_certificate(certificateId=sharer, newStatus="ACTIVE")
    arn = cloud.aws_iot.describe(sharer).arn
    wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
    wire.answer("ListThingPrincipals", {"principals": [arn]})
    wire.answer("UpdateThing", EMPTY)
    ca = factory().certificate_id if same_ca else "f" * 64
    step = replace(CREATE, ca_certificate_id=ca, is_shared=is_shared)
    if is_taken:
        with pytest.raises(Rejected) as refusal:
            cloud.aws_iot.apply(step)
        assert refusal.value.reason is Reason.THING_TAKEN
    else:
        cloud.aws_iot.apply(step)
        assert len(wire.of("UpdateThing")) == 1


@pytest.mark.parametrize("operation", ["CreateThing", "ListThingPrincipals", "UpdateThing"])
def test_a_conflict_that_meets_a_throttle_is_unavailable(cloud: Cloud, wire: Wire, operation: str) -> None:
    if operation != "CreateThing":
        wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
        wire.answer("ListThingPrincipals", *([{"principals": []}] if operation == "UpdateThing" else []))
    wire.fail(operation, "ThrottlingException")
    with pytest.raises(Unavailable, match=operation):
        cloud.aws_iot.apply(CREATE)


RETRYABLE = [
    ("ThrottlingException", 400),
    ("TooManyRequestsException", 429),
    ("ServiceUnavailableException", 503),
    ("InternalFailureException", 500),
    ("InternalException", 400),
    ("SomethingNew", 500),
    ("SomethingNew", 599),
]


@pytest.mark.parametrize(("code", "status"), RETRYABLE)
@pytest.mark.parametrize("operation", DO)
def test_what_a_retry_can_cure_is_unavailable(cloud: Cloud, wire: Wire, operation: str, code: str, status: int) -> None:
    wire.fail(operation, code, status=status)
    with pytest.raises(Unavailable, match=f"^{operation}: {code}$"):
        DO[operation](cloud.aws_iot)


@pytest.mark.parametrize(
    "error",
    [
        ConnectTimeoutError(endpoint_url="https://iot"),
        ReadTimeoutError(endpoint_url="https://iot"),
        EndpointConnectionError(endpoint_url="https://iot"),
        ConnectionClosedError(endpoint_url="https://iot"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("operation", DO)
def test_what_gets_no_answer_is_unavailable(cloud: Cloud, wire: Wire, operation: str, error: Exception) -> None:
    wire.break_down(operation, error)
    with pytest.raises(Unavailable, match=f"^{operation}: {type(error).__name__}$"):
        DO[operation](cloud.aws_iot)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("LimitExceededException", Reason.LIMIT_EXCEEDED), ("InvalidRequestException", Reason.REQUEST_REFUSED)],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_limit_and_a_refusal_of_aws_are_answers_about_the_device(
    cloud: Cloud, wire: Wire, operation: str, code: str, reason: Reason
) -> None:
    wire.fail(operation, code)
    with pytest.raises(Rejected, match=f"{operation} said {code}") as refusal:
        DO[operation](cloud.aws_iot)
    assert refusal.value.reason is reason


@pytest.mark.parametrize("operation", DO)
@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 403), ("UnauthorizedException", 401)])
def test_a_missing_permission_is_told_apart_and_names_the_action(
    cloud: Cloud, wire: Wire, operation: str, code: str, status: int
) -> None:
    wire.fail(operation, code, status=status)
    with pytest.raises(NotPermitted, match=f"^{operation} is not permitted: ") as refused:
        DO[operation](cloud.aws_iot)
    assert refused.value.action == operation
    assert isinstance(refused.value.__cause__, ClientError)


@pytest.mark.parametrize(
    ("step", "operation", "missing"),
    [
        (CREATE, "CreateThing", "thing type sensor"),
        (ADD, "AddThingToThingGroup", "thing group factory-1"),
        (ATTACH, "AttachThingPrincipal", "thing sensor-0001"),
        (ATTACH_POLICY, "AttachPolicy", "policy jitr-acme-factory"),
    ],
)
def test_what_the_rules_name_and_aws_does_not_have_is_missing(
    cloud: Cloud, wire: Wire, step: IotStep, operation: str, missing: str
) -> None:
    wire.fail(operation, "ResourceNotFoundException", status=404)
    with pytest.raises(Rejected, match=missing) as refusal:
        cloud.aws_iot.apply(step)
    assert refusal.value.reason is Reason.TARGET_MISSING


@pytest.mark.parametrize(
    "make", [lambda iot: iot.describe("ab" * 32), lambda iot: iot.apply(ACTIVATE)], ids=["describe", "set status"]
)
def test_a_certificate_that_aws_does_not_know_is_unknown(cloud: Cloud, make: Callable[[AwsIot], object]) -> None:
    with pytest.raises(CertificateUnknown, match="ab" * 32):
        make(cloud.aws_iot)


def test_a_status_that_the_certificates_state_forbids_was_overtaken(cloud: Cloud, wire: Wire) -> None:
    wire.fail("UpdateCertificate", "CertificateStateException", status=406)
    with pytest.raises(Overtaken):
        cloud.aws_iot.apply(ACTIVATE)


class Waits(Unpaced):
    """Notes what would have waited for a turn."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def wait(self, name: str) -> None:
        self.names.append(name)


def test_the_calls_of_every_api_that_allows_few_are_paced(cloud: Cloud, wire: Wire) -> None:
    pace = Waits()
    iot = AwsIot(cloud.iot, pace, clock=lambda: datetime.now(UTC))
    few = ["DescribeCACertificate", "DescribeCertificate", "AttachPolicy", "DetachPolicy", "UpdateCertificate"]
    few += ["ListCertificates", "ListCertificatesByCA"]
    for operation, do in DO.items():
        wire.fail(operation, "AccessDeniedException", times=2)
        for _ in range(2):
            with pytest.raises(NotPermitted):
                do(iot)
        assert bool(pace.names) is (operation in few), operation
        pace.names.clear()


def test_looking_at_a_things_principals_is_paced(cloud: Cloud, wire: Wire) -> None:
    pace = Waits()
    iot = AwsIot(cloud.iot, pace, clock=lambda: NOW)
    for _ in range(2):
        wire.fail("CreateThing", "ResourceAlreadyExistsException", status=409)
        wire.answer("ListThingPrincipals", {"principals": [OTHER_ARN]})
        with pytest.raises(Rejected):
            iot.apply(CREATE)
    assert pace.names == ["ListThingPrincipals", "DescribeCertificate"] * 2  # and at the one that was found


@pytest.mark.parametrize("operation", ["ListPrincipalThings", "ListAttachedPolicies"])
def test_looking_at_what_a_certificate_is_attached_to_is_paced(cloud: Cloud, wire: Wire, operation: str) -> None:
    pace = Waits()
    iot = AwsIot(cloud.iot, pace, clock=lambda: NOW)
    device: Any = SimpleNamespace(arn=ARN)
    for _ in range(2):
        wire.answer("ListPrincipalThings", {"things": ["sensor-0001"]})
        wire.answer("ListAttachedPolicies", {"policies": []})
        found = iot.things_of(device) if operation == "ListPrincipalThings" else iot.policies_of(device)
        assert found == (("sensor-0001",) if operation == "ListPrincipalThings" else ())
    assert len(pace.names) == 2


@pytest.mark.parametrize(
    ("code", "status", "retries", "noted"),
    [
        pytest.param(None, 200, 0, (1, 0), id="an answer"),
        pytest.param(None, 200, 2, (3, 2), id="an answer at the third attempt"),
        pytest.param("ThrottlingException", 429, 2, (3, 3), id="throttled to the end"),
        pytest.param("ResourceNotFoundException", 404, 1, (2, 1), id="refused at the second attempt"),
        pytest.param("InternalFailureException", 500, 2, (3, 0), id="5xx, which says nothing of a quota"),
    ],
)
def test_what_a_call_ended_in_says_how_often_it_was_throttled(
    code: str | None, status: int, retries: int, noted: tuple[int, int]
) -> None:
    answer = {"ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": retries}}
    assert attempts_of(answer | ({"Error": {"Code": code}} if code else {})) == noted
