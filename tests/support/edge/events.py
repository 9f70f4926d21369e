"""Lets `register` handle the event of a device that connects."""

from tests.support.cloud import Cloud


def handle_event(cloud: Cloud, device: str) -> list[str]:
    """Let `register` handle one event of this certificate; the ids of the messages that are to come again."""
    return cloud.batch(cloud.record(cloud.event(device)))
