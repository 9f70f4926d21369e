"""Lets `register` handle the event of a device that connects; the IoT calls that a new device takes."""

from tests.support.cloud import Cloud

FIVE_CALLS = ["DescribeCertificate", "CreateThing", "AttachThingPrincipal", "AttachPolicy", "UpdateCertificate"]
# The id of a certificate that AWS does not know.
UNKNOWN_ID = "0" * 64


def handle_event(cloud: Cloud, device: str) -> list[str]:
    """Let `register` handle one event of this certificate; the ids of the messages that are to come again."""
    return cloud.batch(cloud.record(cloud.event(device)))
