"""A colleague is faster: an order that was shown and confirmed before says who it was, and changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.store.enrollment_table import EntryChange
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.device import reconcile
from jitrctl.run.scope import Scope
from simulation import Leaf
from tests.support.cli.simulated import DEV, NOW, RULES, Simulated, simulated

NAME = "sensor-0001"
BOB = "arn:aws:iam::111111111111:user/bob"
ORDERS = {
    "deny": ("device", "deny", "{id}", "--yes"),
    "deactivate": ("device", "deactivate", "{id}", "--yes"),
    "revoke": ("device", "revoke", "{id}", "--yes"),
    "release": ("device", "release", "{id}", "--yes", "--revoked"),
    "approve": ("device", "approve", "{id}"),
    "remove": ("device", "remove", "{id}", "--yes"),
    "forget": ("device", "remove", "{id}", "--yes", "--forget"),
}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch, RULES + 'enrollment = "approve"\n')


@pytest.fixture
def held(fleet: Simulated) -> Leaf:
    leaf = fleet.issue(NAME)
    assert fleet.knock(DEV, leaf, NAME) == "refused"
    return leaf


def after_the_plan(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once the plan was shown and confirmed."""

    def confirmed(_scope: Any, _plan: Any, **_: Any) -> None:
        monkeypatch.setattr(Scope, "confirm", lambda *_, **__: None)
        act()

    monkeypatch.setattr(Scope, "confirm", confirmed)


def bob_says(fleet: Simulated, leaf: Leaf, word: OperatorAction) -> None:
    verdict = OperatorVerdict(action=word, by=BOB, at=fleet.aws.clock.now(), note="on a stolen laptop")
    fleet.stage(DEV).registry.give_verdict(leaf.certificate_id, verdict, seen=None)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_that_a_colleague_overtook_names_him_and_changes_nothing(
    fleet: Simulated, held: Leaf, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    word = OperatorAction.APPROVED if order == "revoke" else OperatorAction.REVOKED
    after_the_plan(monkeypatch, lambda: bob_says(fleet, held, word))
    words = [one.format(id=held.certificate_id) for one in ORDERS[order]]

    said = fleet.ask(*words, "--account", DEV, code=1)[DEV]

    assert said["ok"] is False
    verdict = said["verdict"]
    assert (verdict["word"], verdict["by"], verdict["note"]) == (word, BOB, "on a stolen laptop")
    assert verdict["at"] == round(fleet.aws.clock.now().timestamp() * 1000)
    assert f"{word} by {BOB}" in said["error"]
    assert "give the order again if it is still meant" in said["error"]
    assert fleet.status(DEV, held) == "PENDING_ACTIVATION"
    stands = fleet.verdict(DEV, held)
    assert stands
    assert (stands.action, stands.by) == (word, BOB)


def test_people_are_told_who_was_faster_when_and_why(
    fleet: Simulated, held: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_plan(monkeypatch, lambda: bob_says(fleet, held, OperatorAction.REVOKED))
    said = fleet.say("device", "approve", held.certificate_id, "--account", DEV, code=1)
    when = f"{fleet.aws.clock.now():%Y-%m-%d %H:%M}Z"
    assert f"revoked by {BOB} {when} ('on a stolen laptop'), which came first; nothing was changed" in said


def test_a_verdict_that_the_plan_showed_overtakes_nothing(fleet: Simulated, held: Leaf) -> None:
    bob_says(fleet, held, OperatorAction.REVOKED)
    said = fleet.ask("device", "release", held.certificate_id, "--revoked", "--yes", "--account", DEV)[DEV]
    assert said["ok"] is True
    stands = fleet.verdict(DEV, held)
    assert stands
    assert (stands.action, stands.version) == (OperatorAction.RELEASED, 2)


def test_a_device_that_a_colleague_has_just_revoked_is_not_reconciled(
    fleet: Simulated, held: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.say("device", "approve", held.certificate_id, "--account", DEV)
    assert fleet.knock(DEV, held, NAME) == "accepted"
    fleet.write(RULES + 'enrollment = "approve"\nattributes = { model = "mark-2" }\n')
    fleet.deploy()
    approved = fleet.verdict(DEV, held)
    revoked = OperatorVerdict(action=OperatorAction.REVOKED, by=BOB, at=NOW)
    registry = fleet.stage(DEV).registry
    after_the_plan(monkeypatch, lambda: registry.give_verdict(held.certificate_id, revoked, seen=approved))
    changed: list[object] = []
    monkeypatch.setattr(reconcile, "apply", lambda *change: changed.append(change))
    said = fleet.say("device", "reconcile", held.certificate_id, "--account", DEV, "--yes", code=1)
    assert f"revoked by {BOB}" in said
    assert changed == []


@pytest.mark.parametrize("order", ["allow", "remove", "import"])
def test_an_entry_that_a_colleague_wrote_meanwhile_stays_and_is_told(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, order: str
) -> None:
    fleet.say("enrollment", "deny", NAME, "--account", DEV, "--yes", "--note", "lost")
    table, thing = fleet.stage(DEV).enrollment, Subject(SubjectKind.THING, NAME)
    real = type(table).change
    at = NOW + timedelta(seconds=1)
    stolen = Entry(subject=thing, rule=EntryRule.DENY, by=BOB, at=at, note="on a stolen laptop")

    def bob_first(self: Any, changes: Any, **more: Any) -> None:
        monkeypatch.setattr(type(table), "change", real)
        real(self, [EntryChange(entry=stolen, replaces=table.entries([thing])[thing])], by=BOB, at=at)
        real(self, changes, **more)

    monkeypatch.setattr(type(table), "change", bob_first)
    (tmp_path / "list.csv").write_text(f"thing_name,rule\n{NAME},allow\nsensor-0002,allow\n")
    words = {
        "allow": ("allow", NAME, "--lift-denials"),
        "remove": ("remove", NAME),
        "import": ("import", str(tmp_path / "list.csv"), "--lift-denials"),
    }[order]

    said = fleet.ask("enrollment", *words, "--account", DEV, "--yes", code=1)[DEV]

    assert said["written"] == (1 if order == "import" else 0)
    (overtaken,) = said["overtaken"]
    assert (overtaken["by"], overtaken["note"]) == (BOB, "on a stolen laptop")
    assert table.entries([thing])[thing] == stolen
