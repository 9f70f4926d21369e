"""`jitrctl fleet adopt plan | apply`: what is adopted, what waits, what is refused, and what never changes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitrctl.adoption.plan_file import read_plan, write_plan
from jitrctl.audit import log
from simulation.faults import Call, Moment
from tests.support.cli.old_fleet import OldFleet, old_fleet
from tests.support.cli.orders import announced_orders, strike
from tests.support.cli.simulated import DEV, PROD


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def lines(plan: Path) -> list[str]:
    return [" ".join(line.split()) for line in plan.read_text().splitlines() if line and not line.startswith("#")]


def edit(plan: Path, before: str, after: str) -> None:
    text = plan.read_text()
    assert re.search(before, text, re.MULTILINE)
    plan.write_text(re.sub(before, after, text, flags=re.MULTILINE))


def owner(old: OldFleet, thing: str) -> str | None:
    found = old.fleet.stage(DEV).registry.owner(thing)
    return found.certificate_id if found else None


def test_a_clear_case_is_adopted_and_nothing_of_it_changes(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    assert old.fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"
    plan, before = old.plan(tmp_path), old.facts()
    assert re.search(r"^# planned 20[0-9-]{8} [0-9:]{5}Z from .*dev.survey$", plan.read_text(), re.MULTILINE)
    assert lines(plan)[0].startswith(f"adopt dev/eu-central-1 sensor-0001 {leaf.certificate_id} 1 JITP # CA factory")
    told = old.apply(plan)
    assert (told["adopted"], told["failed"]) == (1, [])
    assert told["left_attached"] == [
        {"thing_name": "sensor-0001", "policies": ["old"], "of_groups": [], "principals": []}
    ]
    assert owner(old, "sensor-0001") == leaf.certificate_id
    assert old.facts() == before
    assert old.fleet.place(DEV).iot.connections.connected_as("sensor-0001") == leaf.certificate_id
    assert old.fleet.record(DEV, leaf).origin == "JITP"
    shown = old.fleet.ask("device", "show", "sensor-0001", "--account", DEV)[DEV]["certificates"]
    assert [one["origin"] for one in shown] == ["JITP"]
    assert "before jitr it was registered by: JITP" in old.fleet.say("device", "show", "sensor-0001", "--account", DEV)
    (order,) = announced_orders(old.fleet)
    assert order["steps"] == ["take thing sensor-0001 into the registry (origin JITP)"]
    assert log.read_last(old.fleet.stage(DEV), leaf.certificate_id) is not None


def test_a_second_run_has_nothing_to_do_and_calls_nothing(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    plan = old.plan(tmp_path)
    old.apply(plan)
    calls = len(old.fleet.aws.list_operations(caller="jitrctl", service="iot"))
    told = old.apply(plan)
    assert (told["adopted"], told["already"]) == (0, 1)
    assert len(old.fleet.aws.list_operations(caller="jitrctl", service="iot")) == calls
    assert lines(old.plan(tmp_path, "again")) == []


def test_what_is_not_clear_waits_for_a_decision(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    second = old.add("sensor-0001")
    of_aws = old.add("thing-0004", ca=old.aws)
    plan = old.plan(tmp_path)
    assert [line.split()[0] for line in lines(plan)] == ["review"] * 3
    assert old.apply(plan)["for_review"] == 3
    assert (owner(old, "sensor-0001"), owner(old, "thing-0004")) == (None, None)
    edit(plan, rf"^review(  \S+  sensor-0001  {second.certificate_id})", r"adopt\1")
    edit(plan, r"^review(  \S+  thing-0004)", r"adopt\1")
    assert old.apply(plan)["adopted"] == 2
    assert owner(old, "sensor-0001") == second.certificate_id
    assert owner(old, "thing-0004") == of_aws.certificate_id


def test_what_cannot_be_adopted_is_in_the_plan_with_reason_and_cure(old: OldFleet, tmp_path: Path) -> None:
    inactive = old.add("sensor-0001")
    old.iot.update_certificate(certificateId=inactive.certificate_id, newStatus="INACTIVE")
    both = old.add("sensor-0002")
    old.iot.create_thing(thingName="sensor-0003")
    old.iot.attach_thing_principal(thingName="sensor-0003", principal=old.arn(both))
    old.iot.create_thing(thingName="sensor-0004")
    plan = old.plan(tmp_path)
    remarks = [line for line in plan.read_text().splitlines() if line.startswith("# cannot")]
    assert len(remarks) == 4
    assert "is INACTIVE; detach it, or set it ACTIVE" in remarks[0]
    assert "on 2 things; detach it from all but one" in remarks[1]
    assert "it has no principal" in remarks[3]
    assert lines(plan) == []


def test_what_changed_since_the_survey_is_refused_and_the_rest_adopted(old: OldFleet, tmp_path: Path) -> None:
    gone, joined, stopped = old.add("sensor-0001"), old.add("sensor-0002"), old.add("sensor-0003")
    ended = old.add("sensor-0004", days=1.5)
    last = old.add("sensor-0005")
    plan, iot = old.plan(tmp_path), old.iot
    iot.detach_policy(policyName="old", target=old.arn(gone))
    iot.detach_thing_principal(thingName="sensor-0001", principal=old.arn(gone))
    old.fleet.aws.clock.advance(60)
    iot.update_certificate(certificateId=gone.certificate_id, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=gone.certificate_id)
    iot.attach_thing_principal(thingName="sensor-0002", principal=old.arn(old.add("other-0001")))
    iot.update_certificate(certificateId=stopped.certificate_id, newStatus="REVOKED")
    old.fleet.aws.clock.advance(86_400)
    told = old.apply(plan, code=1)
    assert [(one["thing_name"], one["error"]) for one in told["failed"]] == [
        ("sensor-0001", f"thing sensor-0001 has changed since the survey: it has 0 principals, and the plan names certificate {gone.certificate_id} of 1; survey again"),  # noqa: E501
        ("sensor-0002", f"thing sensor-0002 has changed since the survey: it has 2 principals, and the plan names certificate {joined.certificate_id} of 1; survey again"),  # noqa: E501
        ("sensor-0003", "the certificate is REVOKED now: survey again"),
        ("sensor-0004", told["failed"][3]["error"]),
    ]  # fmt: skip
    assert "so no device connects with it" in told["failed"][3]["error"]
    assert ended.certificate_id != last.certificate_id
    assert owner(old, "sensor-0005") == last.certificate_id
    assert told["adopted"] == 1


def test_align_gives_what_the_rules_give_and_a_policy_at_every_moment(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    plan, seen = old.plan(tmp_path), []
    edit(plan, "^adopt ", "align ")
    policies = old.fleet.place(DEV).iot.policies

    def watch(_call: Call, _: Moment) -> None:
        seen.append([one.name for one in policies.of_target(old.arn(leaf))])

    with strike(old.fleet, watch):
        assert old.apply(plan)["aligned"] == 1
    assert all(seen)
    assert [one.name for one in policies.of_target(old.arn(leaf))] == ["jitr-acme--factory"]
    thing = old.iot.describe_thing(thingName="sensor-0001")
    assert (thing["thingTypeName"], old.fleet.status(DEV, leaf)) == ("sensor", "ACTIVE")
    again = old.apply(plan)
    assert (again["already"], again["aligned"]) == (1, 0)


def test_two_engineers_at_once_adopt_each_thing_once(old: OldFleet, tmp_path: Path) -> None:
    leaf = old.add("sensor-0001")
    plan = old.plan(tmp_path)
    other = False

    def meanwhile(call: Call, moment: Moment) -> None:
        nonlocal other
        if call.operation == "DescribeCertificate" and moment == "after" and not other:
            other = True
            assert old.apply(plan)["adopted"] == 1

    with strike(old.fleet, meanwhile):
        assert old.apply(plan)["failed"] == []
    assert other
    assert owner(old, "sensor-0001") == leaf.certificate_id
    assert old.apply(plan)["already"] == 1


def test_every_problem_of_a_plan_is_told_with_its_line_and_nothing_is_done(old: OldFleet, tmp_path: Path) -> None:
    one, two = old.add("sensor-0001"), old.add("sensor-0002")
    plan = old.plan(tmp_path)
    lines = plan.read_text().splitlines()
    for line in (
        "adpot  dev/eu-central-1  a  " + "0" * 64 + "  1  JITP",
        "adopt  dev/eu-west-1  a  " + "0" * 64 + "  1  JITP",
        "adopt  dev/eu-central-1  a+b  " + "0" * 64 + "  1  JITP",
        "adopt  dev/eu-central-1  a  " + "0" * 63 + "  1  JITP",
        "adopt  dev/eu-central-1  a  " + "0" * 64 + "  one  JITP",
        "adopt  dev/eu-central-1  a",
        "adopt  dev/eu-central-1  a  " + "0" * 64 + "  1  MAGIC",
        f"adopt  dev/eu-central-1  sensor-0001  {two.certificate_id}  2  JITP",
    ):
        lines.insert(-1, line)
    plan.write_text("\n".join(lines))
    told = old.fleet.say("fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes", code=2)
    numbers = [int(found) for found in re.findall(r"line (\d+): ", told)]
    assert numbers == [*range(11, 19), 18, 19]
    assert "sensor-0001 is in line 9 already" in told
    assert owner(old, "sensor-0001") is None
    assert "line 19: by its end the plan has 2, by its lines 10" in told
    assert one.certificate_id in old.facts()
    plan.write_text("something else\n")
    assert "it is no plan" in old.fleet.say("fleet", "adopt", "apply", str(plan), "--yes", code=2)


@pytest.mark.parametrize("separator", ["\v", "\f", "\x85", "\u2028"])
def test_no_remark_becomes_a_line_that_is_carried_out(tmp_path: Path, separator: str) -> None:
    plan, line = tmp_path / "a.plan", f"adopt  dev/eu-central-1  pump  {'1' * 64}  1  JITP"
    write_plan(plan, "acme", [f"cannot: {separator}{line}", f"cannot: \n{line}"])
    assert read_plan(plan, "acme", ["dev/eu-central-1"]) == ()
    plan.write_text(f"\ufeff{plan.read_text()}# pasted{separator}{line}\n")
    assert read_plan(plan, "acme", ["dev/eu-central-1"]) == ()


def test_a_plan_that_was_not_written_to_its_end_is_not_left(tmp_path: Path) -> None:
    def some_lines() -> Iterator[str]:
        yield "cannot: sensor-0001"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_plan(tmp_path / "a.plan", "acme", some_lines())
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_never_overwritten_and_needs_a_finished_survey(old: OldFleet, tmp_path: Path) -> None:
    plan = old.plan(tmp_path)
    survey = str(tmp_path / "dev.survey")
    words = ("fleet", "adopt", "plan", str(plan), "--survey", survey)
    assert "exists" in old.fleet.say(*words, "--account", DEV, code=2)
    assert "no finished survey of prod" in old.fleet.say(*words, "--account", PROD, code=2)


def test_an_adopted_device_follows_with_a_new_certificate_and_is_revoked(old: OldFleet, tmp_path: Path) -> None:
    first = old.add("sensor-0001", days=20)
    old.apply(old.plan(tmp_path))
    old.fleet.place(DEV).iot.cas.by_id[old.jitp.certificate_id].template = None
    old.fleet.aws.clock.advance(3600)
    second = old.fleet.issue("sensor-0001", begins=0.01)
    assert old.fleet.knock(DEV, second, "sensor-0001") == "accepted"
    assert owner(old, "sensor-0001") == second.certificate_id
    old.fleet.say("device", "revoke", first.certificate_id, "--account", DEV, "--yes")
    assert old.fleet.status(DEV, first) == "REVOKED"
