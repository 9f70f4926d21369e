"""What --json promises: one envelope, a failure that is JSON too, and a schema for each command."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator
from typer.main import get_command

from jitrctl.__main__ import main
from jitrctl.commands.tree import every_group
from jitrctl.errors import Interrupted, Refused
from jitrctl.run.lazy_commands import every_command
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.session.stage import Stage
from tests.support.cli.json_schemas import ENVELOPE, file_name, hold_to_schema, read_schemas, schema_names
from tests.support.cli.simulated import Simulated

DOCS = Path(__file__).parents[2] / "docs"


def with_json() -> set[str]:
    return {
        name
        for name, one in every_command(every_group(), name="").items()
        if any("--json" in parameter.opts for parameter in one.params)
    }


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for name, one in schema.items():
            yield from objects(one) if name != "if" else ()
    elif isinstance(schema, list):
        for one in schema:
            yield from objects(one)


def test_every_command_with_json_has_a_schema_and_every_schema_a_command() -> None:
    assert {name.replace("-", " ") for name in with_json()} == schema_names()


def test_each_schema_is_one_and_says_whose_it_is() -> None:
    for name in with_json():
        schema = read_schemas()[file_name(name)]
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == f"jitrctl {name} --json"
        assert schema["$id"] == file_name(name)
        assert schema["then"] == {"$ref": "envelope.schema.json#/$defs/failure"}


@pytest.mark.parametrize("name", sorted(read_schemas()))
def test_each_schema_names_all_keys_in_one_style_and_describes_each(name: str) -> None:
    for one in objects(read_schemas()[name]):
        # Open are the envelope alone, which each command extends, and what the deployed functions answer.
        is_open = "of another version" in one.get("description", "") or "$defs" in one or "items" in one
        assert is_open or name == file_name(ENVELOPE) or one["additionalProperties"] is False, one
        for key, said in one["properties"].items():
            assert re.fullmatch(r"[a-z][a-z0-9_]*", key), key
            assert said.get("description") or "$ref" in said, f"{key} has no description"
        assert set(one.get("required", ())) <= one["properties"].keys()


@pytest.mark.parametrize("name", sorted(with_json()))
def test_each_commands_document_has_the_envelope(name: str) -> None:
    schemas = read_schemas()

    def whole(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The documents that a schema allows, beside a failure."""
        if "$ref" in part:
            yield from whole(schemas[file_name(ENVELOPE)]["$defs"][part["$ref"].rpartition("/")[2]])
        elif "if" in part:
            yield from (*whole(part["then"]), *whole(part["else"]))
        else:
            yield part

    documents = list(whole(schemas[file_name(name)]["else"]))
    assert documents
    for one in documents:
        assert {"ok", "stages", "warnings"} <= set(one["required"])
        assert one["additionalProperties"] is False


def test_a_key_that_the_schema_does_not_have_is_named() -> None:
    document = {
        "ok": True,
        "source": "hub",
        "devices": [],
        "stages": [{"account": "dev", "region": "eu-central-1", "ok": True, "colour": "red"}],
        "warnings": [],
        "weather": 3,
    }
    with pytest.raises(AssertionError) as refused:
        hold_to_schema(document, "fleet devices")

    assert str(refused.value).splitlines() == [
        "`jitrctl fleet devices --json` is not as docs/json/fleet-devices.schema.json says:",
        "not in the schema: document/weather: 3",
        'not in the schema: stages/0/colour: "red"',
    ]


def test_a_key_that_is_missing_or_of_another_kind_is_named() -> None:
    with pytest.raises(AssertionError, match="'stages' is a required property"):
        hold_to_schema({"ok": True, "source": "hub", "devices": [], "warnings": []}, "fleet devices")
    with pytest.raises(AssertionError, match="source: 3 is not of type 'string'"):
        hold_to_schema({"ok": True, "source": 3, "devices": [], "stages": [], "warnings": []}, "fleet devices")


@pytest.fixture
def run(fleet_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a made-up command that does this work in every stage, with --json."""

    def run(*options: str, work: Callable[[Stage], Any], plan: list[str] | None = None, beside: str = "") -> int:
        made = typer.Typer()

        @made.command()
        @over_stages
        def x(scope: Scope, yes: Yes = False) -> None:  # noqa: FBT002 -- an option
            if plan:
                scope.confirm(plan, yes=yes)
            results = scope.across(work, doing="x")
            if beside:
                scope.warn([("prod/us-east-1 factory", beside)])
            scope.report(results, fields=lambda value: {"said": value})

        monkeypatch.setattr("jitrctl.__main__.every_group", lambda: get_command(made))
        return main(["--fleet", str(fleet_file), "--json", *options])

    return run


def told(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """The one document on standard output, and standard error."""
    shown = capsys.readouterr()
    document: dict[str, Any] = json.loads(shown.out)
    return document, shown.err


def test_warnings_are_in_the_document_those_of_stages_under_their_names(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(stage: Stage) -> str:
        if stage.account.name == "dev":
            stage.warnings.append("it could not be announced")
        return "done"

    assert run(work=work, beside="it expires soon") == 1

    document, _ = told(capsys)
    assert document["warnings"] == [
        "prod/us-east-1 factory: it expires soon",
        "dev/eu-central-1: it could not be announced",
    ]
    assert [stage.get("warnings") for stage in document["stages"]] == [["it could not be announced"], None, None]


def test_a_warning_is_told_to_people_at_once(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(work=str, beside="it expires soon") == 0
    assert "expires" not in capsys.readouterr().err, "with --json it is in the document"


FAILURE = {"ok": False, "stages": [], "warnings": []}


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["device", "show", "sensor-0001", "--acount", "dev"], 2, "No such option: --acount"),
        (["device", "show"], 2, "Missing argument"),
        (["destroy"], 2, "No such command 'destroy'."),
        (["dlq", "list", "--most", "many"], 2, "Invalid value for '--most'"),
        (["device", "show", "no-such.pem"], 2, "is no file, no certificate id (64 hex digits) and no thing name"),
        (["ca", "status", "--account", "tset"], 2, "the fleet has no account tset"),
        (["verify", "no-such.pem"], 2, "no-such.pem"),
    ],
    ids=["option", "argument", "command", "value", "device", "account", "file"],
)
def test_a_failure_is_one_json_document_and_a_sentence(
    words: list[str], code: int, sentence: str, fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = [] if words == ["destroy"] else ["--fleet", str(fleet_file)]
    assert main([*words, "--json", *at]) == code

    document, said = told(capsys)
    assert sentence in document["error"]
    assert document == FAILURE | {"error": document["error"]}
    assert document["error"] in said


def test_a_device_that_nobody_knows_is_a_failure_in_json(fleet: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "show", "sensor-0001", "--json", "--fleet", str(fleet.file)]) == 1

    document, said = told(capsys)
    assert document["error"].startswith("no account knows a thing sensor-0001 with a certificate")
    assert document["error"] in said


def test_a_fleet_file_with_problems_is_a_failure_with_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = tmp_path / "fleet.toml"
    fleet.write_text('[fleet]\nname = "NOT LEGAL"\nsize = 3\n', encoding="utf-8")
    assert main(["fleet", "status", "--json", "--fleet", str(fleet)]) == 2

    document, _ = told(capsys)
    assert f"{fleet}:2:" in document["error"]
    assert f"{fleet}:3:" in document["error"]


def test_no_to_the_question_is_a_failure(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jitrctl.run.scope.can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    assert run(work=str, plan=["delete everything"]) == 2
    assert told(capsys)[0] == FAILURE | {"error": "nothing was done: the question was not answered with yes"}


def test_ctrl_c_is_a_failure_that_says_what_was_done_and_warned_of(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(stages: tuple[Stage, ...], *_: object, **__: object) -> None:
        stages[0].warnings.append("it could not be announced")
        raise Interrupted("interrupted: done in dev/eu-central-1")

    monkeypatch.setattr("jitrctl.run.scope.across", interrupt)
    assert run(work=str) == 130

    document, _ = told(capsys)
    assert document["error"] == "interrupted: done in dev/eu-central-1"
    assert document["warnings"] == ["dev/eu-central-1: it could not be announced"]


def test_ctrl_c_before_any_stage_is_a_failure(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jitrctl.run.scope.across", interrupt)
    assert run(work=str) == 130
    assert told(capsys)[0] == FAILURE | {"error": "interrupted"}


def test_input_that_ends_is_a_failure(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(*_: object, **__: object) -> None:
        raise EOFError

    monkeypatch.setattr("jitrctl.run.scope.across", end)
    assert run(work=str) == 1
    assert told(capsys)[0] == FAILURE | {"error": "nothing was answered: the input has ended"}


def test_a_fault_of_jitrctl_is_a_failure_and_still_shows_where_it_is(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise TypeError("two plus three")

    monkeypatch.setattr("jitrctl.run.scope.across", break_down)
    with pytest.raises(TypeError, match="two plus three"):
        run(work=str)
    assert told(capsys)[0]["error"] == "a fault of jitrctl itself (TypeError: two plus three): please report it"


def test_what_fails_after_its_document_prints_no_second_one(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(_: Stage) -> str:
        raise Refused("it is closed: come tomorrow")

    assert run(work=closed) == 1
    assert "error" not in told(capsys)[0], "the stages have it"


def test_an_option_that_is_an_arguments_text_asks_for_no_json(
    fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["device", "show", "--fleet", str(fleet_file), "--account", "tset", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_the_page_for_operators_says_what_is_promised() -> None:
    page = (DOCS / "operators.md").read_text(encoding="utf-8").partition("\n## JSON for programs\n")[2]
    assert "](json/envelope.schema.json)" in page
    assert "major version" in page


def test_the_page_for_operators_says_which_commands_have_no_stages_and_why() -> None:
    page = (DOCS / "operators.md").read_text(encoding="utf-8").partition("\n## JSON for programs\n")[2]
    for name in with_json():
        has_none = '"maxItems": 0' in json.dumps(read_schemas()[file_name(name)]["else"])
        assert (f"| `{name}` |" in page) is has_none, name
