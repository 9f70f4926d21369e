"""policies/operators: reading changes nothing, with the other two it is enough for all of jitrctl, and each fits IAM.

That AWS refuses what they do not allow, and nothing that a command needs, is tested in tests/local/test_operators.py.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from typing import TYPE_CHECKING

import botocore.session
import pytest
from botocore import xform_name

from jitr.pacing.schedule import PACE
from jitr_fleet.resources import LIVE, ResourceNames
from jitrctl.localaws.workspace import CHECKOUT
from tests.support.cli.iam import POLICIES, actions, statements, under
from tests.support.cli.operator_commands import (
    ACTING,
    BY_OTHER_TESTS,
    KEEPING_CAS,
    KEEPING_CAS_BY_OTHER_TESTS,
    OFFLINE,
    PROVING,
    READING,
)
from tests.support.cli.simulated import DEV, Simulated, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICES = (
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "events",
    "iam",
    "iot",
    "iot-data",
    "lambda",
    "logs",
    "s3",
    "service-quotas",
    "sqs",
)
# IAM's quota for a managed policy, without white space (IAM user guide, "IAM and AWS STS quotas").
LONGEST = 6144
ROOM = 1000  # characters that each policy has left, so that the next permission fits
POLICY_NAMES = ["read", "act", "cas"]
READS = ("BatchGet", "Describe", "Filter", "Get", "List", "Query", "Receive", "Scan")


def test_reading_changes_nothing_but_how_long_letters_hide_and_whose_turn_it_is() -> None:
    changing = [
        one for one in statements("read") if not all(a.partition(":")[2].startswith(READS) for a in one["Action"])
    ]

    assert [one["Sid"] for one in changing] == ["TakeTurns", "LookAtLetters"]
    turns, letters = changing
    assert turns["Action"] == ["dynamodb:UpdateItem"]
    assert [arn.rpartition("/")[2] for arn in turns["Resource"]] == ["jitr-<fleet>-registry"]
    # All keys of the request, and one at least: ForAllValues alone would also hold where AWS tells none.
    assert turns["Condition"] == {
        f"{these}:StringEquals": {"dynamodb:LeadingKeys": [PACE]} for these in ("ForAllValues", "ForAnyValue")
    }
    assert letters["Action"] == ["sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"]
    assert [arn.rpartition(":")[2] for arn in letters["Resource"]] == [
        "jitr-<fleet>-dead-letters",
        "jitr-<fleet>-undelivered",
        "jitr-<fleet>-unforwarded",
        "jitr-<fleet>-hub-failed",
    ]


def test_the_acting_policies_repeat_nothing_of_the_reading_one() -> None:
    (turns,) = (one for one in statements("read") if one["Sid"] == "TakeTurns")
    read = {action for one in statements("read") if one != turns for action in one["Action"]}
    for name in ("act", "cas"):
        assert not actions(name) & read
        assert not {one["Sid"] for one in statements(name)} & {one["Sid"] for one in statements("read")}


def test_who_acts_on_devices_changes_no_ca_and_who_keeps_cas_no_device() -> None:
    assert not [action for action in actions("act") if "CACertificate" in action]
    assert {action for action in actions("cas") if action.startswith("iot:")} == {
        "iot:DeleteCACertificate",
        "iot:DisableTopicRule",
        "iot:EnableTopicRule",
        "iot:RegisterCACertificate",
        "iot:TagResource",
        "iot:UpdateCACertificate",
    }
    (tagged,) = (one for one in statements("cas") if "iot:TagResource" in one["Action"])
    assert [arn.rpartition(":")[2] for arn in tagged["Resource"]] == ["cacert/*"]


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_no_policy_allows_whole_services_or_is_too_long_for_iam(name: str) -> None:
    assert not [action for action in actions(name) if "*" in action]
    assert {one["Effect"] for one in statements(name)} == {"Allow"}
    assert len("".join((POLICIES / f"{name}.json").read_text(encoding="utf-8").split())) <= LONGEST - ROOM
    everywhere = {action for one in statements(name) if "*" in one["Resource"] for action in one["Action"]}
    changing = {action for action in everywhere if not action.partition(":")[2].startswith(READS)}
    # They know no resource.
    assert changing <= {
        "iot:RegisterCACertificate",
        "iot:RegisterCertificate",
        "iot:RegisterCertificateWithoutCA",
    }


def test_the_way_to_the_function_may_be_closed_with_and_without_snapshots() -> None:
    """With `snap_start` the mapping is of the alias, and IAM compares the name that it is of."""
    names, placeholders = ResourceNames("<fleet>"), "arn:<partition>:lambda:<region>:<account>:function:"
    (statement,) = (one for one in statements("act") if one["Sid"] == "Pause")

    assert statement["Condition"] == {
        "ArnLike": {
            "lambda:FunctionArn": [
                f"{placeholders}{names.register_function}",
                f"{placeholders}{names.register_function}:{LIVE}",
            ]
        }
    }


def test_every_call_that_jitrctl_makes_is_allowed_by_one_of_the_policies() -> None:
    session = botocore.session.get_session()
    known: dict[str, set[str]] = {}
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            if operation == "Publish":
                continue  # jitrctl calls its own functions so
            known.setdefault(xform_name(operation), set()).add(
                f"{prefix_of(service)}:{operation}".replace(":Invoke", ":InvokeFunction", 1)
            )
    allowed = {action for name in POLICY_NAMES for action in actions(name)}
    missing = {
        name: sorted(known[name])
        for name in (*called_names(), *called_through_the_functions_code())
        if name in known and not {_of_iam(action) for action in known[name]} & allowed
    }

    assert missing == {}


# Without ListBucket, S3 says of an object that is not there that it is forbidden. The pages of the quotas are asked for
# by names that are handed on.
NAMED_OTHERWISE = {
    "s3:ListBucket": "get_object",
    "servicequotas:ListAWSDefaultServiceQuotas": "get_paginator",
    "servicequotas:ListServiceQuotas": "get_paginator",
}


def test_the_reading_policy_allows_nothing_that_jitrctl_never_calls() -> None:
    called = {*called_names(), *called_through_the_functions_code(), *called_through_the_store()}
    unused = [
        action
        for action in sorted(actions("read"))
        if NAMED_OTHERWISE.get(action, xform_name(action.partition(":")[2])) not in called
    ]

    assert unused == []


def called_through_the_store() -> Iterator[str]:
    """The names of the methods that the functions' code calls of DynamoDB, SQS and S3, which jitrctl reads through."""
    for folder in ("store", "aws", "pacing"):
        for path in (CHECKOUT / "functions/jitr" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    yield node.attr


def prefix_of(service: str) -> str:
    """The service as IAM's actions call it."""
    return service.removesuffix("-data").replace("-", "")


def _of_iam(action: str) -> str:
    return "lambda:InvokeFunction" if action.startswith("lambda:InvokeFunction") else action.removesuffix("Batch")


def called_names() -> Iterator[str]:
    """The names of the methods that jitrctl calls, and of what it pages through; not on the local AWS, nor `prove`."""
    for path in sorted((CHECKOUT / "jitrctl").rglob("*.py")):
        if {"localaws", "demo", "prove"} & set(path.relative_to(CHECKOUT).parts):  # `prove` has a policy of its own
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                yield node.attr
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get_paginator":
                yield str(getattr(node.args[0], "value", ""))


def called_through_the_functions_code() -> Iterator[str]:
    """The names of the methods that jitr's edge to AWS IoT calls: `device reconcile` makes any of its steps."""
    for name in ("iot.py", "connections.py"):
        for node in ast.walk(ast.parse((CHECKOUT / "functions/jitr/aws" / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                yield node.attr
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_operation":
                yield str(getattr(node.args[-1], "value", ""))


def test_of_every_command_it_is_said_whether_it_reads_or_acts() -> None:
    spec = importlib.util.spec_from_file_location("tools_cli", CHECKOUT / "tools" / "cli.py")
    assert spec
    assert spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)

    said = [*READING, *ACTING, *BY_OTHER_TESTS, *KEEPING_CAS, *KEEPING_CAS_BY_OTHER_TESTS, *OFFLINE, *PROVING]
    assert sorted(said) == sorted(generator.commands())


def test_the_page_says_of_every_command_under_which_policy_it_runs() -> None:
    page = (CHECKOUT / "docs" / "operators.md").read_text(encoding="utf-8")
    said = {
        row[1].strip(): set(re.findall(r"`([^`…]+?)(?: …)?`", row[2]))
        for row in (line.split("|") for line in page.splitlines() if line.startswith("| "))
        if len(row) == 4
    }
    for row, commands in (
        ("read", READING),
        ("act", {*ACTING, *BY_OTHER_TESTS}),
        ("cas", {*KEEPING_CAS, *KEEPING_CAS_BY_OTHER_TESTS}),
        ("prove", PROVING),
    ):
        assert said[row] == {name.removeprefix("jitrctl ") for name in commands}


# What an operator may do, in the simulation: by the names of the actions; resources are held in tests/local.


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


def test_who_reads_is_told_of_a_devices_connection(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    fleet.aws.fault = under("read")

    assert "client sensor-0001: connected since" in fleet.say("device", "show", leaf.certificate_id)


CA_ORDERS = [["ca", "rotate"], ["ca", "retire", "factory"], ["ca", "retire", "factory", "--delete"], ["ca", "apply"]]


@pytest.mark.parametrize("words", CA_ORDERS, ids=" ".join)
def test_who_keeps_cas_runs_on_the_reading_policy_and_that_of_cas(fleet: Simulated, words: list[str]) -> None:
    if words[1] == "retire":
        fleet.say("ca", "rotate", "--yes")
    for names in (("read",), ("read", "act")):
        fleet.aws.fault = under(*names)
        assert "is not allowed" in fleet.say(*words, "--yes", code=1)
    fleet.aws.fault = under("read", "cas")
    fleet.say(*words, "--yes")


@pytest.mark.parametrize("words", [["device", "deactivate"], ["device", "revoke"], ["device", "remove"]], ids=" ".join)
def test_who_acts_on_devices_runs_on_the_reading_policy_and_that_of_acts(fleet: Simulated, words: list[str]) -> None:
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    if words[1] == "remove":
        fleet.say("device", "revoke", leaf.certificate_id, "--yes")
    order = [*words, leaf.certificate_id, "--yes"]
    for names in (("read",), ("read", "cas")):
        fleet.aws.fault = under(*names)
        assert "is not allowed" in fleet.say(*order, code=1)
    fleet.aws.fault = under("read", "act")
    fleet.say(*order)
