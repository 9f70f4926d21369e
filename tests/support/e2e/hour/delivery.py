"""What carries an event is broken, from the CA's rule to the function; doctor or `fleet status` says how to mend it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.e2e.hour.outcome import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.e2e.hour.operator import Operator


def rule_disabled(operator: Operator) -> str:
    operator.client("iot").disable_topic_rule(ruleName=operator.names.rule("factory"))
    why = operator.ask_why(operator.connect("sensor-0101"))
    operator.read(why, "rule enabled is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0101")


def rule_deleted(operator: Operator) -> str:
    operator.client("iot").delete_topic_rule(ruleName=operator.names.rule("factory"))
    why = operator.ask_why(operator.connect("sensor-0102"))
    operator.read(why, "rule present is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0102")


def rule_role(operator: Operator) -> str:
    """The local AWS does not ask what the rule's role may do: the device would come in, and doctor is asked first."""
    rule = operator.client("iot").get_topic_rule(ruleName=operator.names.rule("factory"))["rule"]
    role = rule["actions"][0]["sqs"]["roleArn"].rpartition("/")[2]
    _change_role(operator, role, lambda held: [{**one, "Resource": "arn:aws:sqs:::old"} for one in held])
    operator.run("jitrctl local issue sensor-0103 --ca factory")
    why = operator.jitrctl(f"doctor {operator.file('sensor-0103')} --account dev", code=1)
    operator.read(why, "rule role is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0103")


def paused(operator: Operator) -> str:
    operator.jitrctl('ca pause --account dev --note "a CRL is wrong" --yes')
    why = operator.ask_why(operator.connect("sensor-0105"))
    operator.read(why, "mapping is broken")
    operator.read(why, "'a CRL is wrong'")
    operator.follow(why)
    return operator.comes_in("sensor-0105")


def permission_removed(operator: Operator) -> str:
    configuration = operator.client("lambda").get_function_configuration(FunctionName=operator.names.register_function)
    role = configuration["Role"].rpartition("/")[2]
    _change_role(operator, role, lambda held: [one for one in held if one["Sid"] != "ProvisionThings"])
    refused = operator.connect("sensor-0106")
    status = operator.jitrctl("fleet status --account dev", code=1)
    operator.read(status, "AWS refuses it iot:CreateThing")
    why = operator.ask_why(refused)
    operator.read(why, "function is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0106")


def _change_role(operator: Operator, role: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """The role's only inline policy with other statements, as somebody changes it in the console."""
    iam = operator.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    changed = {**document, "Statement": change(document["Statement"])}
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(changed))


STEPS = (
    Step(name="disabled rule", broken="the CA's topic rule is disabled", play=rule_disabled),
    Step(name="paused", broken="a colleague paused the account", play=paused),
    Step(name="deleted rule", broken="the CA's topic rule is deleted", play=rule_deleted),
    Step(name="rule's role", broken="the rule's role may not send to the queue any more", play=rule_role),
    Step(name="permission removed", broken="`register` may not create things any more", play=permission_removed),
)
