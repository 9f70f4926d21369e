"""Connects with the device's key to the account's endpoint, over TLS and MQTT, with and without SNI."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import botocore

from jitr.rules import CertificateMode
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.errors import Unusable
from jitrctl.localaws import state
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.client import ConnectRefusal, Device, Endpoint
from jitrctl.mqtt.errors import MqttError, NotAcceptedError
from jitrctl.session.cached import kept

if TYPE_CHECKING:
    from jitrctl.doctor.context import DeviceContext
    from jitrctl.session.stage import Stage

_PORT = 8883
# botocore's list of authorities has Amazon's, which sign the ATS endpoints.
_AUTHORITIES = Path(botocore.__file__).with_name("cacert.pem")
_PATIENCE = 30.0  # seconds from a device's first connection until it is accepted

_CURES = {
    "tls": "TLS failed: check the device's key, its certificate's dates, and AWS IoT's log",
    "closed": "AWS IoT caches statuses and policies for minutes: try again in ten, then see its log, AWSIotLogsV2",
    "connack": "see AWS IoT's log, AWSIotLogsV2",
    "timeout": "check the network between here and the endpoint: port 8883 has to be open",
}


@dataclass(kw_only=True, eq=False)
class DeviceConnector:
    """A device with its key, at the endpoint of one account and Region."""

    certificate: Path
    key: Path
    stage: Stage

    @kept
    def endpoint(self) -> Endpoint:
        """Where the stage's devices connect.

        Raises botocore's errors; Unusable when the stage is neither on AWS nor a local AWS beside the fleet file.
        """
        url = self.stage.account.endpoint_in(self.stage.region)
        if url is None:
            host = self.stage.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
            return Endpoint(address=(host, _PORT), server_name=host, trust=_AUTHORITIES)
        for account in state.load(self.stage.fleet.path.parent):
            if account.endpoint_url == url:
                return find_endpoint(account)
        raise Unusable(f"{url} is not AWS, and no local AWS that runs beside the fleet file: leave out --key")

    def connect(self, client_id: str, *, sni: bool) -> ConnectRefusal | None:
        """Send one CONNECT; None when it was accepted.

        Raises MqttError or OSError when the endpoint cannot be reached, and what `endpoint` raises.
        """
        answer = self._device(client_id).connect(self.endpoint if sni else self._without_sni())
        if isinstance(answer, ConnectRefusal):
            return answer
        answer.close()
        return None

    def connect_until_accepted(self, client_id: str) -> float:
        """Connect with retries, as firmware does; the seconds until it was accepted.

        Raises NotAcceptedError, and what `connect` raises.
        """
        connection, attempts = self._device(client_id).connect_until_accepted(self.endpoint, patience=_PATIENCE)
        connection.close()
        return attempts[-1].seconds

    def _device(self, client_id: str) -> Device:
        return Device(client_id=client_id, certificate=self.certificate, key=self.key)

    def _without_sni(self) -> Endpoint:
        """The same endpoint by its IP address: TLS then sends no name, and the server's name is not verified."""
        host, port = self.endpoint.address
        return replace(self.endpoint, address=(socket.gethostbyname(host), port), server_name=None, checks_name=False)


def try_with_sni(case: DeviceContext, connector: DeviceConnector) -> LinkFinding:
    """The device connects, and sends the endpoint's name (SNI)."""
    client_id, is_new = case.connects_as, case.stage_certificate.registered is None
    try:
        refusal = connector.connect(client_id, sni=True)
        if refusal is None:
            return good(f"CONNACK: accepted, as client id {client_id}")
        if is_new and refusal.how == "closed":
            seconds = connector.connect_until_accepted(client_id)
            return good(
                f"closed, as every first connection is; accepted {seconds:.1f} s later, as client id {client_id}"
            )
    except NotAcceptedError:
        return broken(
            f"closed, as every first connection is, and not accepted in {_PATIENCE:.0f} s",
            f"run `jitrctl doctor {case.device} {case.options}` again: it now says at which link the device waits",
        )
    except (LocalAwsError, MqttError, OSError) as error:
        return broken(f"the endpoint cannot be reached: {error}", _CURES["timeout"])
    return broken(f"{refusal.how}: {refusal.detail}", _CURES[refusal.how])


def try_without_sni(case: DeviceContext, connector: DeviceConnector) -> LinkFinding:
    """What a device that sends no SNI is answered; only mode DEFAULT may accept it."""
    try:
        refusal = connector.connect(case.connects_as, sni=False)
    except (LocalAwsError, MqttError, OSError) as error:
        return note(f"not tried: {error}")
    mode = case.mode
    if refusal is None:
        return good("accepted") if mode is CertificateMode.DEFAULT else note(f"accepted, in mode {mode}")
    text = f"{refusal.how}: {refusal.detail}"
    if mode is CertificateMode.SNI_ONLY:
        return good(f"{text}; in mode SNI_ONLY a device has to send SNI")
    return note(f"{text}; mode DEFAULT accepts a device without SNI if it also sends its CA")
