"""The tables of enrollment entries of a fleet's stages in moto, as the stack makes them, and `jitrctl enrollment`."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from jitr.admission.enrollment import Entry, Subject, SubjectKind
from jitr.store.enrollment_table import EnrollmentTable
from jitrctl.__main__ import main
from jitrctl.session.stage import Stage
from tests.support.cloud import create_registry

THING = Subject(SubjectKind.THING, "sensor-0001")

Run = Callable[..., tuple[int, str, str]]


def create_enrollment(stage: Stage) -> None:
    """Create the table, empty."""
    stage.dynamodb.create_table(
        TableName=stage.names.enrollment_table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def create_tables(stages: Iterable[Stage]) -> list[EnrollmentTable]:
    """Create each stage's table of entries and its registry, empty; the tables of entries."""
    created = []
    for stage in stages:
        create_enrollment(stage)
        create_registry(stage.dynamodb, stage.names.registry_table)
        created.append(stage.enrollment)
    return created


def write_fleet_with_additions(write_fleet: Callable[..., Path]) -> Path:
    """A fleet file in which an entry may give a device another thing type, and groups."""
    return write_fleet(
        'thing_type  = "sensor"', 'thing_type = "sensor"\nextra_types = ["meter"]\nextra_groups = ["beta", "lab"]'
    )


def enrollment_command(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `jitrctl enrollment` with these arguments; its exit code, output and error output."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["enrollment", *arguments, "--fleet", str(fleet_file)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def entry(table: EnrollmentTable, subject: Subject = THING) -> Entry | None:
    """What a table says of a subject."""
    return table.entries([subject]).get(subject)
