"""`jitrctl fleet adopt apply` refuses what jitr cannot run as it is: nothing of the line is done, a cure is told."""

from pathlib import Path

import pytest

from simulation.faults import Call, Moment
from tests.support.cli.old_fleet import OLD_POLICY, OldFleet, edit, old_fleet
from tests.support.cli.orders import announced_orders, strike
from tests.support.cli.simulated import DEV, RULES


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def why_refused(old: OldFleet, plan: Path) -> str:
    """Apply a plan of one line, of which nothing must be done."""
    before, orders = old.facts(), len(announced_orders(old.fleet))
    told = old.apply(plan, code=1)
    assert (told["adopted"], told["aligned"], old.facts()) == (0, 0, before)
    assert len(announced_orders(old.fleet)) == orders
    (failed,) = told["failed"]
    return str(failed["error"])


@pytest.mark.parametrize("verb", ["adopt", "align"])
def test_a_thing_whose_name_the_rules_do_not_make_is_refused(old: OldFleet, tmp_path: Path, verb: str) -> None:
    old.add("sensor-0001", thing="old-sensor-0001")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt ", f"\n{verb} ")
    why = why_refused(old, plan)
    assert "the rules make thing sensor-0001 of its certificate" in why
    assert "correct thing_name of [ca.factory] so that it makes old-sensor-0001 and deploy, or skip it" in why
    assert "remove" not in why
    assert old.owner("old-sensor-0001") is None
    old.fleet.write(f'{RULES}thing_name = "old-{{common_name}}"\n')
    old.fleet.deploy()
    assert old.apply(plan)["adopted"] == 1


@pytest.mark.parametrize("verb", ["adopt", "align"])
@pytest.mark.parametrize("order", ["deny", "deactivate", "revoke"])
def test_what_an_operator_took_away_and_is_active_again_is_refused(
    old: OldFleet, tmp_path: Path, order: str, verb: str
) -> None:
    leaf = old.add("sensor-0001")
    old.fleet.say("device", order, leaf.certificate_id, "--account", DEV, "--note", "stolen", "--yes")
    old.iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt ", f"\n{verb} ")
    why = why_refused(old, plan)
    assert f"operator/ann 20{old.fleet.aws.clock.now():%y-%m-%d}" in why
    assert "'stolen'" in why
    assert "`jitrctl device revoke` or `deactivate` takes it away again" in why
    assert old.owner("sensor-0001") is None
    again = "revoke" if order == "revoke" else "deactivate"
    old.fleet.say("device", again, leaf.certificate_id, "--account", DEV, "--yes")
    assert old.fleet.status(DEV, leaf) == ("REVOKED" if order == "revoke" else "INACTIVE")
    old.fleet.say("device", "release", "--revoked", leaf.certificate_id, "--account", DEV, "--yes")
    assert leaf.certificate_id not in old.facts()


def test_what_was_adopted_and_taken_away_since_is_not_aligned(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    plan = old.plan(tmp_path)
    assert old.apply(plan)["adopted"] == 1
    old.fleet.say("device", "deactivate", leaf.certificate_id, "--account", DEV, "--yes")
    old.iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    edit(plan, "\nadopt ", "\nalign ")
    assert "the certificate is ACTIVE, but was deactivated by" in why_refused(old, plan)


@pytest.mark.parametrize("days", [20, 90])
def test_what_the_rules_would_refuse_is_not_aligned_until_that_is_corrected(
    old: OldFleet, tmp_path: Path, days: int
) -> None:
    old.fleet.write(f'{RULES}minimum_remaining_life = "30d"\n')
    old.fleet.deploy()
    old.add("sensor-0001", days=days)  # that less than a month is left is no reason
    old.fleet.say("enrollment", "deny", "sensor-0001", "--account", DEV, "--yes")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt ", "\nalign ")
    assert "the rules would refuse it: ENTRY_DENIES" in why_refused(old, plan)
    assert old.owner("sensor-0001") is None
    old.fleet.say("enrollment", "remove", "sensor-0001", "--account", DEV, "--yes")
    assert old.apply(plan)["aligned"] == 1


def test_a_certificate_that_owns_another_name_does_not_get_a_second_one(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("thing-0004", ca=old.aws)
    old.fleet.say("device", "adopt", "thing-0004", "--account", DEV)
    old.iot.create_thing(thingName="pump-7")
    arn = old.arn(leaf)
    old.iot.detach_thing_principal(thingName="thing-0004", principal=arn)
    old.fleet.aws.clock.advance(60)
    old.iot.attach_thing_principal(thingName="pump-7", principal=arn)
    plan = old.plan(tmp_path)
    edit(plan, "\nreview ", "\nadopt ")
    assert "attach it to thing-0004 again, detach it from pump-7, and survey again" in why_refused(old, plan)
    assert old.owner("pump-7") is None
    old.iot.attach_thing_principal(thingName="thing-0004", principal=arn)
    old.iot.detach_thing_principal(thingName="pump-7", principal=arn)
    old.fleet.aws.clock.advance(60)
    again = old.plan(tmp_path, "again")
    assert not any(line.startswith(("adopt", "review")) for line in again.read_text().splitlines())


@pytest.mark.parametrize("verb", ["adopt", "align"])
def test_a_certificate_on_a_second_thing_since_the_survey_is_refused(old: OldFleet, tmp_path: Path, verb: str) -> None:
    leaf = old.add("sensor-0001")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt ", f"\n{verb} ")
    old.iot.create_thing(thingName="other")
    old.iot.attach_thing_principal(thingName="other", principal=old.arn(leaf))
    assert "attached to other now, too: detach it from all but one" in why_refused(old, plan)
    old.iot.detach_thing_principal(thingName="other", principal=old.arn(leaf))
    old.fleet.aws.clock.advance(60)
    assert old.apply(plan)["adopted"] == 1


@pytest.mark.parametrize("why", ["deleted", "INACTIVE"])
def test_a_ca_that_is_not_active_since_the_survey_is_warned_of(old: OldFleet, tmp_path: Path, why: str) -> None:
    old.add("sensor-0001")
    plan, ca = old.plan(tmp_path), old.jitp.certificate_id
    old.fleet.place(DEV).iot.cas.by_id[ca].template = None
    old.iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
    if why == "deleted":
        old.iot.delete_ca_certificate(certificateId=ca)
    told = old.apply(plan)
    assert (told["adopted"], told["inactive_cas"]) == (1, ["sensor-0001"])


def test_a_certificate_with_as_many_policies_as_aws_allows_is_not_aligned(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    for number in range(9):
        old.iot.create_policy(policyName=f"p{number}", policyDocument=OLD_POLICY)
        old.iot.attach_policy(policyName=f"p{number}", target=old.arn(leaf))
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt ", "\nalign ")
    assert "detach one of old, p0, p1" in why_refused(old, plan)
    assert "thingTypeName" not in old.iot.describe_thing(thingName="sensor-0001")
    old.iot.detach_policy(policyName="p3", target=old.arn(leaf))
    assert old.apply(plan)["aligned"] == 1
    assert old.policies(leaf) == ["jitr-acme--factory"]


def test_no_policy_is_detached_while_the_rules_one_is_gone(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt ", "\nalign ")

    def detach(call: Call, moment: Moment) -> None:
        if call.operation == "AttachPolicy" and call.caller == "jitrctl" and moment == "after":
            old.iot.detach_policy(policyName="jitr-acme--factory", target=old.arn(leaf))

    with strike(old.fleet, detach):
        (failed,) = old.apply(plan, code=1)["failed"]
    assert failed["error"].startswith("policy jitr-acme--factory was detached meanwhile")
    assert old.policies(leaf) == ["old"]
    assert old.apply(plan)["aligned"] == 1
    assert old.policies(leaf) == ["jitr-acme--factory"]


def test_one_thing_whose_certificate_was_taken_away_and_is_active_again_is_not_adopted(old: OldFleet) -> None:
    leaf = old.add("sensor-0001")
    old.fleet.say("device", "revoke", leaf.certificate_id, "--account", DEV, "--note", "stolen", "--yes")
    old.iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    told = " ".join(old.fleet.say("device", "adopt", "sensor-0001", "--account", DEV, code=1).split())
    assert "the certificate is ACTIVE, but was revoked" in told
    assert old.owner("sensor-0001") is None
