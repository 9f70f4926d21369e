"""A fleet with a past: certificates of five origins in the simulated account dev, and things of others."""

import json
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jitrctl.commands.fleet import adopt, survey
from jitrctl.survey.calls import PatientCalls
from jitrctl.survey.file import SurveyFile
from simulation import Authority, Leaf
from tests.support.cli.simulated import DEV, Simulated, simulated

_wait_for_aws = adopt.wait_for_aws  # the real one, whatever a test puts in its place
OLD_POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'
TEMPLATE = {"Resources": {"policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "provisioned"}}}}


class OldFleet:
    """The simulated fleet, with what was there before jitr."""

    def __init__(self, fleet: Simulated) -> None:
        self.fleet, self.iot = fleet, fleet.iot(DEV)
        self.jitp = fleet.old  # the fleet file's own CA, with a template on it
        self.aws = Authority.new("Amazon Web Services O=Amazon.com Inc. L=Seattle")
        for name in ("old", "provisioned"):
            self.iot.create_policy(policyName=name, policyDocument=OLD_POLICY)
        fleet.place(DEV).iot.cas.by_id[self.jitp.certificate_id].template = {"templateName": "jitp"}
        self.iot.create_provisioning_template(
            templateName="claims",
            templateBody=json.dumps(TEMPLATE),
            provisioningRoleArn="arn:aws:iam::1:role/x",
            enabled=True,
        )

    def add(
        self, name: str, *, ca: Authority | None = None, policy: str = "old", thing: str | None = None, **issue: Any
    ) -> Leaf:
        """An ACTIVE certificate on a thing: under the CA with a template, issued by AWS, or without a CA."""
        place, authority = self.fleet.place(DEV), ca or self.jitp
        leaf = self.fleet.issue(name, ca=authority, **issue)
        if authority is self.jitp:
            place.iot.certificates.register(
                leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=authority.certificate_id
            )
        elif authority is self.aws:
            place.iot.certificates.register(leaf, status="ACTIVE", mode="DEFAULT")
        else:
            self.iot.register_certificate_without_ca(certificatePem=leaf.pem, status="ACTIVE")
        arn = self.arn(leaf)
        self.iot.create_thing(thingName=thing or name)
        self.iot.attach_thing_principal(thingName=thing or name, principal=arn)
        self.iot.attach_policy(policyName=policy, target=arn)
        return leaf

    def arn(self, leaf: Leaf) -> str:
        return self.fleet.place(DEV).iot.certificates.arn(leaf.certificate_id)

    def facts(self) -> dict[str, Any]:
        """Everything about status, attachments and policies; what an adoption may not change."""
        iot = self.fleet.place(DEV).iot
        return {
            one.certificate_id: (
                one.status,
                sorted(iot.things.of_principal(one.arn)),
                sorted(policy.name for policy in iot.policies.of_target(one.arn)),
            )
            for one in iot.certificates.by_id.values()
        }

    def owner(self, thing: str, account: str = DEV) -> str | None:
        """The certificate that owns a thing's name in jitr's registry."""
        found = self.fleet.stage(account).registry.owner(thing)
        return found.certificate_id if found else None

    def policies(self, leaf: Leaf) -> list[str]:
        found: list[str] = self.facts()[leaf.certificate_id][2]
        return found

    def survey(self, file: Path, *words: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.fleet.ask("fleet", "survey", str(file), "--account", DEV, *words, code=code)[DEV]
        return found

    def plan(self, directory: Path, name: str = "dev") -> Path:
        """Survey and plan; the plan's file."""
        self.survey(directory / f"{name}.survey")
        plan = directory / f"{name}.plan"
        self.fleet.say(
            "fleet", "adopt", "plan", str(plan), "--survey", str(directory / f"{name}.survey"), "--account", DEV
        )
        return plan

    def apply(self, plan: Path, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.fleet.ask(
            "fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes", code=code
        )[DEV]
        return found


def edit(plan: Path, before: str, after: str) -> None:
    """Replace a text in a plan, as an engineer does."""
    text = plan.read_text(encoding="utf-8")
    assert before in text
    plan.write_text(text.replace(before, after), encoding="utf-8")


def old_fleet(directory: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    fleet = simulated(directory, monkeypatch)
    opened = SurveyFile._open

    def open_without_waiting(file: SurveyFile) -> sqlite3.Connection:
        """What a process writes outlives it; to wait for the disk is for what may outlive the machine."""
        database = opened(file)
        database.execute("PRAGMA synchronous = OFF")
        return database

    monkeypatch.setattr(SurveyFile, "_open", open_without_waiting)
    clock, at_once = fleet.aws.clock, threading.Lock()

    def sleep(seconds: float) -> None:
        with at_once:
            clock.advance(seconds)

    for command in (survey, adopt):
        monkeypatch.setattr(command, "PatientCalls", partial(PatientCalls, monotonic=clock.monotonic, sleep=sleep))

    def wait(interrupted: threading.Event, seconds: float) -> None:
        sleep(seconds)
        _wait_for_aws(interrupted, 0.0 if not interrupted.is_set() else seconds)

    monkeypatch.setattr(adopt, "wait_for_aws", wait)
    for module in ("planning", "refusals"):
        monkeypatch.setattr(f"jitrctl.adoption.{module}.now", clock.now)
    return OldFleet(fleet)


def add_five(old: OldFleet) -> None:
    """One certificate of each origin."""
    fleet = old.fleet
    fleet.iot(DEV).register_ca_certificate(
        caCertificate=fleet.new.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    fleet.knock(DEV, fleet.issue("sensor-0001", ca=fleet.new), "sensor-0001")
    old.add("sensor-0002")
    old.add("maker-0003", ca=Authority.new("Maker"))
    old.add("thing-0004", ca=old.aws)
    old.add("thing-0005", ca=old.aws, policy="provisioned")


def found_in(document: dict[str, Any]) -> dict[str, Any]:
    """What a survey found, without the calls of the run that finished it."""
    return {key: value for key, value in document.items() if key != "calls"}
