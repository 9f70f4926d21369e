"""Holds the accounts in their Regions and their clients, and carries each call from a client to a service.

Every attempt of a call takes the same steps: latency, the test's fault hook, the quota, the service, the hook again.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from simulation.clients import ServiceName, new_client
from simulation.clock import Clock
from simulation.cloudwatch import CloudWatch
from simulation.dynamodb import DynamoDb
from simulation.events import EventBridge
from simulation.faults import (
    Answer,
    Call,
    Fault,
    FaultHook,
    ModelBroken,
    Moment,
    NotModelled,
    Params,
    ServiceError,
    carry_out_partially,
    server_error,
    throttled,
)
from simulation.functions import Functions
from simulation.iot import Iot
from simulation.logs import Logs
from simulation.place import Place, Undocumented
from simulation.quotas import (
    AUTO_REGISTRATION,
    AUTO_REGISTRATIONS_PER_SECOND,
    CONNECT,
    CONNECTS_PER_SECOND,
    IOT_CALLS_PER_SECOND,
    TokenBucket,
)
from simulation.s3 import S3
from simulation.sqs import Sqs
from simulation.wire import attach

if TYPE_CHECKING:
    from simulation.leaf import Leaf

_READ_TIMEOUT = 5
DEFAULT_CONFIG = Config(read_timeout=_READ_TIMEOUT, retries={"mode": "standard", "total_max_attempts": 3})

# The share of a call's latency that passes before its quota applies: AWS throttles before it does the work.
_BEFORE_ADMISSION = 0.2


class Aws:
    """Several accounts and Regions under one clock."""

    def __init__(self, clock: Clock | None = None, *, keep_calls: bool = True) -> None:
        self.clock = clock or Clock()
        self.fault: FaultHook | None = None
        self.latency: Callable[[Call], float] | None = None  # seconds, for each attempt
        self.undocumented = Undocumented()
        self.calls: list[Call] = []  # every attempt; empty when not kept, as storms cannot
        self._keep_calls = keep_calls
        self._accounts: dict[tuple[str, str], SimulatedAccount] = {}
        self._default_cas: dict[str, dict[str, str]] = {}  # Region → CA's certificate id → account
        self._asking = threading.local()

    def account(self, account_id: str, region: str = "eu-central-1") -> "SimulatedAccount":
        """One account in one Region, where everything is separate (aws-facts §3); the same one for the same names."""
        key = account_id, region
        if key not in self._accounts:
            default_cas = self._default_cas.setdefault(region, {})
            place = Place(account_id, region, self.clock, self.undocumented, default_cas)
            self._accounts[key] = SimulatedAccount(self, place)
        return self._accounts[key]

    def list_operations(self, *, caller: str | None = None, service: ServiceName | None = None) -> list[str]:
        """The names of the operations attempted so far, in order."""
        return [
            call.operation
            for call in self.calls
            if (caller is None or call.caller == caller) and (service is None or call.service == service)
        ]

    def begin(self, call: Call) -> float:
        """Record the call, and let the time to the service pass; returns the seconds that its answer takes."""
        if self._keep_calls:
            self.calls.append(call)
        if self.latency is None:
            return 0.0
        latency = self.latency(call)
        self.clock.sleep(latency * _BEFORE_ADMISSION)
        call.at = self.clock.now()
        return latency * (1 - _BEFORE_ADMISSION)

    def end(self, rest: float) -> None:
        """Let the answer's time pass; if the caller's deadline passes meanwhile, the answer to a done call is lost."""
        if rest:
            self.clock.sleep(rest)

    def ask(self, call: Call, moment: Moment) -> Fault | None:
        """The fault that the test's hook sets, if any; the hook's own calls are not passed to it."""
        if self.fault is None or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            return self.fault(call, moment)
        finally:
            self._asking.now = False


class SimulatedAccount:
    """One account in one Region, with its services, clients and devices."""

    def __init__(self, aws: Aws, place: Place) -> None:
        self.aws = aws
        self.id = place.account_id
        self.region = place.region
        self.functions = Functions(place)
        self.sqs = Sqs(place)
        self.dynamodb = DynamoDb(place)
        self.events = EventBridge(place)
        self.s3 = S3(place)
        self.cloudwatch = CloudWatch(place, self.sqs)
        self.iot = Iot(place, self.sqs)
        self.logs = Logs(place)
        self.quotas: dict[str, TokenBucket] = {}  # by call name ("iot:CreateThing"), or CONNECT, AUTO_REGISTRATION
        self.counts: Counter[str] = Counter()  # attempts, by call name
        self.throttled: Counter[str] = Counter()  # of those, throttled by a quota
        self._clients: dict[tuple[str, str, Config], Any] = {}
        self._operations: dict[tuple[str, str], Callable[[Params], Answer]] = {}

    def client(self, service: ServiceName, *, caller: str = "", config: Config = DEFAULT_CONFIG) -> Any:
        """A real boto3 client of this account and Region, the same one for the same arguments.

        `caller` is recorded with its calls.
        """
        made = self._clients.get((service, caller, config))
        if made is not None:
            return made
        client = new_client(service, self.region, config)

        options: Any = client.meta.config
        read_timeout: float = options.read_timeout

        def serve(operation: str, params: Params, attempt: int, invocation: str) -> Answer:
            call = Call(
                account_id=self.id,
                region=self.region,
                caller=caller,
                service=service,
                operation=operation,
                parameters=params,
                at=self.aws.clock.now(),
                attempt=attempt,
                invocation=invocation,
            )
            return self._serve(call, read_timeout)

        attach(client, self.aws.clock, serve)
        self._clients[service, caller, config] = client
        return client

    def limit(self, *, burst: float = 1.0, factor: float = 1.0) -> None:
        """Apply AWS IoT's default quotas, times `factor`; `burst` is in seconds' worth of calls."""
        rates = {f"iot:{operation}": rate for operation, rate in IOT_CALLS_PER_SECOND.items()}
        rates |= {CONNECT: CONNECTS_PER_SECOND, AUTO_REGISTRATION: AUTO_REGISTRATIONS_PER_SECOND}
        for name, rate in rates.items():
            self.quotas[name] = TokenBucket(self.aws.clock, rate * factor, burst=burst)

    def admits(self, name: str) -> bool:
        """Count a call; returns whether its quota allows it."""
        self.counts[name] += 1
        bucket = self.quotas.get(name)
        if bucket is None or bucket.take():
            return True
        self.throttled[name] += 1
        return False

    def add_rule(
        self, ca_certificate_id: str, queue_url: str, *, name: str | None = None, enabled: bool = True
    ) -> None:
        """A topic rule: this CA's registration events go to that queue; see `iot.broker.rules` to disable it."""
        self.iot.broker.add_rule(ca_certificate_id, queue_url, name=name, enabled=enabled)

    def connect(
        self, certificate: "Leaf | str | bytes", *, client_id: str, sni: bool = True, clean: bool = True
    ) -> Literal["accepted", "refused"]:
        """Send a device's MQTT CONNECT; the certificate is PEM, DER, or a Leaf, which needs no parsing.

        Unless it is `clean`, the device requests a persistent session.
        """
        answer = self.iot.broker.connect(certificate, client_id=client_id, sni=sni, clean=clean, admits=self.admits)
        if answer == "accepted" and (certificate_id := self.iot.connections.connected_as(client_id)):
            self.logs.note_connect(client_id, certificate_id)
        return answer

    def _serve(self, call: Call, read_timeout: float) -> Answer:
        rest = self.aws.begin(call)
        try:
            answer = self._attempt(call, read_timeout)
        except ServiceError as error:
            call.answer = error.code
            self.aws.end(rest)
            raise
        except ReadTimeoutError:
            call.answer = "timeout"
            raise
        call.answer = "ok"
        self.aws.end(rest)
        return answer

    def _attempt(self, call: Call, read_timeout: float) -> Answer:
        before = self.aws.ask(call, "before")
        self._apply_fault(before, call, read_timeout)
        if not self.admits(call.name):
            raise throttled(call.service)
        answer: Answer = {}
        error: ServiceError | None = None
        try:
            operation = self._operation(call)
            answer = carry_out_partially(call, operation) if before else operation(call.parameters)
        except ServiceError as refused:
            error = refused
        except Exception as broken:
            raise ModelBroken(f"{call.name} {call.parameters}") from broken
        after = self.aws.ask(call, "after")
        if after is Fault.PARTIAL:
            raise NotModelled("a partial answer to what was carried out as a whole")
        self._apply_fault(after, call, read_timeout)
        if error:
            raise error
        return answer

    def _apply_fault(self, fault: Fault | None, call: Call, read_timeout: float) -> None:
        match fault:
            case Fault.THROTTLED:
                raise throttled(call.service)
            case Fault.SERVER_ERROR:
                raise server_error(call.service)
            case Fault.TIMEOUT:
                self.aws.clock.sleep(read_timeout)
                raise ReadTimeoutError(endpoint_url=f"https://{call.service}.{self.region}.amazonaws.com")

    def _operation(self, call: Call) -> Callable[[Params], Answer]:
        key = call.service, call.operation
        if key not in self._operations:
            for part in self._parts(call.service):
                method = getattr(part, xform_name(call.operation), None)
                if method:
                    self._operations[key] = method
                    break
            else:
                raise NotModelled(call.name)
        return self._operations[key]

    def _parts(self, service: str) -> tuple[object, ...]:
        if service == "iot":
            return self.iot.parts
        if service == "iot-data":
            return self.iot.connections, self.iot.shadows
        return (getattr(self, "functions" if service == "lambda" else service),)
