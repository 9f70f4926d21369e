"""Devices in two accounts of moto's, in every state that `jitrctl device` meets."""

from datetime import UTC, datetime, timedelta
from typing import Any

from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.record import Record
from jitr.verdicts import OperatorVerdict
from jitr.x509.certificate import Certificate
from jitrctl.session.stage import Stage
from tests.support.cases.issuing import Authority, certificate_id, named
from tests.support.cloud import create_registry

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


class Fleet:
    """The accounts with their registries, and devices put into them."""

    def __init__(self, stages: tuple[Stage, ...], ca: Authority) -> None:
        self.ca = ca
        self.stages = {str(stage): stage for stage in stages}
        for stage in stages:
            create_registry(stage.dynamodb, stage.names.registry_table)
            stage.iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True)
            stage.iot.create_policy(policyName="jitr-acme--factory", policyDocument="{}")

    def leaf(self, name: str = "sensor-0001", *, begins: datetime = NOW - 300 * DAY) -> str:
        return self.ca.leaf(named(name), begins=begins, ends=begins + 365 * DAY)

    def knock(self, place: str, pem: str) -> str:
        """The certificate is registered as pending; its id."""
        self.stages[place].iot.register_certificate(
            certificatePem=pem, caCertificatePem=self.ca.pem, status="PENDING_ACTIVATION"
        )
        return certificate_id(pem)

    def decide(self, place: str, pem: str, outcome: Outcome, status: Status, **fields: Any) -> str:
        """The certificate was registered and decided on; its id."""
        device, stage = self.knock(place, pem), self.stages[place]
        if status is not Status.PENDING_ACTIVATION:
            stage.iot.update_certificate(certificateId=device, newStatus=status)
        stage.registry.record(
            Decision(
                certificate_id=device,
                outcome=outcome,
                status=status,
                registered_at=NOW,
                decided_at=NOW,
                rules_digest="x",
                ca="factory",
                ca_certificate_id=self.ca.certificate_id,
                **fields,
            )
        )
        return device

    def activate(self, place: str, pem: str, thing: str = "sensor-0001", **fields: Any) -> str:
        """The certificate is the device's: thing, policy, owner, ACTIVE."""
        device, stage = certificate_id(pem), self.stages[place]
        intent = Decision(
            certificate_id=device,
            outcome=Outcome.ACTIVATED,
            status=Status.ACTIVE,
            registered_at=NOW,
            decided_at=NOW,
            rules_digest="x",
            thing_name=thing,
            **fields,
        )
        owner = Owner(
            certificate_id=device,
            ca_certificate_id=self.ca.certificate_id,
            serial="1",
            issued_at=_issued(pem),
            ends_at=_issued(pem) + 365 * DAY,
            registered_at=NOW,
        )
        earlier = stage.registry.owner(thing) if intent.replaces else None
        stage.registry.claim(intent, Record(), owner, run="r", share=False, earlier=earlier, retire_at=NOW + 7 * DAY)
        self.decide(place, pem, Outcome.ACTIVATED, Status.ACTIVE, thing_name=thing, **fields)
        described = stage.iot.describe_certificate(certificateId=device)["certificateDescription"]
        stage.iot.create_thing(thingName=thing)
        stage.iot.attach_thing_principal(thingName=thing, principal=described["certificateArn"])
        stage.iot.attach_policy(policyName="jitr-acme--factory", target=described["certificateArn"])
        return device

    def status(self, place: str, device: str) -> str:
        iot = self.stages[place].iot
        return str(iot.describe_certificate(certificateId=device)["certificateDescription"]["status"])

    def verdict(self, place: str, device: str) -> OperatorVerdict | None:
        return self.stages[place].registry.recall([device])[device].verdict


def _issued(pem: str) -> datetime:
    return Certificate.from_pem(pem).not_before
