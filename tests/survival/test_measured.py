"""What was measured on AWS is what the failure matrix is played under, once somebody has measured it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulation import Aws, Undocumented
from simulation.measured import FORMAT, NotMeasured, read
from tests.support.survival.matrix import possible
from tests.support.survival.measured import FOLDER, files, play, switched

# As far from the defaults as can be.
OTHER = {
    "revoked_may_become_active": False,
    "registers_outside_validity": False,
    "detach_seconds": 12.5,
    "session_seconds": 30,
    "loop_stops_whole_batch": False,
    "names_sni_only_cas": False,
    "lists_sni_only_by_ca": False,
    "publishes_with_template": True,
    "jitp_seconds": 40,
    "jitp_tries_again": True,
    "removal_takes_template": False,
    "removal_ends_registration": True,
}


def written(folder: Path, **change: Any) -> Path:
    path = folder / "2026-12-01.json"
    path.write_text(json.dumps({"format": FORMAT, "on_aws": True, "switches": OTHER} | change))
    return path


@pytest.mark.deep
def test_the_failure_matrix_holds_under_every_file_that_is_checked_in(
    record_property: Callable[[str, object], None],
) -> None:
    for path in files():
        record_property(f"cases under {path.name}", play(path, possible()))


def test_every_file_that_is_checked_in_can_be_read() -> None:
    for path in files():
        read(path)
    assert (FOLDER / "README.md").is_file()


def test_a_file_sets_every_switch(tmp_path: Path) -> None:
    measured = read(written(tmp_path))

    assert {name: getattr(measured, name) for name in OTHER} == OTHER
    assert set(OTHER) == set(Undocumented.__slots__)
    with switched(measured):
        assert Aws().undocumented == measured
    assert Aws().undocumented == Undocumented()


def test_what_was_not_asked_keeps_the_harder_case(tmp_path: Path) -> None:
    assert read(written(tmp_path, switches={"detach_seconds": 1})) == Undocumented(detach_seconds=1.0)


def test_the_matrix_is_played_under_a_files_switches(tmp_path: Path) -> None:
    path = written(tmp_path)

    assert files(tmp_path) == [path]
    assert play(path, possible()[:2]) > 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"on_aws": False}, "was not found on AWS"),
        ({"format": 2}, "format 2"),
        ({"switches": {"speed": 1}}, "no such switch"),
        ({"switches": {"detach_seconds": "5"}}, "is no float"),
        ({"switches": {"detach_seconds": True}}, "is no float"),
        ({"switches": {"detach_seconds": -1}}, "is no float"),
        ({"switches": {"revoked_may_become_active": 1}}, "is no bool"),
    ],
)
def test_a_file_that_is_no_measurement_is_refused(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=why):
        read(written(tmp_path, **change))


def test_what_is_no_output_of_the_command_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("[]", "{}", "no JSON"):
        path.write_text(text)
        with pytest.raises(NotMeasured, match="no output"):
            read(path)
