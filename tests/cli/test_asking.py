"""MFA codes that profiles want: asked one at a time, by the thread with the terminal, and once for each profile."""

import getpass
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.credentials import AssumeRoleProvider
from botocore.exceptions import ClientError, RefreshWithMFAUnsupportedError
from botocore.utils import JSONFileCache

from fleet.parse import load
from jitrctl import asking, profiles
from jitrctl.across import across, open_all
from jitrctl.errors import AccessError, Interrupted
from jitrctl.explaining import explain
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
        self.codes: list[str] = []  # the first answers

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
        return self.codes.pop(0) if self.codes else "123456"


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
) -> Callable[..., tuple[Stage, ...]]:
    """The fleet's stages, each account behind a profile that wants a code; as a new process opens them."""
    (tmp_path / "config").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write_fleet()
    text = path.read_text(encoding="utf-8")
    for name, number in (("dev", "111111111111"), ("prod", "222222222222")):
        text = text.replace(f'role_arn = "arn:aws:iam::{number}:role/operator"', f'profile = "acme-{name}"')
    path.write_text(text, encoding="utf-8")

    def stages(*, behind_one: bool = False) -> tuple[Stage, ...]:
        if behind_one:
            account = 'profile = "acme-dev"\nrole_arn = "arn:aws:iam::222222222222:role/operator"'
            path.write_text(text.replace('profile = "acme-prod"', account), encoding="utf-8")
        for name, nothing in (("_kept", {}), ("_asked_again", set()), ("_unanswered", {})):
            monkeypatch.setattr(profiles, name, nothing)
        return choose(load(path), (), ())

    return stages


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
    monkeypatch.setattr(asking, "can_ask", lambda: False)
    opened = open_all(with_mfa())
    assert next(failed.error for failed in opened.failed) == (
        "profile acme-dev wants an MFA code, and there is nobody to ask: run `aws sts get-caller-identity --profile "
        "acme-dev` in a terminal, then this again"
    )
    assert screen.asked == []


MISTYPED = "000000"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """STS, which does not take a mistyped code."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def make(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if parameters.get("TokenCode") == MISTYPED:
            said = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": said}}, operation)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", make)


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


QUESTION = "Profile acme-dev: Enter MFA code for arn:aws:iam::999999999999:mfa/ann: "
AGAIN = f"Another code is wanted, since each counts once. {QUESTION}"


@pytest.mark.usefixtures("aws", "refusing")
def test_a_mistyped_code_is_asked_for_again_and_all_accounts_behind_the_profile_are_opened(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]
) -> None:
    screen.codes = [MISTYPED]
    opened = open_all(with_mfa(behind_one=True))
    assert [failed.error for failed in opened.failed] == []
    assert screen.asked == [QUESTION, AGAIN]


@pytest.mark.usefixtures("aws", "refusing")
def test_where_aws_takes_no_code_every_account_says_what_to_do(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]
) -> None:
    screen.codes = [MISTYPED] * 99
    opened = open_all(with_mfa(behind_one=True))
    assert len(opened.failed) == 3
    assert {failed.error.rpartition("acme-dev: ")[2].partition(":")[0] for failed in opened.failed} <= {
        "AWS did not take the MFA code",
        "what a code gave has run out, or there was none that AWS took",
    }


@pytest.mark.usefixtures("aws")
def test_where_a_code_was_not_given_no_account_behind_the_profile_asks_again(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(question: str) -> str:
        screen.asked.append(question)
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", left)
    opened = open_all(with_mfa(behind_one=True))
    assert {failed.error for failed in opened.failed} == {
        f"no answer was given to {QUESTION.rstrip(': ')!r}: run it again",
    }
    assert len(opened.failed) == 3
    assert screen.asked == [QUESTION]


def test_what_a_code_gave_and_has_run_out_is_said_with_the_cure() -> None:
    assert explain(RefreshWithMFAUnsupportedError()).endswith("run it again, and be asked for another")


@pytest.mark.usefixtures("screen")
def test_ctrl_d_at_a_question_of_the_main_thread_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(_: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", left)
    with pytest.raises(AccessError, match="no answer was given to 'code': run it again"):
        asking.ask("code: ", otherwise="x")


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
