"""`jitrctl enrollment import` of makers' manifests: entries for certificates or names, and refused rows in a file."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jitr.admission.enrollment import EntryRule, Subject, SubjectKind
from jitr.store.enrollment_table import EnrollmentTable
from jitrctl.__main__ import main
from jitrctl.session.stage import Stage
from jitrctl.terminal import Exit
from tests.support.cases.issuing import Authority
from tests.support.cli.enrollment_tables import create_enrollment
from tests.support.cli.makers import (
    MadeDevice,
    ManifestSigner,
    espressif_csv,
    infineon_files,
    make_devices,
    nordic_csv,
    pem_bundle,
    rainmaker_csv,
    zipped,
)
from tests.support.cloud import create_registry

pytestmark = pytest.mark.usefixtures("aws")

Run = Callable[..., tuple[int, str, str]]
CERTIFICATE, THING = SubjectKind.CERTIFICATE, SubjectKind.THING


@pytest.fixture
def tables(stages: tuple[Stage, ...]) -> list[EnrollmentTable]:
    """The lists of the three stages, empty."""
    for stage in stages:
        create_enrollment(stage)
        create_registry(stage.dynamodb, stage.names.registry_table)
    return [stage.enrollment for stage in stages]


@pytest.fixture
def run(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["enrollment", "import", *map(str, arguments), "--yes", "--fleet", str(fleet_file)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def devices(ca: Authority) -> list[MadeDevice]:
    return make_devices(ca, 3)


@pytest.fixture
def maker() -> ManifestSigner:
    return ManifestSigner()


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def subjects(table: EnrollmentTable) -> set[Subject]:
    return {entry.subject for entry in table.scan_entries() if entry.rule is EntryRule.ALLOW}


def certificates(devices: list[MadeDevice]) -> set[Subject]:
    return {Subject(CERTIFICATE, one.certificate_id) for one in devices}


def test_each_form_gives_entries_for_the_certificates_in_every_account(
    tables: list[EnrollmentTable], run: Run, ca: Authority, maker: ManifestSigner, tmp_path: Path
) -> None:
    made = [make_devices(ca, 2, prefix=f"{number}-") for number in range(6)]
    contents: list[str | bytes] = [
        maker.manifest(made[0]),
        *(
            form(some)
            for form, some in zip((espressif_csv, rainmaker_csv, nordic_csv, pem_bundle), made[1:], strict=False)
        ),
        zipped(dict(infineon_files(made[5]))),
    ]
    files = [write(tmp_path / f"list-{number}", content) for number, content in enumerate(contents)]
    code, _, told = run(*files, "--note", "batch 7")
    assert code == Exit.DONE
    for table in tables:
        assert subjects(table) == certificates([one for some in made for one in some])
    assert all(entry.note == "batch 7" for entry in tables[0].scan_entries())
    assert "write 12 entries of the 6 lists" in told
    assert "README.txt was not read" in told
    assert "MII" not in told


def test_with_names_the_entries_are_for_the_makers_names(
    tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice], maker: ManifestSigner, tmp_path: Path
) -> None:
    files = [
        write(tmp_path / "a", maker.manifest(devices[:1])),
        write(tmp_path / "b", nordic_csv(devices[1:2])),
        write(tmp_path / "c", f"certificate_id\n{devices[2].certificate_id}\n"),
    ]
    assert run(*files, "--names", "--account", "dev")[0] == Exit.DONE
    expected = {Subject(THING, devices[0].name), Subject(THING, devices[1].name)}
    assert subjects(tables[0]) == expected | certificates(devices[2:])  # which says itself what it is about


def test_a_trustflex_element_is_one_device_when_it_is_imported_by_name(
    tables: list[EnrollmentTable], run: Run, ca: Authority, maker: ManifestSigner, tmp_path: Path
) -> None:
    one, other = make_devices(ca, 2)
    keys = [{"x5c": [device.x5c]} for device in (one, other)]
    file = write(tmp_path / "m.json", json.dumps([maker.signed(one, publicKeySet={"keys": keys})]))
    assert run(file, "--names", "--account", "dev")[0] == Exit.DONE
    assert subjects(tables[0]) == {Subject(THING, one.name)}
    assert run(file, "--account", "dev")[0] == Exit.DONE
    assert subjects(tables[0]) >= certificates([one, other])


def test_an_element_without_a_certificate_is_imported_by_name_only(
    tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice], maker: ManifestSigner, tmp_path: Path
) -> None:
    file = write(tmp_path / "m.json", json.dumps([maker.signed(devices[0], publicKeySet=None)]))
    code, _, told = run(file)
    assert code == Exit.UNUSABLE
    assert "entry 1: gives no certificate" in told
    assert run(file, "--names")[0] == Exit.DONE
    assert subjects(tables[0]) == {Subject(THING, devices[0].name)}


def test_signatures_are_verified_against_the_signers_that_are_given(
    tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice], maker: ManifestSigner, tmp_path: Path
) -> None:
    file = write(tmp_path / "m.json", maker.manifest(devices))
    signer = write(tmp_path / "signer.crt", maker.pem)
    code, _, told = run(file, "--signer", signer)
    assert (code, "not verified" in told) == (Exit.DONE, False)
    assert "the signatures of 3 rows were not verified" in run(file)[2]
    other = write(tmp_path / "other.crt", ManifestSigner("Invented Manifest Signer 009").pem)
    version = tables[0].version()
    code, _, told = run(file, "--signer", other)
    assert code == Exit.UNUSABLE
    assert told.count("it was signed by another certificate") == 3
    assert run(file, "--signer", other, "--signer", signer)[0] == Exit.DONE
    assert run(file, "--signer", tmp_path / "missing")[0] == Exit.UNUSABLE
    assert tables[0].version() == version


def test_without_refused_nothing_is_imported_while_a_row_is_bad(
    tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice], tmp_path: Path
) -> None:
    file = write(tmp_path / "list.csv", nordic_csv(devices) + "sensor-9,gateway\n")
    code, said, told = run(file)
    assert (code, said) == (Exit.UNUSABLE, "")
    assert "has 2 cells, and an onboarding row of nRF Cloud has 5" in told
    assert tables[0].version() is None


def test_with_refused_the_good_rows_are_imported_and_the_others_can_be_mended(
    tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice], tmp_path: Path
) -> None:
    text = espressif_csv(devices)
    broken = text.replace(devices[1].pem, devices[1].pem.replace("BEGIN", "BEGIM"))
    refused = tmp_path / "refused.csv"
    code, said, told = run(write(tmp_path / "list.csv", broken), "--refused", refused, "--json")
    document = json.loads(said)
    assert code == Exit.FAILED
    assert (document["ok"], document["refused"], document["refused_file"]) == (False, 1, str(refused))
    assert "1 row was refused" in told
    assert subjects(tables[0]) == certificates([devices[0], devices[2]])
    assert "its certificate is not PEM" in refused.read_text(encoding="utf-8")
    write(refused, refused.read_text(encoding="utf-8").replace("BEGIM", "BEGIN"))
    code, said, _ = run(refused, "--refused", tmp_path / "again.csv", "--json")
    assert (code, json.loads(said)["refused_file"]) == (Exit.DONE, None)
    assert subjects(tables[0]) == certificates(devices)
    assert not (tmp_path / "again.csv").exists()


def test_a_row_that_the_fleet_cannot_use_is_refused_like_a_damaged_one(
    tables: list[EnrollmentTable], run: Run, tmp_path: Path
) -> None:
    file = write(tmp_path / "list.csv", "thing_name,accounts\nsensor-1,dev\nsensor-2,test\nsensor-1,\n")
    refused = tmp_path / "refused.csv"
    assert run(file, "--refused", refused)[0] == Exit.FAILED
    assert subjects(tables[0]) == {Subject(THING, "sensor-1")}
    assert refused.read_text(encoding="utf-8").splitlines() == [
        "thing_name,accounts,problem",
        "sensor-2,test,\"account 'test' is none of the fleet's: dev, prod\"",
        "sensor-1,,thing name sensor-1 is in line 2 already; keep one of them",
    ]


def test_a_file_that_exists_is_not_replaced_and_a_damaged_list_leaves_none(
    tables: list[EnrollmentTable], run: Run, tmp_path: Path
) -> None:
    file = write(tmp_path / "list.csv", 'thing_name\nsensor 1\n"sensor-2\n')
    content = file.read_bytes()
    assert "exists already" in run(file, "--refused", file)[2]
    assert file.read_bytes() == content
    code, _, told = run(file, "--refused", tmp_path / "refused.csv")
    assert code == Exit.UNUSABLE
    assert "is not CSV" in told
    assert not (tmp_path / "refused.csv").exists()
    code, _, told = run(write(tmp_path / "bad.csv", "thing_name\nsensor 1\n"), "--refused", tmp_path / "no" / "file")
    assert code == Exit.UNUSABLE
    assert "cannot be written" in told
    assert run(tmp_path / "bad.csv", "--refused", tmp_path / "refused.csv")[0] == Exit.UNUSABLE
    assert (tmp_path / "refused.csv").exists()
    assert tables[0].version() is None


def test_a_hundred_problems_are_told_and_the_number_of_all(
    tables: list[EnrollmentTable], run: Run, tmp_path: Path
) -> None:
    file = write(tmp_path / "list.csv", "thing_name\n" + "".join(f"sensor {number}\n" for number in range(150)))
    _, _, told = run(file)
    assert len(told.splitlines()) == 101
    assert "has 150 problems, of which the first 100 are above; --refused FILE has all" in told
    assert tables[0].version() is None


def test_a_manifest_lifts_no_denial_and_is_imported_twice_without_a_change(
    tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice], tmp_path: Path
) -> None:
    file = write(tmp_path / "bundle.pem", pem_bundle(devices))
    denied = write(tmp_path / "denied.csv", f"certificate_id,rule\n{devices[0].certificate_id},deny\n")
    assert run(denied, "--account", "dev")[0] == Exit.DONE
    _, said, _ = run(file, "--json")
    told = json.loads(said)["stages"]
    assert [stage["written"] for stage in told] == [2, 3, 3]
    assert told[0]["still_denied"] == [{"certificate": devices[0].certificate_id}]
    versions = [table.version() for table in tables]
    _, said, _ = run(file, "--json")
    assert [stage["written"] for stage in json.loads(said)["stages"]] == [0, 0, 0]
    assert [table.version() for table in tables] == versions


def test_a_list_may_come_through_a_pipe(tables: list[EnrollmentTable], run: Run, devices: list[MadeDevice]) -> None:
    reading, writing = os.pipe()
    os.write(writing, nordic_csv(devices).encode())
    os.close(writing)
    try:
        assert run(f"/dev/fd/{reading}", "--account", "dev")[0] == Exit.DONE
    finally:
        os.close(reading)
    assert subjects(tables[0]) == certificates(devices)
