"""A fleet of devices that are ACTIVE, with their records, and the CRLs of its CA, for bench/revoke.py."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bench.conditions import SECONDS_OF_OTHERS, SPREAD
from jitr.crl_progress import ApprovedCrl
from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.rules import CheckMode
from jitr.store.crl_state import CrlStates
from jitr.store.dynamodb import serialize
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, listing
from jitr.store.registry_items import SCHEMA, certificate_key, from_decision
from jitr.store.serial_index import ISSUED_AS, issued_as_of
from jitr.store.sweep_state import ACCOUNT, Pass, SweepState, count_key
from simulation import Authority, Aws, Call, Deployment
from simulation.deployment import ca_rules, rules
from simulation.leaf import Leaf

IOT_SECONDS = 0.1  # the median of a call
_STRANGERS = 2**120  # serial numbers from here on are of no device


class RevokeWorld:
    """One account with a fleet, of which some devices have real certificates, so that a CRL can list them."""

    def __init__(self, fleet: int, real: int) -> None:
        """`real`: devices with a certificate of their own, at random places of the fleet."""
        self.fleet = fleet
        self.aws = Aws(keep_calls=False)
        self.clock = self.aws.clock
        self.account = self.aws.account("111111111111")
        self.authority = Authority.new("factory")
        modes: dict[str, Any] = {"revocation_of_active": CheckMode.ENFORCE, "checks": {"revocation": CheckMode.ENFORCE}}
        self.deployment = Deployment(self.account, rules(ca_rules(self.authority, **modes)))
        self.deployment.journal.keep = False
        self.account.client("iot").register_ca_certificate(
            caCertificate=self.authority.pem,
            certificateMode="SNI_ONLY",
            setAsActive=True,
            allowAutoRegistration=True,
        )
        self.listed = self._fill(real)
        self._note_pass()
        self._number = 0
        self.publish([])
        self.mapping = self.deployment.revoke_mapping()
        self.mapping.drain(within=3600)

    def limit(self) -> None:
        """From now on calls take time, and AWS's default quotas apply."""
        self.account.limit()
        rng = random.Random(1)  # noqa: S311 -- the same latencies every time

        def latency(call: Call) -> float:
            return rng.lognormvariate(0, SPREAD) * SECONDS_OF_OTHERS.get(call.service, IOT_SECONDS)

        self.aws.latency = latency
        self.account.counts.clear()
        self.account.throttled.clear()

    def publish(self, leaves: Sequence[Leaf], *, entries: int = 0) -> None:
        """Publish the next CRL: these devices, and others up to so many entries that are of no device."""
        self._number += 1
        now = self.clock.now().replace(microsecond=0)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.authority.certificate.subject)
        builder = builder.last_update(now).next_update(now + timedelta(days=30))
        builder = builder.add_extension(x509.CRLNumber(self._number), critical=False)
        serials = [serial_of(leaf) for leaf in leaves]
        serials += [_STRANGERS + number for number in range(entries - len(leaves))]
        rows = [x509.RevokedCertificateBuilder().serial_number(one).revocation_date(now).build() for one in serials]
        builder._revoked_certificates = rows  # noqa: SLF001 -- its own method copies the list for each entry
        signed = builder.sign(self.authority.key, hashes.SHA256()).public_bytes(Encoding.DER)
        self.deployment.publish_crl(self.authority.certificate_id, signed)

    def approve(self) -> None:
        """Say yes to the CRL that waits, if one does, and have it applied."""
        table, ca = self.deployment.settings.registry_table, self.authority.certificate_id
        states = CrlStates(self.account.client("dynamodb"), table)
        waits = states.read([ca])[ca].waits
        if waits:
            states.approve(ca, ApprovedCrl(version=waits.version, by="bench", at=self.clock.now(), of="waits"))
            (stored,) = self.account.s3.buckets[self.deployment.settings.crl_bucket].values()
            self.deployment.publish_crl(ca, stored.body)

    def status(self, leaf: Leaf) -> str:
        return self.account.iot.certificates.by_id[leaf.certificate_id].status

    def _note_pass(self) -> None:
        """Write that a daily pass was done: all records are in the indexes."""
        journal = SweepState(self.account.client("dynamodb"), self.deployment.settings.registry_table)
        counts = {count_key(self.authority.certificate_id, "ACTIVE"): self.fleet}
        now = self.clock.now()
        journal.keep_pass(ACCOUNT, Pass(began_at=now, finished_at=now, counts=counts, lists=True, has_serials=True))

    def _fill(self, real: int) -> list[Leaf]:
        now = self.clock.now()
        chosen = set(random.Random(2).sample(range(self.fleet), real))  # noqa: S311 -- the same ones every time
        leaves = []
        for number in range(self.fleet):
            if number in chosen:
                leaf = self.authority.issue(f"sensor-{number:07}")
                serial = serial_of(leaf)
                leaves.append(leaf)
            else:
                serial = number + 1
                leaf = Leaf(
                    certificate_id=f"{number:064x}",
                    pem="",
                    ca_certificate_id=self.authority.certificate_id,
                    not_before=now,
                    not_after=now + timedelta(days=3650),
                )
            self.account.iot.certificates.register(
                leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=self.authority.certificate_id
            )
            self._record(leaf, serial, f"sensor-{number:07}")
        return leaves

    def _record(self, leaf: Leaf, serial: int, thing_name: str) -> None:
        now = self.clock.now()
        decision = Decision(
            certificate_id=leaf.certificate_id,
            outcome=Outcome.ACTIVATED,
            status=Status.ACTIVE,
            registered_at=now,
            decided_at=now,
            rules_digest=self.deployment.rules.digest,
            ca_certificate_id=self.authority.certificate_id,
            ca="factory",
            thing_name=thing_name,
            serial=f"{serial:x}",
            verdict_seen=0,
        )
        listed_as = listing(decision)
        assert listed_as  # noqa: S101 -- it is activated
        item = serialize(
            {
                "id": certificate_key(leaf.certificate_id),
                "decision": from_decision(decision),
                "schema": SCHEMA,
                LISTED_AS: listed_as[0],
                LISTED_AT: listed_as[1],
                ISSUED_AS: issued_as_of(decision),
            }
        )
        self.deployment.registry.put(self.deployment.registry.key(item), item)


def serial_of(leaf: Leaf) -> int:
    return x509.load_pem_x509_certificate(leaf.pem.encode()).serial_number
