"""`jitrctl fleet adopt apply` refuses what jitr cannot run as it is: nothing of the line is done, a cure is told."""

from pathlib import Path

import pytest

from tests.support.cli.old_fleet import OldFleet, edit, old_fleet
from tests.support.cli.orders import announced_orders
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
