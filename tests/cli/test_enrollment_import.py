"""`jitrctl enrollment import`: a file is checked as a whole, and no denial is lifted unasked."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions
from jitr.decisions import Decision, Outcome
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.store.enrollment_table import EnrollmentTable
from jitrctl.device import denied_but_active, enrollment
from jitrctl.session.stage import Stage
from jitrctl.terminal import Exit
from tests.support.cases.issuing import Authority, certificate_id, named
from tests.support.cli.enrollment_tables import (
    THING,
    Run,
    create_tables,
    enrollment_command,
    entry,
    write_fleet_with_additions,
)

pytestmark = pytest.mark.usefixtures("aws")

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ID = "ab" * 32
PROD = "222222222222"


@pytest.fixture
def tables(stages: tuple[Stage, ...]) -> list[EnrollmentTable]:
    """The lists of the three stages, empty."""
    return create_tables(stages)


@pytest.fixture
def run(write_fleet: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> Run:
    return enrollment_command(write_fleet_with_additions(write_fleet), capsys)


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_an_import_names_the_denied_devices_that_are_in(
    tables: list[EnrollmentTable],
    stages: tuple[Stage, ...],
    run: Run,
    ca: Authority,
    write_csv: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pems = [ca.leaf(named(f"sensor-000{number}")) for number in range(3)]
    ids = [certificate_id(pem) for pem in pems]
    stages[1].iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True)
    for pem in pems:
        stages[1].iot.register_certificate(certificatePem=pem, caCertificatePem=ca.pem, status="ACTIVE")
    decided = Decision(
        certificate_id=ids[1],
        outcome=Outcome.ACTIVATED,
        status=Status.ACTIVE,
        registered_at=NOW,
        decided_at=NOW,
        rules_digest="0",
    )
    stages[1].registry.record(decided)
    for name, device in (("sensor-0000", ids[0]), ("sensor-0002", ids[2])):
        owner = Owner(
            certificate_id=device, ca_certificate_id="c", serial="1", issued_at=NOW, ends_at=NOW, registered_at=NOW
        )
        stages[1].registry.adopt(name, owner)
    asked: list[Subject] = []
    still_active = denied_but_active.list_still_active

    def noted(stage: Stage, subject: Subject) -> list[str]:
        asked.append(subject)
        return still_active(stage, subject)

    monkeypatch.setattr(denied_but_active, "list_still_active", noted)
    unknown = "".join(f"thing-{number:04},,deny\n" for number in range(250))
    file = write_csv(
        f"thing_name,certificate_id,rule\n{unknown}sensor-0000,,deny\n,{ids[1]},deny\nsensor-0002,,allow\n"
    )
    code, said, _ = run("import", file, "--yes", "--json")
    assert code == Exit.DONE
    assert [sorted(stage["still_active"]) for stage in json.loads(said)["stages"]] == [[], sorted(ids[:2]), []]
    assert [one.name for one in asked] == ["sensor-0000", ids[1]]
    assert tables


def test_a_file_is_read_with_all_that_it_says(
    tables: list[EnrollmentTable], run: Run, write_csv: Callable[[str], str]
) -> None:
    file = write_csv(
        "\ufeffthing_name,certificate_id,rule,accounts,thing_type,thing_groups,may_follow,attribute:site,note\n"
        "sensor-0001,,,dev;222222222222,meter,beta lab,yes,Ulm,first\n"
        f',{ID.upper()},DENY,,,,,,"stolen, twice"\n'
        "sensor-0002,,allow,,,,no,,\n"
    )
    code, said, plan = run("import", file, "--note", "batch 7", "--yes", "--json")
    assert code == Exit.DONE
    assert f"write 3 entries of {file}, 1 of which denies, in" in plan
    assert [(stage["written"], stage["unchanged"]) for stage in json.loads(said)["stages"]] == [(3, 0)] * 3
    first, denied, plain = (
        entry(tables[2], subject)
        for subject in (THING, Subject(SubjectKind.CERTIFICATE, ID), Subject(SubjectKind.THING, "sensor-0002"))
    )
    assert first
    assert first.additions == Additions(thing_type="meter", thing_groups=("beta", "lab"), attributes={"site": "Ulm"})
    assert (first.accounts, first.may_follow, first.note) == (("111111111111", PROD), True, "first")
    assert denied
    assert (denied.rule, denied.note) == (EntryRule.DENY, "stolen, twice")
    assert plain
    assert (plain.rule, plain.note, plain.additions) == (EntryRule.ALLOW, "batch 7", Additions())


def test_an_import_can_be_repeated_and_changes_only_what_differs(
    tables: list[EnrollmentTable], run: Run, write_csv: Callable[[str], str]
) -> None:
    rows = "".join(f"sensor-{number:04}\n" for number in range(250))
    assert run("import", write_csv(f"thing_name\n{rows}"), "--account", "dev", "--yes")[0] == Exit.DONE
    version = tables[0].version()
    assert run("import", write_csv(f"thing_name\n{rows}"), "--account", "dev", "--yes")[0] == Exit.DONE
    assert tables[0].version() == version
    said = run("import", write_csv(f"thing_name\n{rows}sensor-0250\n"), "--account", "dev", "--yes", "--json")[1]
    (stage,) = json.loads(said)["stages"]
    assert (stage["written"], stage["unchanged"]) == (1, 250)


def test_every_bad_row_is_told_with_its_line_and_nothing_is_written(
    tables: list[EnrollmentTable], run: Run, write_csv: Callable[[str], str]
) -> None:
    file = write_csv(
        "thing_name,certificate_id,rule,accounts,may_follow\n"
        "sensor-0001,,,,\n"
        "sensor 2,,,,\n"
        f"sensor-0003,{ID},,,\n"
        ",,,,\n"
        ",abc,,,\n"
        "sensor-0004,,block,,\n"
        "sensor-0005,,,test,\n"
        "sensor-0006,,,,perhaps\n"
        "sensor-0007,,deny,dev,\n"
        "sensor-0001,,deny,,\n"
        "sensor-0008,,\n"
    )
    code, said, told = run("import", file, "--yes")
    assert code == Exit.UNUSABLE
    assert said == ""
    lines = told.splitlines()
    expected = [
        (3, "thing name 'sensor 2'"),
        (4, "give either a thing_name or a certificate_id"),
        (5, "give either a thing_name or a certificate_id"),
        (6, "not 64 hex digits"),
        (7, "write allow or deny"),
        (8, "account 'test' is none of the fleet's"),
        (9, "write yes or no"),
        (10, "an entry that denies"),
        (11, "is in line 2 already"),
        (12, "more or fewer cells"),
    ]
    assert len(lines) == len(expected) + 1
    for line, (number, what) in zip(lines, expected, strict=False):
        assert line.startswith(f"{file}:{number}: ")
        assert what in line
    assert tables[0].version() is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no column thing_name"),
        ("name\nsensor-0001\n", "column 'name' is unknown"),
        ("thing_name,thing_name\na,b\n", "twice"),
        ("thing_name\n", "no row below its heading"),
        ('thing_name\n"sensor\n', "is not CSV"),
    ],
)
def test_a_file_that_is_no_list_is_told_so(
    tables: list[EnrollmentTable], run: Run, write_csv: Callable[[str], str], text: str, said: str
) -> None:
    code, _, told = run("import", write_csv(text), "--yes")
    assert code == Exit.UNUSABLE
    assert said in told
    assert tables[0].version() is None


def test_a_file_that_cannot_be_read_is_told_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"thing_name\n\xff\n")
    for name in ("latin.csv", "missing.csv"):
        code, _, told = run("import", str(tmp_path / name), "--yes")
        assert code == Exit.UNUSABLE
        assert name in told


def test_a_list_lifts_no_denial_unless_it_is_asked_to(
    tables: list[EnrollmentTable], run: Run, write_csv: Callable[[str], str]
) -> None:
    run("deny", "sensor-0001", "--account", "dev", "--yes")
    file = write_csv("thing_name\nsensor-0001\nsensor-0002\n")
    code, said, _ = run("import", file, "--yes", "--json")
    assert code == Exit.DONE
    told = json.loads(said)["stages"]
    assert [stage["still_denied"] for stage in told] == [[{"thing": "sensor-0001"}], [], []]
    assert [stage["written"] for stage in told] == [1, 2, 2]
    assert entry(tables[0]).rule is EntryRule.DENY  # type: ignore[union-attr]  # it is there
    run("import", file, "--lift-denials", "--yes")
    assert entry(tables[0]).rule is EntryRule.ALLOW  # type: ignore[union-attr]


def test_thousands_of_rows_tell_how_far_they_are(tables: list[EnrollmentTable]) -> None:
    told: list[int] = []
    entries = [Entry(subject=Subject(SubjectKind.THING, f"s-{n}"), rule=EntryRule.ALLOW) for n in range(250)]
    enrollment.write(tables[0], entries, by="ann", at=NOW, lift_denials=False, progress=told.append)
    assert told == [99, 198, 250]
