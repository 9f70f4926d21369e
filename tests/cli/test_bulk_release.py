"""`jitrctl device release --rejected-for`: many devices that wrong rules refused, in all accounts at once."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from jitr.pacing.schedule import PACE
from jitr.verdicts import OperatorAction
from jitrctl.audit import log
from jitrctl.device import bulk_release
from jitrctl.rules.deployed import NotReadable
from jitrctl.session.stage import Stage
from simulation import Leaf
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

WRONG = RULES.replace("sensor", "senzor", 1)
REASON = "COMMON_NAME_REFUSED"
EVENTS = Path(__file__).parents[2] / "docs" / "events"
RELEASE = ("device", "release", "--rejected-for", REASON)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch, WRONG)
    monkeypatch.setattr(bulk_release, "read_deployed_rules", lambda stage: fleet.deployments[stage.account.name].rules)
    monkeypatch.setattr(bulk_release, "now", fleet.aws.clock.now)
    for account in (DEV, PROD):
        fleet.sweep(account)  # whose count says that all decisions are in the index
    return fleet


def reject(fleet: Simulated, account: str, *names: str) -> list[Leaf]:
    """Devices that the deployed rules refuse."""
    leaves = [fleet.issue(name) for name in names]
    for leaf, name in zip(leaves, names, strict=True):
        fleet.knock(account, leaf, name)
        assert fleet.status(account, leaf) == "INACTIVE"
    return leaves


def mend(fleet: Simulated) -> None:
    fleet.write(RULES)
    fleet.deploy()


def test_all_that_a_wrong_pattern_rejected_come_up_in_every_account(fleet: Simulated) -> None:
    here = reject(fleet, DEV, "sensor-0001", "sensor-0002", "badger-0001")
    there = reject(fleet, PROD, "sensor-0003")
    mend(fleet)
    told = fleet.ask(*RELEASE, "--would-be-admitted", "--yes", "--note", "pattern was wrong")
    assert (told[DEV]["found"], told[DEV]["ordered"], told[PROD]["ordered"]) == (3, 2, 1)
    assert told[DEV]["judged"] == {"admitted": 2, REASON: 1}
    assert told[DEV]["left"] == {f"would be refused again: {REASON}": 1}
    for account in (DEV, PROD):
        fleet.sweep(account)
    assert [fleet.status(DEV, leaf) for leaf in here] == ["ACTIVE", "ACTIVE", "INACTIVE"]
    assert [fleet.status(PROD, leaf) for leaf in there] == ["ACTIVE"]
    verdict = fleet.verdict(DEV, here[0])
    assert verdict
    assert (verdict.action, verdict.note) == (OperatorAction.RELEASED, "pattern was wrong")


def test_what_was_ordered_is_passed_over_by_the_same_command_again(fleet: Simulated) -> None:
    leaves = reject(fleet, DEV, "sensor-0001", "sensor-0002")
    mend(fleet)
    stage = fleet.stage(DEV)
    record = fleet.record(DEV, leaves[0])
    assert bulk_release._order_one(stage, record, "the first half, then Ctrl-C")
    told = fleet.ask(*RELEASE, "--yes")[DEV]
    assert (told["found"], told["ordered"], told["left"]) == (2, 1, {bulk_release.ORDERED: 1})
    assert fleet.ask(*RELEASE, "--yes")[DEV]["ordered"] == 0
    fleet.sweep(DEV)
    assert [fleet.status(DEV, leaf) for leaf in leaves] == ["ACTIVE", "ACTIVE"]
    assert fleet.ask(*RELEASE, "--yes")[DEV]["found"] == 0


def test_a_device_that_was_deactivated_meanwhile_stays_out(fleet: Simulated) -> None:
    by_operator, by_hand, good = reject(fleet, DEV, "sensor-0001", "sensor-0002", "sensor-0003")
    fleet.say("device", "deactivate", by_operator.certificate_id, "--account", DEV, "--yes")
    fleet.aws.clock.advance(60)
    fleet.iot(DEV).update_certificate(certificateId=by_hand.certificate_id, newStatus="INACTIVE")
    mend(fleet)
    told = fleet.ask(*RELEASE, "--yes")[DEV]
    assert told["ordered"] == 1
    assert sorted(told["left"]) == [
        "an operator's verdict stands against it",
        "its status was set by somebody else since",
    ]
    fleet.sweep(DEV)
    assert [fleet.status(DEV, leaf) for leaf in (by_operator, by_hand, good)] == ["INACTIVE", "INACTIVE", "ACTIVE"]


def test_a_dry_run_shows_the_plan_and_how_long_it_takes_and_changes_nothing(fleet: Simulated) -> None:
    (leaf,) = reject(fleet, DEV, "sensor-0001")
    mend(fleet)
    began = len(fleet.aws.calls)
    told = fleet.ask(*RELEASE, "--dry-run")[DEV]
    assert (told["planned"], told["ordered"], told["seconds"]) == (1, 0, 900)
    said = fleet.say(*RELEASE, "--dry-run")
    assert "dev/eu-central-1: 1 of 1: 1 would be admitted; within about 15 min" in said
    assert "At most 1 calls of DescribeCertificate in each account and Region" in said
    turns = [call for call in fleet.aws.calls[began:] if call.parameters.get("Key") == {"id": {"S": PACE}}]
    assert turns
    operations = {call.operation for call in fleet.aws.calls[began:] if call not in turns}
    assert operations == {"GetItem", "Query", "BatchGetItem", "DescribeCertificate"}
    assert fleet.verdict(DEV, leaf) is None


def test_only_the_wanted_reason_ca_and_time_are_released(fleet: Simulated) -> None:
    reject(fleet, DEV, "sensor-0001")
    fleet.aws.clock.advance(7200)
    between = fleet.aws.clock.now()
    fleet.aws.clock.advance(7200)
    reject(fleet, DEV, "sensor-0002")
    mend(fleet)
    assert fleet.ask("device", "release", "--rejected-for", "EXPIRED", "--yes")[DEV]["found"] == 0
    assert fleet.ask(*RELEASE, "--ca", "factory-2", "--dry-run")[DEV]["found"] == 0
    assert fleet.ask(*RELEASE, "--since", f"{between:%Y-%m-%dT%H:%M:%SZ}", "--dry-run")[DEV]["found"] == 1
    assert fleet.ask(*RELEASE, "--dry-run")[DEV]["found"] == 2


def test_an_order_for_many_is_kept_and_announced_once_for_each_ca(fleet: Simulated) -> None:
    reject(fleet, DEV, "sensor-0001", "sensor-0002")
    mend(fleet)
    fleet.say(*RELEASE, "--yes", "--note", "INC-7")
    given = log.read_last(fleet.stage(DEV), fleet.old.certificate_id)
    assert given
    assert (given.order, given.note, given.completed) == ("device release", "INC-7", True)
    assert given.steps == (f"take back 2 rejections for {REASON}",)
    put = [event for event in fleet.place(DEV).events.put if event.detail_type == "Operator Order"]
    assert len(put) == 1
    schema = json.loads((EVENTS / "operator-order.v1.schema.json").read_text())
    Draft202012Validator(schema).validate(put[0].detail)
    assert log.read_last(fleet.stage(PROD), fleet.old.certificate_id) is None


def test_an_account_that_cannot_be_asked_is_named_and_the_others_are_done(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(fleet, DEV, "sensor-0001")
    reject(fleet, PROD, "sensor-0002")
    mend(fleet)

    def read(stage: Stage) -> object:
        if stage.account.name == DEV:
            raise NotReadable("the function's code cannot be downloaded")
        return fleet.deployments[PROD].rules

    monkeypatch.setattr(bulk_release, "read_deployed_rules", read)
    told = fleet.ask(*RELEASE, "--yes", code=1)
    assert told[PROD]["ordered"] == 1
    assert (told[DEV]["ok"], told[DEV]["error"]) == (False, "the function's code cannot be downloaded")


def test_an_index_that_is_not_complete_yet_is_said_and_fails_the_order(fleet: Simulated) -> None:
    reject(fleet, DEV, "sensor-0001")
    mend(fleet)
    items = fleet.deployments[DEV].registry.items
    (sweep,) = [key for key in items if key[0] == "sweep#account"]
    del items[sweep]["last_pass"]["M"]["lists"]
    told = fleet.ask(*RELEASE, "--dry-run", code=1)[DEV]
    assert told["not_all_listed"] == ["factory", "factory-2"]  # one pass lists those of all CAs
    assert "does not hold all earlier decisions on devices of CA factory, factory-2 yet" in told["warnings"][0]


def test_records_of_an_earlier_version_are_found_after_the_next_count(fleet: Simulated) -> None:
    (leaf,) = reject(fleet, DEV, "sensor-0001")
    table = fleet.deployments[DEV].registry
    key = (f"certificate#{leaf.certificate_id}",)
    table.put(key, {name: value for name, value in table.items[key].items() if not name.startswith("listed")})
    mend(fleet)
    assert fleet.ask(*RELEASE, "--dry-run")[DEV]["found"] == 0
    fleet.sweep(DEV, after=86_400)
    assert fleet.ask(*RELEASE, "--dry-run")[DEV]["found"] == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--rejected-for", "COMON_NAME_REFUSED"], "did you mean COMMON_NAME_REFUSED?"),
        (["--rejected-for", "CRL_STALE"], "nothing is rejected for CRL_STALE"),
        (["--rejected-for", REASON, "device.pem"], "leave out those that are named"),
        (["--would-be-admitted", "device.pem"], "can only be said with --rejected-for"),
        ([], "say which device"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_account_is_asked(
    fleet: Simulated, words: list[str], why: str
) -> None:
    began = len(fleet.aws.calls)
    assert why in fleet.say("device", "release", *words, code=2)
    assert len(fleet.aws.calls) == began
