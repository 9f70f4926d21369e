"""The two implementations that the contract is tested on: the simulation, and the local AWS.

A test sees a `Place`: boto3 clients, what is not done through them in one way on both (a queue, a table, a function
behind a queue), a device's CONNECT, and time. On the simulation time is virtual; on the local AWS it passes.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from botocore.exceptions import ClientError

from jitr.store.outcome_index import LISTED_AS, LISTED_AT, OUTCOME_INDEX
from jitr.store.registry import DUE_INDEX
from jitr_fleet.authorization.evaluation import PolicyAnswer, Request, evaluate
from jitrctl.localaws.account import LocalAccount
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.mqtt.client import Connection, Device
from simulation import Aws, Call, Clock, Fault, Moment
from simulation.dynamodb import Index
from simulation.faults import denied
from simulation.lambda_ import EventSourceMapping
from tests.support.contract import worker

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sqs import SQSClient

Found = TypeVar("Found")
Name = Literal["the model", "the local AWS"]
MODEL: Name = "the model"
LOCAL_AWS: Name = "the local AWS"
Answered = tuple[str, int]  # an error's code and HTTP status
OK: Answered = ("", 200)

_NUMBERS = count(1)
_PATIENCE = 20.0  # seconds of the place's own time


def new_name(what: str) -> str:
    """A name that no other test uses, since a place outlives a test."""
    return f"{what}-{next(_NUMBERS)}"


def answer(call: Callable[[], object]) -> Answered:
    """What a call is answered: an error's code and HTTP status, or OK."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return OK


class Place(Protocol):
    """One account of either implementation."""

    name: Name
    account_id: str
    region: str
    iot: "IoTClient"
    data: Any
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"
    events: "EventBridgeClient"

    def now(self) -> datetime: ...

    def data_of_user(self, allowed: Mapping[str, Sequence[str]]) -> Any:
        """A client of AWS IoT's data plane as a user who is allowed these actions (keys) on these ARNs alone."""

    def connect(self, device: Device, *, sni: bool = True) -> Literal["accepted", "refused"]:
        """One CONNECT of a device, which hangs up if it is accepted."""

    def open(self, device: Device, *, clean: bool = True) -> Callable[[], None]:
        """Connect a device that is let in, with a session that persists unless `clean`; what hangs up."""

    def deliver(self, ca_certificate_id: str) -> str:
        """Make a queue, and a topic rule that puts a CA's registration events into it; the queue's URL."""

    def queue(self, *, visibility: int = 30, dead_letters: str | None = None, max_receives: int = 0) -> str:
        """Make a queue; its URL."""

    def table(self) -> str:
        """Make a table like the registry: string key `id`, sparse index DUE_INDEX of (`due`, `due_at`); its name."""

    def work(self, queue_url: str) -> None:
        """Put worker.py behind a queue, in batches of ten with ReportBatchItemFailures, as `register` is."""

    def wait_for(self, look: Callable[[], Found], what: str) -> Found:
        """Let time pass until `look` answers something true; after twenty seconds the test fails."""


class Model:
    """The simulation."""

    name = MODEL
    account_id = "111111111111"
    region = "eu-central-1"

    def __init__(self) -> None:
        self._aws = Aws(Clock(datetime.now(UTC)))
        self._account = self._aws.account(self.account_id, self.region)
        self._aws.fault = self._refuse
        self._aws.undocumented.session_seconds = 5.0  # so that a test of both places need not wait for minutes
        self._allowed: dict[str, Mapping[str, Sequence[str]]] = {}  # user → action → ARNs
        self._mappings: list[EventSourceMapping] = []
        self.iot: IoTClient = self._account.client("iot")
        self.data: Any = self._account.client("iot-data")
        self.sqs: SQSClient = self._account.client("sqs")
        self.dynamodb: DynamoDBClient = self._account.client("dynamodb")
        self.events: EventBridgeClient = self._account.client("events")

    def now(self) -> datetime:
        return self._aws.clock.now()

    def data_of_user(self, allowed: Mapping[str, Sequence[str]]) -> Any:
        name = new_name("user")
        self._allowed[name] = allowed
        return self._account.client("iot-data", caller=name)

    def _refuse(self, call: Call, moment: Moment) -> Fault | None:
        """IAM, for the users that tests have made; what calls of the data plane are about is a client."""
        if moment == "before" and call.caller in self._allowed:
            arn = f"arn:aws:iot:{self.region}:{self.account_id}:client/{call.parameters['clientId']}"
            request = Request(action=f"iot:{call.operation}", resource=arn)
            if evaluate([_document(self._allowed[call.caller])], request) is not PolicyAnswer.ALLOWED:
                raise denied(call)
        return None

    def connect(self, device: Device, *, sni: bool = True) -> Literal["accepted", "refused"]:
        outcome = self._account.connect(device.certificate.read_text(), client_id=device.client_id, sni=sni)
        if outcome == "accepted":
            self._account.iot.connections.hang_up(device.client_id)
        return outcome

    def open(self, device: Device, *, clean: bool = True) -> Callable[[], None]:
        certificate, client_id = device.certificate.read_text(), device.client_id
        assert self._account.connect(certificate, client_id=client_id, clean=clean) == "accepted"
        return lambda: self._account.iot.connections.hang_up(client_id)

    def deliver(self, ca_certificate_id: str) -> str:
        url = self.queue()
        self._account.add_rule(ca_certificate_id, url)
        return url

    def queue(self, *, visibility: int = 30, dead_letters: str | None = None, max_receives: int = 0) -> str:
        more: dict[str, Any] = {}
        if dead_letters:
            more = {"dead_letters": self._account.sqs.at_url(dead_letters), "max_receives": max_receives}
        return self._account.sqs.create(new_name("queue"), visibility=visibility, **more).url

    def table(self) -> str:
        indexes = {DUE_INDEX: Index("due", "due_at"), OUTCOME_INDEX: Index(LISTED_AS, LISTED_AT)}
        return self._account.dynamodb.create(new_name("table"), partition="id", indexes=indexes).name

    def work(self, queue_url: str) -> None:
        sqs = self._account.sqs
        queue = sqs.at_url(queue_url)
        self._mappings.append(EventSourceMapping(queue, sqs, lambda: lambda event, _: worker.work(event, self.sqs)))

    def wait_for(self, look: Callable[[], Found], what: str) -> Found:
        deadline = self._aws.clock.monotonic() + _PATIENCE
        while self._aws.clock.monotonic() < deadline:
            for mapping in self._mappings:
                mapping.poll()
            if found := look():
                return found
            self._aws.clock.advance(0.25)
        raise AssertionError(f"{what}: not within {_PATIENCE:.0f} s")


class LocalAws:
    """One account of the local AWS."""

    name = LOCAL_AWS

    def __init__(self, account: LocalAccount) -> None:
        self.account_id = account.id
        self.region = account.region
        self._account = account
        self._endpoint = find_endpoint(account)
        session = account.session()
        self.iot: IoTClient = session.client("iot")
        self.data: Any = session.client("iot-data")
        self.sqs: SQSClient = session.client("sqs")
        self.dynamodb: DynamoDBClient = session.client("dynamodb")
        self.events: EventBridgeClient = session.client("events")
        self._iam = session.client("iam")
        self._lambda = session.client("lambda")

    def now(self) -> datetime:
        return datetime.now(UTC)

    def connect(self, device: Device, *, sni: bool = True) -> Literal["accepted", "refused"]:
        outcome = device.connect(self._endpoint if sni else self._endpoint.without_sni())
        if not isinstance(outcome, Connection):
            return "refused"
        outcome.close()
        return "accepted"

    def data_of_user(self, allowed: Mapping[str, Sequence[str]]) -> Any:
        name = new_name("user")
        self._iam.create_user(UserName=name)
        self._iam.put_user_policy(UserName=name, PolicyName="data", PolicyDocument=json.dumps(_document(allowed)))
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        return self._account.session().client(
            "iot-data", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
        )

    def open(self, device: Device, *, clean: bool = True) -> Callable[[], None]:
        connection = device.connect(self._endpoint, clean=clean)
        assert isinstance(connection, Connection), connection
        return connection.close

    def deliver(self, ca_certificate_id: str) -> str:
        url = self.queue()
        self.iot.create_topic_rule(
            ruleName=new_name("rule").replace("-", "_"),
            topicRulePayload={
                "sql": f"SELECT * FROM '$aws/events/certificates/registered/{ca_certificate_id}'",  # noqa: S608 -- no database
                "awsIotSqlVersion": "2016-03-23",
                "actions": [{"sqs": {"queueUrl": url, "roleArn": self._role(url), "useBase64": False}}],
            },
        )
        return url

    def queue(self, *, visibility: int = 30, dead_letters: str | None = None, max_receives: int = 0) -> str:
        attributes: dict[Any, str] = {"VisibilityTimeout": str(visibility)}
        if dead_letters:
            redrive = {"deadLetterTargetArn": self._arn(dead_letters), "maxReceiveCount": max_receives}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        return self.sqs.create_queue(QueueName=new_name("queue"), Attributes=attributes)["QueueUrl"]

    def table(self) -> str:
        name = new_name("table")
        self.dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "due", "AttributeType": "S"},
                {"AttributeName": "due_at", "AttributeType": "N"},
                {"AttributeName": LISTED_AS, "AttributeType": "S"},
                {"AttributeName": LISTED_AT, "AttributeType": "N"},
            ],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": DUE_INDEX,
                    "KeySchema": [
                        {"AttributeName": "due", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
                {
                    "IndexName": OUTCOME_INDEX,
                    "KeySchema": [
                        {"AttributeName": LISTED_AS, "KeyType": "HASH"},
                        {"AttributeName": LISTED_AT, "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
            ],
        )
        return name

    def work(self, queue_url: str) -> None:
        self._lambda.create_event_source_mapping(
            FunctionName=self._worker,
            EventSourceArn=self._arn(queue_url),
            BatchSize=10,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )

    def wait_for(self, look: Callable[[], Found], what: str) -> Found:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {_PATIENCE:.0f} s")

    @cached_property
    def _worker(self) -> str:
        """The function's name. It has run once, so that no test's visibility timeout races with a cold start."""
        name = new_name("worker")
        self._lambda.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="worker.handler",
            Role=self._role("*"),
            Timeout=2,
            Code={"ZipFile": _zipped(worker)},
        )
        self._lambda.invoke(FunctionName=name, Payload=json.dumps({"Records": []}))
        return name

    def _arn(self, queue_url: str) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account_id}:{queue_url.rpartition('/')[2]}"

    def _role(self, queue_url: str) -> str:
        """A role that may use a queue."""
        name = new_name("role")
        role = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(_ASSUME))
        allowed = {"Effect": "Allow", "Action": "sqs:*", "Resource": self._arn(queue_url)}
        self._iam.put_role_policy(RoleName=name, PolicyName="queue", PolicyDocument=_policy(allowed))
        return str(role["Role"]["Arn"])


_ASSUME = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": ["iot.amazonaws.com", "lambda.amazonaws.com"]},
}


def _policy(statement: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _document(allowed: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """An IAM policy that allows actions (keys) on ARNs."""
    statements = [{"Effect": "Allow", "Action": action, "Resource": list(arns)} for action, arns in allowed.items()]
    return {"Version": "2012-10-17", "Statement": statements}


def _zipped(module: ModuleType) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(str(module.__file__), Path(str(module.__file__)).name)
    return packed.getvalue()
