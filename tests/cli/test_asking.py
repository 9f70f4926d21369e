"""MFA codes that profiles want: asked one at a time, by the thread with the terminal, and once for each profile."""

import getpass
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from botocore.credentials import AssumeRoleProvider
from botocore.utils import JSONFileCache

from jitrctl import prompts
from jitrctl.errors import AccessError, Interrupted
from jitrctl.run.parallel import across, open_all
from jitrctl.session import profiles
from jitrctl.session.stage import Stage
from tests.support.cli.screen import A_STRAY_KEY, CONFIG, Screen

PATIENCE = 10  # seconds until a test that hangs gives up


@pytest.mark.usefixtures("aws")
def test_accounts_that_are_opened_at_once_ask_for_their_codes_in_turn_and_a_profile_asks_once(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]
) -> None:
    opened = open_all(with_mfa())

    assert [done.value.split(":")[4] for done in opened.done] == ["111111111111", "222222222222", "222222222222"]
    assert sorted(screen.asked) == [
        "Profile acme-dev: Enter MFA code for arn:aws:iam::999999999999:mfa/ann: ",
        "Profile acme-prod: Enter MFA code for arn:aws:iam::999999999999:mfa/ann: ",
    ]


@pytest.mark.usefixtures("aws")
def test_the_next_command_asks_for_no_code_again(screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]) -> None:
    assert open_all(with_mfa()).ok
    screen.asked.clear()
    assert open_all(with_mfa()).ok
    assert screen.asked == []


@pytest.mark.usefixtures("aws")
def test_where_nobody_can_be_asked_the_profile_and_the_way_out_are_named(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "can_ask", lambda: False)
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
            prompts.ask(f"{stage}: code: ", otherwise="x")
        except AccessError as error:
            failed.append(str(error))
            raise

    with pytest.raises(Interrupted, match="interrupted: failed in dev/eu-central-1, prod/eu-central-1, prod/us-east-1"):
        across(stages, work, doing="x")
    assert min(failed) == "no answer was given to 'dev/eu-central-1: code': run it again"
    assert screen.said[0].startswith("Finishing what is under way: ")


@pytest.mark.parametrize("no_answer", [EOFError(), A_STRAY_KEY])
@pytest.mark.usefixtures("screen")
def test_ctrl_d_or_a_stray_key_at_a_question_of_the_main_thread_is_no_answer(
    no_answer: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(_: str) -> str:
        raise no_answer

    monkeypatch.setattr(getpass, "getpass", left)
    with pytest.raises(AccessError, match="no answer was given to 'code': run it again"):
        prompts.ask("code: ", otherwise="x")


@pytest.mark.parametrize("asks", [prompts.answer_next, prompts.refuse_all])
@pytest.mark.usefixtures("screen")
def test_ctrl_c_at_any_line_of_asking_loses_nobody_who_waits(asks: Callable[[], None]) -> None:
    left = 0  # lines until Ctrl-C

    def at_each_line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code is not asks.__code__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return at_each_line

    traced = sys.gettrace()
    for line in range(1, 100):
        waits = threading.Thread(target=_ask, daemon=True)
        waits.start()
        while not prompts.has_question():
            waits.join(0.01)
        left = line
        sys.settrace(at_each_line)
        with suppress(KeyboardInterrupt):
            asks()
        sys.settrace(traced)
        prompts.refuse_all()  # as `across` does after Ctrl-C
        waits.join(PATIENCE)
        assert not waits.is_alive(), f"Ctrl-C at line {line} of {asks.__name__}"
        if left > 0:  # it came to its end before
            break
    assert line > 1


def _ask() -> None:
    with suppress(AccessError):
        prompts.ask("code: ", otherwise="x")


@pytest.mark.usefixtures("aws", "screen")
def test_a_home_that_cannot_be_written_keeps_what_a_code_gave_for_this_command(
    with_mfa: Callable[..., tuple[Stage, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = with_mfa()

    def read_only(*_: Any) -> None:
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr(JSONFileCache, "__setitem__", read_only)
    assert open_all(stages).ok
    cache = profiles.session_of("acme-dev", "x").get_component("credential_provider").get_provider("assume-role").cache
    assert cache._unwritten


@pytest.mark.usefixtures("aws", "screen")
def test_who_has_no_home_is_asked_for_a_code_and_nothing_is_written(
    with_mfa: Callable[..., tuple[Stage, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    stages = with_mfa()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.chdir(tmp_path)
    assert open_all(stages).ok
    assert not (tmp_path / "~").exists()


@pytest.mark.usefixtures("aws", "screen")
def test_a_file_that_the_aws_cli_left_broken_is_as_if_it_were_not_there(
    with_mfa: Callable[..., tuple[Stage, ...]], tmp_path: Path
) -> None:
    assert open_all(with_mfa()).ok
    for kept in (tmp_path / ".aws" / "cli" / "cache").iterdir():
        kept.write_text("", encoding="utf-8")
    assert open_all(with_mfa()).ok


@pytest.mark.parametrize(("profile", "is_refused"), [("acme-dev", True), ("behind", True), ("base", False)])
@pytest.mark.usefixtures("with_mfa")
def test_another_botocore_never_asks_by_itself(
    profile: str, *, is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = "[profile behind]\nsource_profile = acme-dev\nrole_arn = arn:aws:iam::111111111111:role/x\n"
    (tmp_path / "config").write_text(CONFIG + behind, encoding="utf-8")
    monkeypatch.setattr(profiles, "_kept", {})
    made = AssumeRoleProvider.__init__

    def without_prompter(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        del self._prompter

    monkeypatch.setattr(AssumeRoleProvider, "__init__", without_prompter)
    refused = pytest.raises(AccessError, match=f"profile {profile} wants an MFA code, and jitrctl cannot ask for it")
    with refused if is_refused else nullcontext():
        profiles.session_of(profile, "eu-central-1")
