"""policies/operators: reading changes nothing, acting is enough for every call that jitrctl makes, and both fit IAM.

That AWS refuses what they do not allow, and nothing that a command needs, is tested in tests/local/test_operators.py.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name
from typer.main import get_command

from jitr_fleet.resources import LIVE, ResourceNames
from jitrctl.__main__ import app
from jitrctl.localaws.workspace import CHECKOUT
from tests.support.cli.operator_commands import ACTING, BY_OTHER_TESTS, OFFLINE, PROVING, READING

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICIES = CHECKOUT / "policies" / "operators"
SERVICES = (
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "events",
    "iam",
    "iot",
    "lambda",
    "logs",
    "s3",
    "service-quotas",
    "sqs",
)
# IAM's quota for a managed policy, without white space (IAM user guide, "IAM and AWS STS quotas").
LONGEST = 6144
READS = ("BatchGet", "Describe", "Filter", "Get", "List", "Query", "Receive", "Scan")


def statements(name: str) -> list[dict[str, Any]]:
    found = json.loads((POLICIES / f"{name}.json").read_text(encoding="utf-8"))["Statement"]
    return [dict(one) for one in found]


def actions(name: str) -> set[str]:
    return {action for one in statements(name) for action in one["Action"]}


def test_reading_changes_nothing_but_for_how_long_letters_are_hidden_that_were_looked_at() -> None:
    changing = [
        one for one in statements("read") if not all(a.partition(":")[2].startswith(READS) for a in one["Action"])
    ]

    assert [one["Sid"] for one in changing] == ["LookAtLetters"]
    (letters,) = changing
    assert letters["Action"] == ["sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"]
    assert [arn.rpartition(":")[2] for arn in letters["Resource"]] == [
        "jitr-<fleet>-dead-letters",
        "jitr-<fleet>-undelivered",
        "jitr-<fleet>-unforwarded",
        "jitr-<fleet>-hub-failed",
    ]


def test_acting_is_reading_and_more() -> None:
    assert statements("act")[: len(statements("read"))] == statements("read")
    assert actions("act") > actions("read")


@pytest.mark.parametrize("name", ["read", "act"])
def test_no_policy_allows_whole_services_or_is_too_long_for_iam(name: str) -> None:
    assert not [action for action in actions(name) if "*" in action]
    assert {one["Effect"] for one in statements(name)} == {"Allow"}
    assert len("".join((POLICIES / f"{name}.json").read_text(encoding="utf-8").split())) < LONGEST
    everywhere = {action for one in statements(name) if "*" in one["Resource"] for action in one["Action"]}
    changing = {action for action in everywhere if not action.partition(":")[2].startswith(READS)}
    assert changing <= {"iot:RegisterCACertificate"}  # which knows no resource


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


def test_every_call_that_jitrctl_makes_is_allowed_to_those_who_act() -> None:
    session = botocore.session.get_session()
    known: dict[str, set[str]] = {}
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            known.setdefault(xform_name(operation), set()).add(
                f"{service.replace('-', '')}:{operation}".replace(":Invoke", ":InvokeFunction", 1)
            )
    allowed = actions("act")
    missing = {
        name: sorted(known[name])
        for name in (*called_names(), *called_through_the_functions_code())
        if name in known and not {_of_iam(action) for action in known[name]} & allowed
    }

    assert missing == {}


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
    for node in ast.walk(ast.parse((CHECKOUT / "functions/jitr/aws/iot.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr


def test_of_every_command_it_is_said_whether_it_reads_or_acts() -> None:
    spec = importlib.util.spec_from_file_location("tools_cli", CHECKOUT / "tools" / "cli.py")
    assert spec
    assert spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)

    said = [*READING, *ACTING, *BY_OTHER_TESTS, *OFFLINE, *PROVING]
    assert sorted(said) == sorted(generator.commands(get_command(app)))
