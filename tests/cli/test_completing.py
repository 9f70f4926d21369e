"""A shell completes the names in the fleet file, and help wraps where the terminal ends."""

from pathlib import Path

import pytest

from jitrctl.commands.tree import every_group
from jitrctl.run.lazy_commands import every_command


def completed(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is told for the last word of a line."""
    monkeypatch.setenv("_JITRCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with pytest.raises(SystemExit):
        every_group().main(prog_name="jitrctl", args=[])
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("jitrctl ca ro", ["rotate"]),
        ("jitrctl ca status --fleet {file} --account ", ["dev", "prod"]),
        ("jitrctl ca status --fleet {file} --account p", ["prod"]),
        ("jitrctl ca status --fleet {file} --region ", ["eu-central-1", "us-east-1"]),
        ("jitrctl ca status --fleet {file} --account dev --region ", ["eu-central-1"]),
        ("jitrctl ca status --fleet {file} --ca f", ["factory"]),
        ("jitrctl ca retire --fleet {file} f", ["factory"]),
        ("jitrctl ca status --fleet nowhere.toml --account ", []),
    ],
)
def test_names_of_the_fleet_file_are_completed(
    line: str, words: list[str], fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completed(line.format(file=fleet_file), monkeypatch, capsys) == words


def test_help_breaks_no_line_within_a_paragraph() -> None:
    for name, command in every_command(every_group()).items():
        assert not [part for part in (command.help or "").split("\n\n") if "\n" in part.strip()], name
