"""One account, CAs of different rules: what the tests of single promises play on, in virtual time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.owners import Owner
from jitr.record import Record
from jitr.store.dynamodb import deserialize
from jitr.store.registry import Registry
from jitr.store.registry_items import to_owner, to_record
from jitrctl.device.operations import Operator
from simulation import Authority, Aws, Call, Deployment, Died, Leaf, Moment
from simulation.deployment import ca_rules, rules
from simulation.iot.certificates import DeviceCertificate
from simulation.lambda_ import Context, EventSourceMapping

ACCOUNT = "111111111111"
NAME = "sensor-0001"
DAY = 86_400


class Promises:
    """One account whose CAs have the given rules."""

    def __init__(self, cas: Mapping[str, tuple[Authority, dict[str, Any]]]) -> None:
        self.aws = Aws()
        self.clock = self.aws.clock
        self.account = self.aws.account(ACCOUNT)
        self.admin = self.account.client("iot", caller="admin")
        self._cas = cas
        self.account.iot.things.groups |= {"plain", "admins"}
        for authority in {id(one): one for one, _ in cas.values()}.values():
            self.admin.register_ca_certificate(
                caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
            )
        self.deployment = Deployment(self.account, self._rules({}))
        self.mapping = self.deployment.mapping(batch_size=1)

    def _rules(self, changes: Mapping[str, dict[str, Any]]) -> Any:
        return rules(
            *(
                ca_rules(authority, name=name, **({"overlap": 3600} | settings | changes.get(name, {})))
                for name, (authority, settings) in self._cas.items()
            )
        )

    def deploy(self, **changes: dict[str, Any]) -> None:
        self.deployment.rules = self._rules(changes)
        self.mapping = self.deployment.mapping(batch_size=1)

    def environment(self, caller: str) -> EventSourceMapping:
        """Another execution environment of `register`, which goes on under the rules of now."""
        handler = self.deployment.environment(caller=caller)
        return EventSourceMapping(
            self.deployment.registrations, self.account.sqs, lambda: handler, batch_size=1, timeout=60
        )

    def issue(self, ca: str, *, begins: float = -1, ends: float = 365) -> Leaf:
        now = self.clock.now()
        return self._cas[ca][0].issue(
            NAME, not_before=now + timedelta(days=begins), not_after=now + timedelta(days=ends)
        )

    def connect(self, leaf: Leaf) -> Any:
        return self.account.connect(leaf, client_id=NAME)

    def come_up(self, leaf: Leaf) -> str:
        """Connect, let everything happen that follows, and say what the certificate is then."""
        self.connect(leaf)
        self.mapping.drain(within=3600)
        return self.status(leaf)

    def replay(self, leaf: Leaf) -> None:
        """Send its event to the function directly, as `jitrctl replay` does."""
        event = {"certificateId": leaf.certificate_id, "caCertificateId": leaf.ca_certificate_id}
        self.deployment.environment()(event, Context(self.clock, self.clock.monotonic() + 60))

    def die_after(self, operation: str) -> None:
        """Let the next poll die right after its first call of this operation."""

        def die(call: Call, moment: Moment) -> None:
            if call.caller == "register" and call.operation == operation and moment == "after":
                raise Died

        self.aws.fault = die
        self.mapping.poll()
        self.aws.fault = None

    def operator(self, name: str = "ann", *, ahead: timedelta = timedelta(0)) -> Operator:
        """An operator with jitrctl, whose laptop's clock is so far ahead of the functions'."""
        client = self.account.client("iot", caller=name)
        return Operator(
            client=client,
            iot=AwsIot(client, Unpaced(), clock=self.clock.now, rules=self.deployment.rules),
            registry=Registry(self.account.client("dynamodb", caller=name), self.deployment.settings.registry_table),
            rules=self.deployment.rules,
            clock=lambda: self.clock.now() + ahead,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
        )

    def certificate(self, leaf: Leaf) -> DeviceCertificate:
        return self.account.iot.certificates.by_id[leaf.certificate_id]

    def status(self, leaf: Leaf) -> str:
        return str(self.certificate(leaf).status)

    def is_whole(self, leaf: Leaf) -> bool:
        """Whether the certificate has its thing and a policy."""
        arn = self.certificate(leaf).arn
        return NAME in self.account.iot.things.of_principal(arn) and bool(self.account.iot.policies.of_target(arn))

    def set_status(self, leaf: Leaf, status: Literal["INACTIVE", "REVOKED", "ACTIVE"]) -> None:
        """What somebody does in the console."""
        self.admin.update_certificate(certificateId=leaf.certificate_id, newStatus=status)

    def delete(self, leaf: Leaf) -> None:
        """Detach and delete a certificate, as somebody does in the console."""
        arn = self.certificate(leaf).arn
        for thing in list(self.account.iot.things.of_principal(arn)):
            self.admin.detach_thing_principal(thingName=thing, principal=arn)
        for policy in self.account.iot.policies.of_target(arn):
            self.admin.detach_policy(policyName=policy.name, target=arn)
        self.clock.advance(10)
        if self.status(leaf) == "ACTIVE":
            self.set_status(leaf, "INACTIVE")
        self.admin.delete_certificate(certificateId=leaf.certificate_id)

    def record(self, leaf: Leaf) -> Record:
        client = self.account.client("dynamodb", caller="admin")
        key = {"id": {"S": f"certificate#{leaf.certificate_id}"}}
        item = client.get_item(TableName=self.deployment.settings.registry_table, Key=key).get("Item", {})
        return to_record(deserialize(item))

    def owner(self) -> Owner:
        client = self.account.client("dynamodb", caller="admin")
        key = {"id": {"S": f"thing#{NAME}"}}
        return to_owner(
            deserialize(client.get_item(TableName=self.deployment.settings.registry_table, Key=key)["Item"])
        )

    def pass_days(self, days: int, *leaves: Leaf) -> None:
        """Let days pass, with a sweep and a CONNECT of each of these on every one of them."""
        for _ in range(days):
            self.clock.advance(DAY)
            self.deployment.sweep()
            for leaf in leaves:
                self.connect(leaf)
            self.mapping.drain(within=3600)
