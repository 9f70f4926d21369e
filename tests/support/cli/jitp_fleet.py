"""A CA under JITP in the simulated account dev, with devices that its template has made."""

import json
from pathlib import Path
from typing import Any

import pytest

from simulation import Leaf
from tests.support.cli.simulated import DEV, IDS, REGION, Simulated, simulated

ROLE = "arn:aws:iam::111111111111:role/JITPRole"
ARN = f"arn:aws:iot:{REGION}:{IDS[DEV]}"
PREFIX = "AWS::IoT::Certificate::"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": f"{ARN}:client/${{iot:Connection.Thing.ThingName}}",
        },
        {
            "Effect": "Allow",
            "Action": ["iot:Publish"],
            "Resource": [f"{ARN}:topic/pumps/${{iot:Connection.Thing.ThingName}}/*"],
        },
    ],
}


def template(thing: dict[str, Any] | None = None, policy: dict[str, Any] | None = None, **more: Any) -> str:
    """A template's body, in the shape of the guide's JITP page."""
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": thing
            or {
                "ThingName": {"Ref": f"{PREFIX}CommonName"},
                "ThingTypeName": "pump",
                "ThingGroups": ["hall-1"],
                "AttributePayload": {"version": "v1", "name": {"Ref": f"{PREFIX}CommonName"}},
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": f"{PREFIX}Id"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": policy or {"PolicyName": "pump-policy"}},
    }
    return json.dumps({"Parameters": {f"{PREFIX}CommonName": {"Type": "String"}}, "Resources": resources} | more)


class JitpFleet:
    """The simulated fleet, and its account dev before jitr."""

    def __init__(self, fleet: Simulated, body: str) -> None:
        self.fleet, self.iot, self.ca = fleet, fleet.iot(DEV), fleet.old
        self.put(templateBody=body, roleArn=ROLE)
        self.iot.create_thing_type(thingTypeName="pump")
        self.iot.create_thing_group(thingGroupName="hall-1")
        self.iot.create_policy(policyName="pump-policy", policyDocument=json.dumps(POLICY))

    def put(self, **config: str) -> None:
        """Put a template on the CA."""
        self.registered.template = config

    @property
    def registered(self) -> Any:
        return self.fleet.place(DEV).iot.cas.by_id[self.ca.certificate_id]

    def add(self, name: str, **thing: Any) -> Leaf:
        """A device as the template makes it, unless `thing` says otherwise."""
        leaf, place = self.fleet.issue(name), self.fleet.place(DEV)
        place.iot.certificates.register(
            leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=self.ca.certificate_id
        )
        arn = place.iot.certificates.arn(leaf.certificate_id)
        self.iot.create_thing(
            thingName=name,
            thingTypeName=thing.get("type", "pump"),
            attributePayload={"attributes": thing.get("attributes", {"version": "v1", "name": name})},
        )
        self.iot.add_thing_to_thing_group(thingName=name, thingGroupName="hall-1")
        self.iot.attach_thing_principal(thingName=name, principal=arn)
        self.iot.attach_policy(policyName="pump-policy", target=arn)
        return leaf

    def adopt(self, *words: str, code: int = 0) -> dict[str, Any]:
        """`jitrctl ca adopt … --json` in dev: what it says of that stage."""
        found: dict[str, Any] = self.fleet.ask("ca", "adopt", *words, "--account", DEV, code=code)[DEV]
        return found


def jitp_fleet(directory: Path, monkeypatch: pytest.MonkeyPatch, body: str = "") -> JitpFleet:
    return JitpFleet(simulated(directory, monkeypatch), body or template())
