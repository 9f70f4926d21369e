"""`jitrctl local up | status | down | connect`: the commands on the local AWS, for trying things out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.localaws import accounts
from jitrctl.localaws.doctor_command import pointing_to_doctor
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.workspace import Workspace
from jitrctl.terminal import out, print_json, table

if TYPE_CHECKING:
    from jitrctl.localaws.account import LocalAccount

app = typer.Typer(help="Run a local AWS, two accounts on 127.0.0.1.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]


@app.command()
def up() -> None:
    """Start two accounts, and make a CA and a fleet file for them.

    Example: jitrctl local up
    """
    workspace = Workspace()
    started = accounts.up(workspace.directory, [place.spec() for place in workspace.find_places()], stays=True)
    try:
        workspace.prepare(started)
    except BaseException:
        accounts.down(workspace.directory)
        raise
    _show(workspace, started)


@app.command()
def status(*, as_json: _Json = False) -> None:
    """Show which accounts are running, and how to point aws, cdk and a device at them.

    Example: jitrctl local status
    """
    workspace = Workspace()
    alive = accounts.find_running(workspace.directory)
    if as_json:
        print_json({"accounts": [_document(account) for account in alive]})
    elif alive:
        _show(workspace, alive)
    else:
        out.print("No local AWS is running; `jitrctl local up` starts one.")


@app.command()
def down() -> None:
    """Stop the accounts; what was in them is gone.

    Example: jitrctl local down
    """
    stopped = accounts.down(Workspace().directory)
    out.print(f"Stopped {' and '.join(account.name for account in stopped)}." if stopped else "Nothing was running.")


@app.command()
def connect(
    name: Annotated[str, typer.Argument(help="The device's common name, for instance sensor-0042.")],
    account: Annotated[str, typer.Option(help="The account to connect to.")],
    ca: Annotated[str | None, typer.Option(help="The CA that issues its certificate; else the fleet's first.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds to try for.")] = 15.0,
) -> None:
    """Connect a device, with a certificate made for it on first use, until it is accepted.

    Example: jitrctl local connect sensor-0042 --account dev
    """
    from jitrctl.localaws.stage import LocalStage  # noqa: PLC0415 -- botocore's weight, for this command alone

    workspace = Workspace()
    alive = {one.name: one for one in accounts.find_running(workspace.directory)}
    if account not in alive:
        raise LocalAwsError(f"account {account} is not running here: `jitrctl local status` shows which are")
    fleet = workspace.load_fleet()
    named = next((one for one in fleet.cas if ca in (None, one.name)), None)
    if named is None:
        raise LocalAwsError(f"the fleet has no CA {ca}: it has {', '.join(one.name for one in fleet.cas)}")
    issuing = workspace.issuing_ca(named)
    files = issuing.find_issued(workspace.devices, name) or issuing.issue(workspace.devices, name)
    place = next(place for place in workspace.find_places() if place.account.name == account)
    stage = LocalStage(alive[account], place, fleet)
    with pointing_to_doctor(files, alive[account], workspace.fleet_file, name):
        connection, attempts = stage.device(files, name).connect_until_accepted(stage.endpoint, patience=patience)
    with connection:
        for attempt in attempts:
            what = f"{attempt.refusal.how}: {attempt.refusal.detail}" if attempt.refusal else "CONNACK: accepted"
            out.print(f"{attempt.seconds:6.2f} s  {what}", markup=False)


def _show(workspace: Workspace, alive: tuple[LocalAccount, ...]) -> None:
    shown = ("account", "id", "Region", "API", "MQTT")
    out.print(table([{name: _document(account)[name] for name in shown} for account in alive]))
    for account in alive:
        out.print(f"\n# {account.name}", markup=False)
        for line in _lines(workspace, account):
            out.print(line, markup=False, soft_wrap=True)


def _document(account: LocalAccount) -> dict[str, str]:
    return {
        "account": account.name,
        "id": account.id,
        "Region": account.region,
        "profile": account.profile,
        "API": account.endpoint_url,
        "MQTT": f"127.0.0.1:{account.mqtt_port}",
        "pid": str(account.pid),
        "log": str(account.log),
    }


def _register_cas(workspace: Workspace, account: LocalAccount) -> list[str]:
    """The article's command to register each CA, in the fleet file's mode."""
    fleet_account = next(one for one in workspace.load_fleet().accounts if one.name == account.name)
    lines = []
    for registration in fleet_account.cas:
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
        f"node_modules/.bin/cdk deploy {account.name}/{account.region} {context}",
        *_register_cas(workspace, account),
        f".venv/bin/jitrctl local connect sensor-0042 --account {account.name}",
        "# any other client: 127.0.0.1 is the address, and the endpoint's name must be the SNI",
        s_client,
    ]
