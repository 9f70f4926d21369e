"""Queues that can be made, roles, and a function behind a queue: what the simulation has no calls for.

The function is the loop probe's, played by the simulation's own poller, which stops loops (simulation/lineage.py).
"""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from jitrctl.prove.probes.loop import LOOPS
from simulation import SimulatedAccount
from simulation.lambda_ import EventSourceMapping
from simulation.queue import Queue

ROLE_ARN = "arn:aws:iam::111111111111:role/"


def refused(code: str, operation: str = "Operation") -> ClientError:
    said: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(said, operation)


@dataclass
class Extra:
    """Boto3's methods, by name, of IAM, CloudFormation, Lambda and SQS."""

    roles: dict[str, set[str]] = field(default_factory=dict)
    stacks: list[str] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    mappings: dict[str, tuple[str, EventSourceMapping]] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    stops_loops: bool = True
    account: SimulatedAccount = None  # type: ignore[assignment]  # set by who makes the world

    def left(self) -> list[str]:
        return [*self.roles, *self.functions, *self.mappings, *self.queues]

    # IAM, CloudFormation

    def create_role(self, *, RoleName: str, **_: Any) -> dict[str, Any]:
        self.roles[RoleName] = set()
        return {"Role": {"Arn": f"{ROLE_ARN}{RoleName}"}}

    def put_role_policy(self, *, RoleName: str, PolicyName: str, **_: Any) -> None:
        self.roles[RoleName].add(PolicyName)

    def delete_role_policy(self, *, RoleName: str, PolicyName: str) -> None:
        if PolicyName not in self.roles.get(RoleName, ()):
            raise refused("NoSuchEntity", "DeleteRolePolicy")
        self.roles[RoleName].remove(PolicyName)

    def delete_role(self, *, RoleName: str) -> None:
        if RoleName not in self.roles:
            raise refused("NoSuchEntity", "DeleteRole")
        if self.roles[RoleName]:
            raise refused("DeleteConflict", "DeleteRole")
        del self.roles[RoleName]

    def describe_stacks(self) -> dict[str, Any]:
        return {"Stacks": [{"StackName": name} for name in self.stacks]}

    # Lambda

    def create_function(self, *, FunctionName: str, **_: Any) -> None:
        self.functions.add(FunctionName)

    def get_function_configuration(self, **_: Any) -> dict[str, Any]:
        return {"State": "Active"}

    def delete_function(self, *, FunctionName: str) -> None:
        if FunctionName not in self.functions:
            raise refused("ResourceNotFoundException", "DeleteFunction")
        self.functions.remove(FunctionName)

    def create_event_source_mapping(self, *, FunctionName: str, EventSourceArn: str, **_: Any) -> None:
        (queue,) = (one for one in self.queues.values() if one.arn == EventSourceArn)
        sqs = self.account.client("sqs", caller="the function")

        def handler(event: dict[str, Any], _: Any) -> None:
            for record in event["Records"]:
                if record["body"] == LOOPS:
                    sqs.send_message(QueueUrl=queue.url, MessageBody=LOOPS, DelaySeconds=1)

        whole = self.account.aws.undocumented.loop_stops_whole_batch
        mapping = EventSourceMapping(queue, self.account.sqs, lambda: handler, loop_stops_whole_batch=whole)
        self.mappings[str(uuid.uuid4())] = FunctionName, mapping

    def list_event_source_mappings(self, *, FunctionName: str) -> dict[str, Any]:
        return {
            "EventSourceMappings": [{"UUID": one} for one, (name, _) in self.mappings.items() if name == FunctionName]
        }

    def delete_event_source_mapping(self, *, UUID: str) -> None:
        del self.mappings[UUID]

    # SQS

    def create_queue(self, *, QueueName: str, Attributes: dict[str, str]) -> dict[str, Any]:
        settings: dict[str, Any] = {"visibility": float(Attributes.get("VisibilityTimeout", 30))}
        if "RedrivePolicy" in Attributes:
            redrive = json.loads(Attributes["RedrivePolicy"])
            (dead,) = (one for one in self.queues.values() if one.arn == redrive["deadLetterTargetArn"])
            settings |= {"dead_letters": dead, "max_receives": redrive["maxReceiveCount"]}
        self.queues[QueueName] = self.account.sqs.create(QueueName, **settings)
        return {"QueueUrl": self.queues[QueueName].url}

    def get_queue_url(self, *, QueueName: str) -> dict[str, Any]:
        if QueueName not in self.queues:
            raise refused("AWS.SimpleQueueService.NonExistentQueue", "GetQueueUrl")
        return {"QueueUrl": self.queues[QueueName].url}

    def delete_queue(self, *, QueueUrl: str) -> None:
        del self.queues[QueueUrl.rpartition("/")[2]]

    def get_queue_attributes(self, *, QueueUrl: str, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": self.queues[QueueUrl.rpartition("/")[2]].arn}}

    def send_message(self, **parameters: Any) -> Any:
        return self.account.client("sqs", caller="jitrctl").send_message(**parameters)

    def receive_message(self, **parameters: Any) -> Any:
        """Whenever somebody looks, Lambda has polled, too."""
        for _, mapping in self.mappings.values():
            while self.stops_loops and mapping.poll():
                pass
        return self.account.client("sqs", caller="jitrctl").receive_message(**parameters)
