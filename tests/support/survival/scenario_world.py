"""One account, one CA and one device, for the scenarios of the failure matrix."""

from datetime import timedelta
from functools import cache, cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from jitr.aws.crl_bucket import object_key
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.decisions import Decision
from jitr.rules import CaRules
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitrctl.device.operations import Operator
from simulation import Authority, Aws, Call, Deployment, Leaf, Moment
from simulation.deployment import ca_rules, rules
from tests.support.survival.invariants import Watch

DAY = 86_400.0


@cache
def authority() -> Authority:
    return Authority.new("Factory CA")


class World:
    """One account with jitr in it, one device, and a watch on every call."""

    def __init__(self, *, unnamed: bool = False, sources: tuple[CaRules, ...] = (), **ca_settings: Any) -> None:
        """`unnamed`: AWS says of no certificate whose it is (Undocumented.hide_sni_only_cas)."""
        self.sources = sources
        self.aws = Aws()
        if unnamed:
            self.aws.undocumented.hide_sni_only_cas()
        self.account = self.aws.account("111111111111")
        self.admin = self.account.client("iot", caller="admin")
        self.admin.register_ca_certificate(
            caCertificate=authority().pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
        )
        self.settings = {"thing_groups": ("group",), "overlap": 3600, **ca_settings}
        self.deployment = Deployment(self.account, self.rules())
        self.mapping = self.deployment.mapping()
        self.leaf = self.issue("sensor-0001")
        self.old = self.leaf  # of a rotation, the certificate before
        self.is_over = False  # an order on sessions was carried out to its end
        self.event: Any = None  # what a duplicate is, where the device's own CONNECT publishes nothing
        self.promises = Watch(self.account, self.deployment, lambda certificate_id: certificate_id[:8])

    @cached_property
    def operator(self) -> Operator:
        client = self.account.client("iot", caller="operator")
        return Operator(
            client=client,
            iot=AwsIot(client, Unpaced(), clock=self.aws.clock.now, rules=self.deployment.rules),
            registry=self.registry("operator"),
            rules=self.deployment.rules,
            clock=self.aws.clock.now,
            monotonic=self.aws.clock.monotonic,
            sleep=self.aws.clock.sleep,
        )

    def rules(self, **changed: Any) -> Any:
        return rules(ca_rules(authority(), **(self.settings | changed)), sources=self.sources)

    def registry(self, caller: str = "admin") -> Registry:
        return Registry(self.account.client("dynamodb", caller=caller), self.deployment.settings.registry_table)

    def enrollment(self) -> EnrollmentTable:
        return EnrollmentTable(
            self.account.client("dynamodb", caller="admin"), self.deployment.settings.enrollment_table
        )

    def issue(self, common_name: str, **validity: timedelta) -> Leaf:
        now = self.aws.clock.now()
        return authority().issue(
            common_name,
            not_before=now + validity.get("begins", timedelta(days=-1)),
            not_after=now + validity.get("ends", timedelta(days=365)),
        )

    def publish_crl(self) -> None:
        """An empty CRL, in force for a month."""
        now = self.aws.clock.now().replace(microsecond=0)
        builder = x509.CertificateRevocationListBuilder().issuer_name(authority().certificate.subject)
        dated = builder.last_update(now).next_update(now + timedelta(days=30))
        crl = dated.sign(authority().key, hashes.SHA256()).public_bytes(Encoding.DER)
        self.account.s3.put(self.deployment.settings.crl_bucket, object_key(authority().certificate_id), crl)

    def connect(self, leaf: Leaf | None = None) -> str:
        return self.account.connect(leaf or self.leaf, client_id="sensor-0001")

    def status(self, leaf: Leaf | None = None) -> str:
        return self.account.iot.certificates.by_id[(leaf or self.leaf).certificate_id].status

    def decision(self, leaf: Leaf | None = None) -> Decision | None:
        certificate_id = (leaf or self.leaf).certificate_id
        return self.registry().recall([certificate_id])[certificate_id].decision

    def is_provisioned(self, leaf: Leaf | None = None) -> bool:
        """Whether thing, group, principal and policy are in place."""
        certificate = self.account.iot.certificates.by_id[(leaf or self.leaf).certificate_id]
        things, policies = self.account.iot.things, self.account.iot.policies
        attached = things.of_principal(certificate.arn)
        in_groups = all(self.admin.list_thing_groups_for_thing(thingName=thing)["thingGroups"] for thing in attached)
        return bool(attached) and bool(policies.of_target(certificate.arn)) and in_groups

    def watch(self, call: Call, moment: Moment) -> None:
        """At every moment: the promises of invariants.py."""
        self.promises(call, moment)
        self.check_promises()

    def check_promises(self) -> None:
        assert not self.promises.broken, self.promises.broken

    def deploy(self, **changed: Any) -> None:
        """Other rules from now on, in new execution environments."""
        self.settings |= changed
        self.deployment.rules = self.rules()
        self.mapping = self.deployment.mapping()

    def go_on(self) -> None:
        """Let everything that is on its way arrive: redeliveries, held devices, the sweep, the device itself."""
        self.mapping.drain(within=DAY)
        for _ in range(3):
            if self._is_settled():
                return
            self.aws.clock.advance(3700)
            self.deployment.sweep()
            self.mapping.drain(within=DAY)
            self.connect()
            self.mapping.drain(within=DAY)

    def _is_settled(self) -> bool:
        """Whether neither the device, nor the index, nor the queue has anything left to be done."""
        known = self.leaf.certificate_id in self.account.iot.certificates.by_id
        due = any("due" in item for item in self.deployment.registry.items.values())
        return known and self.status() != "PENDING_ACTIVATION" and not due and not self.deployment.registrations.size
