"""How output fits a terminal, and that a pipe gets all of it: one line for each row, ids whole."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from jitrctl.terminal import out, short, table
from tests.support.cli.simulated import DEV, RULES, simulated
from tests.support.cli.terminal import Terminal

ID = "0123456789abcdef" * 4
ROWS = [
    {"stage": f"{name}/eu-central-1", "certificate": ID, "reason": "NOT_LISTED", "why": "the list has no entry " * 10}
    for name in ("dev", "prod")
]


def printed(stream: StringIO, *things: object, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that a stream gets, with so many columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    with redirect_stdout(stream):
        for thing in things:
            out.print(table(thing) if isinstance(thing, list) else thing, markup=False)
    return stream.getvalue().splitlines()


def test_a_row_is_one_line_in_a_pipe_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, *rows = printed(StringIO(), ROWS, width=80, monkeypatch=monkeypatch)

    assert [row.rstrip() for row in rows] == rows
    assert [row.split("  ")[0] for row in rows] == ["dev/eu-central-1", "prod/eu-central-1"]
    for row in rows:
        assert row[heading.index("certificate") :].startswith(f"{ID}  NOT_LISTED  ")
        assert row[heading.index("why") :] == ROWS[0]["why"].rstrip()


def test_a_line_break_in_a_cell_makes_no_second_line_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"stage": "dev", "why": "first\nsecond"}]
    assert printed(StringIO(), rows, width=80, monkeypatch=monkeypatch)[1:] == ["dev    first second"]


def test_a_sentence_is_one_line_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "word " * 100
    assert printed(StringIO(), sentence, width=80, monkeypatch=monkeypatch) == [sentence]


def test_ids_are_whole_in_a_pipe_and_short_on_a_terminal() -> None:
    with redirect_stdout(StringIO()):
        assert short(ID) == ID
    with redirect_stdout(Terminal()):
        assert short(ID) == "0123456789abcdef…"


@pytest.mark.parametrize("width", [40, 80, 100, 200])
@pytest.mark.parametrize("columns", [2, 8, 12, 30])
def test_no_column_is_lost_however_narrow_the_terminal(
    columns: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{f"heading{column}": f"value{column}row{row}" for column in range(columns)} for row in range(2)]

    lines = printed(Terminal(), rows, width=width, monkeypatch=monkeypatch)

    assert max(map(len, lines)) <= width
    if columns * 10 > width:  # a line for each cell
        assert [line.split() for line in lines if line.strip()] == [[*cell] for row in rows for cell in row.items()]
    else:  # every cell has a column, of at least eight characters
        assert len(lines[0].split()) == columns


def test_what_fits_beside_each_other_stays_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"stage": "dev/eu-central-1", "status": "ACTIVE"}]
    assert printed(Terminal(), rows, width=80, monkeypatch=monkeypatch)[0].split() == ["stage", "status"]


@pytest.mark.parametrize(
    "text",
    [
        f"When the device no longer needs it there: jitrctl device retire {ID} --account prod --region eu-central-1",
        "the brake holds what its rules refuse. Correct the rules, or `jitrctl ca accept-rejections factory`",
        "the deployed policy is another one, by whom is not known: `aws iot list-policy-versions` tells more",
    ],
)
def test_a_command_or_an_id_is_not_broken_on_a_terminal(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(text) > 80
    assert printed(Terminal(), text, width=80, monkeypatch=monkeypatch) == [text]


@pytest.mark.parametrize(("name", "lines"), [("TTY_COMPATIBLE", 3), ("FORCE_COLOR", 1)])
def test_a_pipe_is_like_a_terminal_only_when_that_is_said(
    name: str, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TERM", "dumb")
    assert len(printed(StringIO(), "some words " * 20, width=100, monkeypatch=monkeypatch)) == lines


def test_prose_wraps_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(Terminal(), "some words " * 20, width=80, monkeypatch=monkeypatch)
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80


def test_what_a_command_pipes_has_one_line_for_each_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    fleet = simulated(tmp_path, monkeypatch, RULES + 'enrollment = "listed"\n')
    leaves = [fleet.issue(f"sensor-000{number}") for number in range(3)]
    for number, leaf in enumerate(leaves):
        fleet.knock(DEV, leaf, f"sensor-000{number}")

    lines = fleet.lines("device", "list", "--held")

    assert len(lines) == 1 + len(leaves)
    assert {leaf.certificate_id for leaf in leaves} == {
        word for line in lines for word in line.split() if len(word) == 64
    }


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_digit_of_a_cell_is_lost_however_narrow_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the columns' least widths fill the terminal to the last column, Rich cuts what is one too many."""
    row = {"stage": "dev/eu-central-1", "thing": "sensor-0001", "certificate": short_id(), "reason": "NOT_APPROVED"}
    row |= {"waits since": "2026-11-29 19:43Z", "why": "nobody approved it", "next evaluation": "2026-11-29 19:48Z"}

    lines = printed(Terminal(), [row], width=width, monkeypatch=monkeypatch)

    assert max(map(len, lines)) <= width
    letters = sorted("".join(lines).replace(" ", ""))
    assert letters == sorted("".join([*row, *row.values()]).replace(" ", ""))


@pytest.mark.parametrize("heading", ["stage", "lives in"])
def test_a_stage_breaks_between_account_and_region_first(heading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{heading: "dev/eu-central-1", "thing": "sensor-0001", "decision": "SIGNATURE_ALGORITHM"}]
    _, *lines = printed(Terminal(), rows, width=50, monkeypatch=monkeypatch)
    assert [line.split() for line in lines] == [["dev/", "sensor-0001", "SIGNATURE_ALGORITHM"], ["eu-central-1"]]


def short_id() -> str:
    with redirect_stdout(Terminal()):
        return short(ID)
