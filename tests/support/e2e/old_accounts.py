"""Two accounts on the local AWS with a past: devices of five origins that are connected, before jitr is deployed.

ministack keeps the template of a CA and runs none (docs/divergences.md), so what JITP makes is made here by the same
calls. Fleet provisioning is its own: the device asks for its certificate over MQTT, with a claim certificate.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from tests.support.e2e.stage_devices import certificate_arn, connect
from tests.support.local.deployed import Deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jitrctl.mqtt.client import Connection

# A thing for each origin; those of the factory's names can be the factory's later, whoever made them.
JITP, JITR, WITHOUT_CA, OF_AWS, PROVISIONED = (
    "sensor-0001",
    "gateway-0002",
    "sensor-0003",
    "sensor-0004",
    "sensor-0005",
)
EMPTY = "sensor-0006"  # a thing without a principal
_FILES = {JITP: "factory", JITR: "partner", WITHOUT_CA: "maker"}
_LISTED = 'enrollment   = "listed"'  # of the partner's devices; here, all may come
_OLD_DAYS = 20  # less than the rotation window: a successor may come at any time
_HAND_MADE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
_TEMPLATE: dict[str, Any] = {
    "Parameters": {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
    "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "SerialNumber"}}},
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "provisioned"}},
    },
}
_OF_JITP = {
    "Parameters": {
        "AWS::IoT::Certificate::CommonName": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}},
        },
        "certificate": _TEMPLATE["Resources"]["certificate"],
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "by-jitp"}},
    },
}


class OldAccounts:
    """The accounts, the devices and their sessions; nothing of jitr's is deployed until `deploy`.

    Account dev has all devices; prod has the first one alone, with the same certificate.
    """

    def __init__(self, dev: Deployed, prod: Deployed) -> None:
        self.fleet, self.prod, self.stage = dev, prod, dev.local
        self.iot: Any = dev.local.iot
        self.directory = dev.workspace.directory
        self.devices: dict[str, DeviceFiles] = {}
        self.sessions: dict[str, Connection] = {}

    def settle(self) -> None:
        """Register the CAs, one of them with a template, make the things and certificates, and connect them."""
        for name, ca in self.fleet.cas.items():
            self.stage.register_ca(name, ca)
            self.prod.local.register_ca(name, ca)
        self.iot.update_ca_certificate(
            certificateId=self.fleet.cas["factory"].certificate_id,
            registrationConfig={"templateBody": json.dumps(_OF_JITP), "roleArn": self._make_role()},
        )
        prod = self.prod.local.iot
        for iot, name in (*((self.iot, one) for one in ("by-jitp", "hand-made", "provisioned")), (prod, "hand-made")):
            iot.create_policy(policyName=name, policyDocument=json.dumps(_HAND_MADE))
        self._handle_partner_by_another()
        for name, issuer in _FILES.items():
            self._register(name, issuer)
        self._create_by_aws(OF_AWS)
        for name in (JITP, JITR, WITHOUT_CA, OF_AWS):
            self._provision(self.stage, name, "by-jitp" if name == JITP else "hand-made")
        self._register_in(self.prod.local, JITP, "factory")
        self._provision(self.prod.local, JITP, "hand-made")
        self._provision_by_claim(PROVISIONED)
        self.iot.create_thing(thingName=EMPTY)
        for name, files in self.devices.items():
            self.sessions[name] = connect(self.stage, files, name)

    def deploy(self) -> None:
        """Deploy jitr's stack in both accounts."""
        for one in (self.fleet, self.prod):
            one.deploy()

    def certificate_id(self, name: str) -> str:
        return self.devices[name].certificate_id

    def talks(self, name: str) -> bool:
        """Whether the session that the device began before jitr is open, and its message is acknowledged."""
        session = self.sessions[name]
        return session.is_open and session.publish(f"devices/{name}/state", "{}")

    def policies(self, name: str) -> list[str]:
        target = certificate_arn(self.stage, self.certificate_id(name))
        return [one["policyName"] for one in self.iot.list_attached_policies(target=target)["policies"]]

    def take_template_off(self) -> None:
        """Take the template off the CA, which then registers automatically; ministack has no other way."""
        ca = self.fleet.cas["factory"].certificate_id
        self.iot.update_ca_certificate(certificateId=ca, registrationConfig={})
        self.iot.update_ca_certificate(certificateId=ca, newAutoRegistrationStatus="ENABLE")

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()

    def _register(self, name: str, ca: str) -> None:
        """As it is registered after JITP or another handler; under a CA that is not registered: without it."""
        if ca in self.fleet.cas:
            self.devices[name] = self.fleet.cas[ca].issue(self.directory / "old", name, days=_OLD_DAYS)
            self._register_in(self.stage, name, ca)
        else:
            files = IssuingCa.create(self.directory / "ca", ca).issue(self.directory / "old", name, days=_OLD_DAYS)
            self.iot.register_certificate_without_ca(
                certificatePem=files.certificate.read_text(encoding="utf-8"), status="ACTIVE"
            )
            self.devices[name] = files

    def _register_in(self, stage: LocalStage, name: str, ca: str) -> None:
        stage.iot.register_certificate(
            certificatePem=self.devices[name].certificate.read_text(encoding="utf-8"),
            caCertificatePem=self.fleet.cas[ca].pem,
            status="ACTIVE",
        )

    def _create_by_aws(self, name: str) -> None:
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.devices[name] = self._write(name, made["certificatePem"], made["keyPair"]["PrivateKey"])

    def _provision(self, stage: LocalStage, name: str, policy: str) -> None:
        arn = certificate_arn(stage, self.certificate_id(name))
        stage.iot.create_thing(thingName=name)
        stage.iot.attach_thing_principal(thingName=name, principal=arn)
        stage.iot.attach_policy(policyName=policy, target=arn)

    def _provision_by_claim(self, name: str) -> None:
        """Fleet provisioning: with the claim certificate, ask for a certificate, and for what the template makes."""
        self.iot.create_provisioning_template(
            templateName="claims",
            templateBody=json.dumps(_TEMPLATE),
            provisioningRoleArn=self._role,
            enabled=True,
        )
        claim = self.iot.create_provisioning_claim(templateName="claims")
        files = self._write("claim", claim["certificatePem"], claim["keyPair"]["PrivateKey"])
        with connect(self.stage, files, "claim") as session:
            made = _ask(session, "$aws/certificates/create/json", {})
            self.devices[name] = self._write(name, made["certificatePem"], made["privateKey"])
            token = made["certificateOwnershipToken"]
            _ask(
                session,
                "$aws/provisioning-templates/claims/provision/json",
                {"certificateOwnershipToken": token, "parameters": {"SerialNumber": name}},
            )

    def _make_role(self) -> str:
        """The role that AWS IoT provisions in."""
        iam = self.fleet.client("iam")
        trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
        made = iam.create_role(
            RoleName="provisioning",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
        iam.put_role_policy(RoleName="provisioning", PolicyName="all", PolicyDocument=json.dumps(_HAND_MADE))
        self._role = str(made["Role"]["Arn"])
        return self._role

    def _handle_partner_by_another(self) -> None:
        """The rule of another handler, on the events of the second CA."""
        topic = f"$aws/events/certificates/registered/{self.fleet.cas['partner'].certificate_id}"
        function = f"arn:aws:lambda:{self.stage.account.region}:{self.stage.account.id}:function:register-gateways"
        self.iot.create_topic_rule(
            ruleName="register_gateways",
            topicRulePayload={"sql": f"SELECT * FROM '{topic}'", "actions": [{"lambda": {"functionArn": function}}]},  # noqa: S608
        )

    def _write(self, name: str, certificate: str, key: str) -> DeviceFiles:
        folder = self.directory / "old"
        folder.mkdir(exist_ok=True)
        files = DeviceFiles(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
        files.certificate.write_text(certificate, encoding="utf-8")
        files.key.write_text(key, encoding="utf-8")
        return files


def _ask(session: Connection, topic: str, request: dict[str, Any]) -> dict[str, Any]:
    """Make a request of fleet provisioning's MQTT API; its answer."""
    for answer in ("accepted", "rejected"):
        assert session.subscribe(f"{topic}/{answer}")
    assert session.publish(topic, json.dumps(request))
    message = session.receive()
    assert message is not None
    assert message.topic == f"{topic}/accepted", message.payload
    answered: dict[str, Any] = json.loads(message.payload)
    return answered


@contextmanager
def old_accounts(directory: Path) -> Iterator[OldAccounts]:
    """Start both accounts, with the devices connected; the fleet file is there, and nothing is deployed."""
    workspace = Workspace(directory=directory)
    places = workspace.find_places()
    started = accounts.up(workspace.directory, [place.spec() for place in places])
    try:
        _, cas = workspace.prepare(started)
        text = workspace.fleet_file.read_text(encoding="utf-8")
        assert _LISTED in text
        workspace.fleet_file.write_text(text.replace(_LISTED, "", 1), encoding="utf-8")
        fleet = workspace.load_fleet()
        stages = [LocalStage(account, place, fleet) for account, place in zip(started, places, strict=True)]
        old = OldAccounts(*(Deployed(workspace, stage, cas) for stage in stages))
        try:
            old.settle()
            yield old
        finally:
            old.close()
    finally:
        accounts.down(workspace.directory)
