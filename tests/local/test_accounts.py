"""Claims about the local AWS's processes: what runs, what it listens on, and that nothing is left."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jitrctl.localaws import accounts, processes
from jitrctl.localaws.accounts import AccountSpec, LocalAccount, down, find_running, up
from jitrctl.localaws.errors import LocalAwsError
from tests.support.local.account import DEV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROD = AccountSpec(name="prod", id="222222222222", region="us-east-1", profile="acme-prod")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state of local aws"
    down(tmp_path / "state of local aws")


def test_the_account_answers_under_its_own_id(account: LocalAccount) -> None:
    assert account.client("sts").get_caller_identity()["Account"] == account.id


def test_it_listens_on_its_two_ports_and_on_loopback_only(account: LocalAccount) -> None:
    assert _listeners(account.pid) == {f"127.0.0.1:{account.gateway_port}", f"127.0.0.1:{account.mqtt_port}"}


def test_ps_and_proc_tell_the_same(account: LocalAccount) -> None:
    """On macOS there is no /proc; on Linux both are there to be compared."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc here")
    ours = [process for process in processes._from_proc() if process.pid == account.pid]
    assert ours
    assert ours == [process for process in processes._from_ps() if process.pid == account.pid]


def test_a_users_aws_environment_does_not_leak_in(account: LocalAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {
        "AWS_PROFILE": "of-somebody-else",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_ACCESS_KEY_ID": "AKIAFOREIGN",
        "AWS_SESSION_TOKEN": "foreign",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_REGION": "mars-west-1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    assert account.session().client("sts").get_caller_identity()["Account"] == account.id  # made in this environment
    environ = account.environ_over(os.environ)
    assert {name for name in environ if name.startswith("AWS_")} <= set(account.environ())
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    answer = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == account.id


def test_its_profile_is_an_ordinary_aws_profile(account: LocalAccount) -> None:
    """A process of its own, with nothing but the two files and the profile's name."""
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'], boto3.Session().region_name)"
    files = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "NO_PROXY")
    environ = {name: account.environ()[name] for name in files} | {"AWS_PROFILE": account.profile}
    answer = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True)
    assert answer.stdout.split() == [account.id, account.region]


def test_state_files_are_for_their_owner_only(account: LocalAccount) -> None:
    for name in ("accounts.json", "aws-config", "aws-credentials"):
        assert (account.directory / name).stat().st_mode & 0o777 == 0o600


def test_down_leaves_no_process_no_listener_and_no_file_but_the_logs(directory: Path) -> None:
    started = up(directory, [DEV, PROD])
    assert find_running(directory) == started
    assert down(directory) == started
    assert find_running(directory) == ()
    assert not processes.find_alive(directory)
    assert _closed(started)
    # What there is to remove, another process removes.
    _until(lambda: {path.name for path in directory.iterdir()} == {"dev-eu-central-1.log", "prod-us-east-1.log"})


def test_what_is_to_stay_outlives_a_killed_starter_until_down_ends_it(directory: Path) -> None:
    with _up_in_a_process(directory, stays=True) as starter:
        starter.kill()
    (left,) = find_running(directory)
    assert left.client("sts").get_caller_identity()["Account"] == DEV.id
    stopped = down(directory)
    assert stopped == (left,)
    assert _closed(stopped)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_is_not_to_stay_ends_when_its_starter_is_gone(directory: Path, number: int) -> None:
    with _up_in_a_process(directory, stays=False) as starter:
        (account,) = find_running(directory)
        starter.send_signal(number)
    _until(lambda: not processes.find_alive(directory) and _closed((account,)), seconds=5)


def test_a_lambda_worker_that_hangs_ends_when_the_starter_is_killed(directory: Path) -> None:
    with _up_in_a_process(directory, stays=False) as starter:
        (account,) = find_running(directory)
        worker = _invoke_a_function_that_hangs(account)
        assert _exists(worker)
        starter.kill()
    _until(lambda: not _exists(worker), seconds=5)


@pytest.mark.parametrize("content", [None, "", "{}", "[{}]"], ids=["no file", "empty", "not ours", "half"])
def test_down_ends_what_runs_without_a_usable_state_file(directory: Path, content: str | None) -> None:
    started = up(directory, [DEV])
    if content is None:
        (directory / "accounts.json").unlink()
    else:
        (directory / "accounts.json").write_text(content)
    down(directory)
    assert not processes.find_alive(directory)
    assert _closed(started)


@pytest.mark.parametrize("crashed", [False, True], ids=["with ministack", "after ministack"])
def test_down_ends_a_lambda_worker_that_hangs(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, crashed: bool
) -> None:
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.5)
    (account,) = up(directory, [DEV])
    worker = _invoke_a_function_that_hangs(account)
    if crashed:
        os.kill(account.pid, signal.SIGKILL)
        _until(lambda: not processes.find_alive(directory))
    else:
        (directory / "accounts.json").unlink()
    assert _exists(worker)
    assert down(directory) == ()
    assert not _exists(worker)


def test_a_second_up_is_refused_and_the_first_goes_on(directory: Path) -> None:
    started = up(directory, [DEV])
    with pytest.raises(LocalAwsError, match="already running"):
        up(directory, [DEV])
    assert find_running(directory) == started
    assert started[0].client("sts").get_caller_identity()["Account"] == DEV.id


def test_a_stale_state_file_names_nothing_that_runs_and_does_not_hinder_up(directory: Path) -> None:
    (first,) = up(directory, [DEV])
    stale = (directory / "accounts.json").read_text()
    down(directory)
    (directory / "accounts.json").write_text(stale)
    assert find_running(directory) == ()
    assert down(directory) == ()
    (directory / "accounts.json").write_text(stale)
    (second,) = up(directory, [DEV])
    assert find_running(directory) == (second,)
    assert second.pid != first.pid


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(directory: Path) -> None:
    (account,) = up(directory, [DEV])
    state = json.loads((directory / "accounts.json").read_text())
    down(directory)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            state[0]["pid"] = stranger.pid
            (directory / "accounts.json").write_text(json.dumps(state))
            assert find_running(directory) == ()
            assert down(directory) == ()
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert account.pid != stranger.pid


def test_a_reader_of_our_log_is_left_alone(directory: Path) -> None:
    up(directory, [DEV])
    log = directory / processes.marker(directory, "dev-eu-central-1")
    code = "import sys; sys.stdin.read()"
    command = [sys.executable, "-c", code, str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as reader:
        down(directory)
        assert reader.poll() is None
        reader.communicate(timeout=10)
        assert reader.returncode == 0


@pytest.mark.parametrize("which", [0, 1], ids=["HTTP", "MQTT"])
def test_a_port_that_is_taken_meanwhile_is_replaced(
    directory: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    free_ports = accounts._free_ports
    with socket.create_server(("127.0.0.1", 0)) as thief:
        taken = free_ports(2)
        taken[which] = thief.getsockname()[1]
        answers = iter([taken])
        monkeypatch.setattr(accounts, "_free_ports", lambda count: next(answers, None) or free_ports(count))
        (account,) = up(directory, [DEV])
        assert thief.getsockname()[1] not in {account.gateway_port, account.mqtt_port}
    assert account.client("sts").get_caller_identity()["Account"] == DEV.id


def test_a_process_that_cannot_start_is_told_with_its_log(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SCRIPT", directory / "absent" / "loopback.py")
    with pytest.raises(LocalAwsError, match=r"did not start .*can't open file.*see .*dev-eu-central-1\.log"):
        up(directory, [DEV])
    assert not processes.find_alive(directory)


@pytest.mark.parametrize(
    ("unusable", "complaint"),
    [
        ([replace(DEV, id="1")], "12 digits"),
        ([replace(DEV, name="../dev")], "account name"),
        ([DEV, replace(PROD, name="dev")], "two accounts have the name 'dev'"),
        ([DEV, replace(PROD, profile="acme-dev")], "two accounts have the profile 'acme-dev'"),
        ([DEV, replace(DEV, profile="other")], "two accounts have the stage 'dev/eu-central-1'"),
    ],
    ids=["id", "name", "same name", "same profile", "same stage"],
)
def test_unusable_accounts_are_refused_before_anything_starts(
    directory: Path, unusable: list[AccountSpec], complaint: str
) -> None:
    with pytest.raises(LocalAwsError, match=complaint):
        up(directory, unusable)
    assert not directory.exists()


def _listeners(pid: int) -> set[str]:
    """Answer what the process listens on, over TCP, as the operating system sees it."""
    if sys.platform == "linux":
        lines = subprocess.run(["ss", "-ltnpH"], check=True, capture_output=True, text=True).stdout.splitlines()
        return {line.split()[3] for line in lines if f"pid={pid}," in line}
    command = ["lsof", "-nP", "-a", "-p", str(pid), "-iTCP", "-sTCP:LISTEN", "-Fn"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line[1:] for line in lines if line.startswith("n")}


def _closed(stopped: tuple[LocalAccount, ...]) -> bool:
    for account in stopped:
        for port in (account.gateway_port, account.mqtt_port):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return False
    return True


@contextmanager
def _up_in_a_process(directory: Path, *, stays: bool) -> Iterator[subprocess.Popen[str]]:
    """A process that has started one account, and waits; for whoever uses it to end it by a signal."""
    code = (
        "import signal, time; from pathlib import Path; from jitrctl.localaws.accounts import *\n"
        # What a shell starts in the background ignores Ctrl-C, and under nohup SIGHUP, and hands that down.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        f"up(Path({str(directory)!r}), [AccountSpec(name='dev', id={DEV.id!r}, region={DEV.region!r},"
        f" profile={DEV.profile!r})], stays={stays})\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        assert starter.stdout.readline() == "up\n"
        try:
            yield starter
            assert starter.wait(10) < 0, "it was not ended by a signal"
        finally:
            starter.kill()


def _invoke_a_function_that_hangs(account: LocalAccount) -> int:
    """Deploy and invoke a function that never answers and does not listen to SIGTERM; answer its worker's pid."""
    marked = account.directory / "worker.pid"
    code = (
        "import os, pathlib, signal, time\n"
        "def handler(event, context):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"    new = pathlib.Path({str(marked)!r} + '.new')\n"
        "    new.write_text(str(os.getpid()))\n"
        f"    new.rename({str(marked)!r})\n"
        "    time.sleep(600)\n"
    )
    asset = io.BytesIO()
    with zipfile.ZipFile(asset, "w") as archive:
        archive.writestr("index.py", code)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = account.client("iam").create_role(
        RoleName="hang",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    functions = account.client("lambda")
    functions.create_function(
        FunctionName="hang",
        Runtime="python3.11",
        Handler="index.handler",
        Timeout=600,
        Role=role["Role"]["Arn"],
        Code={"ZipFile": asset.getvalue()},
    )
    functions.invoke(FunctionName="hang", InvocationType="Event")
    _until(marked.exists)
    return int(marked.read_text())


def _exists(pid: int) -> bool:
    """Say whether the process lives; a zombie that its new parent has not collected does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return shown.stdout.strip()[:1] not in {"", "Z"}


def _until(happened: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
