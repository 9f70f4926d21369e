"""Whose credentials are used, where calls go, and what is refused before anything is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.access import open_access
from jitrctl.across import open_all
from jitrctl.errors import AccessError, Unusable
from jitrctl.stages import Stage, choose

ID = "a" * 64
ELSEWHERE = "http://127.0.0.1:9"
VPC = "https://vpce-1.iot.eu-central-1.vpce.amazonaws.com"


@pytest.mark.usefixtures("aws")
def test_a_role_is_assumed_in_each_account(stages: tuple[Stage, ...]) -> None:
    assert [stage.caller for stage in stages] == [
        "arn:aws:sts::111111111111:assumed-role/operator/jitrctl",
        "arn:aws:sts::222222222222:assumed-role/operator/jitrctl",
        "arn:aws:sts::222222222222:assumed-role/operator/jitrctl",
    ]
    assert stages[2].iot.meta.region_name == "us-east-1"


@pytest.mark.usefixtures("aws")
def test_another_accounts_credentials_are_refused_before_anything_is_changed_anywhere(
    write_fleet: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account prod has no role here, so the environment's credentials are used; moto's are account 123456789012."""
    path = write_fleet('role_arn = "arn:aws:iam::222222222222:role/operator"\n', "")
    monkeypatch.setattr("jitrctl.operating.Operator.take_away", lambda *_, **__: pytest.fail("changed something"))

    assert main(["device", "revoke", ID, "--fleet", str(path), "--yes"]) == 2

    assert capsys.readouterr().err == (
        "the environment's credentials is account 123456789012, and the fleet file says that prod is 222222222222: "
        "correct the profile or the fleet file; nothing was changed anywhere\n"
    )


def test_a_profile_is_named_where_it_does_not_work(
    write_fleet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile x]\nsso_session = none\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (stage, *_) = choose(
        load(write_fleet('role_arn = "arn:aws:iam::111111111111:role/operator"', 'profile = "x"')), (), ()
    )
    with pytest.raises(AccessError, match="account dev cannot be opened with profile x: "):
        open_access(stage.account, stage.region)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT"])
def test_a_shell_alone_does_not_send_calls_elsewhere(
    stages: tuple[Stage, ...], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, ELSEWHERE)
    with pytest.raises(Unusable, match=f"{variable} in this shell is {ELSEWHERE}, which is not AWS.*unset {variable}"):
        open_all(stages)


def test_a_stray_endpoint_ends_a_command_before_it_asks_anything(
    fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ELSEWHERE)
    assert main(["device", "revoke", ID, "--fleet", str(fleet_file)]) == 2
    assert capsys.readouterr().err.count("AWS_ENDPOINT_URL in this shell") == 1


@pytest.mark.usefixtures("aws")
def test_an_endpoint_of_awss_own_is_no_stranger(stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT", VPC)
    assert stages[0].iot.meta.endpoint_url == VPC


def _profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = {ELSEWHERE}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_a_profiles_endpoint_is_honoured(
    write_fleet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _profile(tmp_path, monkeypatch)
    (stage, *_) = choose(load(write_fleet()), (), ())
    with pytest.raises(AccessError, match=f"it cannot be reached .*{ELSEWHERE}"):
        _ = stage.access


def test_a_shell_that_contradicts_the_profile_is_refused(
    stages: tuple[Stage, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _profile(tmp_path, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", VPC)
    with pytest.raises(Unusable, match=f"AWS_ENDPOINT_URL in this shell is {VPC}, and the profile .* says {ELSEWHERE}"):
        _ = stages[0].access


def test_a_fleet_file_of_a_local_aws_goes_there_whatever_the_shell_says_and_takes_no_credentials_along(
    write_fleet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", VPC)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    _profile(tmp_path, monkeypatch)
    local = 'endpoint_url = "http://127.0.0.1:8"\nprofile = "nobody"'
    path = write_fleet('role_arn = "arn:aws:iam::111111111111:role/operator"', local)
    sent: list[Any] = []

    def send(_: object, request: Any) -> None:
        sent.append(request)
        raise AccessError("seen")

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    with pytest.raises(AccessError, match="seen"):
        open_access(choose(load(path), ("dev",), ())[0].account, "eu-central-1")

    assert sent[0].url.startswith("http://127.0.0.1:8/")
    assert "Credential=111111111111/" in str(sent[0].headers["Authorization"])


@pytest.mark.parametrize("stray", ["http://iot.eu-central-1.amazonaws.com", "https://amazonaws.com.example.org"])
def test_what_only_looks_like_aws_is_not(
    stages: tuple[Stage, ...], stray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stray)
    with pytest.raises(Unusable, match="which is not AWS"):
        _ = stages[0].access
