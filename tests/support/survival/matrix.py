"""The failure matrix: every call of every outcome, struck in every way, alone and with a duplicate running alongside.

The calls are taken from a recorded run, not from a list, so a new call enters by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from simulation import Call, Died, Fault, Moment
from tests.support.survival.batch_scenarios import BATCH_SCENARIOS
from tests.support.survival.crl_scenarios import CRL_SCENARIOS
from tests.support.survival.import_scenarios import IMPORT_SCENARIOS
from tests.support.survival.jitp_scenarios import JITP_SCENARIOS
from tests.support.survival.lost_ca_scenarios import LOST_CA_SCENARIOS
from tests.support.survival.name_scenarios import NAME_SCENARIOS
from tests.support.survival.scenario_world import World
from tests.support.survival.scenarios import SCENARIOS, Scenario
from tests.support.survival.session_scenarios import SESSION_SCENARIOS

ALL = (
    *SCENARIOS,
    *NAME_SCENARIOS,
    *IMPORT_SCENARIOS,
    *SESSION_SCENARIOS,
    *LOST_CA_SCENARIOS,
    *JITP_SCENARIOS,
    *CRL_SCENARIOS,
    *BATCH_SCENARIOS,
)


class Strike(Enum):
    """What happens to a call, on all of botocore's attempts."""

    THROTTLED = "throttled"
    SERVER_ERROR = "5xx"
    TIMEOUT_BEFORE = "timeout, not done"
    TIMEOUT_AFTER = "timeout, but done"
    DIES_AFTER = "process dies right after"
    PARTIAL = "one entry not taken"
    RULES_CHANGE = "process dies right after, other rules are deployed"

    def __str__(self) -> str:
        return self.value


class Company(Enum):
    """Who else is about."""

    NOBODY = "redelivery"
    DUPLICATE = "duplicate at the same time"

    def __str__(self) -> str:
        return self.value


_BEFORE = {
    Strike.THROTTLED: Fault.THROTTLED,
    Strike.SERVER_ERROR: Fault.SERVER_ERROR,
    Strike.TIMEOUT_BEFORE: Fault.TIMEOUT,
    Strike.PARTIAL: Fault.PARTIAL,
}


@dataclass(slots=True)
class Case:
    """One scenario, struck at its `at`-th call in one way, in one company."""

    scenario: Scenario
    at: int
    strike: Strike
    company: Company
    unnamed: bool = False  # AWS names no CA, and lists nothing by CA
    iot_calls: int = 0  # that `register` made until the message was done with

    def play(self) -> World:
        """Play it to its end, watching every call; the world as it ends.

        Raises AssertionError when something does not hold.
        """
        world = World(unnamed=self.unnamed, **self.scenario.settings)
        self.scenario.prepare(world)
        arm = _Arm(self, world)
        world.aws.fault = arm
        began = len(world.aws.calls)
        try:
            self.scenario.act(world)
        except (Exception, Died):  # what an operator's order or a sweep may end with, once it is struck
            if not arm.struck:
                raise
        assert arm.struck, "the call was not made"
        world.aws.fault = world.watch
        if self.strike is Strike.RULES_CHANGE:
            world.deploy(**(self.scenario.changed_rules or {}))
        self.iot_calls = _calls_until_settled(self.scenario, world, began)
        return world


class _Arm:
    """The hook that strikes."""

    def __init__(self, case: Case, world: World) -> None:
        self._case = case
        self._world = world
        self._seen: list[str] = []
        self._accompanied = False
        self.struck = False

    def __call__(self, call: Call, moment: Moment) -> Fault | None:
        self._world.watch(call, moment)
        if call.caller not in self._case.scenario.callers:
            return None
        if call.invocation not in self._seen:
            self._seen.append(call.invocation)
        if self._seen.index(call.invocation) != self._case.at:
            return None
        self.struck = True
        if self._case.company is Company.DUPLICATE and not self._accompanied:
            self._accompanied = True
            self._run_duplicate()
        strike = self._case.strike
        if moment == "before":
            return _BEFORE.get(strike)
        if strike is Strike.TIMEOUT_AFTER:
            return Fault.TIMEOUT
        if strike in (Strike.DIES_AFTER, Strike.RULES_CHANGE):
            raise Died
        return None

    def _run_duplicate(self) -> None:
        """The device knocks once more, and another execution environment takes that message to its end."""
        if self._world.event is None:
            self._world.connect()
        else:
            self._world.deployment.registrations.send(self._world.event)
        self._world.deployment.mapping(caller="another").poll()


def _calls_until_settled(scenario: Scenario, world: World, began: int) -> int:
    world.mapping.drain(within=86_400)
    calls = [call for call in world.aws.calls[began:] if call.service == "iot" and call.caller == "register"]
    scenario.cure(world)
    world.go_on()
    return len(calls)


def recorded_calls(scenario: Scenario, *, unnamed: bool = False) -> list[Call]:
    """The calls of an undisturbed run; it is played once."""
    if (scenario.name, unnamed) not in _recorded:
        _recorded[scenario.name, unnamed] = _record(scenario, unnamed=unnamed)
    return _recorded[scenario.name, unnamed]


_recorded: dict[tuple[str, bool], list[Call]] = {}  # by the scenario's name, and whether AWS names no CA


def _record(scenario: Scenario, *, unnamed: bool) -> list[Call]:
    world = World(unnamed=unnamed, **scenario.settings)
    scenario.prepare(world)
    began = len(world.aws.calls)
    scenario.act(world)
    return [call for call in world.aws.calls[began:] if call.caller in scenario.callers]


def cases(scenario: Scenario, strike: Strike, company: Company, *, unnamed: bool = False) -> Iterator[Case]:
    """Every call of the scenario that can be struck like this."""
    for at, call in enumerate(recorded_calls(scenario, unnamed=unnamed)):
        if strike is Strike.PARTIAL and call.operation not in ("PutEvents", "SendMessageBatch", "BatchGetItem"):
            continue
        yield Case(scenario, at, strike, company, unnamed)


def possible() -> list[tuple[Scenario, Strike, Company]]:
    """Every combination that makes sense: other rules for what rules decide, duplicates for what messages bring."""
    return [
        (scenario, strike, company)
        for scenario in ALL
        for strike in Strike
        for company in Company
        if strike is not Strike.RULES_CHANGE or scenario.changed_rules
        if company is Company.NOBODY or scenario.callers == ("register",)
    ]


def outcome_table() -> str:
    """What is struck and how it ends, as docs/how-it-works.md shows it: `make docs` writes it, a test compares it."""
    rows = ["| outcome | calls that are struck | cases | ends, always, as |", "|---|---|---|---|"]
    total = 0
    for scenario in ALL:
        calls = [call.operation for call in recorded_calls(scenario)]
        number = sum(
            1 for one, strike, company in possible() if one is scenario for _ in cases(scenario, strike, company)
        )
        total += number
        rows.append(f"| {scenario.name} | {', '.join(calls)} | {number} | {scenario.ends_as} |")
    return "\n".join([*rows, f"| | | **{total}** | |"])
