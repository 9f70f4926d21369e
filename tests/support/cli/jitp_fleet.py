"""A CA under JITP in the simulated account dev, with devices that its template has made."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jitrctl.jitp import take_over
from simulation import Leaf
from tests.support.cli.simulated import DEV, IDS, REGION, Simulated, simulated

RULE = "jitr_acme__factory"
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
    """The simulated fleet; in dev its CA `factory` has a template, which AWS IoT carries out (JITP)."""

    def __init__(self, fleet: Simulated, body: str) -> None:
        self.fleet, self.iot, self.ca = fleet, fleet.iot(DEV), fleet.old
        self.iot.create_thing_type(thingTypeName="pump")
        self.iot.create_thing_group(thingGroupName="hall-1")
        self.iot.create_policy(policyName="pump-policy", policyDocument=json.dumps(POLICY))
        self.put(templateBody=body, roleArn=ROLE)

    def put(self, **config: str) -> None:
        """Put a template on the CA."""
        self.iot.update_ca_certificate(certificateId=self.ca.certificate_id, registrationConfig=config)

    def hold(self, rules: str) -> None:
        """Deploy the fleet file with `jitp = true` in dev, and these rules: the topic rule stands disabled."""
        self.fleet.write(rules, successor_in=())
        self.write_key(on=True)
        self.iot.disable_topic_rule(ruleName=RULE)

    def write_key(self, *, on: bool) -> None:
        """Write the key into the fleet file, or take it out, and deploy; the topic rule stays as it is."""
        file = self.fleet.file
        with_key, without = '{ mode = "SNI_ONLY", jitp = true }', '{ mode = "SNI_ONLY" }'
        account = f'[account.{DEV}]\nid = "{IDS[DEV]}"\nregions = ["{REGION}"]\nca.factory = '
        text = file.read_text()
        file.write_text(text.replace(account + (without if on else with_key), account + (with_key if on else without)))
        self.fleet.deploy()

    @property
    def registered(self) -> Any:
        return self.fleet.place(DEV).iot.cas.by_id[self.ca.certificate_id]

    @property
    def rule_is_on(self) -> bool:
        return next(not one["ruleDisabled"] for one in self.iot.list_topic_rules()["rules"] if one["ruleName"] == RULE)

    def state(self) -> tuple[Any, str, bool]:
        """The template on the CA, auto-registration, and whether jitr's rule is on."""
        return self.registered.template, self.registered.auto_registration, self.rule_is_on

    def connect(self, name: str, leaf: Leaf | None = None) -> Leaf:
        """A device connects, and JITP or jitr has time to make it."""
        leaf = leaf or self.fleet.issue(name)
        self.fleet.aws.clock.advance(2)  # what was registered by the second of a take-over may still be JITP's
        self.fleet.place(DEV).connect(leaf, client_id=name)
        self.fleet.aws.clock.advance(10)
        self.fleet.deployments[DEV].mapping().drain()
        return leaf

    def accepts(self, name: str, leaf: Leaf) -> bool:
        return self.fleet.place(DEV).connect(leaf, client_id=name) == "accepted"

    def adopt(self, *words: str, code: int = 0) -> dict[str, Any]:
        """`jitrctl ca adopt … --json` in dev: what it says of that stage."""
        found: dict[str, Any] = self.fleet.ask("ca", "adopt", *words, "--account", DEV, code=code)[DEV]
        return found


def jitp_fleet(directory: Path, monkeypatch: pytest.MonkeyPatch, body: str = "") -> JitpFleet:
    fleet = simulated(directory, monkeypatch)
    for module in ("take_over", "take_over_plan", "sample", "adoption"):
        monkeypatch.setattr(f"jitrctl.jitp.{module}.now", fleet.aws.clock.now)
    monkeypatch.setattr(
        "jitrctl.jitp.take_over_plan.read_deployed_rules", lambda stage: fleet.deployments[stage.account.name].rules
    )
    for order in ("take_over", "undo"):
        with_clock = partial(getattr(take_over, order), sleep=fleet.aws.clock.advance)
        monkeypatch.setattr(f"jitrctl.commands.ca.take_over.{order}", with_clock)
    return JitpFleet(fleet, body or template())
