"""A shell completes the names in the fleet file, and help wraps where the terminal ends."""

from pathlib import Path

import pytest
from typer.main import get_command

from jitrctl.__main__ import app


def completed(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is told for the last word of a line."""
    monkeypatch.setenv("_JITRCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with pytest.raises(SystemExit):
        get_command(app).main(prog_name="jitrctl", args=[])
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
    for group in ("ca", "device", "enrollment", "fleet"):
        for command in get_command(app).commands[group].commands.values():  # type: ignore[attr-defined]
            assert not [part for part in (command.help or "").split("\n\n") if "\n" in part.strip()], command.name
