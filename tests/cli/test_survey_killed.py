"""`jitrctl fleet survey` that is killed, refused or interrupted at any moment, and its file."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from jitrctl.commands.fleet import survey
from jitrctl.errors import Unusable
from jitrctl.survey import calls as patient
from jitrctl.survey.file import SurveyFile, put_place
from jitrctl.survey.findings import find_certificates
from simulation.faults import Call, Fault, FaultHook, Moment, ServiceError
from tests.support.cli.old_fleet import OldFleet, add_five, found_in, old_fleet
from tests.support.cli.orders import strike
from tests.support.cli.simulated import DEV

_LONGEST = 60  # seconds, after which a killed process that was not killed ends


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def calls_of(old: OldFleet, file: Path) -> list[str]:
    """The names of the calls that a whole survey makes."""
    made: list[str] = []

    def note(call: Call, moment: Moment) -> None:
        if moment == "before":
            made.append(call.name)

    with strike(old.fleet, note):
        old.survey(file)
    return made


def at_call(number: int, act: Callable[[], Fault | None]) -> FaultHook:
    """Act at the call of that number, counted from 0, and at no other."""
    seen = -1

    def fault(_: Call, moment: Moment) -> Fault | None:
        nonlocal seen
        seen += moment == "before"
        return act() if moment == "before" and seen == number else None

    return fault


def test_a_survey_that_is_refused_at_any_call_is_finished_by_resume(old: OldFleet, tmp_path: Path) -> None:
    add_five(old)
    made = calls_of(old, tmp_path / "counted.survey")
    whole = found_in(old.survey(tmp_path / "whole.survey"))

    def refuse() -> None:
        raise ServiceError("AccessDeniedException", "not authorized", status=403)

    for number, name in enumerate(made):
        if name in ("dynamodb:GetItem", "dynamodb:UpdateItem"):
            continue  # a turn of the schedule: without it, calls go at the guaranteed share
        file = tmp_path / f"{number}.survey"
        with strike(old.fleet, at_call(number, refuse)):
            # What a rule does is told without.
            old.survey(file, code=0 if name == "iot:GetTopicRule" else 1)
        assert found_in(old.survey(file, "--resume")) == whole, f"{number} {name}"


def killed(old: OldFleet, file: Path, prepare: Callable[[], None], *words: str) -> None:
    """Survey in a child process that kills itself, as `prepare` has it."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(_LONGEST)
            prepare()
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                main(["fleet", "survey", str(file), "--account", DEV, "--fleet", str(old.fleet.file), *words])
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "it came to its end, and was to be killed before"
    assert os.WTERMSIG(status) == signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at_statement(number: int) -> Callable[[], None]:
    """What has the process die before the SQL statement of that number, counted from 0."""

    def prepare() -> None:
        seen = -1
        whole = SurveyFile._open

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                die()

        def opened(file: SurveyFile) -> sqlite3.Connection:
            database = whole(file)
            database.set_trace_callback(count)
            return database

        SurveyFile._open = opened  # type: ignore[method-assign, assignment]  # in the child process alone

    return prepare


def statements_of(make: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL statements that are carried out meanwhile."""
    made: list[str] = []
    whole = SurveyFile._open

    def opened(file: SurveyFile) -> sqlite3.Connection:
        database = whole(file)
        database.set_trace_callback(made.append)
        return database

    with monkeypatch.context() as traced:
        traced.setattr(SurveyFile, "_open", opened)
        make()
    return made


@pytest.mark.parametrize("words", [(), ("--resume",)])
def test_a_survey_killed_while_its_file_is_made_begins_anew(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    add_five(old)
    whole = found_in(old.survey(tmp_path / "whole.survey"))
    made = statements_of(lambda: SurveyFile.create(tmp_path / "made.survey", "acme"), monkeypatch)
    assert (made[0], made[-1]) == ("BEGIN EXCLUSIVE", "COMMIT")
    for number in (*range(0, len(made), 5), len(made) - 1):
        file = tmp_path / f"{number}.survey"
        killed(old, file, dying_at_statement(number))
        assert file.stat().st_size == 0
        assert found_in(old.survey(file, *words)) == whole, made[number]
        assert not file.with_name(f"{file.name}-journal").exists()


def test_a_survey_killed_at_a_write_is_finished_by_resume(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_five(old)
    made = statements_of(lambda: old.survey(tmp_path / "traced.survey"), monkeypatch)
    whole = found_in(old.survey(tmp_path / "whole.survey"))
    writes = [number for number, one in enumerate(made) if one.startswith(("INSERT", "UPDATE", "COMMIT"))]
    assert len(writes) > 60
    for number in writes[20::11]:
        file = tmp_path / f"{number}.survey"
        killed(old, file, dying_at_statement(number))
        assert found_in(old.survey(file, "--resume")) == whole, made[number]


def test_a_survey_killed_at_a_call_and_again_at_the_next_is_finished(old: OldFleet, tmp_path: Path) -> None:
    add_five(old)
    made = calls_of(old, tmp_path / "counted.survey")
    whole = found_in(old.survey(tmp_path / "whole.survey"))
    file, words = tmp_path / "killed.survey", ()
    for number in range(4, len(made) // 2, 5):

        def strike_dead(number: int = number) -> None:
            old.fleet.aws.fault = at_call(number, die)  # nothing is returned

        killed(old, file, strike_dead, *words)
        words = ("--resume",)  # type: ignore[assignment]
    assert found_in(old.survey(file, "--resume")) == whole


def test_two_surveys_into_one_file_at_once_are_one_and_a_refusal(tmp_path: Path) -> None:
    file = tmp_path / "dev.survey"
    file.touch()
    SurveyFile.create(file, "acme")
    with pytest.raises(Unusable, match="--resume"):
        SurveyFile.create(file, "acme")


def older(file: Path) -> None:
    SurveyFile.create(file, "acme").write(("UPDATE meta SET value = ? WHERE key = 'version'", [("1",)]))


@pytest.mark.parametrize(
    ("make", "words", "said"),
    [
        (Path.exists, ("--resume",), "there is no file"),
        (Path.mkdir, ("--resume",), "is a folder: name a survey's file"),
        (Path.mkdir, (), "cannot be written (unable to open database file): name another file"),
        (lambda file: file.write_bytes(b"SQLite format 3\0" + b"x" * 90), ("--resume",), "is no survey file"),
        (lambda file: file.write_bytes(b"SQLite format 3\0" + b"x" * 90), (), "is no survey file: name another file"),
        (lambda file: SurveyFile.create(file, "beta"), ("--resume",), "is a survey of fleet beta, and this is acme"),
        (older, ("--resume",), "is a survey of another version of jitrctl: survey again"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_to_do(
    old: OldFleet, tmp_path: Path, make: Callable[[Path], object], words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "dev.survey"
    make(file)
    before = len(old.fleet.aws.calls)
    told = old.fleet.say("fleet", "survey", str(file), "--account", DEV, *words, code=2)
    assert said in told
    assert len(old.fleet.aws.calls) == before


def test_a_full_disk_ends_a_survey_which_then_goes_on(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(400):
        old.iot.create_thing(thingName=f"thing-{number}")
    whole, file = found_in(old.survey(tmp_path / "whole.survey")), tmp_path / "dev.survey"
    SurveyFile.create(tmp_path / "empty.survey", "acme")
    pages = (tmp_path / "empty.survey").stat().st_size // 4096 + 2
    opened = SurveyFile._open

    def filled(one: SurveyFile) -> sqlite3.Connection:
        database = opened(one)
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    with monkeypatch.context() as full:
        full.setattr(SurveyFile, "_open", filled)
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=1)
    assert "cannot be written (database or disk is full): see to the disk, and continue with --resume" in told
    assert found_in(old.survey(file, "--resume")) == whole


def wait_in_real_time(old: OldFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a survey wait for AWS as it does, without a pace of its calls."""
    monkeypatch.setattr(survey, "PatientCalls", partial(patient.PatientCalls, monotonic=old.fleet.aws.clock.monotonic))
    monkeypatch.setattr(patient, "_PART", 1e6)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("operation", ["ListCACertificates", "ListThingPrincipals", "BatchGetItem"])
def test_ctrl_c_ends_the_wait_for_a_throttle_with_exit_code_130(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    add_five(old)
    wait_in_real_time(old, monkeypatch)
    monkeypatch.setattr(patient, "_FIRST_PAUSE", 3600.0)  # seconds, of which Ctrl-C is to leave nothing
    monkeypatch.setattr(patient, "time", None)  # a sleep that nothing ends
    sent: list[int] = []

    def throttle(call: Call, _: Moment) -> Fault | None:
        if call.operation != operation:
            return None
        if not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        return Fault.THROTTLED

    file = tmp_path / "dev.survey"
    with strike(old.fleet, throttle):
        told = old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=130)
    assert f"interrupted: `jitrctl fleet survey {file} --resume --account dev" in told


@pytest.mark.usefixtures("interruptible")
def test_a_survey_interrupted_and_resumed_finds_the_same(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_five(old)
    made = calls_of(old, tmp_path / "counted.survey")
    whole, file = found_in(old.survey(tmp_path / "whole.survey")), tmp_path / "dev.survey"
    wait_in_real_time(old, monkeypatch)

    def interrupt() -> Fault:
        os.kill(os.getpid(), signal.SIGINT)
        return Fault.THROTTLED

    with strike(old.fleet, at_call(made.index("iot:ListTargetsForPolicy"), interrupt)):
        old.survey(file, code=130)
    assert found_in(old.survey(file, "--resume")) == whole


def test_a_stage_that_is_summed_up_holds_no_other_up(
    old: OldFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        old.add(f"sensor-{number:04}")
    path = tmp_path / "dev.survey"
    old.survey(path)
    monkeypatch.setattr("jitrctl.survey.file._WAIT", 0.0)
    monkeypatch.setattr("jitrctl.survey.findings._PART", 2)
    file = SurveyFile.existing(path, "acme")
    seen = []
    for one in find_certificates(old.fleet.stage(DEV), file):
        file.write(put_place("prod/eu-central-1", "things", one.certificate_id, done=False))
        seen.append(one.certificate_id)
    assert seen == sorted(old.facts())
