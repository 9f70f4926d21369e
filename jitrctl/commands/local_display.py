"""Shows what runs on the local AWS, and what to do next: tables, and commands to paste into a shell."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitr_fleet.sample_device import make_up_name
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.localaws.own_fleet import find_source
from jitrctl.terminal import out, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr_fleet.model import Account
    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.workspace import Workspace


def show_next(workspace: Workspace, running: Sequence[LocalAccount], *, deployed: bool) -> None:
    file = shell_path(workspace.fleet_file)
    steps = [] if deployed else [("jitrctl local deploy", "the stacks, by the CDK CLI")]
    steps += [
        (f"jitrctl ca apply --fleet {file}", "register the CAs"),
        (f"jitrctl local connect NAME {_options(running)}", "a device, with a certificate made for it"),
        ("jitrctl local status", "how to point aws, cdk and other clients at it"),
        ("jitrctl local down", "stop all of it"),
    ]
    width = max(len(command) for command, _ in steps)
    out.print("\nNext:", markup=False)
    for command, what in steps:
        out.print(f"  {command:{width}}  {what}", markup=False, soft_wrap=True)


def _options(running: Sequence[LocalAccount]) -> str:
    """The options that mean the first account, and its Region if it runs in several."""
    first = running[0]
    several = sum(one.name == first.name for one in running) > 1
    return f"--account {first.name}" + (f" --region {first.region}" if several else "")


def shell_path(path: Path) -> str:
    """A path to paste into a shell: relative when it is below the working directory."""
    try:
        return shlex.quote(os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path))
    except ValueError:  # on another drive
        return str(path)


def show_running(workspace: Workspace, alive: tuple[LocalAccount, ...]) -> None:
    source = find_source(workspace) or workspace.checkout / "fleet.toml"
    out.print(f"The fleet of {source}, as {shell_path(workspace.fleet_file)}.\n", markup=False, soft_wrap=True)
    out.print(table([row_of(account) for account in alive]))
    for account in alive:
        out.print(f"\n# {account.stage}", markup=False)
        for line in _lines(workspace, account):
            out.print(line, markup=False, soft_wrap=True)


def row_of(account: LocalAccount) -> dict[str, str]:
    return {
        "account": account.name,
        "id": account.id,
        "Region": account.region,
        "API": account.endpoint_url,
        "MQTT": f"127.0.0.1:{account.mqtt_port}",
    }


def document_of(account: LocalAccount) -> dict[str, Any]:
    """An account's part of the JSON document."""
    return {
        "account": account.name,
        "account_id": account.id,
        "region": account.region,
        "ok": True,
        "profile": account.profile,
        "endpoint_url": account.endpoint_url,
        "mqtt": f"127.0.0.1:{account.mqtt_port}",
        "pid": account.pid,
        "log": str(account.log),
    }


def _in_fleet(workspace: Workspace, account: LocalAccount) -> Account:
    return next(one for one in workspace.load_fleet().accounts if one.name == account.name)


def _example_device(workspace: Workspace, account: LocalAccount) -> str:
    """The name of a device that the account admits, of its first CA."""
    cas = _in_fleet(workspace, account).cas
    return (make_up_name(cas[0].ca) if cas else None) or "NAME"


def _register_cas(workspace: Workspace, account: LocalAccount) -> list[str]:
    """The article's command to register each CA, in the fleet file's mode."""
    lines = []
    for registration in _in_fleet(workspace, account).cas:
        verified = registration.verification_certificate_path
        proof = f"--verification-certificate file://{verified}" if verified else "--certificate-mode SNI_ONLY"
        lines.append(
            f"aws iot register-ca-certificate --ca-certificate file://{registration.ca.certificate_path} {proof} "
            "--set-as-active --allow-auto-registration"
        )
    return lines


def _lines(workspace: Workspace, account: LocalAccount) -> list[str]:
    """Commands to paste into a shell in the checkout."""
    environ = account.environ()
    wanted = [
        name
        for name in environ
        if name.startswith("AWS_") and name not in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    ]
    endpoint = find_endpoint(account)
    device = _example_device(workspace, account)
    context = f"-c target=local -c fleet={workspace.fleet_file}"
    s_client = (
        f"openssl s_client -connect 127.0.0.1:{account.mqtt_port} -servername {endpoint.server_name} "
        f"-CAfile {endpoint.trust} -cert {workspace.devices}/NAME.pem -key {workspace.devices}/NAME.key"
    )
    return [
        "unset AWS_PROFILE AWS_SESSION_TOKEN; export "
        + " ".join(f"{name}={shlex.quote(environ[name])}" for name in wanted),
        "aws iot list-ca-certificates",
        f"node_modules/.bin/cdk bootstrap aws://{account.id}/{account.region} {context}",
        f"node_modules/.bin/cdk deploy {account.stage} {context}",
        *_register_cas(workspace, account),
        f".venv/bin/jitrctl local connect {device} --account {account.name} --region {account.region}",
        "# any other client: 127.0.0.1 is the address, and the endpoint's name must be the SNI",
        s_client,
    ]
