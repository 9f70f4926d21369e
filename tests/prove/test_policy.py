"""policies/operators/prove.json allows every call of `jitrctl prove`, and no other."""

import json
from typing import Any

import botocore.session
from botocore import xform_name

from jitrctl.localaws.workspace import CHECKOUT
from jitrctl.prove.operations import BESIDE, OPERATIONS

POLICY = CHECKOUT / "policies" / "operators" / "prove.json"
# What the way into an account asks before anything else (jitrctl/session/access.py).
OPENING = {"sts:GetCallerIdentity"}
LONGEST = 6144  # IAM's quota for a managed policy, without white space


def statements() -> list[dict[str, Any]]:
    return list(json.loads(POLICY.read_text(encoding="utf-8"))["Statement"])


def test_it_allows_exactly_the_calls_that_can_be_sent() -> None:
    allowed = {action for one in statements() for action in one["Action"]}

    assert allowed == {one.action for one in OPERATIONS.values()} | BESIDE | OPENING


def test_what_has_a_name_is_only_allowed_under_a_runs_name() -> None:
    """Certificates have ids, which are not known before: those are kept apart by the journal."""
    for one in statements():
        for resource in one["Resource"]:
            kind = resource.rpartition(":")[2].partition("/")[0]
            if kind not in ("cacert", "cert", "*"):
                assert resource.endswith(("/jitr-prove-*", ":jitr-prove-*"))
    everywhere = {
        action
        for one in statements()
        if one["Resource"] == ["*"] and "Condition" not in one
        for action in one["Action"]
    }
    changing = {one for one in everywhere if not one.partition(":")[2].startswith(("Describe", "Get", "List"))}
    # Neither knows a resource before it is made (service authorization reference, AWS IoT).
    assert changing == {"iot:RegisterCACertificate", "iot:RegisterCertificateWithoutCA"}
    (mapping,) = (one for one in statements() if "Condition" in one)
    assert mapping["Condition"]["ArnLike"]["lambda:FunctionArn"].endswith(":function:jitr-prove-*")


def test_it_fits_iam_and_allows_no_whole_service() -> None:
    assert len("".join(POLICY.read_text(encoding="utf-8").split())) < LONGEST
    assert not [action for one in statements() for action in one["Action"] if "*" in action]
    assert {one["Effect"] for one in statements()} == {"Allow"}


def test_every_operation_and_every_parameter_that_names_something_is_boto3s() -> None:
    session = botocore.session.get_session()
    for (service, name), operation in OPERATIONS.items():
        model = session.get_service_model(service).operation_model(name)
        assert xform_name(name)
        for target in operation.targets:
            assert model.input_shape
            assert target.parameter in model.input_shape.members, (name, target)
        if not name.startswith(("Describe", "Get", "List")):
            assert operation.targets, f"{name} changes something: say what"
