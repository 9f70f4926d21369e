"""MFA codes that are refused, mistyped or not given: who is asked again, and who is not."""

import getpass
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, RefreshWithMFAUnsupportedError

from jitrctl.run.parallel import open_all
from jitrctl.session import profiles
from jitrctl.session.aws_errors import explain
from jitrctl.session.stage import Stage
from tests.support.cli.screen import A_STRAY_KEY, Screen


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
