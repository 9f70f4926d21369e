"""`jitrctl fleet adopt apply` among faults: each has a clear sentence, and the next run finishes what one left."""

import threading
from itertools import count
from pathlib import Path

import pytest

from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.record import Record
from jitrctl.adoption.plan_file import PlanLine, PlanVerb, read_plan, write_plan
from jitrctl.survey.origins import CertificateOrigin
from simulation.faults import Call, Died, Moment, ServiceError
from tests.support.cli.old_fleet import OldFleet, edit, old_fleet
from tests.support.cli.orders import announced_orders, fail_service, strike
from tests.support.cli.simulated import DEV, PROD

PATIENCE = 20  # seconds, after which a test gives up
LATE = 3  # calls that succeed


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def remarks(plan: Path) -> list[str]:
    return [" ".join(line.split()) for line in plan.read_text().splitlines() if line.startswith("# cannot")]


def lines(plan: Path) -> list[str]:
    return [" ".join(line.split()) for line in plan.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("why", ["not registered", "INACTIVE"])
def test_a_certificate_whose_ca_is_gone_waits_for_a_decision_until_the_ca_is_back(
    old: OldFleet, tmp_path: Path, why: str
) -> None:
    old.add("sensor-0001")
    ca = old.jitp.certificate_id
    old.fleet.place(DEV).iot.cas.by_id[ca].template = None
    old.iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
    if why == "not registered":
        old.iot.delete_ca_certificate(certificateId=ca)
    (line,) = lines(old.plan(tmp_path))
    assert line.startswith("review")
    assert f"its CA is {why} here: `jitrctl ca apply`, or its next certificate does not come" in line
    old.fleet.say("ca", "apply", "--ca", "factory", "--account", DEV, "--yes")
    (line,) = lines(old.plan(tmp_path, "again"))
    assert line.startswith("adopt")


def test_a_certificate_whose_ca_has_ended_waits_for_a_decision(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001", days=20_000)
    old.fleet.aws.clock.advance(86_400 * 10_000)
    plan = old.plan(tmp_path)
    (line,) = lines(plan)
    assert line.startswith("review")
    assert "its CA ended on 20" in line
    edit(plan, "\nreview ", "\nadopt  ")
    assert old.apply(plan)["adopted"] == 1
    assert old.owner("sensor-0001") == leaf.certificate_id


def test_a_certificate_that_has_ended_cannot_be_adopted(old: OldFleet, tmp_path: Path) -> None:
    old.add("thing-0004", ca=old.aws, days=2)
    old.fleet.aws.clock.advance(86_400 * 3)
    plan = old.plan(tmp_path)
    assert lines(plan) == []
    assert "ended on" in remarks(plan)[0]


def test_what_another_fleet_of_jitr_runs_is_left_to_it(old: OldFleet, tmp_path: Path) -> None:
    old.iot.create_policy(policyName="jitr-bolt--maker", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    old.add("sensor-0001", policy="jitr-bolt--maker")
    taken = old.add("sensor-0002")
    plan = old.plan(tmp_path)
    (remark,) = remarks(plan)
    assert "has policy jitr-bolt--maker of jitr's fleet bolt, which runs it; take it out of that fleet" in remark
    old.iot.attach_policy(policyName="jitr-bolt--maker", target=old.arn(taken))
    for verb in ("adopt", "align"):
        edit(plan, "\nadopt  ", f"\n{verb}  ")
        (failed,) = old.apply(plan, code=1)["failed"]
        assert "is that of jitr's fleet bolt, which runs this device" in failed["error"]
    assert old.owner("sensor-0002") is None
    assert announced_orders(old.fleet) == []
    said = old.fleet.say("device", "adopt", "sensor-0002", "--account", DEV, code=1)
    assert "is that of jitr's fleet bolt" in said
    assert old.owner("sensor-0002") is None
    old.iot.detach_policy(policyName="jitr-bolt--maker", target=old.arn(taken))
    edit(plan, "\nalign  ", "\nadopt  ")
    assert old.apply(plan)["adopted"] == 1
    old.iot.attach_policy(policyName="jitr-bolt--maker", target=old.arn(taken))
    edit(plan, "\nadopt  ", "\nalign  ")
    assert "jitr's fleet bolt" in old.apply(plan, code=1)["failed"][0]["error"]
    assert old.policies(taken) == ["jitr-bolt--maker", "old"]


def test_a_policy_that_is_deleted_while_its_detachment_is_under_way_is_detached(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt  ", "\nalign  ")

    def delete(call: Call, moment: Moment) -> None:
        if call.operation == "DetachPolicy" and moment == "before" and call.caller == "jitrctl":
            old.iot.detach_policy(policyName="old", target=old.arn(leaf))
            old.iot.delete_policy(policyName="old")
            raise ServiceError("ResourceNotFoundException", "Policy not found", status=404)

    with strike(old.fleet, delete):
        told = old.apply(plan)
    assert (told["aligned"], told["failed"]) == (1, [])
    assert old.policies(leaf) == ["jitr-acme--factory"]


def test_where_the_fleets_policy_is_missing_the_old_one_stays_until_it_is_back(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    document = old.iot.get_policy(policyName="jitr-acme--factory")["policyDocument"]
    old.iot.delete_policy(policyName="jitr-acme--factory")
    plan = old.plan(tmp_path)
    edit(plan, "\nadopt  ", "\nalign  ")
    (failed,) = old.apply(plan, code=1)["failed"]
    assert "policy jitr-acme--factory" in failed["error"]
    assert old.policies(leaf) == ["old"]
    assert old.owner("sensor-0001") == leaf.certificate_id
    old.iot.create_policy(policyName="jitr-acme--factory", policyDocument=document)
    told = old.apply(plan)
    assert (told["already"], told["aligned"]) == (1, 1)
    assert old.policies(leaf) == ["jitr-acme--factory"]


def test_policies_of_thing_groups_are_named_as_such_and_never_detached(old: OldFleet, tmp_path: Path) -> None:
    for name in ("sensor-0001", "sensor-0002"):
        old.add(name)
    old.iot.create_policy(policyName="hall", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    group = old.iot.create_thing_group(thingGroupName="hall-2")["thingGroupArn"]
    old.iot.attach_policy(policyName="hall", target=group)
    for name in ("sensor-0001", "sensor-0002"):
        old.iot.add_thing_to_thing_group(thingName=name, thingGroupName="hall-2")
    plan = old.plan(tmp_path)
    text = plan.read_text()
    plan.write_text(text.replace("adopt  dev/eu-central-1  sensor-0002", "align  dev/eu-central-1  sensor-0002"))
    told = old.apply(plan)
    of_groups = [{"policy": "hall", "group": "hall-2"}]
    assert told["left_attached"] == [
        {"thing_name": "sensor-0001", "policies": ["old"], "of_groups": of_groups, "principals": []},
        {"thing_name": "sensor-0002", "policies": [], "of_groups": of_groups, "principals": []},
    ]
    # Groups are flat in the simulation; AWS answers the policies of the groups above only if it is asked for them.
    asked = [one.parameters for one in old.fleet.aws.calls if one.operation == "ListAttachedPolicies"]
    assert [one.get("recursive") for one in asked if one["target"] == group] == [True]  # once for both things
    old.add("sensor-0003")
    old.iot.add_thing_to_thing_group(thingName="sensor-0003", thingGroupName="hall-2")
    plan = old.plan(tmp_path, "more")
    said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes")
    assert "sensor-0003: keeps old; has hall of group hall-2" in said


def test_a_certificate_of_an_unknown_ca_is_adopted_with_a_warning(old: OldFleet, tmp_path: Path) -> None:
    for number in range(22):
        old.add(f"thing-{number:04}", ca=old.aws)
    plan = old.plan(tmp_path)
    edit(plan, "\nreview ", "\nadopt  ")
    said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes")
    assert "thing-0018, thing-0019 and 2 more: which CA issued its certificate is not known here" in said
    assert "`jitrctl enrollment allow THING --may-follow`" in said


def test_a_certificate_of_a_ca_that_the_fleet_does_not_have_is_adopted_with_a_warning(
    old: OldFleet, tmp_path: Path
) -> None:
    leaf = old.fleet.issue("sensor-0009", ca=old.fleet.new)
    place = old.fleet.place(DEV)
    old.iot.register_ca_certificate(caCertificate=old.fleet.new.pem, certificateMode="SNI_ONLY", setAsActive=True)
    place.iot.certificates.register(
        leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=old.fleet.new.certificate_id
    )
    old.iot.create_thing(thingName="sensor-0009")
    old.iot.attach_thing_principal(thingName="sensor-0009", principal=old.arn(leaf))
    old.fleet.write(successor_in=())
    old.fleet.deploy()
    plan = old.plan(tmp_path)
    (line,) = lines(plan)
    assert line.startswith("review")
    assert "under a CA that the fleet file does not give this account: add it, or its next certificate is held" in line
    edit(plan, "\nreview ", "\nadopt  ")
    words = ("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes")
    assert "sensor-0009: its CA is not one that the fleet file gives this account" in old.fleet.say(*words)
    assert old.owner("sensor-0009") == leaf.certificate_id


def test_where_nothing_is_to_be_done_it_says_so_and_asks_nothing(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    old.add("thing-0004", ca=old.aws)
    plan = old.plan(tmp_path)
    words = ("fleet", "adopt", "apply", str(plan), "--account", DEV)
    assert "there is nobody to ask" in old.fleet.say(*words, code=2)
    old.apply(plan)
    said = old.fleet.say(*words)
    assert "nothing is to be done; adopted already 1, left for review 1, skipped 0" in said


def test_a_plan_that_was_cut_is_refused_and_nothing_is_done(old: OldFleet, tmp_path: Path) -> None:
    for number in range(3):
        old.add(f"sensor-{number:04}")
    plan = old.plan(tmp_path)
    whole = plan.read_text().splitlines()
    for cut in range(len(whole)):
        plan.write_text("".join(f"{line}\n" for line in whole[:cut]))
        assert "the end is missing" in old.fleet.say("fleet", "adopt", "apply", str(plan), "--yes", code=2)
    plan.write_text("\n".join((*whole[:-2], whole[-1])))
    said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--yes", code=2)
    assert "by its end the plan has 3, by its lines 2" in said
    plan.write_text("\n".join((*whole[:-2], whole[-1], whole[-2])))
    assert "it comes after the end of the plan" in old.fleet.say("fleet", "adopt", "apply", str(plan), "--yes", code=2)
    assert old.owner("sensor-0000") is None
    plan.write_text("\n".join((*whole, "", "# by ann")))
    assert old.apply(plan)["adopted"] == 3


def test_accounts_of_which_one_was_half_adopted_when_it_was_killed_are_finished(old: OldFleet, tmp_path: Path) -> None:
    names = [f"sensor-{number:04}" for number in range(3)]
    ids = {name: old.add(name).certificate_id for name in names}
    _add_in_prod(old, names)
    survey, plan = str(tmp_path / "all.survey"), tmp_path / "all.plan"
    old.fleet.say("fleet", "survey", survey)
    old.fleet.say("fleet", "adopt", "plan", str(plan), "--survey", survey)
    words = ("fleet", "adopt", "apply", str(plan), "--yes")
    begun = count(1)
    is_dead = threading.Event()

    def kill(call: Call, moment: Moment) -> None:
        if call.operation == "ListThingPrincipals" and moment == "before" and next(begun) > 3:
            is_dead.set()
        if is_dead.is_set():
            raise Died

    with strike(old.fleet, kill):
        with pytest.raises(Died):
            old.fleet.say(*words)
        for thread in threading.enumerate():
            if thread.name.startswith((DEV, PROD)):
                thread.join(PATIENCE)
    assert 0 < sum(old.owner(name, account) is not None for name in names for account in (DEV, PROD)) < 6
    told = old.fleet.ask(*words)
    assert told[DEV]["already"] + told[DEV]["adopted"] == told[PROD]["already"] + told[PROD]["adopted"] == 3
    assert {name: old.owner(name) for name in names} == ids
    assert all(old.owner(name, PROD) for name in names)
    assert [one["already"] for one in old.fleet.ask(*words).values()] == [3, 3]


def test_what_the_sweep_had_found_gets_thing_and_origin_though_the_first_run_died(
    old: OldFleet, tmp_path: Path
) -> None:
    leaf = old.add("sensor-0001")
    found = Decision(
        certificate_id=leaf.certificate_id,
        outcome=Outcome.FOUND,
        status=Status.ACTIVE,
        registered_at=old.fleet.aws.clock.now(),
        decided_at=old.fleet.aws.clock.now(),
        rules_digest="",
    )
    assert old.fleet.stage(DEV).registry.record_found(found, Record())
    plan = old.plan(tmp_path)

    def die(call: Call, moment: Moment) -> None:
        """Right after the name has its owner."""
        of_name = call.parameters.get("Key", {}).get("id", {}).get("S", "").startswith("thing#")
        if call.caller == "jitrctl" and call.operation == "UpdateItem" and of_name and moment == "after":
            raise Died

    with strike(old.fleet, die), pytest.raises(Died):
        old.apply(plan)
    assert old.owner("sensor-0001") == leaf.certificate_id
    assert old.fleet.record(DEV, leaf).origin is None
    (again,) = lines(old.plan(tmp_path, "again"))
    assert again.startswith(f"adopt dev/eu-central-1 sensor-0001 {leaf.certificate_id}")
    assert old.apply(plan)["adopted"] == 1
    assert lines(old.plan(tmp_path, "last")) == []
    record = old.fleet.record(DEV, leaf)
    assert record.decision
    assert (record.decision.thing_name, record.origin) == ("sensor-0001", "JITP")


def test_of_two_engineers_who_choose_different_certificates_the_second_is_refused(
    old: OldFleet, tmp_path: Path
) -> None:
    first, second = old.add("sensor-0001"), old.add("sensor-0001")
    ann, bob = old.plan(tmp_path, "ann"), old.plan(tmp_path, "bob")
    for plan, leaf in ((ann, first), (bob, second)):
        of_leaf = f"  dev/eu-central-1  sensor-0001  {leaf.certificate_id}"
        edit(plan, f"review{of_leaf}", f"adopt{of_leaf}")
    is_bobs_turn = True

    def meanwhile(call: Call, moment: Moment) -> None:
        nonlocal is_bobs_turn
        if call.operation == "DescribeCertificate" and moment == "after" and is_bobs_turn:
            is_bobs_turn = False
            assert old.apply(bob)["adopted"] == 1

    with strike(old.fleet, meanwhile):
        (failed,) = old.apply(ann, code=1)["failed"]
    assert failed["error"] == "thing name sensor-0001 belongs to another certificate in the registry"
    assert old.owner("sensor-0001") == second.certificate_id
    assert old.fleet.record(DEV, first).decision is None


def test_of_two_engineers_one_may_adopt_while_the_other_aligns(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    ann, bob = old.plan(tmp_path, "ann"), old.plan(tmp_path, "bob")
    edit(ann, "\nadopt  ", "\nalign  ")
    is_bobs_turn = True

    def meanwhile(call: Call, moment: Moment) -> None:
        nonlocal is_bobs_turn
        if call.operation == "AttachPolicy" and moment == "after" and is_bobs_turn:
            is_bobs_turn = False
            assert old.apply(bob)["already"] == 1
            edit(bob, "\nadopt  ", "\nalign  ")
            assert old.apply(bob)["aligned"] == 1

    with strike(old.fleet, meanwhile):
        assert old.apply(ann)["failed"] == []
    assert old.policies(leaf) == ["jitr-acme--factory"]


def _add_in_prod(old: OldFleet, names: list[str]) -> None:
    place, iot = old.fleet.place(PROD), old.fleet.iot(PROD)
    iot.create_policy(policyName="old", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    for name in names:
        leaf = old.fleet.issue(name)
        place.iot.certificates.register(
            leaf, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=old.jitp.certificate_id
        )
        arn = place.iot.certificates.arn(leaf.certificate_id)
        iot.create_thing(thingName=name)
        iot.attach_thing_principal(thingName=name, principal=arn)
        iot.attach_policy(policyName="old", target=arn)


@pytest.mark.parametrize("operation", ["DescribeCertificate", "ListThingGroupsForThing"])
def test_what_is_left_attached_is_told_once_though_an_error_ends_the_run(
    old: OldFleet, tmp_path: Path, operation: str
) -> None:
    names = [f"sensor-{number:04}" for number in range(3)]
    for name in names:
        old.add(name)
    plan, calls = old.plan(tmp_path), count(1)

    def deny(call: Call, _: Moment) -> None:
        if call.caller == "jitrctl" and call.operation == operation and next(calls) > LATE:
            raise ServiceError("AccessDeniedException", f"not authorized to perform: {operation}", status=400)

    with strike(old.fleet, deny):
        ended = old.apply(plan, code=1)
    assert operation in ended["ended_by"]
    assert not ended["ok"]
    assert ended["adopted"] + ended["not_begun"] == 3
    told = old.apply(plan)
    assert told["already"] == ended["adopted"] > 0
    assert sorted(one["thing_name"] for one in (*ended["left_attached"], *told["left_attached"])) == names
    with strike(old.fleet, deny):
        edit(plan, "\nadopt ", "\nalign ")
        said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes", code=1)
    assert operation in said


@pytest.mark.parametrize("verb", ["adopt", "align"])
def test_other_principals_of_a_thing_are_named_as_left_attached(old: OldFleet, tmp_path: Path, verb: str) -> None:
    first, second = old.add("sensor-0001"), old.add("sensor-0001")
    plan = old.plan(tmp_path)
    edit(
        plan,
        f"review  dev/eu-central-1  sensor-0001  {first.certificate_id}",
        f"{verb}  dev/eu-central-1  sensor-0001  {first.certificate_id}",
    )
    (left,) = old.apply(plan)["left_attached"]
    assert left["principals"] == [second.certificate_id]
    assert left["policies"] == (["old"] if verb == "adopt" else [])


def test_active_certificates_on_no_thing_are_in_the_plan_with_their_cure(old: OldFleet, tmp_path: Path) -> None:
    leaf, inactive = old.add("sensor-0001"), old.add("sensor-0002")
    for name, one in (("sensor-0001", leaf), ("sensor-0002", inactive)):
        old.iot.detach_thing_principal(thingName=name, principal=old.arn(one))
    old.iot.update_certificate(certificateId=inactive.certificate_id, newStatus="INACTIVE")
    old.fleet.aws.clock.advance(60)
    old.iot.delete_thing(thingName="sensor-0001")
    (without_principal, on_no_thing) = remarks(old.plan(tmp_path))
    assert "sensor-0002: it has no principal" in without_principal
    assert f"certificate {leaf.certificate_id} is ACTIVE and on no thing: make the thing" in on_no_thing
    old.iot.create_thing(thingName="sensor-0001")
    old.iot.attach_thing_principal(thingName="sensor-0001", principal=old.arn(leaf))
    assert old.apply(old.plan(tmp_path, "again"))["adopted"] == 1


def test_a_plan_of_hostile_text_is_refused_and_printed_harmless(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    plan = old.plan(tmp_path)
    whole = plan.read_text()
    plan.write_text(whole.replace("plan: 1 ", f"plan: {'1' * 5_000} "))
    assert "the end is missing" in old.fleet.say("fleet", "adopt", "apply", str(plan), "--yes", code=2)
    plan.write_text(whole.replace("\nadopt ", "\n\x1b]0;owned\x07\x1b[2J "))
    said = old.fleet.say("fleet", "adopt", "apply", str(plan), "--yes", code=2)
    assert "\x1b" not in said
    assert "is no verb" in said


def test_a_thing_with_very_many_principals_is_planned_and_read_again(tmp_path: Path) -> None:
    line = PlanLine(
        verb=PlanVerb.REVIEW,
        stage="dev/eu-central-1",
        thing_name="sensor-0001",
        certificate_id="0" * 64,
        principals=123_456,
        origin=CertificateOrigin.JITP,
    )
    write_plan(tmp_path / "a.plan", "acme", [line])
    assert read_plan(tmp_path / "a.plan", "acme", ["dev/eu-central-1"]) == (line,)


def test_of_very_many_orders_that_are_not_announced_the_first_are_told(old: OldFleet, tmp_path: Path) -> None:
    for number in range(23):
        old.add(f"sensor-{number:04}")
    plan = old.plan(tmp_path)
    with strike(old.fleet, fail_service("events")):
        told = old.apply(plan, code=1)
    assert told["adopted"] == 23
    assert len(told["warnings"]) == 21
    assert told["warnings"][-1] == "3 more orders have such a warning; the audit log has all orders"
