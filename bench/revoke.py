"""Measures how long a CRL takes to take devices out of a fleet, in virtual time, against what AWS's quotas allow.

    python -m bench.revoke --fleet 100000 --listed 10000
    python -m bench.revoke --fleet 100000 --listed 100 --entries 1000000

The real function `revoke` on the simulated AWS, with the default quotas, 100 ms for each call of AWS IoT and the usual
times of others. The CRL has been approved, so that the brake lets it pass. The bound is one UpdateCertificate for each
listed device at ten a second.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bench.conditions import SECONDS_OF_OTHERS
from bench.table import markdown
from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.rules import CheckMode
from jitr.store.crl_state import ApprovedCrl, CrlStates
from jitr.store.dynamodb import serialize
from jitr.store.outcome_index import LISTED_AS, LISTED_AT, listing
from jitr.store.registry_items import SCHEMA, certificate_key, from_decision
from jitr.store.serial_index import ISSUED_AS, issued_as_of
from jitr.store.sweep_state import ACCOUNT, Pass, SweepState, count_key
from simulation import Authority, Aws, Deployment, SimulatedAccount
from simulation.deployment import ca_rules, rules
from simulation.leaf import Leaf
from simulation.quotas import IOT_CALLS_PER_SECOND

_IOT_SECONDS = 0.1
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One CRL, and what it took."""

    fleet: int
    entries: int
    listed: int
    revoked: int
    others_touched: int
    seconds: float  # virtual, from the CRL's arrival to the last REVOKED
    bound: float  # seconds
    runs: int  # of the function
    throttled: int
    processor_seconds: float


def main() -> int:
    """Measure, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.revoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fleet", type=int, default=100_000)
    parser.add_argument("--listed", type=int, default=10_000, help="devices of the fleet that the CRL lists")
    parser.add_argument("--entries", type=int, default=0, help="of the CRL; those beyond the listed are of no device")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    taken = measure(options.fleet, options.listed, max(options.entries, options.listed))
    sys.stdout.write(json.dumps(asdict(taken), indent=2) + "\n" if options.json else table(taken))
    return 0


def measure(fleet: int, listed: int, entries: int) -> Taken:
    """Let a CRL with so many entries list so many devices of the fleet."""
    aws = Aws(keep_calls=False)
    account = aws.account("111111111111")
    authority = Authority.new("factory")
    modes: dict[str, Any] = {"revocation_of_active": CheckMode.ENFORCE, "checks": {"revocation": CheckMode.ENFORCE}}
    deployment = Deployment(account, rules(ca_rules(authority, **modes)))
    account.client("iot").register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    leaves = _fill(account, deployment, authority, fleet, listed)
    journal = SweepState(account.client("dynamodb"), deployment.settings.registry_table)
    counts = {count_key(authority.certificate_id, "ACTIVE"): fleet}
    now = aws.clock.now()
    journal.keep_pass(ACCOUNT, Pass(began_at=now, finished_at=now, counts=counts, lists=True, has_serials=True))
    deployment.publish_crl(authority.certificate_id, _crl(aws, authority, leaves, entries))
    states = CrlStates(account.client("dynamodb"), deployment.settings.registry_table)
    mapping = deployment.revoke_mapping()
    mapping.drain(within=1.0)
    waits = states.read([authority.certificate_id])[authority.certificate_id].waits
    if waits:
        states.approve(authority.certificate_id, ApprovedCrl(version=waits.version, by="bench", at=now))
        deployment.publish_crl(authority.certificate_id, _published(account, deployment))
    account.limit()
    rng = random.Random(1)  # noqa: S311 -- the same latencies every time
    aws.latency = lambda call: rng.lognormvariate(0, 0.4) * SECONDS_OF_OTHERS.get(call.service, _IOT_SECONDS)
    account.counts.clear()
    account.throttled.clear()
    began, virtually = time.process_time(), aws.clock.monotonic()
    certificates = account.iot.certificates.by_id
    ids = [leaf.certificate_id for leaf in leaves]
    runs = 0
    while any(certificates[one].status == "ACTIVE" for one in ids):
        if mapping.poll() is None:
            aws.clock.advance(1.0)
        else:
            runs += 1
    seconds = aws.clock.monotonic() - virtually
    mapping.drain(within=_DAY)
    statuses = Counter(one.status for one in certificates.values())
    return Taken(
        fleet=fleet,
        entries=entries,
        listed=listed,
        revoked=sum(certificates[one].status == "REVOKED" for one in ids),
        others_touched=fleet - listed - statuses["ACTIVE"],
        seconds=seconds,
        bound=listed / IOT_CALLS_PER_SECOND["UpdateCertificate"],
        runs=runs,
        throttled=sum(account.throttled.values()),
        processor_seconds=time.process_time() - began,
    )


def table(taken: Taken) -> str:
    return markdown(
        ("devices", "entries", "listed", "revoked", "others", "seconds", "bound", "seconds/bound", "runs", "throttled"),
        [
            [
                taken.fleet,
                taken.entries,
                taken.listed,
                taken.revoked,
                taken.others_touched,
                round(taken.seconds, 1),
                round(taken.bound, 1),
                round(taken.seconds / taken.bound, 3),
                taken.runs,
                taken.throttled,
            ]
        ],
    )


def _fill(
    account: SimulatedAccount, deployment: Deployment, authority: Authority, fleet: int, listed: int
) -> list[Leaf]:
    """Register the fleet with its records; those that will be listed, at random places, have real certificates."""
    now = account.aws.clock.now()
    chosen = set(random.Random(2).sample(range(fleet), listed))  # noqa: S311 -- the same ones every time
    leaves = []
    for number in range(fleet):
        name = f"sensor-{number:07}"
        if number in chosen:
            leaf = authority.issue(name)
            serial = f"{x509.load_pem_x509_certificate(leaf.pem.encode()).serial_number:x}"
            leaves.append(leaf)
        else:
            leaf = Leaf(
                certificate_id=f"{number:064x}",
                pem="",
                ca_certificate_id=authority.certificate_id,
                not_before=now,
                not_after=now + timedelta(days=3650),
            )
            serial = f"{number + 1:x}"
        account.iot.certificates.register(
            leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=authority.certificate_id
        )
        decision = Decision(
            certificate_id=leaf.certificate_id,
            outcome=Outcome.ACTIVATED,
            status=Status.ACTIVE,
            registered_at=now,
            decided_at=now,
            rules_digest=deployment.rules.digest,
            ca_certificate_id=authority.certificate_id,
            ca="factory",
            serial=serial,
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
        deployment.registry.put(deployment.registry.key(item), item)
    return leaves


def _crl(aws: Aws, authority: Authority, leaves: list[Leaf], entries: int) -> bytes:
    now = aws.clock.now().replace(microsecond=0)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(now).next_update(now + timedelta(days=30))
    serials = [x509.load_pem_x509_certificate(leaf.pem.encode()).serial_number for leaf in leaves]
    serials += [2**120 + number for number in range(entries - len(leaves))]
    listed = [x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build() for serial in serials]
    builder._revoked_certificates = listed  # noqa: SLF001 -- its own method copies the list for each entry
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _published(account: SimulatedAccount, deployment: Deployment) -> bytes:
    (stored,) = account.s3.buckets[deployment.settings.crl_bucket].values()
    return stored.body


if __name__ == "__main__":
    sys.exit(main())
