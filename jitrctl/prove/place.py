"""An account in which probes run, and a device's certificate there; every client is guarded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from jitrctl.prove.certificates import ProbeIdentity
    from jitrctl.prove.devices import Devices, ProbeSession
    from jitrctl.prove.guard import Guard


class Time(Protocol):
    """Time; tests have their own."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(kw_only=True, eq=False)
class ProvePlace:
    """One account in one Region."""

    account: str  # id
    region: str
    label: str  # dev/eu-central-1
    partition: str
    guard: Guard
    devices: Devices
    open: Callable[..., Any]  # service → its boto3 client; with `once`, it makes one attempt per call
    registration_code_in: Callable[[str], str]  # of the account in another Region
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.guard.client(service, self.open(service))
        return self._clients[service]

    def once(self, service: str) -> Any:
        """A client that does not repeat a throttled call."""
        key = f"{service}, once"
        if key not in self._clients:
            self._clients[key] = self.guard.client(service, self.open(service, once=True), repeats=False)
        return self._clients[key]

    @property
    def iot(self) -> Any:
        return self.client("iot")

    def arn(self, resource: str) -> str:
        return f"arn:{self.partition}:iot:{self.region}:{self.account}:{resource}"

    def certificate_arn(self, certificate_id: str) -> str:
        return self.arn(f"cert/{certificate_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeDevice:
    """A device's certificate that AWS has registered."""

    place: ProvePlace
    identity: ProbeIdentity
    certificate_id: str  # as AWS answered
    client_id: str

    @property
    def arn(self) -> str:
        return self.place.certificate_arn(self.certificate_id)

    def status(self) -> str:
        return str(self.describe()["status"])

    def describe(self) -> Mapping[str, Any]:
        answer = self.place.iot.describe_certificate(certificateId=self.certificate_id)
        return dict(answer["certificateDescription"])

    def connect(self, *, sni: bool = True) -> ProbeSession | str:
        return self.place.devices.connect(self.identity, self.client_id, sni=sni)
