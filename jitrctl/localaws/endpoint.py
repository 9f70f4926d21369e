"""Finds the endpoint to which the devices of a local account connect."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from jitrctl.localaws.errors import LocalAwsError
from jitrctl.mqtt.client import Endpoint

if TYPE_CHECKING:
    from jitrctl.localaws.account import LocalAccount


def find_endpoint(account: LocalAccount) -> Endpoint:
    """Read the account's endpoint and its broker's CA; the PEM is written beside the account's state.

    Raises:
        LocalAwsError: the account does not answer.
    """
    answer = account.client("iot").describe_endpoint(endpointType="iot:Data-ATS")
    name, _, _ = str(answer["endpointAddress"]).partition(":")  # AWS answers no port, ministack its HTTP one
    connection = HTTPConnection("127.0.0.1", account.gateway_port, timeout=10)
    try:
        connection.request("GET", "/_ministack/iot/ca.pem")
        trust = connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise LocalAwsError(f"{account.name} does not answer ({error}): is the local AWS running?") from error
    finally:
        connection.close()
    path = account.directory / f"{account.label}.broker-ca.pem"
    path.write_bytes(trust)
    return Endpoint(address=("127.0.0.1", account.mqtt_port), server_name=name, trust=path)
