"""What goes wrong before or during a run is said with its cure, and nothing is left."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from jitrctl.errors import Unusable
from jitrctl.prove.journal import FOLDER
from jitrctl.prove.operations import OPERATIONS
from jitrctl.prove.probes import PROBES
from jitrctl.prove.surroundings import matches_topic
from simulation import Authority, Call, Fault, Moment
from simulation.faults import denied
from tests.support.prove.proving_world import BOTH, CALLER, World

_DELETING = {"DeleteCertificate", "DeleteCACertificate", "DeletePolicy", "DeleteThing"}
_CLEANING = _DELETING | {
    "DescribeCACertificate",
    "DescribeCertificate",
    "DetachPolicy",
    "DetachThingPrincipal",
    "ListAttachedPolicies",
    "ListPrincipalThings",
    "UpdateCACertificate",
    "UpdateCertificate",
}
# Probes that make every call.
_CALLING_ALL = tuple(
    word
    for name in ("ca-id", "device-of-ca", "event", "no-sni", "exclusive", "reconnected", "template-removed")
    for word in ("--only", name)
)


@pytest.mark.parametrize(
    "operation", sorted({name for service, name in OPERATIONS if service.startswith("iot")} - {"DescribeEndpoint"})
)
def test_a_missing_permission_is_named(operation: str, world: World) -> None:
    def hook(call: Call, moment: Moment) -> Fault | None:
        if call.caller == CALLER and call.operation == operation and moment == "before":
            raise denied(call)
        return None

    world.aws.fault = hook
    code, said = world.say(*BOTH, *_CALLING_ALL)
    world.aws.fault = None

    assert operation in world.aws.list_operations(caller=CALLER)
    assert code == 1
    assert f"iot:{operation} is not allowed" in said or (operation == "DeleteConnection" and operation in said), said
    assert "policies/operators/prove.json" in said or operation in _CLEANING
    if operation not in _CLEANING:
        assert world.left() == []
    assert world.say("--clean")[0] == 0
    assert world.left() == []


def test_with_one_account_it_is_said_which_probes_are_left_out(world: World) -> None:
    document = world.ask("--account", "dev")

    two = {probe.name for probe in PROBES if probe.accounts == 2}
    left_out = {one["probe"] for one in document["not_answered"] if "second account" in one["why"]}
    assert left_out == two
    assert not any(one["failed"] for one in document["not_answered"])
    assert {one["probe"] for one in document["answers"]} == {one.name for one in PROBES if not one.bursts} - two
    assert [one for one in document["answers"] if not one["as_assumed"]] == []
    assert world.left() == []


def test_without_a_data_endpoint_nothing_is_made(world: World) -> None:
    world.endpoint_error = Unusable("the data endpoint x:8883 cannot be reached")
    code, said = world.say(*BOTH)

    assert code == 2
    assert "the data endpoint x:8883 cannot be reached" in said
    assert not [one for one in world.aws.calls if one.caller == CALLER and not one.operation.startswith("List")]
    assert world.journals == []


def test_a_throttled_run_goes_on(world: World) -> None:
    """Buckets of one call a second that others empty, too: the client's attempts alone would not do."""
    seen = 0

    def hook(call: Call, moment: Moment) -> Fault | None:
        nonlocal seen
        if call.caller != CALLER or moment != "before":
            return None
        seen += 1
        return Fault.THROTTLED if seen % 9 < 4 else None

    world.aws.fault = hook
    document = world.ask(*BOTH, "--only", "ca-id", "--only", "exclusive")

    assert document["not_answered"] == []
    assert [one for one in document["answers"] if not one["as_assumed"]] == []
    assert world.left() == []


def test_throttling_without_end_fails_the_probe_and_is_said(world: World) -> None:
    def hook(call: Call, moment: Moment) -> Fault | None:
        throttles = call.operation == "AttachThingPrincipal" and call.caller == CALLER and moment == "before"
        return Fault.THROTTLED if throttles else None

    world.aws.fault = hook
    code, said = world.say(*BOTH, "--only", "exclusive")

    assert code == 1
    assert "exclusive failed: AWS throttles" in said
    assert world.left() == []


def _with_a_stack(world: World) -> str:
    world.extras["prod"].stacks.append("jitr-acme")
    return "prod/eu-central-1 has the stack jitr-acme"


def _with_a_rule(world: World) -> str:
    account = world.account("dev")
    account.add_rule("f" * 64, account.sqs.create("theirs").url)
    return "dev/eu-central-1 has the topic rule rule_ffffffffffffffff_0 on registration events"


def _with_a_wide_rule(world: World) -> str:
    def lie(*_: object) -> dict[str, Any]:
        return {"rules": [{"ruleName": "all", "topicPattern": "$aws/events/#"}]}

    world.lies["list_topic_rules"] = lie
    return "dev/eu-central-1 has the topic rule all on registration events"


def _with_an_active_ca(world: World) -> str:
    world.iot("prod").register_ca_certificate(
        caCertificate=Authority.new("Theirs").pem, certificateMode="SNI_ONLY", setAsActive=True
    )
    return "prod/eu-central-1 has an ACTIVE CA"


@pytest.mark.parametrize("occupy", [_with_a_stack, _with_a_rule, _with_a_wide_rule, _with_an_active_ca])
def test_an_account_in_use_is_refused_unless_it_is_a_sandbox(occupy: Any, world: World) -> None:
    expected, left = occupy(world), world.left()

    code, said = world.say(*BOTH, "--only", "ca-id")
    assert code == 1
    assert expected in said
    assert "add --sandbox" in said
    assert world.left() == left
    assert "RegisterCACertificate" not in world.aws.list_operations(caller=CALLER)

    assert world.say(*BOTH, "--only", "ca-id", "--sandbox")[0] == 0
    assert world.left() == left


@pytest.mark.parametrize(
    ("topic_filter", "is_met"),
    [
        ("$aws/events/#", True),
        ("$aws/events/certificates/registered/+", True),
        ("$aws/+/certificates/registered/+", True),
        ("$aws/events/certificates/+", False),
        ("$aws/events/certificates/registered/+/more", False),
        ("$aws/events/presence/#", False),
        ("#", False),
        ("+/events/certificates/registered/+", False),
        ("", False),
    ],
)
def test_a_rule_is_met_where_its_topic_filter_takes_the_event(topic_filter: str, is_met: bool) -> None:  # noqa: FBT001
    assert matches_topic(topic_filter, f"$aws/events/certificates/registered/{'0' * 64}") is is_met


def test_it_asks_and_without_a_terminal_does_nothing(world: World) -> None:
    code, said = world.say("--account", "dev")

    assert code == 2
    assert "calls of AWS APIs" in said
    assert "there is nobody to ask" in said
    assert world.left() == []
    assert world.journals == []


def test_no_probe_makes_more_calls_than_the_plan_says(world: World) -> None:
    for probe in PROBES:
        if probe.bursts:
            continue
        before = len(world.aws.calls)
        assert world.say(*BOTH, "--only", probe.name)[0] == 0
        made = [one.operation for one in world.aws.calls[before:] if one.caller == CALLER]
        ends = next((number for number, one in enumerate(made) if one in _DELETING), len(made))
        assert ends <= probe.calls + 40, (probe.name, ends)  # 40: for what probes share, as the plan says


def test_a_probe_that_is_not_there_is_named_with_those_that_are(world: World) -> None:
    code, said = world.say(*BOTH, "--only", "ca-idea")
    assert code == 2
    assert "there is no probe ca-idea" in said
    assert "ca-id" in said


def test_two_runs_at_once_are_refused(world: World) -> None:
    folder = world.directory / FOLDER
    folder.mkdir()
    hold = (
        "import fcntl,sys,time;f=open(sys.argv[1],'w');fcntl.flock(f,fcntl.LOCK_EX);print(1,flush=True);time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(folder / "lock")], stdout=subprocess.PIPE, env=dict(os.environ)
    ) as other:
        assert other.stdout
        other.stdout.readline()
        code, said = world.say(*BOTH)
        other.kill()

    assert code == 2
    assert "another `jitrctl prove` uses" in said


def test_a_journal_that_cannot_be_read_is_not_passed_over(world: World) -> None:
    folder = world.directory / FOLDER
    folder.mkdir()
    (folder / "x.journal.json").write_text(json.dumps({"format": 99}))
    code, said = world.say("--clean")

    assert code == 2
    assert "cannot be read" in said


def test_the_document_names_no_account(world: World) -> None:
    text = json.dumps(world.ask(*BOTH))

    assert "111111111111" not in text
    assert "222222222222" not in text
    assert "<account 1>" in text
