"""`jitrctl enrollment`: orders reach every account, and no denial is lifted unasked."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.overrides import Additions
from jitr.errors import Unavailable
from jitr.owners import Owner
from jitr.store.enrollment_table import EnrollmentTable, EntryChange, EntryChanged
from jitrctl.device import enrollment
from jitrctl.errors import Refused
from jitrctl.run.scope import Scope
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


def test_an_order_reaches_every_account_with_who_gave_it_when_and_why(tables: list[EnrollmentTable], run: Run) -> None:
    code, _, told = run("allow", "sensor-0001", "--note", "order 4711", "--yes")
    assert code == Exit.DONE
    for table in tables:
        found = entry(table)
        assert found
        assert (found.rule, found.note) == (EntryRule.ALLOW, "order 4711")
        assert ":assumed-role/operator/" in found.by
        assert found.at
        assert abs((datetime.now(UTC) - found.at).total_seconds()) < 600
        assert table.version()
    assert "allow thing name sensor-0001, in" in told


def test_an_order_says_what_the_device_gets(tables: list[EnrollmentTable], run: Run) -> None:
    options = ["--belongs-to", "prod", "--thing-type", "meter", "--group", "beta", "--attribute", "site=Ulm"]
    assert run("allow", "sensor-0001", *options, "--may-follow", "--yes")[0] == Exit.DONE
    found = entry(tables[0])
    assert found
    assert found.accounts == (PROD,)
    assert found.additions == Additions(thing_type="meter", thing_groups=("beta",), attributes={"site": "Ulm"})
    assert found.may_follow


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--belongs-to", "test"], "account 'test' is none of the fleet's: dev, prod"),
        (["--group", "gamma"], "extra_groups"),
        (["--thing-type", "pump"], "extra_types"),
        (["--attribute", "site"], "is not NAME=VALUE"),
        (["--attribute", "site=Bad Ulm"], "not legal"),
    ],
)
def test_what_no_ca_could_give_is_not_written(
    tables: list[EnrollmentTable], run: Run, options: list[str], said: str
) -> None:
    code, _, told = run("allow", "sensor-0001", *options, "--yes")
    assert code == Exit.UNUSABLE
    assert said in told
    assert tables[0].version() is None


def test_nothing_is_written_unless_somebody_says_yes(tables: list[EnrollmentTable], run: Run) -> None:
    assert run("deny", "sensor-0001")[0] == Exit.UNUSABLE
    assert tables[0].version() is None


def test_a_device_is_meant_by_its_name_its_certificates_id_or_its_certificate(
    tables: list[EnrollmentTable], run: Run, ca: Authority, tmp_path: Path
) -> None:
    pem = ca.leaf(named("sensor-0001"))
    (tmp_path / "device.pem").write_text(pem, encoding="utf-8")
    for written in (ID.upper(), str(tmp_path / "device.pem")):
        assert run("deny", written, "--yes")[0] == Exit.DONE
    assert run("deny", ID, "--thing", "--yes")[0] == Exit.DONE
    subjects = {found.subject for found in tables[0].scan_entries()}
    assert subjects == {
        Subject(SubjectKind.CERTIFICATE, ID),
        Subject(SubjectKind.CERTIFICATE, certificate_id(pem)),
        Subject(SubjectKind.THING, ID),
    }
    assert run("deny", "no such.pem", "--yes")[0] == Exit.UNUSABLE


def test_removing_keeps_who_did_it_and_leaves_no_entry(tables: list[EnrollmentTable], run: Run) -> None:
    run("allow", "sensor-0001", "--yes")
    assert run("remove", "sensor-0001", "--note", "scrapped", "--yes")[0] == Exit.DONE
    found = entry(tables[0])
    assert found
    assert (found.rule, found.note) == (EntryRule.REMOVED, "scrapped")
    code, said, _ = run("list", "--json")
    assert code == Exit.DONE
    assert [stage["entries"] for stage in json.loads(said)["stages"]] == [[]] * 3
    assert json.loads(run("remove", "sensor-0002", "--yes", "--json")[1])["stages"][0]["written"] == 0


def test_show_tells_what_each_account_has(tables: list[EnrollmentTable], run: Run) -> None:
    run("deny", "sensor-0001", "--account", "prod", "--region", "us-east-1", "--note", "stolen", "--yes")
    code, said, _ = run("show", "sensor-0001", "--json")
    assert code == Exit.DONE
    told = [stage["entry"] for stage in json.loads(said)["stages"]]
    assert told[:2] == [None, None]
    assert (told[2]["rule"], told[2]["note"]) == ("deny", "stolen")
    _, said, _ = run("show", "sensor-0001")
    assert "stolen" in said
    assert said.count("none") == 2
    assert tables


def test_accounts_that_say_the_same_have_the_same_digest(tables: list[EnrollmentTable], run: Run) -> None:
    run("allow", "sensor-0001", "--yes")
    run("deny", "sensor-0002", "--account", "prod", "--region", "eu-central-1", "--yes")
    digests = [stage["digest"] for stage in json.loads(run("list", "--json")[1])["stages"]]
    assert digests[0] == digests[2] != digests[1]
    run("remove", "sensor-0002", "--account", "prod", "--yes")
    assert len({table.digest() for table in tables}) == 1


def test_one_order_is_on_several_devices(
    tables: list[EnrollmentTable], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, told = run("allow", "sensor-0001", "sensor-0002", "sensor-0001", "--note", "batch", "--yes")
    assert code == Exit.DONE
    assert "allow 2 devices (sensor-0001, sensor-0002), in" in told
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"# found\nsensor-0002\n\nsensor-0003\n")))
    assert run("deny", "-", "--yes")[0] == Exit.DONE
    for table in tables:
        rules = {found.subject.name: found.rule for found in table.scan_entries()}
        assert rules == {
            "sensor-0001": EntryRule.ALLOW,
            "sensor-0002": EntryRule.DENY,
            "sensor-0003": EntryRule.DENY,
        }
    code, said, told = run("remove", "sensor-0001", "sensor-0003", "--yes", "--json")
    assert code == Exit.DONE
    assert "remove the entries of 2 devices (sensor-0001, sensor-0003)" in told
    assert [stage["written"] for stage in json.loads(said)["stages"]] == [2] * 3
    assert tables[0].entries([THING])[THING].rule is EntryRule.REMOVED


def test_of_several_devices_the_denied_ones_are_shown_and_stay_denied_with_yes(
    tables: list[EnrollmentTable], run: Run
) -> None:
    run("deny", "sensor-0002", "--account", "prod", "--note", "stolen", "--yes")
    code, _, told = run("allow", "sensor-0001", "sensor-0002", "--yes")
    assert code == Exit.FAILED
    words = " ".join(told.split())
    assert words.count("thing name sensor-0002, which was denied") == 2
    assert words.count("stolen; it stays denied (--lift-denials)") == 2
    assert run("allow", "sensor-0001", "sensor-0002", "--lift-denials", "--yes")[0] == Exit.DONE
    assert {found.rule for table in tables for found in table.scan_entries()} == {EntryRule.ALLOW}


def test_one_of_several_devices_that_is_none_stops_the_order(tables: list[EnrollmentTable], run: Run) -> None:
    assert run("deny", "sensor-0001", "no such.pem", "--yes")[0] == Exit.UNUSABLE
    assert list(tables[0].scan_entries()) == []


@pytest.mark.parametrize("who", ["root", "user/ann", "assumed-role/operator/bob"])
def test_a_list_names_who_wrote_an_entry(tables: list[EnrollmentTable], run: Run, who: str) -> None:
    written = Entry(subject=THING, rule=EntryRule.ALLOW, by=f"arn:aws:iam::{PROD}:{who}", at=NOW)
    tables[0].change([EntryChange(entry=written, replaces=None)], by=written.by, at=NOW)
    (row,) = run("list", "--account", "dev")[1].splitlines()[1:]
    assert row.split()[-1] == (who.partition("/")[2] or who)


def test_a_list_without_entries_says_so(tables: list[EnrollmentTable], run: Run) -> None:
    run("allow", "sensor-0001", "--account", "prod", "--yes")
    assert "dev/eu-central-1: no entry.\n" in run("list")[2]
    assert "prod/us-east-1: no entry denies.\n" in run("list", "--denied")[2]
    assert "no entry" not in run("list", "--account", "prod")[2]
    assert tables


def test_a_denial_says_where_the_device_is_in_already(
    tables: list[EnrollmentTable], stages: tuple[Stage, ...], run: Run, ca: Authority
) -> None:
    pem = ca.leaf(named("sensor-0001"))
    stages[1].iot.register_ca_certificate(caCertificate=ca.pem, setAsActive=True, allowAutoRegistration=True)
    stages[1].iot.register_certificate(certificatePem=pem, caCertificatePem=ca.pem, status="ACTIVE")
    device = certificate_id(pem)
    owner = Owner(
        certificate_id=device, ca_certificate_id="c", serial="1", issued_at=NOW, ends_at=NOW, registered_at=NOW
    )
    for stage in stages:
        stage.registry.adopt("sensor-0001", owner)  # in two of them it was deleted since
    for subject in ("sensor-0001", device):
        code, said, _ = run("deny", subject, "--yes", "--json")
        assert code == Exit.DONE
        assert [stage["still_active"] for stage in json.loads(said)["stages"]] == [[], [device], []]
    assert tables


def test_one_account_that_fails_does_not_keep_the_others(
    tables: list[EnrollmentTable], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = BaseClient._make_api_call  # type: ignore[attr-defined]  # botocore's own

    def broken(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "TransactWriteItems" and self.meta.region_name == "us-east-1":
            raise RuntimeError("broken")
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", broken)
    code, _, told = run("allow", "sensor-0001", "--yes")
    assert code == Exit.FAILED
    assert "prod/us-east-1" in told
    assert [entry(table) is not None for table in tables] == [True, True, False]


class Contested:
    """A list that others change, or that does not answer, for so many attempts."""

    def __init__(self, error: Exception, attempts: int) -> None:
        self.error, self.left, self.slept = error, attempts, list[float]()

    def entries(self, _: object) -> dict[Subject, Entry]:
        return {}

    def change(self, *_: object, **__: object) -> None:
        self.left -= 1
        if self.left >= 0:
            raise self.error

    def write(self) -> enrollment.Written:
        allowed = Entry(subject=THING, rule=EntryRule.ALLOW)
        return enrollment.write(self, [allowed], by="ann", at=NOW, lift_denials=False, sleep=self.slept.append)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [EntryChanged(), Unavailable()])
def test_what_somebody_else_changed_or_what_did_not_answer_is_tried_again_and_not_for_ever(error: Exception) -> None:
    contested = Contested(error, attempts=5)
    assert contested.write().written == 1
    assert contested.slept == ([] if isinstance(error, EntryChanged) else sorted(contested.slept))
    with pytest.raises((Refused, Unavailable)):
        Contested(error, attempts=6).write()


def test_a_denial_is_shown_with_who_and_why_and_lifted_only_where_somebody_means_it(
    tables: list[EnrollmentTable], run: Run
) -> None:
    run("deny", "sensor-0001", "--note", "stolen", "--yes", "--account", "dev")

    code, out, told = run("allow", "sensor-0001", "--yes")

    assert code == Exit.FAILED
    assert ":assumed-role/operator/jitrctl: stolen; it stays denied (--lift-denials)" in told
    assert "still denied: sensor-0001" in " ".join(out.split())
    rules = [found.rule for table in tables if (found := entry(table))]
    assert rules == [EntryRule.DENY, EntryRule.ALLOW, EntryRule.ALLOW]

    code, _, told = run("allow", "sensor-0001", "--yes", "--lift-denials")
    assert code == Exit.DONE
    assert "stolen; this lifts the denial" in told
    rules = [found.rule for table in tables if (found := entry(table))]
    assert rules == [EntryRule.ALLOW] * 3


def test_a_denial_that_came_after_the_plan_is_not_lifted(
    tables: list[EnrollmentTable], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_denies(_scope: Any, _plan: Any, *, yes: bool) -> None:
        assert yes
        monkeypatch.undo()
        tables[0].change(
            [EntryChange(entry=Entry(subject=THING, rule=EntryRule.DENY, by="ann", at=NOW), replaces=None)],
            by="ann",
            at=NOW,
        )

    monkeypatch.setattr(Scope, "confirm", somebody_denies)
    assert run("allow", "sensor-0001", "--yes", "--lift-denials", "--account", "dev")[0] == Exit.FAILED
    found = entry(tables[0])
    assert found
    assert found.rule is EntryRule.DENY
