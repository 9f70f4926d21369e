"""A private key that is given as a word, instead of its file's name, is refused by every command and never repeated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jitrctl.__main__ import main
from jitrctl.commands.tree import every_group
from jitrctl.run.pasted_keys import hold_file_content

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = "MHcCAQEEIDip+CQQKZb4begmDcghLcCfTwFPeF40wuF86YHqZtUZoAoGCCqGSM49"
KEY = f"-----BEGIN EC PRIVATE KEY-----\n{BODY}\nAwEHoUQDQgAEXafnCW2Rc78A\n-----END EC PRIVATE KEY-----"
TYPED = {
    "whole": [KEY],
    "in words": KEY.split(),
    "in a line": [" ".join(KEY.split())],
    "without its first and last line": ["\n".join(KEY.split("\n")[1:-1])],
    "behind an option": ["sensor-0001", "--note", KEY],
    "behind --": ["--", KEY],
}


def every_command() -> Iterator[list[str]]:
    def walk(group: object, path: list[str]) -> Iterator[list[str]]:
        names = group.list_commands(None) if hasattr(group, "list_commands") else []
        if not names:
            yield path
        for name in names:
            yield from walk(group.get_command(None, name), [*path, name])  # type: ignore[attr-defined]

    return walk(every_group(), [])


COMMANDS = [" ".join(path) for path in every_command()]


def test_the_commands_are_all_there() -> None:
    assert {"doctor", "device revoke", "device show", "enrollment deny", "verify", "local connect"} <= {*COMMANDS}


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_given_as_a_word_is_refused_and_not_repeated(
    command: str, typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), *TYPED[typed]]) == 2
    said = capsys.readouterr()
    assert "not its name: name the file" in said.err
    assert not any(part in said.out + said.err for part in (BODY, BODY[:20], "AwEHoUQDQgAEXafnCW2Rc78A"))


def test_the_refusal_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "show", KEY, "--json"]) == 2
    said = capsys.readouterr().out
    assert json.loads(said)["ok"] is False
    assert BODY not in said


@pytest.mark.parametrize(
    "word",
    [
        "a" * 64,
        "sensor-0001",
        "certs/of/a/folder/with/a/long/name/and/one/more/device.pem",
        BODY,  # one word may be a name
        f"stolen, see ticket 4711\nits certificate was {'ab' * 32}",
    ],
)
def test_other_words_are_let_through(word: str) -> None:
    assert not hold_file_content([word])
