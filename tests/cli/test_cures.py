"""Cures of `jitrctl doctor`: taken from what it prints, carried out through `main`, and then every link is good."""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from jitr.errors import Reason
from jitrctl.__main__ import main
from simulation import Authority, Leaf
from tests.support.cli.doctored import Doctored, doctored
from tests.support.cli.simulated import DEV, PROD, REGION, RULES, Simulated

SENSOR = "sensor-0001"
HERE = f"--account {DEV} --region {REGION}"
ANN = "assumed-role/operator/ann"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctored:
    return doctored(tmp_path, monkeypatch)


@pytest.fixture
def fleet(made: Doctored) -> Simulated:
    return made.fleet


def deploy(fleet: Simulated, rules: str) -> None:
    fleet.write(rules)
    fleet.deploy()


def admitted(made: Doctored, name: str = SENSOR) -> Leaf:
    leaf = made.fleet.issue(name)
    assert made.connect(leaf, name) == "accepted"
    return leaf


def held(made: Doctored, leaf: Leaf, reason: Reason, name: str = SENSOR) -> Leaf:
    assert made.connect(leaf, name) == "refused"
    decision = made.fleet.record(DEV, leaf).decision
    assert decision
    assert decision.reason is reason
    return leaf


# What a first connection needs.


def ca_deleted(made: Doctored) -> None:
    made.read("ca", "retire", "factory", "--delete", "--account", DEV, "--note", "by mistake")


def ca_inactive(made: Doctored) -> None:
    made.read("ca", "retire", "factory", "--account", DEV, "--note", "by mistake")


def not_automatic(made: Doctored) -> None:
    made.fleet.iot(DEV).update_ca_certificate(
        certificateId=made.fleet.old.certificate_id, newAutoRegistrationStatus="DISABLE"
    )


def in_another_mode(made: Doctored) -> None:
    place, ca = made.fleet.place(DEV), made.fleet.old.certificate_id
    place.iot.cas.by_id[ca].mode = "DEFAULT"
    made.fleet.aws._default_cas[REGION][ca] = place.id


def paused(made: Doctored) -> None:
    made.read("ca", "pause", "--account", DEV, "--note", "a CRL is wrong")


def rule_disabled(made: Doctored) -> None:
    made.disabled_rules.add("jitr_acme__factory")


FIRST_CONNECTION: dict[Callable[[Doctored], None], str] = {
    ca_deleted: "CA registered",
    ca_inactive: "CA active",
    not_automatic: "auto-registration",
    in_another_mode: "CA mode",
    rule_disabled: "rule enabled",
    paused: "mapping",
}


@pytest.mark.parametrize("broken", FIRST_CONNECTION, ids=lambda one: one.__name__)
def test_the_cure_of_a_broken_link_lets_a_new_device_in(made: Doctored, broken: Callable[[Doctored], None]) -> None:
    broken(made)
    leaf = made.fleet.issue(SENSOR)

    _, printed = made.ask_doctor(made.file(leaf))
    assert f"{FIRST_CONNECTION[broken]} is broken" in printed
    made.follow(printed)

    assert made.connect(leaf, SENSOR) == "accepted"
    assert made.ask_doctor(made.file(leaf))[0] == 0


def test_who_paused_and_why_is_said(made: Doctored) -> None:
    leaf = made.fleet.issue(SENSOR)
    paused(made)
    _, printed = made.ask_doctor(made.file(leaf))
    assert f"{ANN}" in printed
    assert "('a CRL is wrong')" in printed

    made.read("ca", "resume", "--account", DEV)
    made.mapping[DEV] = "Disabled"
    _, printed = made.ask_doctor(made.file(leaf))
    assert "by no order of jitrctl" in printed
    assert ANN not in printed


def test_only_an_order_that_brought_the_state_about_is_named(made: Doctored) -> None:
    leaf = made.fleet.issue(SENSOR)
    ca_inactive(made)
    assert "so ordered: `ca retire`" in made.ask_doctor(made.file(leaf))[1]

    made.follow(made.ask_doctor(made.file(leaf))[1])
    made.fleet.iot(DEV).update_ca_certificate(certificateId=made.fleet.old.certificate_id, newStatus="INACTIVE")
    _, printed = made.ask_doctor(made.file(leaf))
    assert "the CA is INACTIVE: no device of it can register." in printed, "`ca apply` had set it ACTIVE"

    made.follow(printed)
    not_automatic(made)
    _, printed = made.ask_doctor(made.file(leaf))
    assert "sends no event." in printed, "no order disabled auto-registration"


def test_an_event_lost_to_a_disabled_rule_is_made_up_for_by_the_cure(made: Doctored) -> None:
    rules = made.fleet.place(DEV).iot.broker.rules[made.fleet.old.certificate_id]
    rules[0].enabled = False
    leaf = made.fleet.issue(SENSOR)
    made.fleet.place(DEV).connect(leaf, client_id=SENSOR)
    rules[0].enabled = True

    code, printed = made.ask_doctor(made.file(leaf))
    assert code == 1
    assert "decision is broken: none yet" in printed
    made.follow(printed)
    assert made.fleet.status(DEV, leaf) == "ACTIVE"


# What an operator, the rules or an entry keep out.


@pytest.mark.parametrize("order", ["deny", "deactivate", "revoke"])
def test_what_an_operator_shut_out_comes_in_by_the_printed_release(made: Doctored, order: str) -> None:
    leaf = admitted(made)
    made.read("device", order, leaf.certificate_id, "--account", DEV, "--note", "sold")

    (printed,) = made.cure(leaf, SENSOR)
    assert "certificate status is broken" in printed


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_what_somebody_set_in_the_console_comes_in_by_the_printed_release(made: Doctored, status: str) -> None:
    leaf = admitted(made)
    made.fleet.iot(DEV).update_certificate(certificateId=leaf.certificate_id, newStatus=status)

    (printed,) = made.cure(leaf, SENSOR)
    assert "set by something other than jitr" in printed


def test_a_verdict_given_before_the_device_came_is_lifted_by_the_cure(made: Doctored) -> None:
    leaf = made.fleet.issue(SENSOR)
    made.read("device", "deny", leaf.certificate_id, "--account", DEV)
    assert made.connect(leaf, SENSOR) == "refused"

    (printed,) = made.cure(leaf, SENSOR)
    assert "OPERATOR_VERDICT" in printed


def test_a_denying_entry_is_named_with_its_author_and_lifted(made: Doctored) -> None:
    made.read("enrollment", "deny", SENSOR, "--account", DEV, "--note", "stolen")
    leaf = held(made, made.fleet.issue(SENSOR), Reason.ENTRY_DENIES)

    (printed,) = made.cure(leaf, SENSOR)
    assert ANN in printed
    assert "('stolen')" in printed
    assert f"jitrctl enrollment allow {SENSOR} --lift-denials" in printed


def test_devices_that_wrong_rules_rejected_come_in_after_the_deployment(made: Doctored) -> None:
    made.fleet.sweep(DEV)  # which completes the index of outcomes
    deploy(made.fleet, RULES.replace("sensor-", "senzor-"))
    leaf = held(made, made.fleet.issue(SENSOR), Reason.COMMON_NAME_REFUSED)
    _, printed = made.ask_doctor(made.file(leaf))
    assert f"jitrctl device release --rejected-for COMMON_NAME_REFUSED --ca factory {HERE}" in printed

    deploy(made.fleet, RULES)
    made.follow(printed)
    assert made.connect(leaf, SENSOR) == "accepted"


def test_a_device_that_is_not_listed_is_allowed(made: Doctored) -> None:
    deploy(made.fleet, RULES + 'enrollment = "listed"\n')
    leaf = held(made, made.fleet.issue(SENSOR), Reason.NOT_LISTED)
    made.cure(leaf, SENSOR)


def test_a_device_that_waits_for_an_operator_is_approved(made: Doctored) -> None:
    deploy(made.fleet, RULES + 'enrollment = "approve"\n')
    leaf = held(made, made.fleet.issue(SENSOR), Reason.AWAITING_APPROVAL)
    made.cure(leaf, SENSOR)


def test_an_entry_for_another_account_is_written_again_with_all_that_it_gave(made: Doctored) -> None:
    given = ("--belongs-to", PROD, "--attribute", "site=hall-2", "--may-follow", "--yes")
    assert made.read("enrollment", "allow", SENSOR, *given)[0] == 0
    leaf = held(made, made.fleet.issue(SENSOR), Reason.OTHER_ACCOUNT)

    made.cure(leaf, SENSOR)
    code, said = made.read("enrollment", "show", SENSOR, "--json")
    entries = [stage["entry"] for stage in json.loads(said)["stages"]]
    assert code == 0
    assert [sorted(entry["accounts"]) for entry in entries] == [["111111111111", "222222222222"]] * 2
    assert all((entry["attributes"], entry["may_follow"]) == ({"site": "hall-2"}, True) for entry in entries)


def test_a_device_held_for_its_ca_comes_in_once_that_is_mended(made: Doctored) -> None:
    leaf = made.fleet.issue(SENSOR)
    made.fleet.place(DEV).connect(leaf, client_id=SENSOR)
    made.fleet.iot(DEV).update_ca_certificate(certificateId=made.fleet.old.certificate_id, newStatus="INACTIVE")
    held(made, leaf, Reason.CA_INACTIVE)

    broken, waiting = made.cure(leaf, SENSOR)
    assert "CA active is broken" in broken
    assert "decision is broken" in waiting


# One name, several certificates.


def test_an_early_rotation_is_allowed_by_the_printed_order(made: Doctored) -> None:
    admitted(made)
    new = held(made, made.fleet.issue(SENSOR, begins=-0.5), Reason.NOT_A_ROTATION)
    shown = made.fleet.say("device", "show", SENSOR, "--account", DEV)
    assert f"what to do: `jitrctl doctor {new.certificate_id} {HERE} --fleet" in shown
    assert f"`jitrctl enrollment allow {new.certificate_id} --may-follow --fleet" in shown

    (printed,) = made.cure(new, SENSOR)
    assert f"jitrctl enrollment allow {new.certificate_id} --may-follow" in printed


def test_a_device_that_changes_its_ca_loses_its_old_certificate(made: Doctored) -> None:
    made.fleet.write(successor_in=(DEV,))
    text = made.fleet.file.read_text().replace('succeeds = "factory"\n', "")
    made.fleet.file.write_text(text)
    made.fleet.deploy()
    made.read("ca", "apply", "--account", DEV)
    old = admitted(made)
    new = held(made, made.fleet.issue(SENSOR, ca=made.fleet.new, begins=-0.5), Reason.NOT_A_ROTATION)

    (printed,) = made.cure(new, SENSOR)
    assert f"jitrctl device remove {old.certificate_id} {HERE}" in printed
    assert made.fleet.status(DEV, old) is None


def test_of_an_older_certificate_the_later_one_is_named(made: Doctored) -> None:
    later = admitted(made)
    older = held(made, made.fleet.issue(SENSOR, begins=-30), Reason.NOT_A_ROTATION)

    _, printed = made.ask_doctor(made.file(older))
    assert "have the device use its later certificate" in printed
    assert later.certificate_id in printed
    made.cure(older, SENSOR)


def test_a_thing_that_jitr_did_not_make_is_adopted_and_followed(made: Doctored) -> None:
    iot = made.fleet.iot(DEV)
    old = made.fleet.issue(SENSOR)
    arn = iot.register_certificate_without_ca(certificatePem=old.pem, status="ACTIVE")["certificateArn"]
    iot.create_thing(thingName=SENSOR)
    iot.attach_thing_principal(thingName=SENSOR, principal=arn)
    new = held(made, made.fleet.issue(SENSOR, begins=-0.5), Reason.THING_TAKEN)

    taken, early = made.cure(new, SENSOR)
    assert f"jitrctl device adopt {SENSOR} {HERE}" in taken
    assert "NOT_A_ROTATION" in early


def test_an_adopted_certificate_of_no_ca_is_followed_by_the_printed_entry(made: Doctored) -> None:
    iot = made.fleet.iot(DEV)
    old = made.fleet.issue(SENSOR, ca=Authority.new("Somebody's CA"))
    arn = iot.register_certificate_without_ca(certificatePem=old.pem, status="ACTIVE")["certificateArn"]
    iot.create_thing(thingName=SENSOR)
    iot.attach_thing_principal(thingName=SENSOR, principal=arn)
    made.fleet.say("device", "adopt", SENSOR, "--account", DEV)
    new = held(made, made.fleet.issue(SENSOR, begins=-0.5), Reason.NOT_A_ROTATION)

    (printed,) = made.cure(new, SENSOR)
    assert f"jitrctl enrollment allow {new.certificate_id} --may-follow" in printed
    assert made.fleet.record(DEV, old).replaced_by == new.certificate_id


# What an activated device lost.


def thing_deleted(made: Doctored, arn: str) -> None:
    thing_detached(made, arn)
    made.fleet.iot(DEV).delete_thing(thingName=SENSOR)


def thing_detached(made: Doctored, arn: str) -> None:
    made.fleet.iot(DEV).detach_thing_principal(thingName=SENSOR, principal=arn)
    made.fleet.aws.clock.advance(10)


def policy_detached(made: Doctored, arn: str) -> None:
    iot = made.fleet.iot(DEV)
    (policy,) = iot.list_attached_policies(target=arn)["policies"]
    iot.detach_policy(policyName=policy["policyName"], target=arn)


def out_of_its_group(made: Doctored, _: str) -> None:
    made.fleet.iot(DEV).remove_thing_from_thing_group(thingName=SENSOR, thingGroupName="hall-1")


def out_of_its_billing_group(made: Doctored, _: str) -> None:
    made.fleet.iot(DEV).remove_thing_from_billing_group(thingName=SENSOR, billingGroupName="costs")


def in_another_billing_group(made: Doctored, _: str) -> None:
    out_of_its_billing_group(made, _)
    iot = made.fleet.iot(DEV)
    iot.create_billing_group(billingGroupName="others")
    iot.add_thing_to_billing_group(thingName=SENSOR, billingGroupName="others")


LOST: dict[Callable[[Doctored, str], None], str] = {
    thing_deleted: f"thing {SENSOR} does not exist",
    thing_detached: f"it is not attached to thing {SENSOR}",
    policy_detached: "no policy is attached",
    out_of_its_group: f"thing {SENSOR} is not in hall-1",
    out_of_its_billing_group: f"thing {SENSOR} is in no billing group, not in costs",
    in_another_billing_group: f"thing {SENSOR} is in billing group others, not in costs",
}


@pytest.mark.parametrize("lost", LOST, ids=lambda one: one.__name__)
def test_what_an_active_device_lost_is_found_and_given_back(
    made: Doctored, lost: Callable[[Doctored, str], None]
) -> None:
    deploy(made.fleet, RULES + 'thing_groups = ["hall-1"]\nbilling_group = "costs"\n')
    leaf = admitted(made)
    described = made.fleet.iot(DEV).describe_certificate(certificateId=leaf.certificate_id)
    lost(made, described["certificateDescription"]["certificateArn"])

    shown = made.fleet.say("device", "show", SENSOR, "--account", DEV)
    assert f"cure: `jitrctl device reconcile {leaf.certificate_id} {HERE} --fleet {made.fleet.file}`" in shown
    (printed,) = made.cure(leaf, SENSOR, device=leaf.certificate_id)
    assert LOST[lost] in " ".join(printed.split())
    assert "missing" not in made.fleet.say("device", "show", SENSOR, "--account", DEV)


def test_a_cure_names_the_fleet_file_unless_it_is_the_one_of_the_folder(
    made: Doctored, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.read("ca", "pause", "--account", DEV)
    leaf = made.file(made.fleet.issue(SENSOR))
    assert f"Cure: `jitrctl ca resume {HERE} --fleet {made.fleet.file}`." in made.ask_doctor(leaf)[1]

    monkeypatch.chdir(made.fleet.directory)
    said = StringIO()
    with redirect_stdout(said):
        main(["doctor", leaf, "--account", DEV])
    assert f"Cure: `jitrctl ca resume {HERE}`." in said.getvalue()


def test_another_certificate_on_the_thing_is_named_whole(made: Doctored) -> None:
    leaf = admitted(made)
    iot, other = made.fleet.iot(DEV), made.fleet.issue("sensor-0002")
    arn = iot.register_certificate_without_ca(certificatePem=other.pem, status="ACTIVE")["certificateArn"]
    iot.attach_thing_principal(thingName=SENSOR, principal=arn)

    code, printed = made.ask_doctor(made.file(leaf))
    assert code == 0
    assert f"attached to {SENSOR}, too: certificate {other.certificate_id}; it can act as the device" in printed
    made.follow(printed)
    assert made.fleet.status(DEV, other) == "INACTIVE"
