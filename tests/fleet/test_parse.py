"""Break one thing in a valid fleet, and see exactly that problem, on its line, with its cure."""

import re
import warnings
from pathlib import Path

import pytest

from jitr_fleet.parse import FleetError, load
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.fleet.slips import SECOND_DEFAULT, SLIPS, VERIFICATION


@pytest.mark.parametrize(("old", "new", "shown_at", "said"), SLIPS)
def test_one_slip_is_one_problem_on_its_line(draft: Draft, old: str, new: str, shown_at: str, said: str) -> None:
    draft.replace(old, new)
    line, text = draft.problem()
    assert said in text
    assert line == draft.line(shown_at or new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('horizon = "12h"', 'horizon = "390s"'),
        ('every = "5m"', 'every = "1m"'),
        ('horizon = "12h"', 'horizon = "36500d"'),
        ('pending_after = "90s"', 'pending_after = "60s"'),
        ("activations_per_second = 50", "activations_per_second = 1000"),
        ("activations_per_second = 50", "activations_per_second = 0.1"),
        ("[3072, 4096]", "[2048, 16384]"),
        ("[3072, 4096]", "[4096, 4096]"),
        ('["P-256"]', "[]"),
        ('"30d"', '"0s"'),
        ('"30d"', '"30d"\nmaximum_life = "30d"'),
        (
            'common_name = "sensor-[0-9]{4,}"\nthing_name = "{common_name}"',
            'san_uri = "u:.*"\nthing_name = "{san_uri}"',
        ),
        ('common_name = "sensor-[0-9]{4,}"', 'common_name = ".*"\nsan_uri = "urn:.*"'),
        ('thing_type = "sensor"', f'thing_type = "{"a" * 128}"'),
        ('"{common_name}"', f'"{"a" * 128}{{common_name}}"'),
        ('line = "A:1"', f'line = "{"a" * 800}"'),
        ('line = "A:1"', f'{"a" * 128} = "x"'),
        ('"factory-1", "sensors"', ",".join(f'"g{number}"' for number in range(10))),
        ('name = "acme"', f'name = "{"a" * 26}"'),
        ('"us-east-1"', '"ap-southeast-2"'),
    ],
)
def test_the_limits_themselves_are_allowed(draft: Draft, old: str, new: str) -> None:
    draft.replace(old, new)
    draft.load()


@pytest.mark.parametrize("key", ["horizon", "every"])
def test_a_sweep_takes_no_less_than_a_minute(draft: Draft, key: str) -> None:
    draft.text = re.sub(f"{key} = .*", f'{key} = "59s"', draft.text)
    assert any(
        f'sweep.{key} is "59s", which is out of range; write between "1m"' in text for _, text in draft.problems()
    )


def test_the_sweep_may_run_once_a_day_and_not_less_often(draft: Draft) -> None:
    draft.replace('horizon = "12h"', 'horizon = "7d"')
    draft.replace('every = "5m"', 'every = "1d"')
    draft.load()
    draft.replace('every = "1d"', 'every = "1441m"')
    assert 'sweep.every is "1441m", which is out of range' in draft.problem()[1]


def test_a_pattern_that_python_warns_of_is_refused_whatever_the_warning_filters(draft: Draft) -> None:
    draft.replace("[0-9]{4,}", "[[0-9]]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "Possible nested set" in draft.problem()[1]


def test_a_long_value_is_cut_short_in_a_message(draft: Draft) -> None:
    draft.replace('"111111111111"', f'"{"1" * 100}"')
    assert f'account.dev.id is "{"1" * 59}…, which is not an AWS' in draft.problem()[1]


def test_two_attributes_need_no_thing_type_and_three_do(draft: Draft) -> None:
    draft.replace('thing_type = "sensor"\n', "")
    draft.load()
    draft.replace('line = "A:1"', 'line = "A:1", x = "y"')
    line, text = draft.problem()
    assert "holds 3 attributes; keep 2: AWS IoT allows one more, which jitr uses; with a thing_type" in text
    assert line == draft.line("attributes =")


def test_forty_nine_attributes_are_allowed_with_a_thing_type_and_fifty_are_not(draft: Draft) -> None:
    draft.replace('line = "A:1"', ", ".join(f'a{number} = "x"' for number in range(48)))
    draft.load()
    draft.replace('a0 = "x"', 'a0 = "x", one-more = "x"')
    assert "holds 50 attributes; keep 49" in draft.problem()[1]


def test_a_ca_whose_devices_are_named_by_a_uri_needs_no_common_name(draft: Draft) -> None:
    draft.replace('common_name = "sensor-[0-9]{4,}"', 'san_uri = "urn:acme:.*"')
    draft.replace('"{common_name}"', '"{san_uri}"')
    assert (draft.load().cas[0].common_name, draft.load().cas[0].san_uri) == (None, "urn:acme:.*")


def test_a_ca_that_no_account_uses_is_a_problem(draft: Draft) -> None:
    draft.write("second.pem", Issuer("Second CA").certificate())
    draft.text += '[ca.second]\ncertificate = "second.pem"\ncommon_name = "x"\n'
    line, text = draft.problem()
    assert text.startswith('ca.second is in no account; add ca.second = { mode = "SNI_ONLY" } to an account')
    assert line == draft.line("[ca.second]")


def test_a_misspelled_ca_is_not_reported_as_unused_too(draft: Draft) -> None:
    draft.text = draft.text.replace("ca.factory = {", "ca.factry = {")
    assert [text.split()[0] for _, text in draft.problems()] == ["account.dev.ca.factry", "account.prod.ca.factry"]


def test_no_ca_is_called_unused_while_an_account_cannot_be_read(draft: Draft) -> None:
    draft.text = draft.text[: draft.text.index("[account.prod]")]
    draft.replace('ca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" }', "ca = 1")
    assert draft.problem()[1].startswith("account.dev.ca is an integer, a table is expected")


def test_a_ca_that_is_no_table_is_described_all_the_same(draft: Draft) -> None:
    draft.text = draft.text[: draft.text.index("[ca.factory]")] + draft.text[draft.text.index("[sweep]") :]
    draft.text = "ca.factory = 1\n" + draft.text.replace(VERIFICATION, "").replace("DEFAULT", "SNI_ONLY")
    assert draft.problem() == (1, "ca.factory is an integer, a table is expected; write keys below [ca.factory]")


def test_two_cas_with_one_certificate_are_refused(draft: Draft) -> None:
    draft.write("copy.pem", b"a copy\n" + (draft.folder / "factory.pem").read_bytes())
    draft.text += 'ca.second.mode = "SNI_ONLY"\n[ca.second]\ncertificate = "copy.pem"\ncommon_name = "x"\n'
    line, text = draft.problem()
    assert "ca.second.certificate is the same certificate as ca.factory; remove one" in text
    assert line == draft.line('certificate = "copy.pem"')


def test_default_mode_in_another_region_is_no_conflict(draft: Draft) -> None:
    draft.replace('regions = ["eu-central-1", "us-east-1"]', 'regions = ["us-east-1"]')
    draft.replace('ca.factory = { mode = "SNI_ONLY" }', SECOND_DEFAULT)
    assert len(draft.load().accounts) == 2


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", [(1, "fleet is missing"), (1, "account is missing"), (1, "ca is missing")]),
        (
            "fleet = 1\nca = []\nsweep = true\naccount = 'x'\n",
            [
                (1, "fleet is an integer, a table is expected; write keys below [fleet]"),
                (2, "ca is a list, a table is expected; write a table [ca.factory]"),
                (3, "sweep is a boolean, a table is expected"),
                (4, "account is a text, a table is expected"),
            ],
        ),
        (
            "[fleet]\nname = 'a'\n[ca]\n[account]\n",
            [
                (3, "ca is missing; add a table [ca.factory], or [registered.maker]"),
                (4, "account is empty; add a table [account.dev]"),
            ],
        ),
    ],
)
def test_what_is_hardly_a_fleet_says_what_is_needed(draft: Draft, text: str, problems: list[tuple[int, str]]) -> None:
    draft.text = text
    found = draft.problems()
    assert [line for line, _ in found] == [line for line, _ in problems]
    assert all(said in text for (_, text), (_, said) in zip(found, problems, strict=True))


def test_all_problems_are_reported_at_once_sorted_by_line(draft: Draft) -> None:
    draft.replace('"factory.pem"', '"dev.pem" # no CA')
    draft.replace('name = "acme"', 'name = "Acme"')
    draft.replace("[0-9]{4,}", "(")
    draft.replace('"{common_name}"', '"{nothing} {common_name}"')
    draft.replace("P-256", "P-1")
    draft.replace('"222222222222"', "2")
    draft.replace('"us-east-1"', '"moon-1"')
    draft.replace('"SNI_ONLY"', '"SNI"')
    draft.replace("profile =", "profil =")
    problems = draft.problems()
    assert [line for line, _ in problems] == sorted(line for line, _ in problems)
    assert [(line, text.split()[0]) for line, text in problems] == [
        (2, "fleet.name"),
        (5, "ca.factory.certificate"),
        (6, "ca.factory.common_name"),
        (7, "ca.factory.thing_name"),  # its space; {nothing} may be a group of the pattern that cannot be read
        (15, "ca.factory.curves[0]"),
        (28, "account.dev.profil"),
        (29, "account.dev.ca.factory.verification_certificate"),
        (32, "account.prod.id"),
        (33, "account.prod.regions[1]"),
        (35, "account.prod.ca.factory.mode"),
    ]


def test_a_problem_reads_as_file_line_message_cure(draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    draft.replace('name = "acme"', "name = 1")
    draft.path.write_text(draft.text)
    monkeypatch.chdir(draft.folder)
    with pytest.raises(FleetError) as caught:
        load(Path("fleet.toml"))
    assert str(caught.value) == "fleet.toml:2: fleet.name is an integer, a text is expected; write it in quotes"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"[fleet]\nname = \n", 2, "is not TOML (Invalid value)"),
        (b"[fleet]\n\nname = 'a'\nname = 'b'\n", 4, "is not TOML (Cannot overwrite a value)"),
        (b"[fleet]\nname = '''a\n\n", 3, "is not TOML"),
        (b"[fleet]\nname = 'a'\n[fleet]\n", 3, "is not TOML (Cannot declare ('fleet',) twice)"),
        (b"a = " + b"[" * 100_000, 1, "is not TOML (RecursionError)"),
        (b"a = " + b"1" * 5_000, 1, "is not TOML"),
        (b"[fleet]\nname = '\xff'\n", 2, "is not UTF-8"),
        ("[fleet]\nname = 'é'\n".encode("utf-16"), 1, "is not UTF-8"),
    ],
)
def test_a_file_that_is_not_toml_is_one_problem(draft: Draft, content: bytes, line: int, said: str) -> None:
    draft.path.write_bytes(content)
    with pytest.raises(FleetError) as caught:
        load(draft.path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.file) == (line, draft.path)
    assert said in problem.message


@pytest.mark.parametrize(("file", "said"), [("none.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(FleetError, match=f":1: the file cannot be read \\({re.escape(said)}"):
        load(tmp_path / file)
