"""An account in which AWS says of no certificate whose it is: none is lost, and none evaluated under a wrong CA."""

from dataclasses import replace

import pytest

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.rules import Rules
from jitr.store.registry import Registry
from simulation import Authority, Aws, Deployment, Leaf, SimulatedAccount
from simulation.deployment import ca_rules, rules

FACTORY, STRANGER = Authority.new("Factory CA"), Authority.new("Stranger CA")
RENEWED = FACTORY.renew()


class World:
    """One account with some CAs registered, of which the deployed rules know some."""

    def __init__(self, *, registered: list[Authority], known: list[Authority]) -> None:
        self.aws = Aws()
        self.aws.undocumented.hide_sni_only_cas()
        self.account: SimulatedAccount = self.aws.account("111111111111")
        admin = self.account.client("iot", caller="admin")
        for authority in registered:
            admin.register_ca_certificate(
                caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
            )
        self.deployment = Deployment(self.account, self.rules(known))

    def rules(self, known: list[Authority]) -> Rules:
        cas = [replace(ca_rules(one), name=f"ca-{at}") for at, one in enumerate(known)]
        return replace(rules(cas[0]), cas=tuple(cas))

    def decision(self, leaf: Leaf) -> Decision | None:
        registry = Registry(self.account.client("dynamodb"), self.deployment.settings.registry_table)
        return registry.recall([leaf.certificate_id])[leaf.certificate_id].decision

    def connect(self, leaf: Leaf) -> str:
        return self.account.connect(leaf, client_id="sensor-0001")

    def sweep(self, after: float = 700) -> int:
        self.aws.clock.advance(after)
        sent = self.deployment.sweep().sent
        self.aws.clock.advance(1000)
        self.deployment.mapping().drain()
        return sent


def test_a_device_whose_event_was_lost_comes_up() -> None:
    world, leaf = World(registered=[FACTORY], known=[FACTORY]), FACTORY.issue("sensor-0001")
    for rule in world.account.iot.broker.rules[FACTORY.certificate_id]:
        rule.enabled = False
    assert world.connect(leaf) == "refused"
    assert world.sweep() == 1
    assert world.connect(leaf) == "accepted"
    decision = world.decision(leaf)
    assert decision
    assert (decision.outcome, decision.ca_certificate_id) == (Outcome.ACTIVATED, FACTORY.certificate_id)


def test_a_pending_certificate_of_another_ca_is_looked_at_once_and_left_alone() -> None:
    world, leaf = World(registered=[FACTORY, STRANGER], known=[FACTORY]), STRANGER.issue("sensor-0001")
    world.connect(leaf)
    assert world.sweep() == 1
    decision = world.decision(leaf)
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_UNKNOWN)
    certificate = world.account.iot.certificates.by_id[leaf.certificate_id]
    assert certificate.status == "PENDING_ACTIVATION"
    assert not world.account.iot.things.of_principal(certificate.arn)


def test_a_device_of_a_renewed_ca_waits_until_one_of_both_is_left() -> None:
    world, leaf = World(registered=[FACTORY, RENEWED], known=[FACTORY, RENEWED]), FACTORY.issue("sensor-0001")
    world.connect(leaf)
    world.deployment.mapping().drain()
    decision = world.decision(leaf)
    assert decision
    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_AMBIGUOUS)
    # An event that names one of them contradicts nothing, and decides nothing.
    assert world.deployment.journal.metrics["Contradictions"] == 0
    world.deployment.rules = world.rules([RENEWED])
    world.sweep()
    assert world.connect(leaf) == "accepted"
    decision = world.decision(leaf)
    assert decision
    assert decision.ca_certificate_id == RENEWED.certificate_id


@pytest.mark.parametrize("forged", [FACTORY, RENEWED, STRANGER], ids=["one", "the other", "a third"])
def test_an_event_never_says_whose_a_certificate_is(forged: Authority) -> None:
    world, leaf = World(registered=[FACTORY, RENEWED], known=[FACTORY, RENEWED]), FACTORY.issue("sensor-0001")
    world.connect(leaf)
    queue = world.deployment.registrations
    queue.messages.clear()
    queue.send(f'{{"certificateId": "{leaf.certificate_id}", "caCertificateId": "{forged.certificate_id}"}}')
    world.deployment.mapping().drain()
    decision = world.decision(leaf)
    assert decision
    assert (decision.reason, decision.ca_certificate_id) == (Reason.CA_AMBIGUOUS, None)


def test_what_was_decided_under_a_ca_stays_its_own_when_that_is_renewed() -> None:
    world = World(registered=[FACTORY, RENEWED], known=[FACTORY])
    leaf = FACTORY.issue("sensor-0001")
    world.connect(leaf)
    world.account.iot.cas.by_id[FACTORY.certificate_id].status = "INACTIVE"
    world.deployment.mapping().drain()
    decision = world.decision(leaf)
    assert decision
    assert (decision.reason, decision.ca_certificate_id) == (Reason.CA_INACTIVE, FACTORY.certificate_id)
    world.deployment.rules = world.rules([FACTORY, RENEWED])
    world.account.iot.cas.by_id[FACTORY.certificate_id].status = "ACTIVE"
    world.sweep()
    assert world.connect(leaf) == "accepted"
