"""The role of a deployed function on the local AWS, from which single actions are taken."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from jitr_cdk.target import LocalDifference
from jitrctl.localaws.stage import LocalStage
from tests.support.infra.least_privilege import as_list

Permission = tuple[str, str]  # a statement's Sid, and one of its actions


@dataclass(frozen=True, kw_only=True)
class Role:
    """The role of a deployed function, whose one inline policy can be changed and put back."""

    stage: LocalStage
    function: str

    @property
    def name(self) -> str:
        arn = cached_client(self.stage, "lambda").get_function_configuration(FunctionName=self.function)["Role"]
        return str(arn.rpartition("/")[2])

    def policy(self) -> dict[str, Any]:
        client = cached_client(self.stage, "iam")
        (only,) = client.list_role_policies(RoleName=self.name)["PolicyNames"]
        return dict(client.get_role_policy(RoleName=self.name, PolicyName=only)["PolicyDocument"])

    def permissions(self) -> set[Permission]:
        return {
            (one["Sid"], action)
            for one in self.policy()["Statement"]
            if one["Sid"] not in set(LocalDifference)
            for action in as_list(one["Action"])
        }

    @contextmanager
    def without(self, sid: str, action: str) -> Iterator[None]:
        """One action less in a statement, and in what the local AWS needs besides because it checks other ARNs."""
        client, before = cached_client(self.stage, "iam"), self.policy()
        (only,) = client.list_role_policies(RoleName=self.name)["PolicyNames"]
        names = {sid, *LocalDifference}
        left = [
            {
                **one,
                "Action": [
                    each
                    for each in as_list(one["Action"])
                    if one["Sid"] not in names or not is_same_action(each, action)
                ],
            }
            for one in before["Statement"]
        ]
        less = {**before, "Statement": [one for one in left if one["Action"]]}
        client.put_role_policy(RoleName=self.name, PolicyName=only, PolicyDocument=json.dumps(less))
        try:
            yield
        finally:
            client.put_role_policy(RoleName=self.name, PolicyName=only, PolicyDocument=json.dumps(before))


@cache
def cached_client(stage: LocalStage, service: str) -> Any:
    """A boto3 client of the stage's account; made once, since that takes a while."""
    return stage.account.client(service)


def is_same_action(one: str, action: str) -> bool:
    """Whether it is the action, or what the local AWS calls it when it comes in a batch."""
    return one in (action, f"{action}Batch")
