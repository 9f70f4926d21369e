"""MFA codes that profiles want: asked one at a time, by the thread with the terminal, and once for each profile."""

import getpass
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.credentials import AssumeRoleProvider
from botocore.exceptions import ClientError, RefreshWithMFAUnsupportedError
from botocore.utils import JSONFileCache

from jitr_fleet.parse import load
from jitrctl import prompts
from jitrctl.errors import AccessError, Interrupted
from jitrctl.run.parallel import across, open_all
from jitrctl.session import profiles
from jitrctl.session.aws_errors import explain
from jitrctl.session.stage import Stage, choose

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
# An account behind a profile that other accounts are behind, too.
BEHIND = """\
[account.a{number}]
id = "{number}"
regions = ["eu-central-1"]
profile = "acme-dev"
role_arn = "arn:aws:iam::{number}:role/operator"
ca.factory = {{ mode = "SNI_ONLY" }}
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
    monkeypatch.setattr("jitrctl.run.parallel.err", screen)
    monkeypatch.setattr(prompts, "can_ask", lambda: True)
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

    def stages(*, behind_one: bool = False, accounts: int = 0) -> tuple[Stage, ...]:
        if behind_one:
            account = 'profile = "acme-dev"\nrole_arn = "arn:aws:iam::222222222222:role/operator"'
            path.write_text(text.replace('profile = "acme-prod"', account), encoding="utf-8")
        if accounts:
            behind = "".join(BEHIND.format(number=number) for number in range(100000000000, 100000000000 + accounts))
            path.write_text(text.partition("[account.dev]")[0] + behind, encoding="utf-8")
        for name, nothing in (("_kept", {}), ("_asked", Counter())):
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
    monkeypatch.setattr(prompts, "can_ask", lambda: False)
    opened = open_all(with_mfa())
    assert next(failed.error for failed in opened.failed) == (
        "profile acme-dev wants an MFA code, and there is nobody to ask: run `aws sts get-caller-identity --profile "
        "acme-dev` in a terminal, then this again"
    )
    assert screen.asked == []


@pytest.fixture
def codes_sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codes that STS was sent."""
    sent: list[str] = []
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def make(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if "TokenCode" in parameters:
            sent.append(parameters["TokenCode"])
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", make)
    return sent


MISTYPED, MALFORMED, OF_NO_DEVICE = "000000", "000001", "000002"
REFUSALS = {
    MISTYPED: ("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. "),
    MALFORMED: (
        "ValidationError",
        "1 validation error detected: Value '000001' at 'tokenCode' failed to satisfy constraint: …",
    ),
    OF_NO_DEVICE: (
        "AccessDenied",
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is …",
    ),
}


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """STS, which does not take some codes, each for its reason."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def make(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if parameters.get("TokenCode") in REFUSALS:
            code, said = REFUSALS[parameters["TokenCode"]]
            raise ClientError({"Error": {"Code": code, "Message": said}}, operation)
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
            prompts.ask(f"{stage}: code: ", otherwise="x")
        except AccessError as error:
            failed.append(str(error))
            raise

    with pytest.raises(Interrupted, match="interrupted: failed in dev/eu-central-1, prod/eu-central-1, prod/us-east-1"):
        across(stages, work, doing="x")
    assert min(failed) == "no answer was given to 'dev/eu-central-1: code': run it again"
    assert screen.said[0].startswith("Finishing what is under way: ")


QUESTION = "Profile acme-dev: Enter MFA code for arn:aws:iam::999999999999:mfa/ann: "
AGAIN = f"Another code is wanted, since each counts once. {QUESTION}"


NO_CODE = f"An MFA code is six digits. {QUESTION}"
GIVEN_UP = (
    "profile acme-dev is given up after three MFA codes: each counts once, so wait until the device shows another, "
    "then run it again"
)
MORE_THAN_AT_ONCE = 20


@pytest.mark.parametrize("refused", [MISTYPED, MALFORMED])
@pytest.mark.usefixtures("aws", "refusing")
def test_a_code_that_aws_does_not_take_is_asked_for_again_and_all_accounts_behind_the_profile_are_opened(
    refused: str, screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]
) -> None:
    screen.codes = [refused]
    opened = open_all(with_mfa(behind_one=True))
    assert [failed.error for failed in opened.failed] == []
    assert screen.asked == [QUESTION, AGAIN]


@pytest.mark.parametrize("answer", ["12345", "", "12345a", "1234567", "\uff11\uff12\uff13\uff14\uff15\uff16"])
@pytest.mark.usefixtures("aws")
def test_an_answer_that_is_not_six_digits_is_asked_for_again_and_does_not_go_to_aws(
    answer: str, screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]], codes_sent: list[str]
) -> None:
    screen.codes = [answer]
    opened = open_all(with_mfa(behind_one=True))
    assert [failed.error for failed in opened.failed] == []
    assert screen.asked == [QUESTION, NO_CODE]
    assert codes_sent == ["123456"]


@pytest.mark.usefixtures("aws")
def test_a_code_is_taken_with_the_spaces_that_the_device_shows(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]], codes_sent: list[str]
) -> None:
    screen.codes = [" 123 456 "]
    assert open_all(with_mfa(behind_one=True)).ok
    assert codes_sent == ["123456"]


@pytest.mark.parametrize(
    ("codes", "asked"),
    [
        ([MISTYPED, MISTYPED, MISTYPED], [QUESTION, AGAIN, AGAIN]),
        (["12345", "", "12345a"], [QUESTION, NO_CODE, NO_CODE]),
        ([MISTYPED, "12345", MISTYPED], [QUESTION, AGAIN, NO_CODE]),
    ],
)
@pytest.mark.usefixtures("aws", "refusing")
def test_a_profile_asks_three_times_in_all_however_many_accounts_are_behind_it_and_all_say_the_same(
    codes: list[str], asked: list[str], screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]
) -> None:
    screen.codes = codes
    opened = open_all(with_mfa(accounts=MORE_THAN_AT_ONCE))
    assert screen.asked == asked
    assert [failed.error for failed in opened.failed] == [GIVEN_UP] * MORE_THAN_AT_ONCE


@pytest.mark.usefixtures("aws", "refusing")
def test_a_device_that_aws_does_not_know_is_not_asked_for_another_code_and_all_accounts_say_what_aws_says(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]]
) -> None:
    screen.codes = [OF_NO_DEVICE]
    opened = open_all(with_mfa(accounts=MORE_THAN_AT_ONCE))
    assert screen.asked == [QUESTION]
    assert {failed.error.rpartition(" through profile acme-dev: ")[2] for failed in opened.failed} == {
        "MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is …"
    }
    assert len(opened.failed) == MORE_THAN_AT_ONCE


A_STRAY_KEY = UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte")


@pytest.mark.parametrize("no_answer", [EOFError(), A_STRAY_KEY, OSError(5, "Input/output error")])
@pytest.mark.usefixtures("aws")
def test_where_a_code_was_not_given_no_account_behind_the_profile_asks_again(
    no_answer: Exception, screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(question: str) -> str:
        screen.asked.append(question)
        raise no_answer

    monkeypatch.setattr(getpass, "getpass", left)
    opened = open_all(with_mfa(accounts=MORE_THAN_AT_ONCE))
    assert {failed.error for failed in opened.failed} == {
        f"no answer was given to {QUESTION.rstrip(': ')!r}: run it again",
    }
    assert len(opened.failed) == MORE_THAN_AT_ONCE
    assert screen.asked == [QUESTION]


@pytest.mark.usefixtures("aws")
def test_whoever_opens_an_account_after_what_a_code_gave_has_run_out_is_asked_for_another(
    screen: Screen, with_mfa: Callable[..., tuple[Stage, ...]], tmp_path: Path
) -> None:
    dev, prod, _ = with_mfa(behind_one=True)
    assert open_all([dev]).ok
    credentials: Any = profiles.session_of("acme-dev", "x").get_credentials()
    credentials._expiry_time = datetime.now(UTC)
    shutil.rmtree(tmp_path / ".aws")
    assert open_all([prod]).ok
    assert screen.asked == [QUESTION, AGAIN]


def test_what_a_code_gave_and_has_run_out_is_said_with_the_cure() -> None:
    assert explain(RefreshWithMFAUnsupportedError()).endswith("run it again, and enter another code")


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
