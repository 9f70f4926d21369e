"""A CA that is registered at a place, and what its devices leave there."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitrctl.mqtt.client import Device
from tests.support.contract.places import Place, new_name
from tests.support.local.authority import Authority, certificate_id

if TYPE_CHECKING:
    from mypy_boto3_iot.type_defs import CertificateDescriptionTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """One registered CA; the events of its devices go to a queue."""

    place: Place
    authority: Authority
    certificate_id: str
    queue_url: str

    def device(self) -> Device:
        """A device that no account has seen."""
        return self.authority.device(new_name("sensor"))

    def registered(self) -> "CertificateDescriptionTypeDef":
        """The certificate of a device that has just connected for the first time."""
        device = self.device()
        self.place.connect(device)
        return self.described(device)

    def described(self, device: Device) -> "CertificateDescriptionTypeDef":
        return self.place.iot.describe_certificate(certificateId=certificate_id(device))["certificateDescription"]

    def events(self, number: int) -> list[dict[str, Any]]:
        """Take that many registration events out of the queue, in the order in which they were published."""
        taken: list[dict[str, Any]] = []

        def enough() -> bool:
            answer = self.place.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                taken.append(json.loads(message["Body"]))
                self.place.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            return len(taken) >= number

        self.place.wait_for(enough, f"{number} registration events")
        assert len(taken) == number
        return sorted(taken, key=lambda event: float(event["timestamp"]))
