"""Sets CAs INACTIVE in AWS IoT, for the sweep; calls.py sorts the errors."""

from typing import TYPE_CHECKING

from jitr.aws.calls import calling

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


class CaStatus:
    """The CAs of one account and Region; its calls take no turns, since there are two for each revoked CA."""

    def __init__(self, client: "IoTClient") -> None:
        self._client = client

    def deactivate(self, ca_certificate_id: str) -> bool:
        """Set a CA INACTIVE and its auto-registration off; False if it is so already, or not registered.

        Raises Unavailable, NotPermitted.
        """
        with calling("DescribeCACertificate"):
            try:
                answer = self._client.describe_ca_certificate(certificateId=ca_certificate_id)
            except self._client.exceptions.ResourceNotFoundException:
                return False
        described = answer["certificateDescription"]
        if described["status"] != "ACTIVE" and described.get("autoRegistrationStatus") != "ENABLE":
            return False
        with calling("UpdateCACertificate"):
            self._client.update_ca_certificate(
                certificateId=ca_certificate_id, newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE"
            )
        return True
