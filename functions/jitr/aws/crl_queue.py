"""Sends messages to the queue of the function `revoke`: they name a CA whose published CRL is to be applied."""

import json
from typing import TYPE_CHECKING

from jitr.aws.calls import calling

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class CrlQueue:
    """The queue in one account and Region."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def ask(self, ca_certificate_id: str) -> None:
        """Have `revoke` apply what is published for a CA.

        Raises Unavailable, NotPermitted.
        """
        body = json.dumps({"ca_certificate_id": ca_certificate_id})
        with calling("SendMessage"):
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=body)
