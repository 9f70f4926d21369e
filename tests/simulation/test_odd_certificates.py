"""Certificates that the library refuses, from the first connection on: AWS takes them, and so does jitr."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from jitr import rules as jitr_rules
from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.rules import CaRules, CertificateMode
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from jitr.store.registry import Registry
from jitr.x509 import second_reader
from jitr.x509.certificate import Certificate, Reader
from jitr.x509.encoding import Encoded
from simulation import Deployment, Leaf, SimulatedAccount
from simulation.clock import START
from simulation.deployment import rules
from tests.support.cases.der import der_of
from tests.support.cases.families import MAKERS, Family, issued_by_odd_ca, odd_ca
from tests.support.cases.issuing import DAY, Authority, certificate_id, factory
from tests.support.cases.odd import half_a_character

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def deployed(account: SimulatedAccount, iot: "IoTClient", authority: Authority, **settings: Any) -> Deployment:
    iot.register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    ca = CaRules(
        name="factory",
        certificate_id=Certificate.from_pem(authority.pem).fingerprint,
        certificate_pem=authority.pem,
        certificate_mode=CertificateMode.SNI_ONLY,
        policy="device",
        **({"common_name": "sensor-[0-9]+"} | settings),
    )
    return Deployment(account, rules(ca))


def decision_on(certificate_id: str, deployment: Deployment) -> Decision | None:
    client = deployment.account.client("dynamodb", caller="test")
    return Registry(client, deployment.settings.registry_table).recall([certificate_id])[certificate_id].decision


def unreadable() -> Leaf:
    """A certificate that neither reader takes, as AWS has it."""
    pem, now = half_a_character().device.pem, START
    return Leaf(
        certificate_id=certificate_id(pem),
        pem=pem,
        ca_certificate_id=factory().certificate_id,
        not_before=now - DAY,
        not_after=now + DAY,
    )


@pytest.mark.parametrize("make", [make for make in MAKERS if make().is_read_again], ids=lambda make: make.__name__)
def test_a_family_that_the_library_refuses_comes_up(
    make: Callable[[], Family], account: SimulatedAccount, iot: "IoTClient"
) -> None:
    family = make()
    deployment, thing_name = deployed(account, iot, factory(), **family.rules), family.application.admit().thing_name
    assert account.connect(family.pem, client_id=thing_name) == "refused"
    deployment.mapping().drain()
    assert account.connect(family.pem, client_id=thing_name) == "accepted"
    decision = decision_on(certificate_id(family.pem), deployment)
    assert decision is not None
    assert decision.reader == Reader.SECOND


def test_a_device_of_a_ca_that_only_the_second_reader_takes_comes_up(
    account: SimulatedAccount, iot: "IoTClient"
) -> None:
    authority = odd_ca()
    deployment, pem = deployed(account, iot, authority), issued_by_odd_ca(authority)
    assert account.connect(pem, client_id="sensor-0001") == "refused"
    deployment.mapping().drain()
    assert account.connect(pem, client_id="sensor-0001") == "accepted"


def test_what_no_reader_takes_is_held_until_a_version_with_other_readers(
    account: SimulatedAccount, iot: "IoTClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, leaf = deployed(account, iot, factory()), unreadable()
    account.connect(leaf, client_id="sensor-0001")
    deployment.mapping().drain()
    held = decision_on(leaf.certificate_id, deployment)
    assert held is not None
    assert (held.outcome, held.reason, held.status) == (Outcome.HELD, Reason.UNREADABLE, Status.PENDING_ACTIVATION)

    better = second_reader.read(Encoded.of(der_of(factory().leaf())))
    monkeypatch.setattr(second_reader, "read", lambda _: better)
    account.connect(leaf, client_id="sensor-0001")
    deployment.mapping().drain()
    assert decision_on(leaf.certificate_id, deployment) == held  # nothing says that it could be read now

    monkeypatch.setattr(jitr_rules, "READERS", "readers: of the next version")
    vars(deployment.rules).pop("digest", None)  # each environment computes it at its cold start
    account.connect(leaf, client_id="sensor-0001")
    deployment.mapping().drain()
    assert account.connect(leaf, client_id="sensor-0001") == "accepted"


def test_what_no_reader_takes_is_refused_for_good_where_an_entry_denies_its_id(
    account: SimulatedAccount, iot: "IoTClient"
) -> None:
    deployment, leaf = deployed(account, iot, factory()), unreadable()
    table = EnrollmentTable(account.client("dynamodb", caller="test"), deployment.settings.enrollment_table)
    denied = Entry(subject=Subject(SubjectKind.CERTIFICATE, leaf.certificate_id), rule=EntryRule.DENY)
    table.change([EntryChange(entry=denied, replaces=None)], by="operator", at=START)
    account.connect(leaf, client_id="sensor-0001")
    deployment.mapping().drain()
    decision = decision_on(leaf.certificate_id, deployment)
    assert decision is not None
    assert (decision.reason, decision.status) == (Reason.ENTRY_DENIES, Status.INACTIVE)
