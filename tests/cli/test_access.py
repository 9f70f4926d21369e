"""Whose credentials are used, where calls go, and what is refused before anything is changed."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jitr_fleet.parse import load
from jitrctl.__main__ import main
from jitrctl.errors import AccessError, Unusable
from jitrctl.run.parallel import open_all
from jitrctl.session.access import open_access
from jitrctl.session.stage import Stage, choose

ID = "a" * 64
PATIENCE = 20  # seconds until a program that waits in vain gives up
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
    monkeypatch.setattr(
        "jitrctl.device.operations.Operator.take_away", lambda *_, **__: pytest.fail("changed something")
    )

    assert main(["device", "revoke", ID, "--fleet", str(path), "--yes"]) == 2

    assert capsys.readouterr().err == (
        "the environment's credentials is account 123456789012, and the fleet file says that prod is 222222222222: "
        "correct the profile or the fleet file; nothing was changed anywhere\n"
    )


def test_a_profile_is_named_where_it_does_not_work(
    write_fleet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_config("[profile x]\nsso_session = none\n", tmp_path, monkeypatch)
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


def _with_config(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(text, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def _profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_config(f"[default]\nendpoint_url = {ELSEWHERE}\n", tmp_path, monkeypatch)


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


BOTH_BEHIND_ONE = """\
[profile base]
aws_access_key_id = testing
aws_secret_access_key = testing
[profile x]
source_profile = base
role_arn = arn:aws:iam::333333333333:role/x
"""


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("own", "where"), [("", "eu-central-1"), ("region = eu-west-1\n", "eu-west-1")])
@pytest.mark.parametrize("first", [0, -1])
def test_the_region_in_which_a_profiles_roles_are_assumed_is_the_same_whichever_account_comes_first(
    write_fleet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, where: str, first: int
) -> None:
    """The profile's own; else the first of the first account behind it, in the fleet file."""
    _with_config(BOTH_BEHIND_ONE + own, tmp_path, monkeypatch)
    text = write_fleet('"eu-central-1", "us-east-1"', '"us-east-1"').read_text(encoding="utf-8")
    (tmp_path / "fleet.toml").write_text(text.replace("role_arn", 'profile = "x"\nrole_arn'), encoding="utf-8")
    stages = choose(load(tmp_path / "fleet.toml"), (), ())
    assert stages[first].access.session.get_config_variable("region") == where


WAITING = """\
import signal, sys
signal.alarm({patience})
with open({fifo!r}, sys.argv[1]):
    print('{{"Version": 1, "AccessKeyId": "testing", "SecretAccessKey": "testing"}}')
"""


@pytest.mark.usefixtures("aws")
def test_profiles_that_run_a_program_for_their_credentials_do_not_wait_for_each_other(
    write_fleet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program ends when the other runs: one opens a pipe for reading, the other for writing."""
    os.mkfifo(tmp_path / "pipe")
    program = tmp_path / "program.py"
    program.write_text(WAITING.format(patience=PATIENCE, fifo=str(tmp_path / "pipe")), encoding="utf-8")
    _with_config(
        "".join(
            f"[profile {name}]\ncredential_process = {sys.executable} {program} {mode}\n"
            for name, mode in (("dev", "r"), ("prod", "w"))
        ),
        tmp_path,
        monkeypatch,
    )
    text = write_fleet().read_text(encoding="utf-8")
    for name in ("dev", "prod"):
        text = text.replace(f"[account.{name}]", f'[account.{name}]\nprofile = "{name}"')
    (tmp_path / "fleet.toml").write_text(text, encoding="utf-8")

    assert [failed.error for failed in open_all(choose(load(tmp_path / "fleet.toml"), (), ())).failed] == []
