"""Each call of `jitrctl fleet adopt apply` refused, timed out or followed by death: the next run leaves the same."""

from contextlib import redirect_stderr, redirect_stdout, suppress
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jitrctl.__main__ import main
from jitrctl.adoption.plan_file import PlanLine, PlanVerb, read_plan, write_plan
from jitrctl.audit import log
from simulation import Call, Died, Fault, Leaf, Moment
from simulation.faults import ServiceError
from tests.support.cli.old_fleet import OldFleet, old_fleet
from tests.support.cli.orders import strike
from tests.support.cli.simulated import DEV

STAGE = "dev/eu-central-1"


class Strike(Enum):
    """What happens to a call, on all of botocore's attempts."""

    REFUSED = "refused"
    TIMEOUT_BEFORE = "timed out, not done"
    TIMEOUT_AFTER = "timed out, but done"
    DIES_AFTER = "process dies right after"

    def __str__(self) -> str:
        return self.value


class Calls:
    """The calls of one run; the one with this number, counted from 1, is struck."""

    def __init__(self, number: int = 0, kind: Strike = Strike.REFUSED) -> None:
        self._number, self._kind = number, kind
        self.seen: list[str] = []  # invocations: botocore's retries are of one

    def __call__(self, call: Call, moment: Moment) -> Fault | None:
        if call.caller != "jitrctl":
            return None
        if call.invocation not in self.seen:
            self.seen.append(call.invocation)
        if self.seen.index(call.invocation) + 1 != self._number:
            return None
        if moment == "before":
            if self._kind is Strike.REFUSED:
                raise ServiceError("AccessDeniedException", "not authorized", status=403)
            return Fault.TIMEOUT if self._kind is Strike.TIMEOUT_BEFORE else None
        if self._kind is Strike.DIES_AFTER:
            raise Died
        return Fault.TIMEOUT if self._kind is Strike.TIMEOUT_AFTER else None


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def plan_of(directory: Path, thing: str, leaf: Leaf, verb: PlanVerb) -> Path:
    """A plan with this thing alone, as `adopt plan` writes one."""
    plan = directory / f"{thing}.plan"
    (origin,) = {line.origin for line in read_plan(directory / "dev.plan", "acme", [STAGE])}
    line = PlanLine(
        verb=verb, stage=STAGE, thing_name=thing, certificate_id=leaf.certificate_id, principals=1, origin=origin
    )
    write_plan(plan, "acme", [line])
    return plan


def apply(old: OldFleet, plan: Path, calls: Calls) -> int:
    """Apply a plan; the exit code, -1 when the process died."""
    with strike(old.fleet, calls), redirect_stdout(StringIO()), redirect_stderr(StringIO()), suppress(Died):
        return main(["fleet", "adopt", "apply", str(plan), "--account", DEV, "--yes", "--fleet", str(old.fleet.file)])
    return -1


def end_state(old: OldFleet, thing: str, leaf: Leaf) -> dict[str, Any]:
    """All that a run leaves, but for the names and ids of the device."""
    owner, record = old.fleet.stage(DEV).registry.owner(thing), old.fleet.record(DEV, leaf)
    assert owner
    assert record.decision
    assert log.read_last(old.fleet.stage(DEV), leaf.certificate_id)
    described = old.iot.describe_thing(thingName=thing)
    groups = old.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]
    status, things, policies = old.facts()[leaf.certificate_id]
    return {
        "owner is it": owner.certificate_id == leaf.certificate_id,
        "record": (record.decision.outcome, record.decision.status, record.decision.thing_name == thing, record.origin),
        "certificate": (status, things == [thing], policies),
        "thing": (described.get("thingTypeName"), sorted(described.get("attributes", {}))),
        "groups": sorted(group["groupName"] for group in groups),
    }


# A call that is not done leaves what a death after the call before it leaves.
@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        *((PlanVerb.ADOPT, kind) for kind in Strike),
        (PlanVerb.ALIGN, Strike.TIMEOUT_AFTER),
        (PlanVerb.ALIGN, Strike.DIES_AFTER),
        pytest.param(PlanVerb.ALIGN, Strike.REFUSED, marks=pytest.mark.deep),
        pytest.param(PlanVerb.ALIGN, Strike.TIMEOUT_BEFORE, marks=pytest.mark.deep),
    ],
    ids=str,
)
def test_a_run_that_was_struck_at_any_call_is_finished_by_the_next(
    old: OldFleet, tmp_path: Path, verb: PlanVerb, kind: Strike
) -> None:
    rules = 'common_name = "sensor-[0-9]{4,}"\nthing_type = "sensor"\nthing_groups = ["hall"]\n'
    old.fleet.write(rules + 'attributes = { maker = "acme" }\n')
    old.fleet.deploy()
    leaf = old.add("sensor-0000")
    old.plan(tmp_path)
    undisturbed = Calls()
    assert apply(old, plan_of(tmp_path, "sensor-0000", leaf, verb), undisturbed) == 0
    expected, number = end_state(old, "sensor-0000", leaf), len(undisturbed.seen)
    assert expected["groups"] == (["hall"] if verb is PlanVerb.ALIGN else [])
    assert number > 10

    codes = set()
    for place in range(1, number + 1):
        thing = f"sensor-{1000 + place}"
        leaf = old.add(thing)
        plan = plan_of(tmp_path, thing, leaf, verb)
        codes.add(apply(old, plan, Calls(place, kind)))
        assert apply(old, plan, Calls()) == 0, place
        assert end_state(old, thing, leaf) == expected, place
    # Time-outs are made up for by the run itself, but for those of calls that are made once; no death is.
    assert codes == ({-1} if kind is Strike.DIES_AFTER else {0, 1})
