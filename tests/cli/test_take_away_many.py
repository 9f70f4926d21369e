"""`jitrctl device revoke | deactivate` on many devices: counted, written, and carried out by the functions."""

import json
from pathlib import Path
from typing import Any

import pytest

from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction
from jitrctl.commands.device.selection import describe_left_out
from jitrctl.device import bulk_take_away
from jitrctl.device.many_targets import FoundHere
from simulation import Fault, Leaf
from tests.support.cli.simulated import DAY, DEV, NOW, PROD, REGION, Simulated, simulated


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(bulk_take_away, "now", fleet.aws.clock.now)
    return fleet


def join(fleet: Simulated, place: str, *names: str, **issued: Any) -> list[Leaf]:
    leaves = [fleet.issue(name, **issued) for name in names]
    for leaf, name in zip(leaves, names, strict=True):
        assert fleet.knock(place, leaf, name) == "accepted"
    return leaves


def write(fleet: Simulated, *lines: str) -> str:
    path = fleet.directory / "stolen.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def sweep_all(fleet: Simulated) -> None:
    for place in (DEV, PROD):
        fleet.sweep(place)


def statuses(fleet: Simulated, place: str, leaves: list[Leaf]) -> list[str | None]:
    return [fleet.status(place, leaf) for leaf in leaves]


def serial_of(fleet: Simulated, leaf: Leaf) -> str:
    decision = fleet.record(DEV, leaf).decision
    assert decision is not None
    return str(decision.serial)


def test_a_file_of_mixed_lines_is_carried_out_in_every_account(fleet: Simulated) -> None:
    leaves = join(fleet, DEV, *(f"sensor-{number:04}" for number in range(1, 6)))
    (good,) = join(fleet, DEV, "sensor-0009")
    digest = leaves[1].certificate_id
    file = write(
        fleet,
        "# stolen on Monday",
        "",
        leaves[0].certificate_id,
        ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper(),
        f"0x{serial_of(fleet, leaves[2])}",
        leaves[3].pem.strip(),
        "sensor-0005",
        leaves[0].certificate_id,
    )
    told = fleet.ask("device", "revoke", "--from", file, "--note", "stolen", "--yes")
    assert (told[DEV]["planned"], told[DEV]["active"], told[DEV]["ordered"]) == (5, 5, 5)
    assert (told[PROD]["planned"], told[PROD]["unrecorded"], told[PROD]["ordered"]) == (5, 5, 5)
    assert fleet.place(DEV).functions.asked == [fleet.stage(DEV).names.sweep_function]  # once: all are ACTIVE
    sweep_all(fleet)
    assert statuses(fleet, DEV, leaves) == ["REVOKED"] * 5
    assert fleet.status(DEV, good) == "ACTIVE"
    fleet.knock(PROD, leaves[0], "sensor-0001")
    assert fleet.status(PROD, leaves[0]) == "INACTIVE"
    verdict = fleet.verdict(PROD, leaves[1])
    assert verdict is not None
    assert (verdict.action, verdict.note) == (OperatorAction.REVOKED, "stolen")


def test_each_wrong_line_is_named_and_nothing_is_done_until_that_is_wanted(fleet: Simulated) -> None:
    (leaf,) = join(fleet, DEV, "sensor-0001")
    file = write(
        fleet,
        leaf.certificate_id,
        "what is this?",
        "sensor-7777",
        "0x77",
        "-----BEGIN CERTIFICATE-----",
        "bm90IG9uZQ==",
        "-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----",
        "c2VjcmV0IGtleSBtYXRlcmlhbA==",
        "-----END PRIVATE KEY-----",
    )
    said = fleet.say("device", "revoke", "--from", file, "--yes", code=1)
    for line in (2, 3, 4, 5, 8):
        assert f"line {line} (" in said
    assert "line 1 (" not in said
    assert "c2VjcmV0" not in said
    assert "nothing was done: 5 lines name no device" in said
    assert fleet.verdict(DEV, leaf) is None
    document = json.loads("".join(fleet.lines("device", "revoke", "--from", file, "--yes", "--json", code=1)))
    assert [line.partition(" (")[0] for line in document["warnings"]] == [f"line {line}" for line in (2, 3, 4, 5, 8)]
    told = fleet.ask("device", "revoke", "--from", file, "--despite-problems", "--yes", code=1)
    assert told[DEV]["ordered"] == 1


def test_five_hundred_mixed_lines_with_errors(fleet: Simulated) -> None:
    known = join(fleet, DEV, *(f"sensor-{number:04}" for number in range(1, 11)))
    lines = [leaf.certificate_id if number % 2 else f"sensor-{number + 1:04}" for number, leaf in enumerate(known)]
    lines += [f"{number:064x}" for number in range(1, 441)]  # in no account: denials
    lines += [f"sensor-{number}" for number in range(8001, 8051)]  # no account knows them
    said = fleet.say("device", "revoke", "--from", write(fleet, *lines), "--dry-run", code=1)
    assert "line 451 (sensor-8001): no account knows a certificate of it" in said
    assert "line 500 (sensor-8050)" in said
    assert "450 to do: 10 ACTIVE, 440 not known here, denied" in said


def test_the_plan_says_what_was_chosen_and_in_which_forms(fleet: Simulated) -> None:
    leaves = join(fleet, DEV, *(f"sensor-{number:04}" for number in range(1, 5)))
    here = fleet.directory / "device.pem"
    here.write_text(leaves[0].pem)
    serial = f"0x{serial_of(fleet, leaves[1])}"
    file = write(
        fleet, str(here), serial, leaves[2].certificate_id, leaves[3].pem.strip(), "sensor-0001", "sensor-8001"
    )
    told = fleet.say("device", "revoke", "--from", file, "--despite-problems", code=2)
    assert f"{file}, 6 lines: 1 id, 1 serial number, 2 names, 1 file, 1 PEM block, 1 that names no device" in told
    assert "4 certificates are revoked, each in every account: dev/" in told
    told = fleet.say("device", "revoke", "--ca", "factory", "--dry-run")
    assert "CA factory, all devices 4 certificates are revoked" in told
    told = fleet.say("device", "revoke", "--ca", "factory", "--issued-between", "2026-11-01", "2026-11-08", "--dry-run")
    assert "CA factory, devices whose certificates begin between 2026-11-01 00:00:00Z and 2026-11-08 23:59:59Z" in told


@pytest.mark.parametrize("form", ["PEM", "file", "id"])
def test_a_ca_in_a_file_is_refused_and_the_order_on_a_ca_is_named(fleet: Simulated, form: str) -> None:
    (leaf,) = join(fleet, DEV, "sensor-0001")
    line = {"PEM": fleet.old.pem.strip(), "file": str(fleet.directory / "factory.pem"), "id": fleet.old.certificate_id}
    said = fleet.say("device", "revoke", "--from", write(fleet, leaf.certificate_id, line[form]), "--yes", code=1)
    assert "line 2 (" in said
    assert "`jitrctl ca revoke" in said
    assert fleet.verdict(DEV, leaf) is None


def test_devices_that_were_deactivated_are_found_to_be_revoked(fleet: Simulated) -> None:
    leaves = join(fleet, DEV, "sensor-0001", "sensor-0002")
    fleet.ask("device", "deactivate", "--ca", "factory", "--yes")
    sweep_all(fleet)
    assert statuses(fleet, DEV, leaves) == ["INACTIVE"] * 2
    assert fleet.ask("device", "deactivate", "--ca", "factory", "--yes")[DEV]["planned"] == 0
    told = fleet.ask("device", "revoke", "--ca", "factory", "--yes")
    assert (told[DEV]["planned"], told[DEV]["other"]) == (2, 2)
    sweep_all(fleet)
    assert statuses(fleet, DEV, leaves) == ["REVOKED"] * 2


def test_active_devices_are_written_first_and_taken_away_first(fleet: Simulated) -> None:
    (leaf,) = join(fleet, DEV, "sensor-0001")
    pending = fleet.issue("sensor-0002")
    fleet.place(DEV).connect(pending, client_id="sensor-0002")
    unknown = [f"{number:064x}" for number in range(60)]
    file = write(fleet, *unknown, pending.certificate_id, leaf.certificate_id)
    fleet.aws.calls.clear()
    fleet.ask("device", "revoke", "--from", file, "--account", DEV, "--yes")
    made = [one.operation for one in fleet.aws.calls if one.operation in ("TransactWriteItems", "Invoke")]
    assert made == ["TransactWriteItems", "Invoke", *["TransactWriteItems"] * 61, "Invoke"]
    due = fleet.stage(DEV).registry.list_due(Due.TAKE_AWAY, fleet.aws.clock.now(), most=100)
    assert due[0] == leaf.certificate_id
    fleet.deployments[DEV].sweep()
    fleet.deployments[DEV].mapping().drain(within=3)
    assert fleet.status(DEV, leaf) == "REVOKED"


def test_a_name_that_means_two_certificates_is_not_guessed(fleet: Simulated) -> None:
    (old,) = join(fleet, DEV, "sensor-0001", begins=-330)
    fleet.aws.clock.advance(3600)
    (new,) = join(fleet, DEV, "sensor-0001", begins=0.01)
    said = fleet.say("device", "revoke", "--from", write(fleet, "sensor-0001"), "--yes", code=1)
    assert "means 2 certificates, say which" in said
    assert old.certificate_id in said
    assert new.certificate_id in said


def test_the_same_command_again_does_the_rest_and_nothing_twice(fleet: Simulated) -> None:
    leaves = join(fleet, DEV, "sensor-0001", "sensor-0002")
    file = write(fleet, *(leaf.certificate_id for leaf in leaves))
    fleet.ask("device", "deactivate", "--from", file, "--account", DEV, "--yes")
    again = fleet.ask("device", "deactivate", "--from", file, "--account", DEV, "--yes")[DEV]
    assert (again["planned"], again["waiting"], again["done"]) == (0, 2, 0)
    fleet.sweep(DEV)
    again = fleet.ask("device", "deactivate", "--from", file, "--account", DEV, "--yes")[DEV]
    assert (again["planned"], again["waiting"], again["done"]) == (0, 0, 2)
    assert statuses(fleet, DEV, leaves) == ["INACTIVE"] * 2
    stronger = fleet.ask("device", "revoke", "--from", file, "--account", DEV, "--yes")[DEV]
    assert stronger["ordered"] == 2
    fleet.sweep(DEV)
    assert statuses(fleet, DEV, leaves) == ["REVOKED"] * 2
    weaker = fleet.ask("device", "deactivate", "--from", file, "--account", DEV, "--yes")[DEV]
    assert (weaker["planned"], weaker["done"]) == (0, 2)


def test_an_account_that_cannot_be_reached_is_named_and_done_by_the_same_command_later(fleet: Simulated) -> None:
    (leaf,) = join(fleet, DEV, "sensor-0001")
    file = write(fleet, leaf.certificate_id)
    prod = fleet.place(PROD).id
    fleet.aws.fault = lambda call, _: Fault.SERVER_ERROR if call.account_id == prod else None
    said = fleet.say("device", "revoke", "--from", file, "--yes", code=1)
    assert f"{PROD}/{REGION}" in said
    fleet.aws.fault = None
    assert fleet.verdict(PROD, leaf) is None
    told = fleet.ask("device", "revoke", "--from", file, "--yes")
    assert (told[DEV]["waiting"], told[PROD]["ordered"]) == (1, 1)


def test_all_devices_of_a_ca_are_taken_away_and_those_of_its_successor_stay(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--yes")
    old = join(fleet, DEV, "sensor-0001", "sensor-0002") + join(fleet, PROD, "sensor-0003")
    (new,) = join(fleet, DEV, "sensor-0004", ca=fleet.new)
    pending = fleet.issue("sensor-0005")
    fleet.place(DEV).connect(pending, client_id="sensor-0005")
    told = fleet.ask("device", "revoke", "--ca", "factory", "--dry-run")
    assert (told[DEV]["planned"], told[DEV]["active"], told[DEV]["dry_run"]) == (4, 2, True)
    assert fleet.verdict(DEV, old[0]) is None
    fleet.ask("device", "revoke", "--ca", "factory", "--yes")
    sweep_all(fleet)
    assert statuses(fleet, DEV, [*old[:2], pending]) == ["REVOKED"] * 3
    assert (fleet.status(PROD, old[2]), fleet.status(DEV, new)) == ("REVOKED", "ACTIVE")


def test_only_those_issued_between_two_times_are_taken_away(fleet: Simulated) -> None:
    (before,) = join(fleet, DEV, "sensor-0001", begins=-20)
    (between,) = join(fleet, DEV, "sensor-0002", begins=-10)
    (after,) = join(fleet, DEV, "sensor-0003", begins=-2)
    first, last = (f"{NOW - days * DAY:%Y-%m-%dT%H:%M:%S}" for days in (15, 5))
    told = fleet.ask("device", "revoke", "--ca", "factory", "--issued-between", first, last, "--yes")
    assert told[DEV]["ordered"] == told[PROD]["unrecorded"] == 1
    sweep_all(fleet)
    assert statuses(fleet, DEV, [before, between, after]) == ["ACTIVE", "REVOKED", "ACTIVE"]


def test_a_thing_group_is_taken_away_with_the_groups_below_it(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = join(fleet, DEV, "sensor-0001", "sensor-0002")
    place = fleet.place(DEV)
    monkeypatch.setattr(
        type(place.iot.things),
        "list_things_in_thing_group",
        lambda _, params: {"things": ["sensor-0001"]} if params["recursive"] else {"things": []},
        raising=False,
    )
    said = fleet.say("device", "deactivate", "--thing-group", "batch-7", "--dry-run")
    assert "Thing group batch-7 and those below it, as all accounts have them; devices of any CA" in said
    told = fleet.ask("device", "deactivate", "--thing-group", "batch-7", "--yes")
    assert told[DEV]["ordered"] == 1
    sweep_all(fleet)
    assert statuses(fleet, DEV, [inside, outside]) == ["INACTIVE", "ACTIVE"]


def test_an_order_is_not_written_over_a_verdict_that_came_after_the_plan(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    (leaf,) = join(fleet, DEV, "sensor-0001")
    file, plan = write(fleet, leaf.certificate_id), bulk_take_away.plan_take_away

    def slowly(stage: Any, ids: Any, action: Any) -> Any:
        planned = plan(stage, ids, action)
        if stage.account.name == DEV:
            fleet.say("device", "deactivate", leaf.certificate_id, "--account", DEV, "--yes")
        return planned

    monkeypatch.setattr("jitrctl.commands.device.take_away_many.plan_take_away", slowly)
    told = fleet.ask("device", "revoke", "--from", file, "--account", DEV, "--yes", code=1)[DEV]
    assert (told["ordered"], told["overtaken"]) == (0, 1)


def test_the_time_that_it_takes_is_said_by_the_accounts_rate(fleet: Simulated) -> None:
    file = write(fleet, *(f"{number:064x}" for number in range(900)))
    told = fleet.ask("device", "revoke", "--from", file, "--dry-run")[DEV]
    assert told["seconds"] == 900 / (10 * 0.9)
    assert "; about 2 min, longer while new devices connect" in fleet.say(
        "device", "revoke", "--from", file, "--dry-run"
    )


def test_devices_that_connect_are_activated_beside_an_order(fleet: Simulated) -> None:
    old = join(fleet, DEV, *(f"sensor-{number:04}" for number in range(1, 31)))
    fleet.ask("device", "revoke", "--from", write(fleet, *(leaf.certificate_id for leaf in old)), "--yes")
    fleet.deployments[DEV].sweep()
    new = [fleet.issue(f"sensor-{number}") for number in range(9001, 9011)]
    for number, leaf in enumerate(new):
        fleet.place(DEV).connect(leaf, client_id=f"sensor-{9001 + number}")
    fleet.aws.clock.advance(901)
    fleet.deployments[DEV].mapping().drain()
    assert statuses(fleet, DEV, new) == ["ACTIVE"] * 10
    assert statuses(fleet, DEV, old) == ["REVOKED"] * 30


def test_of_certificates_that_get_no_order_it_is_said_how_they_can_be_named() -> None:
    found = FoundHere(certificates=frozenset(), unknown=2, undated=3)
    unknown, undated = describe_left_out(found)
    assert "2 ACTIVE or pending certificates are listed under no CA" in unknown
    assert "`jitrctl device show ID` shows each" in unknown
    assert all("name them in a file, with `--from`" in one for one in (unknown, undated))


@pytest.mark.parametrize(
    "words",
    [
        ("--from", "x", "--ca", "factory"),
        ("sensor-0001", "--ca", "factory"),
        ("--issued-between", "2026-01-01", "2026-02-01"),
        ("--ca", "factory", "--issued-between", "2026-02-01", "2026-01-01"),
        ("--ca", "factory", "--issued-between", "soon", "2026-01-01"),
        ("sensor-0001", "--dry-run"),
        (),
    ],
)
def test_options_that_do_not_fit_together_are_refused(fleet: Simulated, words: tuple[str, ...]) -> None:
    fleet.say("device", "revoke", *words, "--yes", code=2)
