"""The hook on its way through `register`: who is asked, what a refusal and each kind of failure come to."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import HOOK, CheckMode, EnrollmentRule
from tests.support.cases.enrollment import of_thing
from tests.support.cases.issuing import ACCOUNT, DAY, NOW, REGION, factory, named, rules_for
from tests.support.cloud import TABLE, Cloud, Wire
from tests.support.edge.deployed import ENROLLMENT
from tests.support.edge.events import handle_event
from tests.support.edge.records import deny, recall_decision
from tests.support.examples import MINUTE

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:check-device"
ALLOWED = {"allowProvisioning": True}


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    cloud.under(rules_for(cloud.authority, thing_groups=(), hook=ARN))
    return cloud


def under(cloud: Cloud, **changes: Any) -> None:
    cloud.under(replace(cloud.rules, cas=(replace(cloud.rules.cas[0], **changes),)))


def answers(wire: Wire, answer: object, **more: str) -> None:
    """Let the hook answer this, whenever it is asked."""
    payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    wire.serve("Invoke", lambda _: {"StatusCode": 200, "Payload": io.BytesIO(payload), **more})


def test_a_device_that_passed_the_checks_is_asked_about_once_and_comes_up(cloud: Cloud, wire: Wire) -> None:
    answers(wire, ALLOWED)
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    (asked,) = wire.of("Invoke")
    assert asked["FunctionName"] == ARN
    assert json.loads(asked["Payload"])["certificateId"] == device
    assert asked.keys() == {"FunctionName", "Payload"}
    assert wire.operations("iot")[2:] == ["CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"]
    assert cloud.status(device) == "ACTIVE"


def test_a_device_that_fails_a_check_is_not_asked_about(cloud: Cloud, wire: Wire) -> None:
    for device in (
        cloud.knock(factory().leaf(named("gateway-1"))),
        cloud.knock(factory().leaf(ends=NOW - DAY / 2)),
    ):
        assert handle_event(cloud, device) == []
    under(cloud, enrollment=EnrollmentRule.LISTED)
    assert handle_event(cloud, cloud.knock()) == []
    assert "Invoke" not in wire.operations("lambda")


@pytest.mark.parametrize("mode", [CheckMode.OFF, None])
def test_a_hook_that_is_off_or_not_there_is_not_asked(cloud: Cloud, wire: Wire, mode: CheckMode | None) -> None:
    under(cloud, **({"checks": {HOOK: mode}} if mode else {"hook": None}))
    device = cloud.knock()
    handle_event(cloud, device)
    assert wire.operations("lambda") == []
    assert cloud.status(device) == "ACTIVE"


def test_a_duplicate_and_a_held_device_that_waits_are_not_asked_about(cloud: Cloud, wire: Wire) -> None:
    answers(wire, {"allowProvisioning": False})
    device = cloud.knock()
    handle_event(cloud, device)
    assert recall_decision(cloud, device).reason is Reason.HOOK_REFUSED
    handle_event(cloud, device)
    assert wire.operations("lambda") == []


def test_a_refused_device_is_asked_about_again_and_comes_up_by_itself(cloud: Cloud, wire: Wire) -> None:
    answers(wire, {"allowProvisioning": False, "reason": "no contract"})
    device = cloud.knock()
    handle_event(cloud, device)
    held = recall_decision(cloud, device)
    assert (held.outcome, held.reason) == (Outcome.HELD, Reason.HOOK_REFUSED)
    assert held.detail
    assert "no contract" in held.detail
    assert cloud.status(device) == "PENDING_ACTIVATION"
    assert wire.operations("iot").count("CreateThing") == 0
    answers(wire, ALLOWED)
    cloud.now += 5 * MINUTE
    handle_event(cloud, device)
    assert cloud.status(device) == "ACTIVE"


@pytest.mark.parametrize(
    ("answer", "more", "said"),
    [
        ({"errorMessage": "password=x", "errorType": "KeyError"}, {"FunctionError": "Unhandled"}, "raised 'KeyError'"),
        (b"no json", {"FunctionError": "Unhandled"}, "not JSON"),
        (b"", {}, "not JSON"),
        ({}, {}, "without allowProvisioning"),
        ({"allowProvisioning": True, "parameterOverrides": {"site": "Bad Ulm"}}, {}, "not legal"),
        (b"[" * 60_000, {}, "not JSON"),
        (b" " * 65_536 + b"{}", {}, "more than 65536 bytes"),
    ],
)
def test_a_hook_that_fails_holds_the_device_and_says_how_and_nothing_secret(
    cloud: Cloud, wire: Wire, answer: object, more: dict[str, str], said: str
) -> None:
    answers(wire, answer, **more)
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    held = recall_decision(cloud, device)
    assert (held.outcome, held.reason) == (Outcome.HELD, Reason.HOOK_FAILED)
    assert held.detail
    assert said in held.detail
    assert "password" not in held.detail
    assert cloud.status(device) == "PENDING_ACTIVATION"


@pytest.mark.parametrize(
    "code",
    ["ResourceNotFoundException", "KMSAccessDeniedException", "InvalidRuntimeException"],
)
def test_a_hook_that_cannot_be_invoked_holds_the_device_and_names_the_error(
    cloud: Cloud, wire: Wire, code: str
) -> None:
    wire.fail("Invoke", code, status=502 if code.startswith(("KMS", "Invalid")) else 403)
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    held = recall_decision(cloud, device)
    assert held.reason is Reason.HOOK_FAILED
    assert held.detail
    assert code in held.detail


def test_a_hook_that_the_role_may_not_invoke_keeps_the_message_and_is_counted(cloud: Cloud, wire: Wire) -> None:
    wire.fail("Invoke", "AccessDeniedException", status=403)
    device = cloud.knock()
    assert len(handle_event(cloud, device)) == 1
    assert cloud.registry.recall([device])[device].decision is None
    assert cloud.counted()["NotPermitted"] == 1


def test_a_hook_that_takes_too_long_holds_the_device(cloud: Cloud, wire: Wire) -> None:
    wire.break_down("Invoke", ReadTimeoutError(endpoint_url="https://lambda"))
    device = cloud.knock()
    assert handle_event(cloud, device) == []
    held = recall_decision(cloud, device)
    assert held.reason is Reason.HOOK_FAILED
    assert held.detail
    assert "within 4 seconds" in held.detail


@pytest.mark.parametrize(
    "error",
    [
        "TooManyRequestsException",
        "ServiceException",
        ConnectTimeoutError(endpoint_url="https://lambda"),
        EndpointConnectionError(endpoint_url="https://lambda"),
    ],
    ids=repr,
)
def test_lambda_being_too_busy_is_no_answer_about_the_device(
    cloud: Cloud, wire: Wire, error: str | BaseException
) -> None:
    if isinstance(error, str):
        wire.fail("Invoke", error, status=500 if error == "ServiceException" else 429)
    else:
        wire.break_down("Invoke", error)
    device = cloud.knock()
    assert len(handle_event(cloud, device)) == 1
    assert cloud.registry.recall([device])[device].decision is None
    answers(wire, ALLOWED)
    assert handle_event(cloud, device) == []
    assert cloud.status(device) == "ACTIVE"


def test_an_observed_hook_lets_in_and_what_it_said_is_recorded(cloud: Cloud, wire: Wire) -> None:
    under(cloud, checks={HOOK: CheckMode.OBSERVE})
    answers(wire, {"allowProvisioning": False})
    device = cloud.knock()
    handle_event(cloud, device)
    assert cloud.status(device) == "ACTIVE"
    assert recall_decision(cloud, device).would_reject == (Reason.HOOK_REFUSED,)


def test_what_a_hook_overrides_is_provisioned(cloud: Cloud, wire: Wire) -> None:
    answers(wire, ALLOWED | {"parameterOverrides": {"ThingName": "pump-7", "site": "Ulm"}})
    device = cloud.knock()
    handle_event(cloud, device)
    assert recall_decision(cloud, device).thing_name == "pump-7"
    thing = cloud.iot.describe_thing(thingName="pump-7")
    assert thing["attributes"] == {"model": "Mark-2", "site": "Ulm", "jitr_certificate": device}
    owner = cloud.registry.owner("pump-7")
    assert owner
    assert owner.certificate_id == device


def test_a_name_that_the_hook_gives_is_looked_up_in_the_list_too(cloud: Cloud, wire: Wire) -> None:
    under(cloud, enrollment=EnrollmentRule.LISTED)
    answers(wire, ALLOWED | {"parameterOverrides": {"ThingName": "pump-7"}})
    cloud.enroll(of_thing())
    device = cloud.knock()
    handle_event(cloud, device)
    assert recall_decision(cloud, device).reason is Reason.NOT_LISTED
    pump = Subject(SubjectKind.THING, "pump-7")
    cloud.enroll(Entry(subject=pump, rule=EntryRule.ALLOW))
    handle_event(cloud, device)
    assert cloud.status(device) == "ACTIVE"


def test_a_denied_name_cannot_be_had_through_the_hook(cloud: Cloud, wire: Wire) -> None:
    answers(wire, ALLOWED | {"parameterOverrides": {"ThingName": "pump-7"}})
    cloud.enroll(Entry(subject=Subject(SubjectKind.THING, "pump-7"), rule=EntryRule.DENY))
    device = cloud.knock()
    handle_event(cloud, device)
    assert recall_decision(cloud, device).reason is Reason.ENTRY_DENIES
    assert cloud.status(device) == "INACTIVE"


def test_a_hook_is_not_begun_near_the_deadline(cloud: Cloud, wire: Wire) -> None:
    answers(wire, ALLOWED)
    device = cloud.knock()
    left = iter([True, False])
    assert len(cloud.batch(cloud.record(cloud.event(device)), time_is_left=lambda: next(left, False))) == 1
    assert wire.operations("lambda") == []


def test_a_hold_does_not_replace_what_another_run_decided_while_the_hook_was_asked(cloud: Cloud, wire: Wire) -> None:
    device = cloud.knock()
    asked = []

    def slow(_: dict[str, Any]) -> dict[str, Any]:
        asked.append(device)
        if len(asked) == 1:
            assert handle_event(cloud, device) == []  # a duplicate of the message, elsewhere
            raise ReadTimeoutError(endpoint_url="https://lambda")
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(ALLOWED).encode())}

    wire.serve("Invoke", slow)
    assert handle_event(cloud, device) == []
    assert len(asked) == 2
    assert recall_decision(cloud, device).outcome is Outcome.ACTIVATED
    assert cloud.status(device) == "ACTIVE"


def test_what_the_entry_of_the_name_that_the_hook_gave_says_is_given(cloud: Cloud, wire: Wire) -> None:
    answers(wire, ALLOWED | {"parameterOverrides": {"ThingName": "pump-7", "site": "Ulm"}})
    cloud.enroll(
        of_thing(additions=Additions(attributes={"line": "one"})),
        Entry(
            subject=Subject(SubjectKind.THING, "pump-7"),
            rule=EntryRule.ALLOW,
            additions=Additions(attributes={"line": "two", "site": "Bonn"}),
        ),
    )
    device = cloud.knock()
    handle_event(cloud, device)
    attributes = cloud.iot.describe_thing(thingName="pump-7")["attributes"]
    assert (attributes["line"], attributes["site"]) == ("two", "Ulm"), "its own name's entry, then the hook's word"


@pytest.mark.parametrize("name", ["sensor-0001", "pump-7"])
def test_who_owns_a_name_is_read_after_the_hook_has_answered(cloud: Cloud, wire: Wire, name: str) -> None:
    read: list[set[str]] = []

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        read.extend({*one["RequestItems"]} for one in wire.of("BatchGetItem"))
        payload = ALLOWED | {"parameterOverrides": {"ThingName": name}}
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(payload).encode())}

    wire.serve("Invoke", answer)
    handle_event(cloud, cloud.knock())
    assert read == [{TABLE}, {ENROLLMENT}], "before: the record, and the entries alone"
    after = [one["RequestItems"] for one in wire.of("BatchGetItem")[2:]]
    assert {"id": {"S": f"thing#{name}"}} in after[-1][TABLE]["Keys"]
    assert cloud.registry.owner(name)


def test_an_observed_hook_changes_nothing(cloud: Cloud, wire: Wire) -> None:
    under(cloud, checks={HOOK: CheckMode.OBSERVE})
    answers(wire, ALLOWED | {"parameterOverrides": {"ThingName": "pump-7"}})
    device = cloud.knock()
    handle_event(cloud, device)
    assert (cloud.status(device), recall_decision(cloud, device).thing_name) == ("ACTIVE", "sensor-0001")


def test_what_was_attached_under_the_name_that_a_hook_gave_is_taken_back(cloud: Cloud, wire: Wire) -> None:
    answers(wire, ALLOWED | {"parameterOverrides": {"ThingName": "pump-7"}})
    device = cloud.knock()
    wire.fail("TransactWriteItems", "ThrottlingException")
    assert len(handle_event(cloud, device)) == 1
    assert cloud.iot.list_thing_principals(thingName="pump-7")["principals"]
    deny(cloud, device)
    assert handle_event(cloud, device) == []
    assert recall_decision(cloud, device).reason is Reason.OPERATOR_VERDICT
    assert cloud.iot.list_thing_principals(thingName="pump-7")["principals"] == []
