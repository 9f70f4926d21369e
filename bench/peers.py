"""Simulates other handlers of the same event in the same storm: calls, retries, errors, and how they are invoked.

Written from running and reading them; none of their code is here:

    AwsBlog    the AWS blog's handler (Node): CreatePolicy, AttachPolicy, UpdateCertificate; no thing, no look at the
               certificate; an error goes back to Lambda, whose asynchronous invocation tries again after 1 and 2 min
    IotDr      "Disaster Recovery for AWS IoT" (Python): eight calls, ACTIVE before the attaching ones; an error is
               returned, not raised, so nothing tries again
    SoftChef   cdk-iot-security (TypeScript): a queue without dead letters; a policy for each certificate, whose second
               creation fails, so that whatever fails after CreatePolicy fails for ever

AWS IoT invokes the first two directly. Unknown facts are assumed in the handler's favour: SoftChef's batches have one
message, nothing starts cold, and Lambda has its default of 1,000 environments at once.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.config import Config
from botocore.exceptions import ClientError

from bench.conditions import Conditions
from simulation import Authority, SimulatedAccount
from simulation.clock import Closed
from simulation.deployment import DEVICE_POLICY
from simulation.iot.certificates import DeviceCertificate
from simulation.queue import Queue, SqsMessage

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

_ENVIRONMENTS = 1000
_LOOK_FOR_EVENTS = 0.1
_NEVER = 43_200.0
# Retries are made here, with the delays of each handler's own SDK.
_ONE_ATTEMPT = Config(retries={"mode": "standard", "total_max_attempts": 1})
_ANYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'
_TRANSIENT = ("ThrottlingException", "InternalFailureException", "ServiceUnavailableException")


class Peer(ABC):
    """A handler behind a queue: one event at a time, as many environments as there are events, up to Lambda's limit."""

    name: str
    _attempts: ClassVar[int]
    _again_after: ClassVar[
        tuple[float, ...]
    ]  # seconds until a failed event comes again, once for each; then it is gone
    _for_ever: ClassVar[bool] = False  # … or the last of them, again and again

    def deploy(self, account: SimulatedAccount, authority: Authority, conditions: Conditions) -> None:
        del conditions
        self._account, self._clock = account, account.aws.clock
        self._authority = authority
        self._client: IoTClient = account.client("iot", caller=self.name, config=_ONE_ATTEMPT)
        self._events: Queue = account.sqs.create(f"{self.name}-events", retention=4 * 86_400)
        account.add_rule(authority.certificate_id, self._events.url)
        self._running = 0
        self._dropped = 0

    def hold(self, certificate: DeviceCertificate, rng: Random) -> None:
        del certificate, rng
        raise ValueError(f"{self.name} cannot hold devices: run it without held devices")

    def start(self) -> None:
        self._look()

    @property
    def backlog(self) -> int:
        return self._events.depth

    @property
    def dead(self) -> int:
        return self._dropped

    @property
    def swept(self) -> int:
        return 0

    @property
    def most_in_flight(self) -> int:
        return 0

    @property
    def lambda_seconds(self) -> float:
        return 0.0

    @abstractmethod
    def _handle(self, certificate_id: str) -> None:
        """Process one event; raises what the handler raises to Lambda."""

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call with the SDK's retries."""
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        for attempt in range(1, self._attempts):
            try:
                return call(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TRANSIENT:
                    raise
                self._clock.sleep(self._delay(attempt))
        return call(**parameters)

    def _delay(self, attempt: int) -> float:
        """Seconds before the next attempt: the AWS SDK for JavaScript, v2."""
        return random.random() * 0.1 * 2.0 ** (attempt - 1)  # noqa: S311 -- a simulation

    def _look(self) -> None:
        """Start an environment for each visible event."""
        waiting = self._events.depth - self._running
        for _ in range(min(waiting, _ENVIRONMENTS - self._running)):
            messages = self._events.receive(1, visibility=_NEVER)
            if not messages:
                break
            self._running += 1
            self._clock.spawn(self._environment(messages[0]))
        self._clock.call_later(_LOOK_FOR_EVENTS, self._look)

    def _environment(self, first: SqsMessage) -> Callable[[], None]:
        def work() -> None:
            messages = [first]
            while messages:
                self._take(messages[0])
                messages = self._events.receive(1, visibility=_NEVER)
            self._running -= 1

        return work

    def _take(self, message: SqsMessage) -> None:
        certificate_id = message.body.certificate_id  # type: ignore[attr-defined]  # a RegistrationMessage
        try:
            self._handle(certificate_id)
        except Closed:
            raise
        except ClientError:
            failures = message.receives
            if failures <= len(self._again_after) or self._for_ever:
                seconds = self._again_after[min(failures, len(self._again_after)) - 1]
                self._events.change_visibility(message.receipt_handle, seconds)
                return
            self._dropped += 1
        self._events.delete(message.receipt_handle)

    def _exists_already(self, operation: str, **parameters: Any) -> bool:
        try:
            self._call(operation, **parameters)
        except self._client.exceptions.ResourceAlreadyExistsException:
            return True
        return False

    def _arn(self, certificate_id: str) -> str:
        return self._account.iot.certificates.arn(certificate_id)


class AwsBlog(Peer):
    """A policy for each certificate, no thing."""

    name = "AWS blog"
    _attempts = 4
    _again_after = (60.0, 120.0)  # Lambda's asynchronous invocation

    def _handle(self, certificate_id: str) -> None:
        policy = f"Policy_{certificate_id}"
        self._exists_already("create_policy", policyName=policy, policyDocument=_ANYTHING)
        # AttachPrincipalPolicy, which is deprecated and has the same quota.
        self._call("attach_policy", policyName=policy, target=self._arn(certificate_id))
        self._call("update_certificate", certificateId=certificate_id, newStatus="ACTIVE")


class IotDr(Peer):
    """Reads before it writes, and activates before it attaches."""

    name = "IoT DR"
    _attempts = 5
    _again_after = ()
    _POLICY = "shared"

    def _delay(self, attempt: int) -> float:
        """Botocore's `legacy` mode."""
        return random.random() * 2.0 ** (attempt - 1)  # noqa: S311 -- a simulation

    def _handle(self, certificate_id: str) -> None:
        try:
            self._register(certificate_id)
        except ClientError:
            return  # "status: error" is an answer to Lambda like any other

    def _register(self, certificate_id: str) -> None:
        description = self._call("describe_certificate", certificateId=certificate_id)["certificateDescription"]
        thing = certificate_id  # or the common name; as many, and as different
        try:
            self._call("describe_thing", thingName=thing)
        except self._client.exceptions.ResourceNotFoundException:
            self._call("create_thing", thingName=thing)
        try:
            self._call("get_policy", policyName=self._POLICY)
        except self._client.exceptions.ResourceNotFoundException:
            self._exists_already("create_policy", policyName=self._POLICY, policyDocument=_ANYTHING)
        arn = description["certificateArn"]
        self._call("update_certificate", certificateId=certificate_id, newStatus="ACTIVE")
        self._call("attach_thing_principal", thingName=thing, principal=arn)
        self._call("attach_policy", policyName=self._POLICY, target=arn)


class SoftChef(Peer):
    """A queue that delivers a failed message again every 30 s, for four days."""

    name = "SoftChef"
    _attempts = 4
    _again_after = (30.0,)
    _for_ever = True

    def _handle(self, certificate_id: str) -> None:
        description = self._call("describe_certificate", certificateId=certificate_id)["certificateDescription"]
        ca = self._call("describe_ca_certificate", certificateId=self._authority.certificate_id)
        self._call("list_tags_for_resource", resourceArn=ca["certificateDescription"]["certificateArn"])
        self._call("create_thing", thingName=certificate_id)
        policy = f"policy-{certificate_id}"
        self._call("create_policy", policyName=policy, policyDocument=DEVICE_POLICY)
        self._call("attach_policy", policyName=policy, target=description["certificateArn"])
        self._call("attach_thing_principal", thingName=certificate_id, principal=description["certificateArn"])
        self._call("update_certificate", certificateId=certificate_id, newStatus="ACTIVE")
