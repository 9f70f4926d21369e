"""What an admitted device needs is missing: its thing, its policy, what the rules name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.e2e.hour.outcome import Step

if TYPE_CHECKING:
    from tests.support.e2e.hour.operator import Operator


def policy_detached(operator: Operator) -> str:
    operator.comes_in("sensor-0201")
    iot, arn = operator.client("iot"), _arn(operator, "sensor-0201")
    (policy,) = iot.list_attached_policies(target=arn)["policies"]
    iot.detach_policy(policyName=policy["policyName"], target=arn)
    why = operator.ask_why(operator.connect("sensor-0201"))
    operator.read(why, "policy is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0201")


def thing_deleted(operator: Operator) -> str:
    operator.comes_in("sensor-0202")
    iot = operator.client("iot")
    iot.detach_thing_principal(thingName="sensor-0202", principal=_arn(operator, "sensor-0202"))
    iot.delete_thing(thingName="sensor-0202")
    why = operator.ask_why(operator.connect("sensor-0202"))
    operator.read(why, "thing is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0202")


def group_deleted(operator: Operator) -> str:
    operator.client("iot").delete_thing_group(thingGroupName="hall-1")
    why = operator.ask_why(operator.connect("sensor-0203"))
    operator.read(why, "TARGET_MISSING")
    operator.follow(why)
    return operator.comes_in("sensor-0203")


def _arn(operator: Operator, device: str) -> str:
    found = operator.client("iot").describe_certificate(certificateId=operator.certificate_id(device))
    return str(found["certificateDescription"]["certificateArn"])


STEPS = (
    Step(name="policy detached", broken="somebody detached the device's policy", play=policy_detached),
    Step(name="thing deleted", broken="somebody deleted the device's thing", play=thing_deleted),
    Step(name="group deleted", broken="the thing group of the rules is deleted", play=group_deleted),
)
