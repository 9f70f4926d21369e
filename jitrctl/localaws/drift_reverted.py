"""Has the local AWS revert what was changed beside the stack, when `cdk deploy --revert-drift` asks for it.

Loaded by loopback.py into ministack's process, never by jitrctl itself. CloudFormation compares a change set with
`DeploymentMode=REVERT_DRIFT` with the resources as they are, and brings them in line with the template; ministack
(1.5.33) does not know the mode, finds no changes, and touches nothing. Here the types of jitr's stack are compared on
which registrations rest: topic rules, roles, IoT policies, thing types and groups, functions. What is deleted is made
anew, what differs is updated. On AWS all types are that support drift detection.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ministack.services import iam, iot
from ministack.services.cloudformation import _stacks, changesets, drift, handlers
from ministack.services.cloudformation.provisioners import _pascal_to_camel

if TYPE_CHECKING:
    from collections.abc import Callable

_MODE = "REVERT_DRIFT"
_DRIFTED = "_drifted_of_jitr"  # in a change set: logical ids with what is to be done, "Add" or "Modify"

_create = changesets._create_change_set  # noqa: SLF001 -- ministack offers no other way in
_execute = changesets._execute_change_set  # noqa: SLF001 -- as above


def install() -> None:
    """Replace ministack's CreateChangeSet and ExecuteChangeSet."""
    handlers._ACTION_HANDLERS |= {"CreateChangeSet": _create_aware, "ExecuteChangeSet": _execute_aware}  # noqa: SLF001


def _create_aware(params: dict[str, Any]) -> Any:
    answer = _create(params)
    if _asked(params, "DeploymentMode") != _MODE:
        return answer
    change_set = _find(params)
    stack = _stacks.get(change_set["StackName"]) if change_set else None
    drifted = _find_drifted(stack) if stack else {}
    if change_set and stack and drifted:
        known = {one["ResourceChange"]["LogicalResourceId"] for one in change_set["Changes"]}
        changes = [
            _change(logical_id, action, stack["_resources"][logical_id])
            for logical_id, action in drifted.items()
            if logical_id not in known
        ]
        change_set |= {
            "Changes": [*change_set["Changes"], *changes],
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "StatusReason": "",
            _DRIFTED: drifted,
        }
    return answer


def _execute_aware(params: dict[str, Any]) -> Any:
    """Forget of each drifted resource what the stack knows of it, so that the update sets it as the template says."""
    change_set = _find(params) or {}
    resources = (_stacks.get(change_set.get("StackName", "")) or {}).get("_resources", {})
    for logical_id, action in change_set.get(_DRIFTED, {}).items():
        if action == "Add":
            resources.pop(logical_id, None)
        else:
            properties = resources[logical_id]["Properties"]
            unlike: dict[str, Any] = {"PolicyDocument": {}} if "PolicyDocument" in properties else {}
            resources[logical_id]["Properties"] = {**properties, **unlike, "Drifted": "true"}
    return _execute(params)


def _find(params: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = changesets._find_change_set(  # noqa: SLF001 -- as above
        _asked(params, "ChangeSetName"), _asked(params, "StackName")
    )[1]
    return found


def _asked(params: dict[str, Any], name: str) -> str:
    value = params.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def _change(logical_id: str, action: str, record: dict[str, Any]) -> dict[str, Any]:
    changed = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": record["ResourceType"]}
    if action == "Modify":
        changed |= {"PhysicalResourceId": record["PhysicalResourceId"], "Replacement": "False", "Scope": ["Properties"]}
    return {"Type": "Resource", "ResourceChange": changed}


def _find_drifted(stack: dict[str, Any]) -> dict[str, str]:
    """The resources that are not as the stack made them: "Add" those that are gone, "Modify" the others."""
    found = {}
    for logical_id, record in stack.get("_resources", {}).items():
        read = _COMPARED.get(record["ResourceType"])
        is_same = read(record["PhysicalResourceId"], record.get("Properties") or {}) if read else True
        if not is_same:
            found[logical_id] = "Add" if is_same is None else "Modify"
    return found


def _rule(name: str, properties: dict[str, Any]) -> bool | None:
    stored = iot._topic_rules.get(name)  # noqa: SLF001 -- as above
    wanted = _pascal_to_camel(properties["TopicRulePayload"])
    return stored and all(_plain(stored.get(key)) == _plain(value) for key, value in wanted.items())


def _role(name: str, properties: dict[str, Any]) -> bool | None:
    stored = iam._roles.get(name)  # noqa: SLF001 -- as above
    if stored is None:
        return None
    inline = stored["InlinePolicies"]
    return _plain(stored["AssumeRolePolicyDocument"]) == _plain(properties["AssumeRolePolicyDocument"]) and all(
        _plain(inline.get(one["PolicyName"])) == _plain(one["PolicyDocument"]) for one in properties.get("Policies", ())
    )


def _policy(name: str, properties: dict[str, Any]) -> bool | None:
    stored = iot._policies.get(name)  # noqa: SLF001 -- as above
    if stored is None:
        return None
    document = stored["versions"][stored["defaultVersionId"]]["document"]
    return bool(_plain(document) == _plain(properties["PolicyDocument"]))


def _thing_type(name: str, properties: dict[str, Any]) -> bool | None:
    stored = iot._thing_types.get(name)  # noqa: SLF001 -- as above
    if stored is None:
        return None
    return bool(stored["thingTypeMetadata"].get("deprecated")) == bool(properties.get("DeprecateThingType", False))


def _thing_group(group_id: str, _: dict[str, Any]) -> bool | None:
    """The physical id of a group is not its name."""
    return True if any(one["thingGroupId"] == group_id for one in iot._thing_groups.values()) else None  # noqa: SLF001


def _function(name: str, properties: dict[str, Any]) -> bool | None:
    current = drift._read_lambda_function(name, properties)  # noqa: SLF001 -- as above
    if current is None:
        return None
    return all(current.get(key) == properties.get(key) for key in ("Handler", "Role", "Runtime"))


def _plain(value: Any) -> Any:
    """A document as a value: some are kept as text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


# None: it is gone.
_COMPARED: dict[str, Callable[[str, dict[str, Any]], bool | None]] = {
    "AWS::IoT::TopicRule": _rule,
    "AWS::IAM::Role": _role,
    "AWS::IoT::Policy": _policy,
    "AWS::IoT::ThingType": _thing_type,
    "AWS::IoT::ThingGroup": _thing_group,
    "AWS::Lambda::Function": _function,
}
