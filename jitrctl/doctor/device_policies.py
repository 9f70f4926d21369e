"""Evaluates the IoT policies that count for a device as they are deployed: its certificate's, and its thing groups'.

Says which statement lets the device connect, denies it, or comes nearest, with its line in the policy's document, and
what the device may publish and subscribe to. Source: AWS IoT developer guide, "AWS IoT Core policies" and "Attaching a
policy to a thing group".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.admission.naming import POLICY_WILDCARDS
from jitr.frozen import value
from jitr_fleet.authorization.evaluation import Evaluation, PolicyAnswer, as_list
from jitr_fleet.authorization.json_lines import JsonLines
from jitr_fleet.authorization.trial import CONNECT, PolicyTrial, TrialDevice, try_device
from jitr_fleet.authorization.wildcards import fill_with_letters
from jitr_fleet.policy import BUILT_IN_POLICY, PolicyFile
from jitr_fleet.policy_proof import fill_document, policy_place
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.session.aws_errors import DENIED, explain
from jitrctl.status.stage_commands import aws_command, restore_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitrctl.doctor.context import DeviceContext

# Fields of a subject that AWS IoT's certificate policy variables are named after, and ours.
_SUBJECT = {
    "CommonName": "common_name",
    "SerialNumber": "serial_number",
    "Organization": "organization",
    "OrganizationalUnit": "organizational_unit",
    "Country": "country",
    "State": "state",
    "DistinguishedNameQualifier": "dn_qualifier",
}
_MOST_VALUES = 5  # of a field that AWS IoT looks at


@value
class AttachedPolicy:
    """A policy that counts for the device: its default version."""

    name: str
    text: str
    group: str | None  # the thing group that it is attached to; None: the certificate
    file: PolicyFile | None = None  # of the fleet, if it holds the same

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    def describe(self, statement: int) -> str:
        """Name a statement; its position from 0."""
        found = as_list(self.document["Statement"])[statement]
        sid = f" ({found['Sid']})" if found.get("Sid") else ""
        line = JsonLines(self.text).line("Statement", statement)
        where = f", line {line}" if "\n" in self.text else ""
        if self.file:
            where = f" ({self.file.path}:{self.file.line(statement)})"
        group = f" of thing group {self.group}" if self.group else ""
        return f"statement {statement + 1}{sid} of {self.name}{where}{group}"


def evaluate_policies(case: DeviceContext, policies: tuple[str, ...]) -> LinkFinding:
    """Whether the device may connect under its client id; `policies` are those of its certificate."""
    attached = [_read_policy(case, name) for name in policies]
    unread = ""
    try:
        attached += _read_group_policies(case)
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIED:
            raise
        unread = f"; policies of its thing groups are not evaluated: {explain(error)}"
    device = TrialDevice(
        client_id=case.connects_as, context=_make_context(case), arn=lambda resource: case.arn("iot", resource)
    )
    documents = [policy.document for policy in attached]
    trial = try_device(documents, device)
    found = trial.connect.evaluation
    client = case.connects_as
    match found.answer:
        case PolicyAnswer.ALLOWED:
            text = f"{CONNECT} as client id {client}, by {_name_statement(attached, found)}"
            lacking, may = _describe_messages(attached, trial)
            return note(f"{text}; {may}{unread}") if lacking or unread else good(f"{text}; {may}")
        case PolicyAnswer.UNSURE:
            return note(
                f"whether {CONNECT} as client id {client} is allowed depends on {', '.join(found.unknown)}, in "
                f"{_name_statement(attached, found)}{unread}"
            )
        case PolicyAnswer.DENIED:
            return broken(
                f"{_name_statement(attached, found)} denies {CONNECT} as client id {client}{unread}",
                _find_cure(case, attached[found.statements[0].document]),
            )
        case _:
            names = ", ".join(dict.fromkeys(policy.name for policy in attached))
            return broken(
                f"{CONNECT} as client id {client} is not allowed by {names}: "
                f"{_describe_nearest(attached, found, device)}{unread}",
                "use the client id that the policy names, usually the thing's name (--client-id checks another); or "
                f"correct the policy's file and deploy it: `{restore_command(case.stage)}`",
            )


def _read_policy(case: DeviceContext, name: str) -> AttachedPolicy:
    """A policy of the certificate, with the CA's file where it was deployed from it as it is now."""
    ca, text, file = case.origin, case.read_policy_text(name), None
    path = ca.policy or BUILT_IN_POLICY
    if name == case.stage.fleet.policy_name(ca) and path.is_file():
        place = policy_place(case.stage.account, case.stage.region)
        read = PolicyFile.read(path, (ca.name,))
        file = read if fill_document(read.document, place.fill) == json.loads(text) else None
    return AttachedPolicy(name=name, text=text, group=None, file=file)


def _read_group_policies(case: DeviceContext) -> Iterator[AttachedPolicy]:
    """The policies of the thing's groups, and of the groups above them."""
    if case.thing is None:
        return
    iot, name = case.stage.iot, case.thing["thingName"]
    for page in iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=name):
        for group in page["thingGroups"]:
            pages = iot.get_paginator("list_attached_policies").paginate(target=group["groupArn"], recursive=True)
            for policy in (one for found in pages for one in found["policies"]):
                text = case.read_policy_text(policy["policyName"])
                yield AttachedPolicy(name=policy["policyName"], text=text, group=group["groupName"])


def _name_statement(attached: list[AttachedPolicy], found: Evaluation) -> str:
    first = found.statements[0]
    return attached[first.document].describe(first.statement)


def _describe_nearest(attached: list[AttachedPolicy], found: Evaluation, device: TrialDevice) -> str:
    """Say what the statements that allow connecting at all are about."""
    if not found.statements:
        return f"no statement allows {CONNECT}"
    first = found.statements[0]
    statement = as_list(attached[first.document].document["Statement"])[first.statement]
    bare = {key: part for key, part in statement.items() if key != "Condition"}
    if device.ask([{"Statement": [bare]}], CONNECT, device.client_id).answer is PolicyAnswer.ALLOWED:
        return f"the Condition of {_name_statement(attached, found)} does not hold"
    known = {key.lower(): text for key, text in device.context.items() if isinstance(text, str)}
    clients = [
        fill_with_letters(one, "…", lambda name: known.get(name.lower())).split(":", 5)[-1]
        for one in as_list(statement.get("Resource", []))
    ]
    return f"{_name_statement(attached, found)} allows it for {', '.join(clients)}"


def _describe_messages(attached: list[AttachedPolicy], trial: PolicyTrial) -> tuple[bool, str]:
    """What the device may publish and subscribe to; first whether something is missing."""
    tried = [
        (trial.publish, f"publish to {trial.publish.name}", "publish nothing"),
        (trial.subscribe, f"subscribe to {trial.subscribe.name}", "subscribe to nothing"),
    ]
    if trial.subscribe.is_allowed:
        tried.append((trial.receive, "receive there", "receive nothing there"))
    said = []
    for attempt, may, may_not in tried:
        answer = attempt.evaluation.answer
        unknown = ", ".join(attempt.evaluation.unknown)
        by = f" ({_name_statement(attached, attempt.evaluation)} denies it)" if answer is PolicyAnswer.DENIED else ""
        said.append(f"perhaps {may} ({unknown})" if unknown else may if attempt.is_allowed else f"{may_not}{by}")
    lacking = any(
        attempt.evaluation.answer in (PolicyAnswer.DENIED, PolicyAnswer.NOT_ALLOWED) for attempt, _, _ in tried
    )
    return lacking, f"it may {', '.join(said[:-1])} and {said[-1]}"


def _find_cure(case: DeviceContext, policy: AttachedPolicy) -> str:
    """How a denial is taken away: in the fleet's own policy file, or from the device."""
    if policy.name == case.stage.fleet.policy_name(case.origin):
        deploy = restore_command(case.stage)
        return f"a Deny wins over every Allow: correct the policy's file, and deploy it: `{deploy}`"
    target = case.arn("iot", f"thinggroup/{policy.group}" if policy.group else f"cert/{case.certificate_id}")
    detach = aws_command(case.stage, f"iot detach-policy --policy-name {policy.name} --target {target}")
    return f"a Deny wins over every Allow: `{detach}`, or correct it"


def _make_context(case: DeviceContext) -> dict[str, str | tuple[str, ...] | None]:
    """The policy variables and condition keys of this device.

    Of a certificate that is attached to several things, AWS IoT takes the thing that the client id names.
    """
    registered, certificate = case.stage_certificate.registered, case.certificate
    several = registered is not None and len(registered.things) > 1
    found = case.thing or {}
    if several and found.get("thingName") != case.connects_as:
        found = {}
    context: dict[str, str | tuple[str, ...] | None] = {
        "iot:ClientId": case.connects_as,
        "iot:CertificateId": case.certificate_id,
        "iot:Connection.Thing.ThingName": found.get("thingName"),
        "iot:Connection.Thing.ThingTypeName": found.get("thingTypeName"),
        "iot:Connection.Thing.IsAttached": "true" if found else "false",
    }
    for name, text in found.get("attributes", {}).items():
        context[f"iot:Connection.Thing.Attributes[{name}]"] = text
    for name, field in _SUBJECT.items():
        # A value with a wildcard is not put in the variable's place.
        values = [None if POLICY_WILDCARDS & set(one) else one for one in certificate.subject_fields.get(field, ())][
            :_MOST_VALUES
        ]
        variable = f"iot:Certificate.Subject.{name}"
        context[variable] = values[0] if values else None
        context[f"{variable}.List"] = tuple(one for one in values if one is not None)
        context |= {f"{variable}.{at}": values[at] if at < len(values) else None for at in range(_MOST_VALUES)}
    return context
