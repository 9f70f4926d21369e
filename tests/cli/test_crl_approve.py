"""A CRL on ACTIVE devices, as operators see it: what it did, what waits for a yes, and what a yes does."""

import json
from pathlib import Path

import pytest
from cryptography.x509 import ReasonFlags
from jsonschema import Draft202012Validator

from jitrctl.audit import log
from jitrctl.status.ca_problems import find_ca_problems
from jitrctl.status.crls import read_crls
from jitrctl.status.health import Health
from jitrctl.status.problems import Kind, Problem
from simulation import Leaf
from tests.support.cases.listing import make_crl
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

ENFORCED = f'{RULES}revocation_of_active = "enforce"\nchecks.revocation = "enforce"\n'
EVENTS = Path(__file__).parents[2] / "docs" / "events"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    made = simulated(tmp_path, monkeypatch, ENFORCED)
    for account in (DEV, PROD):
        publish(made, account, {}, number=1)
    return made


def publish(fleet: Simulated, account: str, listed: dict[Leaf, ReasonFlags], *, number: int) -> None:
    crl = make_crl(fleet.old, fleet.aws.clock.now(), listed, number=number)
    fleet.deployments[account].publish_crl(fleet.old.certificate_id, crl)
    apply(fleet, account)


def apply(fleet: Simulated, account: str) -> None:
    fleet.deployments[account].revoke_mapping().drain(within=86_400)


def come_up(fleet: Simulated, account: str, number: int) -> list[Leaf]:
    leaves = [fleet.issue(f"sensor-{one:04}") for one in range(1, number + 1)]
    for leaf in leaves:
        fleet.place(account).connect(leaf, client_id="sensor")
    fleet.deployments[account].mapping().drain(within=600)
    return leaves


def statuses(fleet: Simulated, account: str, leaves: list[Leaf]) -> set[str | None]:
    return {fleet.status(account, leaf) for leaf in leaves}


def problems(fleet: Simulated, account: str) -> list[Problem]:
    stage, now = fleet.stage(account), fleet.aws.clock.now()
    health = Health.__new__(Health)
    object.__setattr__(health, "cas", ())
    object.__setattr__(health, "crls", {"factory": read_crls(stage, now)["factory"]})
    return list(find_ca_problems(stage, health, now))


def test_what_a_crl_did_to_active_devices_is_shown(fleet: Simulated) -> None:
    devices = come_up(fleet, DEV, 3)
    publish(fleet, DEV, {devices[0]: ReasonFlags.key_compromise}, number=2)
    said = fleet.say("crl", "show", "--ca", "factory")
    assert "1 device taken out" in said
    assert statuses(fleet, DEV, devices[1:]) == {"ACTIVE"}
    assert not problems(fleet, DEV)


def test_a_crl_that_takes_out_many_waits_for_a_yes_that_is_on_record(fleet: Simulated) -> None:
    devices = come_up(fleet, DEV, 25)
    publish(fleet, DEV, dict.fromkeys(devices[:22], ReasonFlags.key_compromise), number=2)
    assert statuses(fleet, DEV, devices) == {"ACTIVE"}
    (problem,) = problems(fleet, DEV)
    assert problem.kind is Kind.CRL_WAITS
    assert "takes out 22 of 25 devices at once" in problem.text
    assert "it takes out 22 of 25 devices" in fleet.say("crl", "show", "--ca", "factory")

    said = fleet.say("crl", "approve", "factory", "--note", "stolen", "--account", DEV, "--yes")
    assert "approved; it is applied now" in said
    given = log.read_last(fleet.stage(DEV), fleet.old.certificate_id)
    assert given
    assert (given.order, given.note, given.completed) == ("crl approve", "stolen", True)
    (event,) = [one for one in fleet.place(DEV).events.put if one.detail_type == "Operator Order"]
    Draft202012Validator(json.loads((EVENTS / "operator-order.v1.schema.json").read_text())).validate(event.detail)

    apply(fleet, DEV)
    assert statuses(fleet, DEV, devices[:22]) == {"REVOKED"}
    assert statuses(fleet, DEV, devices[22:]) == {"ACTIVE"}
    decisions = [one.detail for one in fleet.place(DEV).events.put if one.detail_type == "Device Revoked"]
    assert len(decisions) == 22
    schema = json.loads((EVENTS / "device-decision.v1.schema.json").read_text())
    Draft202012Validator(schema).validate(decisions[0])
    assert not problems(fleet, DEV)


def test_an_older_crl_is_a_problem_until_it_is_approved_or_followed(fleet: Simulated) -> None:
    come_up(fleet, DEV, 1)
    publish(fleet, DEV, {}, number=3)
    publish(fleet, DEV, {}, number=2)
    (problem,) = problems(fleet, DEV)
    assert problem.kind is Kind.CRL_REFUSED
    assert "number 2 is older: number 3 was applied" in problem.text
    publish(fleet, DEV, {}, number=4)
    assert not problems(fleet, DEV)


def test_an_older_crl_that_is_approved_may_wait_for_a_second_approval(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = come_up(fleet, DEV, 25)
    publish(fleet, DEV, {}, number=4)
    publish(fleet, DEV, dict.fromkeys(devices[:22], ReasonFlags.key_compromise), number=3)
    assert "refused" in fleet.say("crl", "show", "--ca", "factory")
    monkeypatch.setattr("jitrctl.run.scope.can_ask", lambda: True)
    monkeypatch.setattr("jitrctl.run.scope.confirmed", lambda _: True)
    said = fleet.say("crl", "approve", "factory", "--note", "set up anew", "--account", DEV)
    assert "may follow it. If it takes out many devices, it then waits for a second approval" in said
    assert "is applied to ACTIVE devices" not in said
    assert "`jitrctl crl show` says whether it is applied or waits" in said
    assert "applied now" not in said
    apply(fleet, DEV)
    assert statuses(fleet, DEV, devices) == {"ACTIVE"}
    assert "it takes out 22 of 25 devices" in fleet.say("crl", "show", "--ca", "factory")
    fleet.say("crl", "approve", "factory", "--note", "stolen", "--account", DEV, "--yes")
    apply(fleet, DEV)
    assert statuses(fleet, DEV, devices[:22]) == {"REVOKED"}


def test_a_crl_that_cannot_be_used_is_not_approved(fleet: Simulated) -> None:
    fleet.deployments[DEV].publish_crl(fleet.old.certificate_id, b"<html>")
    apply(fleet, DEV)
    said = fleet.say("crl", "approve", "factory", "--note", "why not", "--account", DEV, "--yes", code=1)
    assert "neither DER nor a PEM" in said


def test_where_no_crl_waits_nothing_is_approved_and_nothing_asked(fleet: Simulated) -> None:
    said = fleet.say("crl", "approve", "factory", "--note", "stolen", code=1)
    assert "no CRL of CA factory waits for an approval, or is refused as older" in said
    assert "nothing was approved" in said
    assert log.read_last(fleet.stage(DEV), fleet.old.certificate_id) is None
    assert fleet.say("crl", "approve", "another", "--note", "stolen", code=2)
