"""Reads and operates a deployed account of the local AWS: AWS's answers, jitr's records, the function's log."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jitr.admission.naming import thing_name
from jitr.errors import Rejected
from jitr.store.registry import Registry
from jitr.x509.certificate import Certificate
from jitr_fleet.resources import ResourceNames
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.client import Device, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jitr.decisions import Decision
    from jitr.rules import CertificateMode
    from jitr_fleet.model import Fleet
    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
    from jitrctl.localaws.workspace import LocalPlace

_POLL = 0.05  # seconds
UNKNOWN = "not registered"


class LocalStage:
    """One local account with its stack."""

    def __init__(self, account: LocalAccount, place: LocalPlace, fleet: Fleet) -> None:
        self.account = account
        self.place = place
        self.names = ResourceNames(fleet.name)
        self.fleet = fleet

    @property
    def name(self) -> str:
        return self.account.name

    @cached_property
    def iot(self) -> Any:
        return self.account.client("iot")

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.account.client("dynamodb"), self.names.registry_table)

    @cached_property
    def endpoint(self) -> Endpoint:
        endpoint = find_endpoint(self.account)
        _wake(endpoint)
        return endpoint

    def register_ca(self, name: str, ca: IssuingCa) -> dict[str, Any]:
        """Register the CA of that name in the mode that the fleet file declares; returns AWS's description of it."""
        account = next(account for account in self.fleet.accounts if account.name == self.name)
        registration = next(registration for registration in account.cas if registration.ca.name == name)
        parameters: dict[str, Any] = {"certificateMode": registration.mode.value}
        if pem := registration.verification_certificate_pem:
            parameters["verificationCertificate"] = pem
        self.iot.register_ca_certificate(
            caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True, **parameters
        )
        described: dict[str, Any] = self.iot.describe_ca_certificate(certificateId=ca.certificate_id)
        return dict(described["certificateDescription"])

    def thing_name(self, ca: str, files: DeviceFiles) -> str | None:
        """The name that the CA's rules make of a device's certificate; None if they make none."""
        rules = self.fleet.rules(self.place.account, self.place.region)
        of_ca = next((one for one in rules.cas if one.name == ca), None)
        if of_ca is None:
            return None
        try:
            return thing_name(of_ca, Certificate.from_pem(files.certificate.read_text(encoding="utf-8")))
        except Rejected:
            return None

    def device(self, files: DeviceFiles, client_id: str) -> Device:
        return Device(client_id=client_id, certificate=files.certificate, key=files.key)

    def status(self, certificate_id: str) -> str:
        """The certificate's status in this account, or `not registered`."""
        try:
            described = self.iot.describe_certificate(certificateId=certificate_id)
        except self.iot.exceptions.ResourceNotFoundException:
            return UNKNOWN
        return str(described["certificateDescription"]["status"])

    def decision(self, certificate_id: str) -> Decision | None:
        """The decision that the deployed function recorded; None if there is none."""
        return self.registry.recall([certificate_id])[certificate_id].decision

    def wait_for_decision(self, certificate_id: str, *, seconds: float) -> Decision:
        """Wait for the deployed function to record its decision.

        Raises LocalAwsError with the function's last error if there is none in time.
        """
        if decision := _wait(lambda: self.decision(certificate_id), seconds=seconds):
            return decision
        raise LocalAwsError(
            f"no decision on {certificate_id[:16]}… in {self.name} after {seconds:.0f} s{self.describe_last_error()}"
        )

    def sweep(self) -> dict[str, Any]:
        """Run the deployed sweep now, as its schedule would; returns what it did.

        Raises LocalAwsError when it fails.
        """
        answer = self.account.client("lambda").invoke(FunctionName=self.names.sweep_function, Payload=b"{}")
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise LocalAwsError(f"the sweep failed in {self.name}: {result.get('errorMessage')}")
        return result

    @contextmanager
    def disable_rule(self) -> Iterator[None]:
        """Disable the first CA's topic rule meanwhile: its devices that connect then cause no event."""
        rule = self.names.rule(self.place.account.cas[0].ca.name)
        self.iot.disable_topic_rule(ruleName=rule)
        try:
            yield
        finally:
            self.iot.enable_topic_rule(ruleName=rule)

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured lines of the function's log, oldest first."""
        logs = self.account.client("logs")
        group = self.names.log_group(self.names.register_function)
        try:
            events = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        lines = []
        for event in sorted(events, key=lambda event: int(event["timestamp"])):
            try:
                line = json.loads(event["message"])
            except ValueError:  # START, END and REPORT
                continue
            if isinstance(line, dict) and "level" in line:
                lines.append(line)
        return lines

    def describe_last_error(self) -> str:
        """The function's last error, as a clause to append to a failure's sentence."""
        errors = [line for line in self.log_lines() if line["level"] == "ERROR"]
        if not errors:
            return f"; its function logged no error, see {self.account.log}"
        cause = str(errors[-1].get("exception", "")).strip().splitlines()
        return f"; its function says: {errors[-1]['message']}: {cause[-1] if cause else 'no more'}"

    @property
    def mode(self) -> CertificateMode:
        return self.place.mode


def _wake(endpoint: Endpoint) -> None:
    """Make one handshake without waiting for it: under Python 3.11.2 the broker never answers its first one."""
    context = ssl.create_default_context(cafile=str(endpoint.trust))
    with (
        suppress(OSError),
        socket.create_connection(endpoint.address, timeout=_POLL * 20) as connection,
        context.wrap_socket(connection, server_hostname=endpoint.server_name),
    ):
        pass


def _wait(look: Callable[[], Decision | None], *, seconds: float) -> Decision | None:
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(_POLL)
