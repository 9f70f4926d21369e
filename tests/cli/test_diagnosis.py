"""What `fleet status` makes of a stage's health: problems with their cures, the worst first."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.brake import Engagement
from jitr.record import Record
from jitr.rules import CertificateMode
from jitr.store.revoked_cas import CaRevocation
from jitr.store.sweep_state import LastRun
from jitr_fleet.choices import RegisteredBy
from jitrctl.ca.plan import CaState, FoundCa, RuleState
from jitrctl.queues.dead_letters import LetterQueue
from jitrctl.session.stage import Stage
from jitrctl.status import crls
from jitrctl.status.alarms import COUNTERPARTS, RingingAlarm
from jitrctl.status.crls import CrlHealth, CrlState
from jitrctl.status.diagnosis import diagnose
from jitrctl.status.enrollment import compare_lists
from jitrctl.status.function import Failure, FunctionHealth, Pause, assess
from jitrctl.status.function_log import LoggedError
from jitrctl.status.health import Health
from jitrctl.status.problems import WHERE, Kind, Problem, Severity
from jitrctl.status.sweep import SweepHealth

NOW = datetime(2026, 11, 26, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
QUOTED = re.compile(r"`(jitrctl [^`]+)`")
IDS = ("a" * 64, "b" * 64)
ENGAGED = Engagement(
    rules="x", at=NOW, refused=21, decisions=21, usual_share=0, reason="COMMON_NAME_REFUSED", example="sensor-1"
)


@pytest.fixture
def stage(stages: tuple[Stage, ...]) -> Stage:
    return stages[0]


def good(stage: Stage) -> CaState:
    """The CA as it is declared."""
    found = FoundCa(
        mode=CertificateMode.SNI_ONLY, active=True, registers_automatically=True, has_template=False, ends_at=None
    )
    return CaState(declared=stage.account.cas[0], found=found, rule=RuleState.ENABLED)


def healthy(stage: Stage, **other: Any) -> Health:
    """A stage in which all is well, but for what is given."""
    fields: dict[str, Any] = {
        "stack": "CREATE_COMPLETE",
        "deployed_at": NOW - timedelta(days=1),
        "cas": (good(stage),),
        "function": FunctionHealth(state="on"),
        "waiting": 0,
        "letters": {},
        "waiting_for_hub": None,
        "sweep": SweepHealth(last_run=LastRun(began_at=NOW, finished_at=NOW - 10 * MINUTE), counted_at=None),
        "enrollment": None,
        "turns_per_second": 10,
        "throttled": 0,
        "iot_logging": "ERROR",
        "brakes": {},
    }
    return Health(**(fields | other))


def problems(stage: Stage, **other: Any) -> tuple[Problem, ...]:
    return diagnose(stage, healthy(stage, **other), NOW).problems


def notes(stage: Stage, **other: Any) -> tuple[str, ...]:
    return diagnose(stage, healthy(stage, **other), NOW).notes


def only(stage: Stage, **other: Any) -> Problem:
    (problem,) = problems(stage, **other)
    return problem


def test_a_healthy_stage_has_neither_problems_nor_notes(stage: Stage) -> None:
    assert diagnose(stage, healthy(stage), NOW).problems == ()
    assert notes(stage) == ()


def test_the_worst_problem_is_the_first(stage: Stage) -> None:
    found = problems(
        stage,
        policies=("the default version of policy x is not y",),
        letters={LetterQueue.DEAD: 2},
        failure=Failure(last=LoggedError(at=NOW, certificate_id=None, text="Task timed out"), devices=()),
        function=FunctionHealth(state="paused", pause=Pause(since=NOW, by="ann")),
        crls={"factory": CrlHealth(state=CrlState.GOING_STALE, enforced=True, next_update=NOW)},
        alarms=ringing("rule-losses"),
    )
    assert [one.kind for one in found] == [
        Kind.PAUSED,
        Kind.FAILING,
        Kind.DEAD_LETTERS,
        Kind.ALARM,
        Kind.POLICY,
        Kind.CRL,
    ]
    assert [one.severity for one in found] == sorted(one.severity for one in found)


def one_of_each(stage: Stage) -> list[Problem]:
    """Problems of every kind, and of every alarm."""
    state = replace(good(stage), found=None, rule=RuleState.MISSING)
    alarms = (RingingAlarm(name="x", section=section, subject=None, since=None) for section in COUNTERPARTS)
    return [
        *problems(stage, stack=None, function=FunctionHealth(state="missing"), cas=(state,)),
        *problems(stage, stack="ROLLBACK_COMPLETE", function=FunctionHealth(state="no queue")),
        *problems(stage, function=FunctionHealth(state="paused"), brakes={"factory": ENGAGED}),
        *problems(stage, letters=dict.fromkeys(LetterQueue, 1), waiting=1, oldest=timedelta(hours=1)),
        *problems(stage, sweep=SweepHealth(last_run=None, counted_at=None), policies=("x",), template="y: z"),
        *problems(stage, failure=Failure(last=LoggedError(at=NOW, certificate_id=None, text="x"), devices=())),
        *problems(stage, crls={"factory": CrlHealth(state=CrlState.MISSING, enforced=True)}),
        *problems(stage, not_read={"errors of the function": "x"}),
        *(problem for alarm in alarms for problem in problems(stage, alarms=(alarm,), waiting=1)),
        *compare_lists({stage: "a", replace(stage, region="us-east-1"): "b"}).values(),
    ]


def test_every_command_chooses_the_fleet_and_the_stage(stage: Stage) -> None:
    """Pasted where another fleet's file lies, or without the account, it would act on what is not meant."""
    found = one_of_each(stage)
    assert any("`jitrctl " in one.text for one in found)
    for problem in found:
        said = problem.for_stages(" --account dev", " --fleet /x/acme.toml")
        assert "{" not in "".join((said.text, *said.cures))
        for command in (*QUOTED.findall(said.text), *(cure for cure in said.cures if cure.startswith("jitrctl "))):
            assert command.endswith(" --fleet /x/acme.toml"), command
            # The hub's table is of the whole fleet.
            assert (" --account dev" in command) is ("fleet devices" not in command), command


def test_every_problem_has_a_cure_or_a_section_of_the_runbook(stage: Stage) -> None:
    found = one_of_each(stage)
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert len({one.kind for one in found}) >= 15
    for problem in found:
        assert problem.cures or problem.runbook, problem
        assert not problem.runbook or f"\n## {problem.runbook}\n" in runbook, problem
        assert not problem.text.endswith("."), problem


def test_a_stack_that_is_not_deployed_is_the_one_problem_besides_the_cas(stage: Stage) -> None:
    missing = FunctionHealth(state="missing")
    found = problems(stage, stack=None, function=missing, cas=(replace(good(stage), rule=RuleState.MISSING),))
    assert [one.kind for one in found] == [Kind.STACK]
    (cure,) = found[0].cures
    assert cure == f"node_modules/.bin/cdk deploy dev/eu-central-1 -c fleet={stage.fleet.path}"


DISABLED = "aws iot enable-topic-rule --rule-name jitr_acme__factory --region eu-central-1"
APPLY = f"jitrctl ca apply --ca factory{WHERE}"
DEPLOY = "node_modules/.bin/cdk deploy"


@pytest.mark.parametrize(
    ("found", "rule", "cures"),
    [
        ({"active": False}, RuleState.ENABLED, [APPLY]),
        ({"registers_automatically": False}, RuleState.ENABLED, [APPLY]),
        ({"mode": CertificateMode.DEFAULT}, RuleState.ENABLED, [f"jitrctl ca switch-mode --ca factory{WHERE}"]),
        ({}, RuleState.DISABLED, [DISABLED]),
        ({}, RuleState.MISSING, [DEPLOY]),
        ({}, RuleState.ELSEWHERE, [DEPLOY]),
        ({"active": False}, RuleState.DISABLED, [DISABLED, APPLY]),
        ({"has_template": True}, RuleState.ENABLED, [f"jitrctl ca adopt factory{WHERE}"]),
    ],
)
def test_a_ca_that_is_not_as_declared_has_the_commands_that_make_it_so(
    stage: Stage, found: dict[str, Any], rule: RuleState, cures: list[str]
) -> None:
    state = good(stage)
    assert state.found
    problem = only(stage, cas=(replace(state, found=replace(state.found, **found), rule=rule),))
    assert (problem.kind, problem.severity) == (Kind.CA, Severity.STOPPED)
    assert len(problem.cures) == len(cures)
    for cure, beginning in zip(problem.cures, cures, strict=True):
        assert cure.startswith(beginning)


def test_a_ca_that_is_not_registered_is_applied_after_the_deployment(stage: Stage) -> None:
    nothing = replace(good(stage), found=None, rule=RuleState.MISSING)
    stack, ca = problems(stage, stack=None, function=FunctionHealth(state="missing"), cas=(nothing,))
    assert (stack.kind, ca.cures) == (Kind.STACK, (APPLY,))
    assert only(stage, cas=(replace(good(stage), found=None),)).cures == (APPLY,)


def test_a_ca_of_the_stack_is_cured_by_a_deployment(stage: Stage) -> None:
    state = good(stage)
    declared = replace(state.declared, registered_by=RegisteredBy.STACK)
    (cure,) = only(stage, cas=(replace(state, declared=declared, found=None, is_the_stacks=True),)).cures
    assert cure.startswith(DEPLOY)


def test_the_ends_of_a_cas_certificate_are_told_in_time(stage: Stage) -> None:
    ends_at = stage.fleet.cas[0].certificate.not_after
    ahead = timedelta(seconds=stage.fleet.alarms.ca_expiry)

    def at(moment: datetime) -> list[tuple[Kind, Severity]]:
        health = healthy(
            stage, sweep=SweepHealth(last_run=LastRun(began_at=moment, finished_at=moment), counted_at=None)
        )
        return [(one.kind, one.severity) for one in diagnose(stage, health, moment).problems]

    assert at(ends_at - ahead - MINUTE) == []
    assert at(ends_at - ahead) == [(Kind.CA_EXPIRING, Severity.SOON)]
    assert at(ends_at + MINUTE) == [(Kind.CA_EXPIRING, Severity.STOPPED)]


def test_devices_that_end_soon_are_a_problem_of_their_ca_with_the_command_that_names_them(stage: Stage) -> None:
    last = LastRun(began_at=NOW, finished_at=NOW)
    problem = only(stage, sweep=SweepHealth(last_run=last, counted_at=None, expiring={"factory": 3}))
    assert (problem.kind, problem.severity) == (Kind.DEVICES_EXPIRING, Severity.SOON)
    assert problem.text == "CA factory: 3 ACTIVE certificates end within 14d, and no other one has followed"
    assert problem.cures == ("jitrctl fleet expiring --within 14d{where}",)


@pytest.mark.parametrize(
    ("crl", "text", "severity"),
    [
        (CrlHealth(state=CrlState.MISSING, enforced=True), "is not published: new devices are held", Severity.STOPPED),
        (CrlHealth(state=CrlState.MISSING, enforced=False), "is not published;", Severity.SOON),
        (
            CrlHealth(state=CrlState.STALE, enforced=True, next_update=NOW),
            "is stale since 2026-11-26",
            Severity.STOPPED,
        ),
        (CrlHealth(state=CrlState.UNUSABLE, enforced=True, why="no number"), "(no number)", Severity.STOPPED),
        (CrlHealth(state=CrlState.GOING_STALE, enforced=True, next_update=NOW), "only until 2026-11-26", Severity.SOON),
    ],
)
def test_a_crl_that_is_not_in_force_for_long_is_a_problem(
    stage: Stage, crl: CrlHealth, text: str, severity: Severity
) -> None:
    problem = only(stage, crls={"factory": crl})
    assert text in problem.text
    assert problem.severity is severity
    assert problem.cures == (f"jitrctl crl put factory.crl --ca factory{WHERE}",)


def test_a_crl_that_is_in_force_is_none(stage: Stage) -> None:
    assert problems(stage, crls={"factory": CrlHealth(state=CrlState.IN_FORCE, enforced=True)}) == ()


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (timedelta(days=3), CrlState.IN_FORCE),
        (timedelta(hours=16), CrlState.GOING_STALE),  # of seven days
        (timedelta(0), CrlState.GOING_STALE),
        (-MINUTE, CrlState.STALE),
    ],
)
def test_a_crl_goes_stale_in_the_last_tenth_of_its_life(left: timedelta, state: CrlState) -> None:
    published: Any = SimpleNamespace(
        revocations=SimpleNamespace(this_update=NOW + left - timedelta(days=7), next_update=NOW + left)
    )
    assert crls.assess(published, enforced=True, now=NOW).state is state


def test_a_crl_of_a_year_goes_stale_two_days_before_its_end() -> None:
    for left, state in ((3, CrlState.IN_FORCE), (1, CrlState.GOING_STALE)):
        ends_at = NOW + timedelta(days=left)
        published: Any = SimpleNamespace(
            revocations=SimpleNamespace(this_update=ends_at - timedelta(days=365), next_update=ends_at)
        )
        assert crls.assess(published, enforced=True, now=NOW).state is state


@pytest.mark.parametrize(
    ("queue", "option"), [(LetterQueue.DEAD, ""), (LetterQueue.UNDELIVERED, " --queue undelivered")]
)
def test_letters_are_listed_then_sent_again(stage: Stage, queue: LetterQueue, option: str) -> None:
    problem = only(stage, letters={queue: 3})
    assert problem.text.startswith("3 ")
    assert problem.cures == (f"jitrctl dlq list{option}{WHERE}", f"jitrctl dlq redrive --all{option}{WHERE}")


@pytest.mark.parametrize(
    ("finished", "deployed", "late"), [(46, 1e6, True), (44, 1e6, False), (None, 46, True), (None, 44, False)]
)
def test_a_sweep_is_late_after_three_intervals(
    stage: Stage, finished: float | None, deployed: float, *, late: bool
) -> None:
    last = None if finished is None else LastRun(began_at=NOW, finished_at=NOW - finished * MINUTE)
    found = problems(
        stage, sweep=SweepHealth(last_run=last, counted_at=None), deployed_at=NOW - timedelta(minutes=deployed)
    )
    assert [one.kind for one in found] == ([Kind.SWEEP_LATE] if late else [])


def test_a_sweep_of_which_a_part_failed_is_a_problem(stage: Stage) -> None:
    last = LastRun(began_at=NOW, finished_at=NOW, failed=("look back", "retire"))
    problem = only(stage, sweep=SweepHealth(last_run=last, counted_at=None))
    assert problem.kind is Kind.SWEEP_FAILED
    assert "look back, retire" in problem.text


def ringing(section: str) -> tuple[RingingAlarm, ...]:
    return (RingingAlarm(name=f"jitr-acme--{section}", section=section, subject=None, since=NOW),)


def test_an_alarm_counts_where_what_it_watches_could_not_be_read(stage: Stage) -> None:
    assert problems(stage, alarms=ringing("failures")) == ()
    found = problems(stage, alarms=ringing("failures"), not_read={"errors of the function": "logs:… is not allowed"})
    assert [one.kind for one in found] == [Kind.NOT_READ, Kind.ALARM]
    # CloudWatch says no age of messages that were received often, and the local AWS none at all.
    assert [one.kind for one in problems(stage, alarms=ringing("backlog"), waiting=1)] == [Kind.ALARM]


def test_an_alarm_says_nothing_that_a_problem_says_already(stage: Stage) -> None:
    assert [one.kind for one in problems(stage, alarms=ringing("dead-letters"), letters={LetterQueue.DEAD: 1})] == [
        Kind.DEAD_LETTERS
    ]
    paused = FunctionHealth(state="paused")
    assert [one.kind for one in problems(stage, alarms=ringing("backlog"), function=paused, waiting=1)] == [Kind.PAUSED]


def test_a_sweep_that_crashes_before_it_can_note_it_is_seen_by_its_alarm(stage: Stage) -> None:
    assert [one.kind for one in problems(stage, alarms=ringing("sweep-errors"))] == [Kind.ALARM]


def test_an_alarm_of_a_later_version_is_a_problem_too(stage: Stage) -> None:
    assert only(stage, alarms=ringing("new")).runbook == "new"


def test_certificates_of_no_ca_and_no_source_are_a_note(stage: Stage) -> None:
    sweep = replace(healthy(stage).sweep, unclaimed={"ACTIVE": 1200, "INACTIVE": 1})
    (note,) = notes(stage, sweep=sweep)
    assert note == (
        "of no CA and no source of the fleet file here, and not judged by jitr: 1,200 ACTIVE, 1 INACTIVE "
        "(docs/migrate.md, Unclaimed)"
    )


def test_orders_that_the_functions_have_not_carried_out_are_a_note(stage: Stage) -> None:
    (note,) = notes(stage, orders_waiting=1200)
    assert note == (
        "1,200 certificates have an order to be deactivated or revoked, which the functions have not carried out yet"
    )


def test_a_revoked_ca_is_named_with_who_revoked_it_and_when(stage: Stage) -> None:
    order = CaRevocation(by="arn:ann", at=NOW, note="key leaked")
    found = replace(good(stage).found, active=False, registers_automatically=False)  # type: ignore[type-var]
    problem = only(stage, cas=(replace(good(stage), found=found, rule=RuleState.DISABLED, revocation=order),))
    assert (problem.kind, problem.severity, problem.cures) == (Kind.CA, Severity.DRIFTED, ())
    assert f"revoked by arn:ann {NOW:%Y-%m-%d %H:%M}Z ('key leaked')" in problem.text
    assert problem.link == "docs/runbook.md#a-cas-key-leaked"


def test_throttling_and_messages_of_the_hub_are_notes(stage: Stage) -> None:
    assert notes(stage, turns_per_second=5.2, throttled=0.25) == ("works at 5.2 of 10/s, 25% throttled",)
    assert notes(stage, waiting_for_hub=1)[0].startswith("1 event")


# What of the function's errors nothing has made good.


def error(at: datetime = NOW, certificate_id: str | None = None, text: str = "x") -> LoggedError:
    return LoggedError(at=at, certificate_id=certificate_id, text=text)


def decided(at: datetime) -> Record:
    return Record(unread_at=at)


def test_a_devices_error_is_made_good_by_a_later_decision() -> None:
    errors = [error(NOW - MINUTE, IDS[0]), error(NOW, IDS[1])]
    before, after = decided(NOW - 2 * MINUTE), decided(NOW + MINUTE)
    failure = assess(errors, {IDS[0]: after, IDS[1]: before}, is_working=False, now=NOW)
    assert failure
    assert failure.devices == (IDS[1],)
    assert assess(errors, {IDS[0]: after, IDS[1]: after}, is_working=False, now=NOW) is None
    failure = assess(errors, {IDS[0]: Record(), IDS[1]: Record()}, is_working=True, now=NOW)
    assert failure
    assert failure.devices == IDS


def test_a_crash_is_made_good_by_any_later_outcome() -> None:
    crash = [error(text="Task timed out after 60.00 seconds")]
    assert assess(crash, {}, is_working=False, now=NOW + timedelta(minutes=50))
    assert assess(crash, {}, is_working=True, now=NOW) is None


def test_an_error_beside_a_decision_counts_for_a_quarter_of_an_hour() -> None:
    assert assess([error()], {}, is_working=True, now=NOW + 15 * MINUTE)
    assert assess([error()], {}, is_working=True, now=NOW + 16 * MINUTE) is None


def with_key(stage: Stage, rule: RuleState, *, has_template: bool) -> CaState:
    """The CA as a provisioning template is, or was, on it, and the fleet file says so."""
    state = good(stage)
    assert state.found
    found = replace(state.found, has_template=has_template)
    return replace(state, declared=replace(state.declared, jitp=True), found=found, rule=rule)


def test_a_ca_that_is_held_under_a_template_is_a_note_and_no_problem(stage: Stage) -> None:
    cas = (with_key(stage, RuleState.DISABLED, has_template=True),)
    assert problems(stage, cas=cas) == ()
    (text,) = notes(stage, cas=cas)
    assert text.startswith("CA factory is held: a provisioning template is on this CA")
    assert "jitrctl ca adopt" in text
    assert not healthy(stage, cas=cas).drift


@pytest.mark.parametrize(
    ("found", "cures"),
    [
        ({"registers_automatically": False}, [f"jitrctl ca adopt factory --take-over{WHERE}"]),
        ({"active": False}, ["aws iot update-ca-certificate --certificate-id "]),
    ],
)
def test_a_held_ca_that_registers_no_device_has_a_cure_that_does_something(
    stage: Stage, found: dict[str, Any], cures: list[str]
) -> None:
    state = with_key(stage, RuleState.DISABLED, has_template=True)
    assert state.found
    problem = only(stage, cas=(replace(state, found=replace(state.found, **found)),))
    assert len(problem.cures) == len(cures)
    for cure, beginning in zip(problem.cures, cures, strict=True):
        assert cure.startswith(beginning)


@pytest.mark.parametrize("rule", [RuleState.DISABLED, RuleState.ENABLED])
def test_a_key_without_its_template_is_to_be_taken_out_and_deployed(stage: Stage, rule: RuleState) -> None:
    problem = only(stage, cas=(with_key(stage, rule, has_template=False),))
    assert (problem.kind, problem.severity) == (Kind.CA, Severity.WAITING)
    assert "remove jitp = true from its entry, and deploy" in problem.text
    assert problem.cures == (f"{DEPLOY} {stage} -c fleet={stage.fleet.path}",)
    assert "jitrctl ca apply" not in " ".join(problem.cures)


def test_a_held_ca_whose_rule_is_missing_is_a_problem(stage: Stage) -> None:
    problem = only(stage, cas=(with_key(stage, RuleState.MISSING, has_template=True),))
    assert "its topic rule is missing: deploy the stack" in problem.text
