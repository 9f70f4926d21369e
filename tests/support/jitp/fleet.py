"""A simulated account whose CA has a provisioning template, jitr beside it with the key `jitp`, and a take-over.

The steps of the take-over are those of `jitrctl ca adopt --take-over`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from jitr.decisions import Decision
from jitr.record import Record
from jitr.store.registry import Registry
from jitr_fleet.resources import ResourceNames
from simulation import Authority, Aws, Deployment, Leaf, SimulatedAccount
from simulation.deployment import ca_rules, rules
from tests.support.jitp.corpus import body, ref

DAY = 86_400.0
ALLOWS = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'
# Makes what jitr's rules make, under another policy. A device without a country is left pending.
TEMPLATE = body(
    thing={"ThingName": ref("CommonName"), "ThingTypeName": "sensor"},
    policies=[{"PolicyName": "old"}],
    declares=("CommonName", "Country", "Id"),
)
RULE = ResourceNames("acme").rule("factory")


def put_template(account: SimulatedAccount, ca_certificate_id: str) -> None:
    """Put the template on a registered CA, and make the policy that it names."""
    if "old" not in account.iot.policies.by_name:
        account.iot.policies.create_policy({"policyName": "old", "policyDocument": ALLOWS})
    ca = account.iot.cas.by_id[ca_certificate_id]
    ca.template, ca.auto_registration = {"templateBody": TEMPLATE, "roleArn": "arn:aws:iam::1:role/jitp"}, "ENABLE"


class NotTakenOff(Exception):
    """AWS IoT has the template on the CA still; the CA is as it was."""


def take_template_off(iot: Any, ca_certificate_id: str, rule: str) -> None:
    """Take a CA's template off, with auto-registration on, and enable its topic rule.

    Raises NotTakenOff, botocore's errors.
    """
    assert any(one["ruleName"] == rule for one in iot.list_topic_rules()["rules"])
    iot.update_ca_certificate(certificateId=ca_certificate_id, removeAutoRegistration=True)
    found = iot.describe_ca_certificate(certificateId=ca_certificate_id)
    if found["certificateDescription"]["autoRegistrationStatus"] != "ENABLE":
        iot.update_ca_certificate(certificateId=ca_certificate_id, newAutoRegistrationStatus="ENABLE")
    if found.get("registrationConfig"):
        raise NotTakenOff(ca_certificate_id)
    iot.enable_topic_rule(ruleName=rule)


@dataclass(slots=True)
class JitpFleet:
    """One account, one CA with a template, and jitr, which knows of it."""

    authority: Authority
    aws: Aws
    account: SimulatedAccount
    deployment: Deployment

    @classmethod
    def make(cls, authority: Authority, *, jitp: bool = True, **ca: Any) -> "JitpFleet":
        aws = Aws()
        account = aws.account("111111111111")
        account.iot.cas.register_ca_certificate(
            {
                "caCertificate": authority.pem,
                "certificateMode": "SNI_ONLY",
                "setAsActive": True,
                "allowAutoRegistration": True,
            }
        )
        put_template(account, authority.certificate_id)
        return cls(authority, aws, account, Deployment(account, rules(ca_rules(authority, jitp=jitp, **ca))))

    @property
    def iot(self) -> Any:
        return self.account.client("iot", caller="operator")

    def connect(self, leaf: Leaf, name: str = "sensor-1") -> str:
        return self.account.connect(leaf, client_id=name)

    def deliver(self) -> None:
        self.deployment.mapping().drain(within=DAY)

    def take_over(self) -> None:
        take_template_off(self.iot, self.authority.certificate_id, RULE)

    def remove_key(self, **ca: Any) -> None:
        self.deployment.rules = rules(ca_rules(self.authority, **ca))

    def status(self, leaf: Leaf) -> str:
        return self.account.iot.certificates.by_id[leaf.certificate_id].status

    @property
    def registry(self) -> Registry:
        return Registry(self.account.client("dynamodb", caller="admin"), self.deployment.settings.registry_table)

    def record(self, leaf: Leaf) -> Record:
        return self.registry.recall([leaf.certificate_id])[leaf.certificate_id]

    def decision(self, leaf: Leaf) -> Decision | None:
        return self.record(leaf).decision

    def calls_of(self, *callers: str) -> Counter[str]:
        return Counter(call.operation for call in self.aws.calls if call.caller in callers and call.service == "iot")
