"""Says what a trial under a policy file means: which statement keeps devices out, and what they are not let do.

Decides on the sentences, and whether each refuses the file (no device could connect) or is a note: a device may be
meant to listen only, and what a condition rests on may not be known here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jitr.frozen import value
from jitr_fleet.authorization.actions import ACTIONS
from jitr_fleet.authorization.evaluation import Evaluation, PolicyAnswer, as_list
from jitr_fleet.authorization.trial import (
    CONNECT,
    PUBLISH,
    RECEIVE,
    SUBSCRIBE,
    Attempt,
    PolicyTrial,
    TrialDevice,
    find_allowed_clients,
)
from jitr_fleet.permissions import ATTACHED, OWN_CLIENT
from jitr_fleet.policy import PolicyFile

_ARN = "arn:<partition>:iot:<region>:<account>:"
_CONNECT_AS_ITSELF = (
    f'{{ "Effect": "Allow", "Action": "iot:Connect", "Resource": "{_ARN}{OWN_CLIENT}", "Condition": {{ {ATTACHED} }} }}'
)


@value
class PolicyFinding:
    """One thing that a trial showed."""

    line: int  # of the policy file
    text: str
    cure: str
    refused: bool


def describe_trial(
    file: PolicyFile,
    trial: PolicyTrial,
    documents: list[Mapping[str, Any]],
    device: TrialDevice,
    own_names: frozenset[str],
) -> list[PolicyFinding]:
    """What a trial of a made-up device showed; `own_names` are the keys of its context that are its alone."""
    return [*_find_on_connect(file, trial.connect, documents, device, own_names), *_find_on_messages(file, trial)]


def _find_on_connect(
    file: PolicyFile,
    connect: Attempt,
    documents: list[Mapping[str, Any]],
    device: TrialDevice,
    own_names: frozenset[str],
) -> Iterable[PolicyFinding]:
    found = connect.evaluation
    if found.answer in (PolicyAnswer.DENIED, PolicyAnswer.NOT_ALLOWED):
        # A condition on the sample's own name may hold for other devices.
        open_to_names = device.ask(documents, CONNECT, device.client_id, unknown=own_names)
        found = open_to_names if open_to_names.answer is PolicyAnswer.UNSURE else found
    match found.answer:
        case PolicyAnswer.UNSURE:
            yield _make_finding(
                file,
                found,
                f"{_name_statement(file, found)} depends on {', '.join(found.unknown)}, so whether a device may "
                "connect cannot be decided here",
                "try it with a device: `jitrctl doctor CERT.pem` evaluates the policies that are attached to it",
                refused=False,
            )
        case PolicyAnswer.DENIED:
            yield _make_finding(
                file,
                found,
                f"{_name_statement(file, found)} denies {CONNECT} to every device",
                "a Deny wins over every Allow: remove it, or narrow its Action and Resource",
            )
        case PolicyAnswer.NOT_ALLOWED if clients := find_allowed_clients(documents, device):
            yield _make_finding(
                file,
                found,
                f"{_name_statement(file, found)} allows {CONNECT} only as {', '.join(clients)}",
                f"if these are not all devices, allow {_ARN}{OWN_CLIENT}, which is each device's own",
                refused=False,
            )
        case PolicyAnswer.NOT_ALLOWED if found.statements:
            yield _make_finding(
                file,
                found,
                f"{_name_statement(file, found)} allows {CONNECT}, and no device as its thing: "
                f"{_explain_refusal(found, documents, device)}",
                f"allow {_ARN}{OWN_CLIENT}, with the condition {ATTACHED}",
            )
        case PolicyAnswer.NOT_ALLOWED:
            yield _make_finding(
                file,
                found,
                f"no statement allows {CONNECT}, so no device can connect",
                f"add {_CONNECT_AS_ITSELF}",
            )


def _explain_refusal(found: Evaluation, documents: list[Mapping[str, Any]], device: TrialDevice) -> str:
    """Which part of the first statement that is about the action keeps the device from it."""
    place = found.statements[0]
    statement = as_list(documents[place.document]["Statement"])[place.statement]
    bare = {key: part for key, part in statement.items() if key != "Condition"}
    if device.ask([{"Statement": [bare]}], CONNECT, device.client_id).answer is PolicyAnswer.ALLOWED:
        return "its Condition holds for none"
    return f"none of its resources is {device.arn(f'client/{device.client_id}')}"


def _find_on_messages(file: PolicyFile, trial: PolicyTrial) -> Iterable[PolicyFinding]:
    """What a device that is connected may not do; that is allowed, and said."""
    if not trial.publish.is_allowed:
        yield _note_missing(file, trial.publish, PUBLISH, "devices send nothing")
    if not trial.subscribe.is_allowed:
        yield _note_missing(file, trial.subscribe, SUBSCRIBE, "devices subscribe to nothing")
    elif not trial.receive.is_allowed:
        yield _note_missing(
            file, trial.receive, RECEIVE, f"devices may subscribe to {trial.subscribe.name}, and nothing arrives"
        )


def _note_missing(file: PolicyFile, attempt: Attempt, action: str, so: str) -> PolicyFinding:
    found, kind = attempt.evaluation, ACTIONS[action]
    topic = attempt.name if action == RECEIVE else "…"
    cure = f"if that is not meant, allow {action} on {_ARN}{kind}/{topic}"
    match found.answer:
        case PolicyAnswer.UNSURE:
            text = (
                f"{_name_statement(file, found)} depends on {', '.join(found.unknown)}, so whether devices have "
                f"{action} cannot be decided here"
            )
        case PolicyAnswer.DENIED:
            text = f"{_name_statement(file, found)} denies {action} on {attempt.name}: {so}"
        case _ if found.statements and attempt.name is None:
            text = f"{_name_statement(file, found)} has {action} and no resource {kind}/…, which it is about: {so}"
        case _ if found.statements:
            text = f"{_name_statement(file, found)} allows {action}, and not on {attempt.name}: {so}"
        case _:
            text = f"no statement allows {action}: {so}"
    return _make_finding(file, found, text, cure, refused=False)


def _name_statement(file: PolicyFile, found: Evaluation) -> str:
    return file.describe(found.statements[0].statement)


def _make_finding(file: PolicyFile, found: Evaluation, text: str, cure: str, *, refused: bool = True) -> PolicyFinding:
    line = file.line(found.statements[0].statement) if found.statements else file.lines.line("Statement")
    return PolicyFinding(line=line, text=text, cure=cure, refused=refused)
