"""One AWS account as the functions see it: moto, with every call written down and any answer replaced.

moto is a polite stand-in: its CreateThing never conflicts, nothing throttles, its lists have no pages, and its
descriptions leave out the CA and the mode. The first three are scripted by the tests (`Wire.answer`, `Wire.fail`); what
AWS describes and moto does not is filled in here, from what the test registered.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from io import StringIO
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from botocore import UNSIGNED
from botocore.config import Config

from jitr.admission.enrollment import Entry
from jitr.aws.ca_status import CaStatus
from jitr.aws.connections import Connections
from jitr.aws.crl_bucket import Crls
from jitr.aws.crl_queue import CrlQueue
from jitr.aws.hook import Hook
from jitr.aws.iot import AwsIot
from jitr.aws.queues import RegistrationsQueue, SweepQueue
from jitr.aws.rate_limit import Unpaced
from jitr.aws.shadows import Shadows
from jitr.handlers.register import RegisterHandler
from jitr.pacing.schedule import PACE
from jitr.pacing.turns import Turns
from jitr.registration.procedure import Registration
from jitr.registration.threads import OneByOne
from jitr.rules import Rules
from jitr.session_end import SessionEnd
from jitr.settings import Settings
from jitr.store.brakes import Brakes
from jitr.store.crl_state import CrlStates
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from jitr.store.failure_count import FailureCount
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.revoked_cas import RevokedCas
from jitr.store.sweep_state import SweepState
from jitr.store.withdrawal_marks import Withdrawals
from jitr.sweep.runner import Sweep, SweepResult
from jitr.telemetry import SCHEDULE_UNAVAILABLE, Announcer, Counts
from tests.support.cases.issuing import ACCOUNT, NOW, REGION, SECOND, Authority, certificate_id, factory, rules_for
from tests.support.edge import deployed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

TABLE = deployed.TABLE
OPERATOR = "arn:aws:iam::111111111111:user/ann"

# A logger of a name that was there before would write to where that one wrote.
LOGGERS = count()


class Wire:
    """What goes over the wire: every call, once however often it is retried, and answers in place of moto's."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self._answered = False  # by a script, not by moto
        self._scripts: dict[str, list[Mapping[str, Any] | BaseException]] = {}
        self._services: dict[str, Callable[[dict[str, Any]], Mapping[str, Any]]] = {}

    def forget(self) -> None:
        self.calls.clear()

    def reset(self) -> None:
        self.calls.clear()
        self._scripts.clear()
        self._services.clear()

    def of(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of each call of one operation."""
        return [parameters for _, name, parameters in self.calls if name == operation]

    def operations(self, service: str) -> list[str]:
        """The operations of one service, in order."""
        return [name for one, name, _ in self.calls if one == service]

    def answer(self, operation: str, *answers: Mapping[str, Any]) -> None:
        """Give these answers to the next calls."""
        self._scripts.setdefault(operation, []).extend(answers)

    def fail(self, operation: str, code: str, *, status: int = 400, times: int = 1, **more: Any) -> None:
        """Let the next calls fail with this error of AWS."""
        error = {
            "Error": {"Code": code, "Message": f"{operation} said {code}"},
            "ResponseMetadata": {"HTTPStatusCode": status},
            **more,
        }
        self._scripts.setdefault(operation, []).extend([error] * times)

    def break_down(self, operation: str, error: BaseException) -> None:
        """Let the next call get no answer at all."""
        self._scripts.setdefault(operation, []).append(error)

    def serve(self, operation: str, answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Give every call of an operation, unless it is scripted, the answer to its parameters."""
        self._services[operation] = answer

    def listen(self, session: boto3.Session) -> None:
        session.events.register("provide-client-params", self._note)
        session.events.register("before-call", self._scripted)  # type: ignore[arg-type]  # whose stub forgets answers
        session.events.register("after-call.iot.DescribeCertificate", self._name_the_ca)
        session.events.register("after-call.iot.DescribeCACertificate", self._name_the_mode)

    def _note(self, *, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.service_model.service_name, model.name, params))

    def _scripted(self, *, model: Any, **_: Any) -> tuple[SimpleNamespace, Mapping[str, Any]] | None:
        script = self._scripts.get(model.name)
        service = self._services.get(model.name)
        self._answered = bool(script or service)
        if script:
            answer = script.pop(0)
        elif service:
            answer = service(self.calls[-1][2])
        else:
            return None
        if isinstance(answer, BaseException):
            raise answer
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)
        return SimpleNamespace(status_code=status), answer

    def _name_the_ca(self, *, parsed: dict[str, Any], **_: Any) -> None:
        if "certificateDescription" in parsed and not self._answered:
            parsed["certificateDescription"]["caCertificateId"] = factory().certificate_id

    def _name_the_mode(self, *, parsed: dict[str, Any], **_: Any) -> None:
        if "certificateDescription" in parsed and not self._answered:
            parsed["certificateDescription"]["certificateMode"] = "DEFAULT"


@cache
def unheard(service: str) -> Any:
    """A client of which the wire knows nothing: the schedule of turns is in every batch, and not what is tested."""
    return boto3.Session(region_name=REGION).client(service)  # type: ignore[call-overload]


# moto looks at no signature, which is a sixth of a call; of the user agent it wants to know the Region.
_SPARED = Config(signature_version=UNSIGNED, user_agent=f"tests region/{REGION}")


@cache
def client(session: boto3.Session, service: str) -> Any:
    """Clients are slow to make, and hold nothing that a test could leave behind."""
    config = None if service == "s3" else _SPARED  # which lets nobody in without one
    return session.client(service, config=config)  # type: ignore[call-overload]


def create_registry(dynamodb: "DynamoDBClient", table: str) -> None:
    """Make the table that the stack makes."""
    dynamodb.create_table(TableName=table, **deployed.REGISTRY)


@dataclass
class Cloud:
    """One account with a registered CA, the stack's resources, and the functions' parts put together for it."""

    session: boto3.Session
    wire: Wire
    now: datetime = NOW
    authority: Authority = field(default_factory=factory)
    log: StringIO = field(default_factory=StringIO)
    turns_per_second: float = 1e9  # nothing waits here; turns can be refused

    def __post_init__(self) -> None:
        self.iot: IoTClient = client(self.session, "iot")
        self.dynamodb: DynamoDBClient = client(self.session, "dynamodb")
        self.sqs: SQSClient = client(self.session, "sqs")
        self.s3: S3Client = client(self.session, "s3")
        self.settings = Settings(
            fleet="acme",
            account_id=ACCOUNT,
            region=REGION,
            registry_table=TABLE,
            crl_bucket=deployed.CRLS,
            enrollment_table=deployed.ENROLLMENT,
            registrations_queue_url=deployed.url_of(deployed.QUEUE),
            dead_letter_queue_url=deployed.url_of(deployed.DEAD_LETTERS),
            crl_queue_url=deployed.url_of(deployed.CRL_QUEUE),
            event_bus="default",
            activations_per_second=10,
            max_concurrency=15,
        )
        self.rules: Rules = rules_for(self.authority, thing_groups=())
        deployed.deploy(self.authority.pem)
        self.counts = Counts(fleet="acme")
        self.put_together()
        self.wire.forget()

    def put_together(self) -> None:
        """Make the functions' parts, as a new execution environment does."""
        logger = Logger(service=f"test-{next(LOGGERS)}", stream=self.log)
        self.announcer = Announcer(client(self.session, "events"), self.settings, logger, self.counts)
        self.turns = Turns(
            unheard("dynamodb"),
            TABLE,
            per_second=self.turns_per_second,
            environments=1,
            when_unavailable=lambda: self.counts.add(SCHEDULE_UNAVAILABLE),
            clock=self.seconds,
            sleep=lambda _: None,
        )
        self.aws_iot = AwsIot(
            self.iot,
            self.turns,
            clock=self.clock,
            rules=self.rules,
            shadows=lambda: Shadows(client(self.session, "iot-data")),
        )
        self.registry = Registry(self.dynamodb, TABLE)
        self.journal = SweepState(self.dynamodb, TABLE)
        self.crls = Crls(lambda: self.s3, deployed.CRLS, ACCOUNT, clock=self.clock)
        self.enrollment = EnrollmentTable(self.dynamodb, deployed.ENROLLMENT)
        self.brakes = Brakes(self.dynamodb, TABLE, clock=self.clock)
        self.registration = Registration(
            settings=self.settings,
            rules=self.rules,
            iot=self.aws_iot,
            registry=self.registry,
            crls=self.crls,
            enrollment=self.enrollment,
            brakes=self.brakes,
            hook=Hook(lambda _: client(self.session, "lambda")),
            announcer=self.announcer,
            turns=self.turns,
            sessions=lambda: SessionEnd(self.aws_iot, Connections(client(self.session, "iot-data"))),
            clock=self.clock,
        )
        queue = RegistrationsQueue(self.sqs, self.settings)
        self.register = RegisterHandler(
            self.registration,
            queue,
            self.announcer,
            failures=FailureCount(self.dynamodb, TABLE),
            turns=self.turns,
            threads=OneByOne,
            clock=self.clock,
        )
        self.sweeps_iot = AwsIot(self.iot, Unpaced(), clock=self.clock)
        self.sweep = Sweep(
            rules=self.rules,
            iot=self.sweeps_iot,
            registry=self.registry,
            outcomes=Outcomes(self.dynamodb, TABLE),
            withdrawals=Withdrawals(self.dynamodb, self.settings.registry_table),
            crls=self.crls,
            enrollment=self.enrollment,
            brakes=self.brakes,
            cas=CaStatus(self.iot),
            revoked_cas=RevokedCas(self.dynamodb, TABLE),
            journal=self.journal,
            crl_states=CrlStates(self.dynamodb, TABLE),
            crl_queue=CrlQueue(self.sqs, self.settings.crl_queue_url),
            queue=SweepQueue(self.sqs, client(self.session, "cloudwatch"), self.settings),
            announcer=self.announcer,
            clock=self.clock,
            activations_per_second=self.settings.activations_per_second,
        )

    def clock(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def under(self, rules: Rules) -> None:
        """Deploy other rules."""
        self.rules = rules
        self.put_together()

    def knock(self, pem: str | None = None) -> str:
        """A device connects for the first time: AWS IoT registers its certificate. The certificate's id."""
        pem = pem or self.authority.leaf()
        self.iot.register_certificate(
            certificatePem=pem,
            caCertificatePem=self.authority.pem,
            status="PENDING_ACTIVATION",  # which only AWS IoT itself may say
        )
        self.wire.forget()
        return certificate_id(pem)

    def enroll(self, *entries: Entry) -> None:
        """An operator's order: these entries in place of what was said of their subjects before."""
        seen = self.enrollment.entries(entry.subject for entry in entries)
        changes = [
            EntryChange(entry=replace(entry, by=OPERATOR, at=self.now), replaces=seen.get(entry.subject))
            for entry in entries
        ]
        self.enrollment.change(changes, by=OPERATOR, at=self.now)

    def status(self, device: str) -> str:
        return self.iot.describe_certificate(certificateId=device)["certificateDescription"]["status"]

    def event(self, device: str, **changes: Any) -> dict[str, Any]:
        """The event of a device's first connection."""
        return {
            "certificateId": device,
            "caCertificateId": self.authority.certificate_id,
            "timestamp": round(self.now.timestamp() * 1000),
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": ACCOUNT,
            "certificateRegistrationTimestamp": None,
            **changes,
        }

    def record(self, body: object, *, receives: int = 1, age: timedelta = SECOND) -> dict[str, Any]:
        """Send a message to the queue and receive it, as Lambda does; one record of its batch."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.settings.registrations_queue_url, MessageBody=text)
        received = self.sqs.receive_message(QueueUrl=self.settings.registrations_queue_url, MaxNumberOfMessages=1)
        message = received["Messages"][0]
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": text,
            "attributes": {
                "ApproximateReceiveCount": str(receives),
                "SentTimestamp": str(round((self.now - age).timestamp() * 1000)),
            },
        }

    def batch(self, *records: Mapping[str, Any], time_is_left: Callable[[], bool] = lambda: True) -> list[str]:
        """Have a batch decided; the ids of the messages that are to come again."""
        self.wire.forget()
        answer = self.register.handle_batch(list(records), time_is_left)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def swept(self, time_is_left: Callable[[], bool] = lambda: True) -> SweepResult:
        """Sweep once; what was done."""
        self.wire.forget()
        return self.sweep.run(time_is_left=time_is_left)

    def dead_letters(self) -> list[tuple[str, str]]:
        """The body and the reason of each dead-lettered message."""
        received = self.sqs.receive_message(
            QueueUrl=self.settings.dead_letter_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return [
            (message["Body"], message["MessageAttributes"]["jitr_reason"]["StringValue"])
            for message in received.get("Messages", [])
        ]

    def items(self) -> dict[str, dict[str, Any]]:
        """The registry's items by their keys, but for the schedule."""
        items = self.dynamodb.scan(TableName=TABLE)["Items"]
        return {item["id"]["S"]: dict(item) for item in items if item["id"]["S"] != PACE}

    def counted(self) -> Counter[str]:
        """The metrics of this invocation so far."""
        counted: Counter[str] = Counter()
        for metrics in self.counts._by_ca.values():
            counted.update({name: round(sum(values)) for name, values in metrics.items()})
        return counted

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]
