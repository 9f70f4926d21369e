"""A CA's successor beside it in every account, and the old CA's end, refused while anybody depends on it."""

from pathlib import Path
from typing import Any

import pytest

from jitr_fleet.parse import load
from jitrctl.ca import device_count, early_rotation, rotation
from jitrctl.commands.ca.status import count_document, counted_when
from jitrctl.errors import Refused
from jitrctl.session.stage import Stage
from simulation import Authority
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

ON, OFF = ("ACTIVE", "ENABLE"), ("INACTIVE", "DISABLE")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


def described(fleet: Simulated, place: str, ca: Authority) -> tuple[str, str] | None:
    iot = fleet.iot(place)
    try:
        one = iot.describe_ca_certificate(certificateId=ca.certificate_id)["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return None
    return one["status"], one["autoRegistrationStatus"]


def test_a_successor_is_registered_beside_the_old_ca_and_who_is_still_on_the_old_one_is_counted(
    fleet: Simulated,
) -> None:
    fleet.knock(DEV, fleet.issue("sensor-0001"), "sensor-0001")
    fleet.place(DEV).connect(fleet.issue("sensor-0002"), client_id="sensor-0002")
    fleet.write(successor_in=(DEV,))
    assert "dev/eu-central-1 factory-2, beside factory: register it" in fleet.say("ca", "rotate", code=2)
    assert described(fleet, DEV, fleet.new) is None

    said = fleet.ask("ca", "rotate", "--count", "--yes", code=1)  # prod is not given the successor

    (dev,), (prod,) = said[DEV]["successions"], said[PROD]["successions"]
    assert (dev["steps"], dev["obstacles"]) == (["register it, with auto-registration"], [])
    assert dev["on_the_old"] == {
        "counted_at": "now",
        "counts": {"ACTIVE": 1, "PENDING_ACTIVATION": 1},
        "unlisted": 0,
    }
    assert "add ca.factory-2 to [account.prod]" in prod["obstacles"][0]
    assert described(fleet, DEV, fleet.new) == described(fleet, DEV, fleet.old) == ON
    assert described(fleet, PROD, fleet.new) is None
    assert fleet.ask("ca", "rotate", "--account", "dev", "--yes")[DEV]["successions"][0]["steps"] == []


def test_a_device_moves_from_the_old_ca_to_its_successor_and_the_old_one_is_retired_when_it_has(
    fleet: Simulated,
) -> None:
    first = fleet.issue("sensor-0001", begins=-330)
    assert fleet.knock(DEV, first, "sensor-0001") == "accepted"
    fleet.say("ca", "rotate", "--yes")
    second = fleet.issue("sensor-0001", ca=fleet.new)
    assert fleet.knock(DEV, second, "sensor-0001") == "accepted"

    said = fleet.say("ca", "retire", "factory", "--yes", code=1)
    assert f"sensor-0001 ({first.certificate_id} ACTIVE, followed by {second.certificate_id})" in said

    fleet.sweep(DEV, after=8 * 86_400)
    fleet.say("ca", "retire", "factory", "--yes")
    assert [described(fleet, place, fleet.old) for place in (DEV, PROD)] == [OFF, OFF]
    assert fleet.place(DEV).connect(second, client_id="sensor-0001") == "accepted"


def test_a_fleet_without_a_successor_is_told_how_to_say_so(fleet: Simulated) -> None:
    assert 'with succeeds = "factory-2"' in fleet.say("ca", "rotate", "--ca", "factory-2", code=2)
    assert "did you mean factory?" in fleet.say("ca", "rotate", "--ca", "factori", code=2)


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_a_live_device_anywhere_keeps_a_ca_everywhere(fleet: Simulated, words: tuple[str, ...]) -> None:
    fleet.write(RULES + 'enrollment = "listed"\n')
    active = fleet.issue("sensor-0001")
    fleet.knock(PROD, active, "sensor-0001")
    fleet.deploy()
    held = fleet.issue("sensor-0002")
    assert fleet.knock(PROD, held, "sensor-0002") == "refused"

    said = fleet.say("ca", "retire", "factory", *words, "--yes", code=1)

    assert "prod/eu-central-1: 2 live devices depend on factory" in said
    assert f"sensor-0001 ({active.certificate_id} ACTIVE)" in said
    assert f"sensor-0002 ({held.certificate_id} PENDING_ACTIVATION)" in said
    assert [described(fleet, place, fleet.old) for place in (DEV, PROD)] == [ON, ON]
    documents = fleet.ask("ca", "retire", "factory", "--yes", code=1)
    assert {one["certificate_id"] for one in documents[PROD]["dependents"]} == {
        active.certificate_id,
        held.certificate_id,
    }


def test_a_ca_is_retired_by_hand_where_its_stack_has_let_go_of_it(fleet: Simulated) -> None:
    fleet.write(RULES + 'registered_by = "stack"\n')
    fleet.deploy()
    said = fleet.say("ca", "retire", "factory", "--account", "dev", "--yes", code=1)
    assert 'the stack registers it: say registered_by = "jitrctl" in this account, deploy' in said
    fleet.write(RULES)

    fleet.say("ca", "retire", "factory", "--account", "dev", "--yes")

    assert [described(fleet, place, fleet.old) for place in (DEV, PROD)] == [OFF, ON]


def test_who_depends_on_a_ca_that_the_stack_registers_is_told_before_how_the_stack_lets_go_of_it(
    fleet: Simulated,
) -> None:
    fleet.write(RULES + 'registered_by = "stack"\n')
    fleet.deploy()
    fleet.knock(DEV, fleet.issue("sensor-0001"), "sensor-0001")
    said = fleet.say("ca", "retire", "factory", "--account", "dev", "--yes", code=1)
    assert "1 live device depends on factory: sensor-0001" in said
    assert "the stack registers it" not in said


def test_a_ca_on_which_nobody_depends_is_retired_and_again_changes_nothing(fleet: Simulated) -> None:
    fleet.write(RULES + 'on_reject = "leave"\n')
    fleet.deploy()
    left = fleet.issue("toaster")
    fleet.knock(DEV, left, "toaster")
    assert fleet.status(DEV, left) == "PENDING_ACTIVATION"
    assert "disable auto-registration; set it INACTIVE" in fleet.say("ca", "retire", "factory", code=2)
    assert described(fleet, DEV, fleet.old) == ON

    assert "keep [ca.factory] itself, since another CA succeeds it" in fleet.say("ca", "retire", "factory", "--yes")

    assert [described(fleet, place, fleet.old) for place in (DEV, PROD)] == [OFF, OFF]
    assert {tuple(one["steps"]) for one in fleet.ask("ca", "retire", "factory", "--yes").values()} == {()}
    again = fleet.ask("ca", "retire", "factory", "--delete", "--yes")
    assert {tuple(one["steps"]) for one in again.values()} == {("delete it",)}
    assert described(fleet, DEV, fleet.old) is None
    assert "not registered" in fleet.say("ca", "retire", "factory", "--delete", "--yes")


def test_a_device_that_comes_between_the_look_and_the_end_keeps_the_ca(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rotation.retire

    def retire(stage: Stage, one: Any, *, delete: bool) -> None:
        if stage.account.name == DEV:
            fleet.place(DEV).connect(fleet.issue("sensor-0001"), client_id="sensor-0001")
        real(stage, one, delete=delete)

    monkeypatch.setattr("jitrctl.commands.ca.rotate.retire", retire)
    said = fleet.say("ca", "retire", "factory", "--delete", "--yes", code=1)
    assert "dev/eu-central-1: a device has come meanwhile" in said
    assert described(fleet, DEV, fleet.old) == ON
    assert described(fleet, PROD, fleet.old) is None


def test_a_ca_is_not_retired_while_an_account_cannot_be_asked_who_depends_on_it(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rotation.inspect_retirement

    def look(stage: Stage, one: Any) -> Any:
        if stage.account.name == PROD:
            raise Refused("it is dark there")
        return real(stage, one)

    monkeypatch.setattr("jitrctl.commands.ca.rotate.inspect_retirement", look)
    said = fleet.say("ca", "retire", "factory", "--yes", code=1)
    assert "prod/eu-central-1 cannot be asked who depends on factory (it is dark there): nothing was changed" in said
    assert described(fleet, DEV, fleet.old) == ON


def test_a_retired_ca_may_be_in_no_account_as_long_as_another_succeeds_it(fleet: Simulated) -> None:
    text = fleet.file.read_text().replace('ca.factory = { mode = "SNI_ONLY" }\n', "")
    fleet.file.write_text(text)
    cas = load(fleet.file).cas
    assert [ca.succeeds for ca in cas] == [None, cas[0].certificate_id]


@pytest.mark.parametrize("comes_up", [True, False], ids=["recorded", "of which nothing is recorded"])
def test_a_device_that_aws_lists_under_no_ca_keeps_its_ca(fleet: Simulated, *, comes_up: bool) -> None:
    fleet.aws.undocumented.hide_sni_only_cas()
    device = fleet.issue("sensor-0001")
    if comes_up:
        assert fleet.knock(DEV, device, "sensor-0001") == "accepted"
    else:
        fleet.place(DEV).connect(device, client_id="sensor-0001")
    assert "1 live device depends on factory" in fleet.say("ca", "retire", "factory", "--yes", code=1)
    assert described(fleet, DEV, fleet.old) == ON


def test_live_certificates_of_which_nothing_says_whose_they_are_are_told(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_MOST_DESCRIBED", 1)
    fleet.aws.undocumented.hide_sni_only_cas()
    stranger = Authority.new("Stranger CA")
    for number in range(3):
        fleet.place(DEV).iot.certificates.register(stranger.issue(f"x-{number}"), status="ACTIVE", mode="SNI_ONLY")
    assert rotation.dependents(fleet.stage(DEV), load(fleet.file).cas[0]).unknown == 2


def test_what_aws_lists_under_no_ca_is_counted_from_the_records(fleet: Simulated) -> None:
    fleet.aws.undocumented.hide_sni_only_cas()
    assert fleet.knock(DEV, fleet.issue("sensor-0001"), "sensor-0001") == "accepted"
    assert device_count.read_last_count(fleet.stage(DEV), fleet.old.certificate_id) is None
    fleet.sweep(DEV)
    for count in (device_count.read_last_count, device_count.count_now):
        counted = count(fleet.stage(DEV), fleet.old.certificate_id)
        assert counted
        assert (dict(counted.by_status), counted.live, counted.unlisted) == ({"ACTIVE": 1}, 1, 1)
        assert "AWS IoT lists 1 of them under no CA" in counted_when([count_document(counted)])
    of_new = device_count.read_last_count(fleet.stage(DEV), fleet.new.certificate_id)
    assert of_new
    assert (dict(of_new.by_status), of_new.unlisted) == ({}, 0)


def test_devices_with_most_of_their_life_left_are_warned_of_in_the_plan(fleet: Simulated) -> None:
    near_its_end = fleet.issue("sensor-0001", begins=-330)
    assert fleet.knock(DEV, near_its_end, "sensor-0001") == "accepted"
    for name in ("sensor-0002", "sensor-0003"):
        assert fleet.knock(DEV, fleet.issue(name, begins=-10, days=300), name) == "accepted"

    plan = fleet.say("ca", "rotate", "--account", DEV, code=2)

    assert "dev/eu-central-1: 2 of 3 devices on factory will be held" in plan
    assert "NOT_A_ROTATION" in plan
    assert "rotation_window of [ca.factory-2], 60 days, and up to 290 days" in plan
    assert 'rotation_window = "290d" under [ca.factory-2]' in plan
    (one,) = fleet.ask("ca", "rotate", "--count", "--yes")[DEV]["successions"]
    assert (one["early"]["looked_at"], one["early"]["refused"], one["early"]["complete"]) == (3, 2, True)

    fleet.write(RULES + 'rotation_window = "290d"\n')
    fleet.deploy()
    assert "will be held" not in fleet.say("ca", "rotate", "--account", DEV)
    assert fleet.knock(DEV, fleet.issue("sensor-0002", ca=fleet.new), "sensor-0002") == "accepted"


def test_of_many_devices_so_many_are_looked_at_and_all_with_count(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_rotation, "MOST", 1)
    for name in ("sensor-0001", "sensor-0002", "sensor-0003"):
        assert fleet.knock(DEV, fleet.issue(name), name) == "accepted"

    assert "1 of 1 devices looked at (--count: all) on factory" in fleet.say("ca", "rotate", code=2)
    assert "3 of 3 devices on factory" in fleet.say("ca", "rotate", "--count", code=2)


def test_a_successor_that_rejects_replacements_is_warned_of_for_every_device(fleet: Simulated) -> None:
    assert fleet.knock(DEV, fleet.issue("sensor-0001", begins=-330), "sensor-0001") == "accepted"
    fleet.write(RULES + 'on_replacement = "reject"\n')
    fleet.deploy()

    assert "1 of 1 devices on factory will be refused" in fleet.say("ca", "rotate", "--account", DEV, code=2)
