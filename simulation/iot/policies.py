"""AWS IoT's policies: attached or not. Their contents are not evaluated, except whether a policy needs a thing."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.faults import Answer, Params, ServiceError
from simulation.iot.answers import invalid, missing, page
from simulation.place import Place

if TYPE_CHECKING:
    from simulation.iot.certificates import Certificates
    from simulation.iot.things import Things

_MOST_PER_CERTIFICATE, _MOST_PER_GROUP = 10, 2  # aws-facts §7
_NAME = re.compile(r"[\w+=,.@-]{1,128}")
_LONGEST_DOCUMENT = 2048  # white space not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy, in its only version."""

    name: str
    arn: str
    document: str

    @property
    def needs_thing(self) -> bool:
        """Whether it has thing policy variables: without a thing such a policy allows nothing (aws-facts §5)."""
        return "iot:Connection.Thing." in self.document


class Policies:
    """The policies of one account and Region, and what they are attached to."""

    certificates: "Certificates"
    things: "Things"

    def __init__(self, place: Place) -> None:
        self._place = place
        self.by_name: dict[str, Policy] = {}
        self._attached: dict[str, dict[str, None]] = {}  # target's ARN → names, in order of attachment
        self._targets: dict[str, dict[str, None]] = {}  # the reverse, since a policy can have a million targets

    def of_target(self, arn: str) -> list[Policy]:
        return [self.by_name[name] for name in self._attached.get(arn, ())]

    def forget(self, arn: str) -> None:
        for name in self._attached.pop(arn, {}):
            del self._targets[name][arn]

    def create_policy(self, params: Params) -> Answer:
        name, document = params["policyName"], params["policyDocument"]
        if not _NAME.fullmatch(name):
            raise invalid(f"policyName {name}")
        try:
            json.loads(document)
        except ValueError as error:
            raise ServiceError("MalformedPolicyException", "Policy document is not JSON") from error
        if len(re.sub(r"\s", "", document)) > _LONGEST_DOCUMENT:
            raise ServiceError("MalformedPolicyException", "Policy document is too long")
        arn = self._place.arn("iot", f"policy/{name}")
        if name in self.by_name:
            raise ServiceError(
                "ResourceAlreadyExistsException", f"Policy {name} already exists", resourceId=name, resourceArn=arn
            )
        self.by_name[name] = Policy(name=name, arn=arn, document=document)
        return {"policyName": name, "policyArn": arn, "policyDocument": document, "policyVersionId": "1"}

    def get_policy(self, params: Params) -> Answer:
        policy = self._policy(params)
        return {
            "policyName": policy.name,
            "policyArn": policy.arn,
            "policyDocument": policy.document,
            "defaultVersionId": "1",
            "generationId": hashlib.sha256(policy.document.encode()).hexdigest(),
        }

    def list_policies(self, params: Params) -> Answer:
        shown, marker = page(list(self.by_name.values()), params, size="pageSize", token="marker")  # noqa: S106
        answer: Answer = {"policies": [{"policyName": policy.name, "policyArn": policy.arn} for policy in shown]}
        return answer | ({"nextMarker": marker} if marker else {})

    def delete_policy(self, params: Params) -> Answer:
        policy = self._policy(params)
        if self._targets.get(policy.name):
            raise ServiceError("DeleteConflictException", f"Policy {policy.name} is attached")
        del self.by_name[policy.name]
        return {}

    def attach_policy(self, params: Params) -> Answer:
        """Attach; repeating it succeeds (aws-facts §5), an eleventh policy is refused (aws-facts §7)."""
        policy, target = self._policy(params), params["target"]
        most = self._most(target)
        attached = self._attached.setdefault(target, {})
        if policy.name not in attached and len(attached) >= most:
            raise ServiceError("LimitExceededException", f"At most {most} policies can be attached")
        attached[policy.name] = None
        self._targets.setdefault(policy.name, {})[target] = None
        return {}

    def detach_policy(self, params: Params) -> Answer:
        self._attached.get(params["target"], {}).pop(params["policyName"], None)
        self._targets.get(params["policyName"], {}).pop(params["target"], None)
        return {}

    def list_attached_policies(self, params: Params) -> Answer:
        self._most(params["target"])
        shown, marker = page(self.of_target(params["target"]), params, size="pageSize", token="marker")  # noqa: S106
        answer: Answer = {"policies": [{"policyName": policy.name, "policyArn": policy.arn} for policy in shown]}
        return answer | ({"nextMarker": marker} if marker else {})

    def list_targets_for_policy(self, params: Params) -> Answer:
        name = self._policy(params).name
        targets = list(self._targets.get(name, ()))
        shown, marker = page(targets, params, size="pageSize", token="marker")  # noqa: S106
        return {"targets": shown} | ({"nextMarker": marker} if marker else {})

    def _policy(self, params: Params) -> Policy:
        policy = self.by_name.get(params["policyName"])
        if policy is None:
            raise missing(f"Policy {params['policyName']}")
        return policy

    def _most(self, target: str) -> int:
        """How many policies a target may have: a certificate, or a static thing group."""
        if self.certificates.exists(target):
            return _MOST_PER_CERTIFICATE
        if self.things.group_of_arn(target):
            return _MOST_PER_GROUP
        if ":cert/" not in target and ":thinggroup/" not in target:
            raise invalid(f"target {target} is neither a certificate nor a thing group")
        raise missing(f"Target {target}")
