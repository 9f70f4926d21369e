"""Starts and stops the local AWS: one process for each account and Region, ready when it serves HTTP and MQTT.

A process serves the control plane of any account and Region, but it activates a certificate in one account only, and
refuses a device whose CA is registered in two Regions.

Facts (ministack 1.5.33, measured on two cores):

- `up` takes 0.2 to 0.4 s for one account or two, `down` 0.1 s, as all start in parallel. Making the
  broker's RSA keys adds 0.3 s to the first `find_endpoint` and CONNECT.
- Devices connect to the MQTT port with mutual TLS and the endpoint's name as SNI: what DescribeEndpoint
  answers for `iot:Data-ATS`, `<prefix>-ats.iot.<region>.localhost`, with the *request's* Region. The server's
  certificate names `*.iot.<region>.localhost` for the process's own Region only. Without SNI only a CA in
  DEFAULT mode registers a device.
- Lambda code runs under `sys.executable`, in workers of the account's process group, which die with it.
- Nothing is kept: `down` loses all state. It moves what is left aside; another process removes it, and ends by itself.
- Without `stays`, an account ends within a second after the process that called `up`, even when that is killed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from contextlib import ExitStack
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

from jitrctl.localaws import processes, state
from jitrctl.localaws.account import LOOPBACK, AccountSpec, LocalAccount
from jitrctl.localaws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["AccountSpec", "LocalAccount", "down", "find_running", "up"]

SECONDS_TO_START = 30.0
ATTEMPTS = 3  # a port that was free may be taken before ministack binds it


def up(directory: Path, accounts: Sequence[AccountSpec], *, stays: bool = False) -> tuple[LocalAccount, ...]:
    """Start every account, wait until each serves HTTP and MQTT, and write their addresses into the directory.

    They run until `down`, or until this process ends; with `stays`, beyond that.

    Writes into the directory (0700) `accounts.json`, and `aws-config` and `aws-credentials` with a profile per
    account, which the AWS CLI (`AWS_CONFIG_FILE=… AWS_SHARED_CREDENTIALS_FILE=… aws --profile acme-dev …`) and boto3
    obey. The CDK CLI does not: it ignores a profile's endpoint_url and calls the real AWS. Run it with
    `LocalAccount.environ_over`, without `--profile`.

    Raises:
        LocalAwsError: a local AWS runs here already, an account is unusable or shares its name or profile
            with another, or one does not start; then none of them is left running.
    """
    directory = directory.resolve()
    _refuse_unusable(accounts)
    if processes.find_alive(directory):
        raise LocalAwsError(f"a local AWS is already running in {directory}: use it, or stop it first")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.forget(directory)
    try:
        for _ in range(ATTEMPTS):
            started = _start(directory, accounts, stays=stays)
            if all(_serves(account) for account in started):
                return started
            processes.stop(directory)
    except BaseException:  # Ctrl-C too: nothing half started is left behind
        processes.stop(directory)
        state.forget(directory)
        raise
    state.forget(directory)
    raise LocalAwsError(f"other programs took its ports {ATTEMPTS} times: try again; the logs are in {directory}")


def find_running(directory: Path) -> tuple[LocalAccount, ...]:
    """The accounts that `up` started in the directory and that are still alive.

    Raises:
        LocalAwsError: the state file cannot be read.
    """
    directory = directory.resolve()
    alive = processes.find_alive(directory)
    return tuple(account for account in state.load(directory) if account.pid in alive)


def down(directory: Path) -> tuple[LocalAccount, ...]:
    """Stop all that `up` started in the directory, Lambda workers included; returns the accounts that were running.

    Works after a crash, and without a state file. The logs stay until the next `up`.

    Raises:
        LocalAwsError: a process does not end.
    """
    directory = directory.resolve()
    alive = processes.find_alive(directory)
    try:
        accounts = state.load(directory)
    except LocalAwsError:  # an unreadable file must not keep processes alive: their command lines identify them
        accounts = ()
    processes.stop(directory, groups=[account.pid for account in accounts])
    if left := processes.find_alive(directory):
        raise LocalAwsError(f"processes {sorted(left)} of the local AWS do not end: end them by hand")
    state.forget(directory)
    return tuple(account for account in accounts if account.pid in alive)


def _refuse_unusable(accounts: Sequence[AccountSpec]) -> None:
    for account in accounts:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", account.name):
            raise LocalAwsError(f"account name {account.name!r}: use letters, digits, '_', '.' and '-'")
        if not re.fullmatch(r"[0-9]{12}", account.id):
            raise LocalAwsError(f"account id {account.id!r} of {account.name}: it has 12 digits")
        for other in accounts:
            if other.name == account.name and other.id != account.id:
                raise LocalAwsError(f"two accounts have the name {account.name!r}: give each its own")
    for what in ("stage", "profile"):
        values = [getattr(account, what) for account in accounts]
        if twice := [value for value in values if values.count(value) > 1]:
            raise LocalAwsError(f"two accounts have the {what} {twice[0]!r}: give each its own")


def _start(directory: Path, accounts: Sequence[AccountSpec], *, stays: bool) -> tuple[LocalAccount, ...]:
    ports = _free_ports(2 * len(accounts))
    started: list[LocalAccount] = []
    for account, gateway_port, mqtt_port in zip(accounts, ports[::2], ports[1::2], strict=True):
        log = directory / f"{account.label}.log"
        log.unlink(missing_ok=True)
        environ = _environ(directory, account, gateway_port=gateway_port, mqtt_port=mqtt_port)
        pid = processes.start(directory, account.label, environ=environ, log=log, stays=stays)
        place = LocalAccount(**asdict(account), gateway_port=gateway_port, mqtt_port=mqtt_port, pid=pid, log=log)
        started.append(place)
        state.save(directory, started)
    return tuple(started)


def _environ(directory: Path, account: AccountSpec, *, gateway_port: int, mqtt_port: int) -> dict[str, str]:
    """The process's environment, which inherits only PATH, and has a HOME and a TMPDIR of its own."""
    marker = processes.marker(directory, account.label)
    private = directory / marker
    for folder in (private / "home", private / "tmp"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(private / "home"),
        "TMPDIR": str(private / "tmp"),
        "STATE_DIR": str(private / "tmp"),
        "JITR_LOCAL_EXTRACTED": str(directory / state.EXTRACTED),  # extracted_once.py reads it
        "S3_DATA_DIR": str(private / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # for the Lambda workers; the process itself runs isolated
        "AUTH": "true",  # IAM on the Lambda's role, IoT policies on the device's session
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(gateway_port),
        "IOT_MTLS_PORT": str(mqtt_port),
        "LOG_LEVEL": "INFO",
        "MINISTACK_ACCOUNT_ID": account.id,
        "MINISTACK_EDITION": marker,  # its health answer repeats it, which shows that it is jitrctl's process
        "MINISTACK_REGION": account.region,
        "SFTP_ENABLED": "0",
        # ministack removes containers when it starts and stops; it must not touch the user's Docker.
        "DOCKER_HOST": f"unix://{private / 'no-docker'}",
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:  # all at once, so that all differ
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _serves(account: LocalAccount) -> bool:
    """Wait until the account answers HTTP and MQTT; False if another program has one of its ports.

    Raises:
        LocalAwsError: the process ended for another reason, or is not ready in time.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        health = _health(account)
        if health.get("edition") == processes.marker(account.directory, account.label):
            if health["iot_mtls"] == "listening":
                return True
            if health["iot_mtls"] != "starting":  # ministack only logs that it could not bind the MQTT port
                return False
        elif processes.has_ended(account.pid):
            output = account.log.read_text(errors="replace").strip() if account.log.exists() else ""
            if "already in use" in output.lower():
                return False
            last = output.splitlines()[-1] if output else "no output"
            raise LocalAwsError(f"the local account {account.stage} did not start ({last}); see {account.log}")
        time.sleep(processes.POLL)
    raise LocalAwsError(
        f"the local account {account.stage} is not ready after {SECONDS_TO_START:.0f} s; see {account.log}"
    )


def _health(account: LocalAccount) -> dict[str, Any]:
    connection = HTTPConnection(LOOPBACK, account.gateway_port, timeout=1)
    try:
        connection.request("GET", "/_ministack/health")
        answer = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):  # not up yet, or the port is another program's
        return {}
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}
