"""MFA codes that profiles want: asked one at a time, by the thread with the terminal, and once for each profile."""

import getpass
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fleet.parse import load
from jitrctl import asking, profiles
from jitrctl.across import across, open_all
from jitrctl.errors import AccessError, Interrupted
from jitrctl.stages import Stage, choose

PATIENCE = 10  # seconds until a test that hangs gives up
CONFIG = """\
[profile base]
aws_access_key_id = testing
aws_secret_access_key = testing
[profile acme-dev]
source_profile = base
role_arn = arn:aws:iam::111111111111:role/operator
mfa_serial = arn:aws:iam::999999999999:mfa/ann
[profile acme-prod]
source_profile = base
role_arn = arn:aws:iam::222222222222:role/operator
mfa_serial = arn:aws:iam::999999999999:mfa/ann
"""


class Screen:
    """A terminal, its progress, and what is asked on it."""

    def __init__(self) -> None:
        self.is_terminal = True
        self.is_shown = False
        self.asked: list[str] = []
        self.said: list[str] = []

    def status(self, _: str) -> Any:
        self.start()
        return nullcontext(SimpleNamespace(update=lambda _: None, stop=self.stop, start=self.start))

    def start(self) -> None:
        self.is_shown = True

    def stop(self) -> None:
        self.is_shown = False

    def print(self, text: str, **_: Any) -> None:
        self.said.append(text)

    def getpass(self, question: str) -> str:
        assert threading.current_thread() is threading.main_thread()
        assert not self.is_shown
        self.asked.append(question)
        return "123456"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    monkeypatch.setattr("jitrctl.across.err", screen)
    monkeypatch.setattr(asking, "can_ask", lambda: True)
    monkeypatch.setattr(getpass, "getpass", screen.getpass)
    return screen


@pytest.fixture
def with_mfa(
    tmp_path: Path, write_fleet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[Stage, ...]]:
    """The fleet's stages, each account behind a profile that wants a code; as a new process opens them."""
    (tmp_path / "config").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write_fleet()
    text = path.read_text(encoding="utf-8")
    for name, number in (("dev", "111111111111"), ("prod", "222222222222")):
        text = text.replace(f'role_arn = "arn:aws:iam::{number}:role/operator"', f'profile = "acme-{name}"')
    path.write_text(text, encoding="utf-8")

    def stages() -> tuple[Stage, ...]:
        monkeypatch.setattr(profiles, "_kept", {})
        return choose(load(path), (), ())

    return stages


@pytest.mark.usefixtures("aws")
def test_accounts_that_are_opened_at_once_ask_for_their_codes_in_turn_and_a_profile_asks_once(
    screen: Screen, with_mfa: Callable[[], tuple[Stage, ...]]
) -> None:
    opened = open_all(with_mfa())

    assert [done.value.split(":")[4] for done in opened.done] == ["111111111111", "222222222222", "222222222222"]
    assert sorted(screen.asked) == [
        "Profile acme-dev: Enter MFA code for arn:aws:iam::999999999999:mfa/ann: ",
        "Profile acme-prod: Enter MFA code for arn:aws:iam::999999999999:mfa/ann: ",
    ]


@pytest.mark.usefixtures("aws")
def test_the_next_command_asks_for_no_code_again(screen: Screen, with_mfa: Callable[[], tuple[Stage, ...]]) -> None:
    assert open_all(with_mfa()).ok
    screen.asked.clear()
    assert open_all(with_mfa()).ok
    assert screen.asked == []


@pytest.mark.usefixtures("aws")
def test_where_nobody_can_be_asked_the_profile_and_the_way_out_are_named(
    screen: Screen, with_mfa: Callable[[], tuple[Stage, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "can_ask", lambda: False)
    opened = open_all(with_mfa())
    assert next(failed.error for failed in opened.failed) == (
        "profile acme-dev wants an MFA code, and there is nobody to ask: run `aws sts get-caller-identity --profile "
        "acme-dev` in a terminal, then this again"
    )
    assert screen.asked == []


def test_ctrl_c_at_a_question_answers_all_that_wait_that_there_is_no_answer(
    stages: tuple[Stage, ...], screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, failed = threading.Barrier(len(stages), timeout=PATIENCE), []

    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(getpass, "getpass", interrupted)

    def work(stage: Stage) -> None:
        together.wait()
        try:
            asking.ask(f"{stage}: code: ", otherwise="x")
        except AccessError as error:
            failed.append(str(error))
            raise

    with pytest.raises(Interrupted, match="interrupted: failed in dev/eu-central-1, prod/eu-central-1, prod/us-east-1"):
        across(stages, work, doing="x")
    assert min(failed) == "no answer was given to 'dev/eu-central-1: code': run it again"
    assert screen.said[0].startswith("Finishing what is under way: ")
