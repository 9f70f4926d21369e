"""`jitrctl local …`: starts, deploys and stops the local AWS, and connects devices to it, for trying things out."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.commands.local_display import document_of, row_of, shell_path, show_next, show_running
from jitrctl.errors import Unusable
from jitrctl.localaws import accounts
from jitrctl.localaws.doctor_command import pointing_to_doctor
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.localaws.own_fleet import OwnFleet, find_source
from jitrctl.localaws.workspace import Workspace
from jitrctl.terminal import Exit, err, out, print_json, table

if TYPE_CHECKING:
    from jitr_fleet.model import Ca
    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.issuing import DeviceFiles


_FleetFile = Annotated[
    Path | None,
    typer.Option("--fleet", metavar="FILE", help="Your fleet file; else the checkout's example, two accounts of it."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
_Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="NAME", help="Only this account; may be repeated.")
]
_Regions = Annotated[
    list[str] | None, typer.Option("--region", metavar="REGION", help="Only this Region; may be repeated.")
]
_Ca = Annotated[
    str | None, typer.Option(metavar="NAME", help="The CA that issues its certificate; else the fleet's first.")
]
_CaOfAccount = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Without it: the CA of the certificate that it has, or the account's first CA."),
]
_Device = Annotated[str, typer.Argument(metavar="NAME", help="The device's name, for instance sensor-0042.")]


def up(
    fleet: _FleetFile = None,
    account: _Accounts = None,
    region: _Regions = None,
) -> None:
    """Start the accounts and Regions of a fleet file, each a process, with throw-away CAs that look like its own.

    Your file, its policies and public certificates may be anywhere; they are not changed, and no key is needed. What
    the local AWS lacks of your fleet is said first.

    Example: jitrctl local up --fleet ~/acme/fleet.toml --account dev
    """
    workspace = Workspace()
    if fleet is None:
        if account or region:
            raise Unusable("--account and --region choose from the file of --fleet: `--fleet fleet.toml`, for instance")
        own, specs = None, [place.spec() for place in workspace.find_places()]
        if left := workspace.find_left_out():
            file = shell_path(workspace.checkout / "fleet.toml")
            err.print(
                f"{file} also has {', '.join(left)}; `jitrctl local up --fleet {file}` starts all.",
                markup=False,
                soft_wrap=True,
            )
    else:
        own = OwnFleet.read(fleet, account or (), region or ())
        specs = list(own.specs)
        _say_differences(own)
    started = accounts.up(workspace.directory, specs, stays=True)
    try:
        if own:
            own.prepare(workspace, started)
        else:
            workspace.prepare(started)
    except BaseException:  # Ctrl-C too
        accounts.down(workspace.directory)
        raise
    out.print(table([row_of(one) for one in started]))
    show_next(workspace, started, deployed=False)


def deploy(*, account: _Accounts = None, region: _Regions = None, as_json: _Json = False) -> None:
    """Deploy the stacks into the accounts that run, by the CDK CLI; again after each change to your fleet file.

    Example: jitrctl local deploy --account dev
    """
    from jitrctl.localaws import deployment  # noqa: PLC0415 -- for this command alone

    workspace = Workspace()
    running = _running(workspace)
    deployment.check_tools(workspace)
    if own := OwnFleet.find(workspace):
        own.prepare(workspace, running)
    chosen = [one for one in running if one.name in (account or [one.name]) and one.region in (region or [one.region])]
    if not chosen:
        raise Unusable(f"none of these runs here: {', '.join(one.stage for one in running)} do")
    _say("cdk synth …", quiet=as_json)
    deployment.synthesize(workspace, chosen[0])
    _say(
        f"cdk bootstrap and cdk deploy, two stacks at a time: {', '.join(one.stage for one in chosen)} …", quiet=as_json
    )
    ok, stages = True, []
    for one, seconds, error in deployment.deploy_all(workspace, chosen):
        ok = ok and error is None
        stages.append(
            {"account": one.name, "region": one.region, "ok": error is None}
            | ({"error": error} if error else {"seconds": round(seconds, 1)})
        )
        if not as_json:
            out.print(f"{one.stage}: {error or f'deployed, {seconds:.1f} s'}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"ok": ok, "stages": stages})
    elif ok:
        show_next(workspace, running, deployed=True)
    if not ok:
        raise typer.Exit(Exit.FAILED)


def status(*, as_json: _Json = False) -> None:
    """Show which accounts are running, and how to point aws, cdk and a device at them.

    Example: jitrctl local status
    """
    workspace = Workspace()
    alive = accounts.find_running(workspace.directory)
    if as_json:
        source = {"fleet_file": str(find_source(workspace) or workspace.checkout / "fleet.toml")} if alive else {}
        print_json({**source, "stages": [document_of(account) for account in alive]})
    elif alive:
        show_running(workspace, alive)
    else:
        out.print("No local AWS is running; `jitrctl local up` starts one.")


def down() -> None:
    """Stop the accounts; what was in them is gone.

    Example: jitrctl local down
    """
    stopped = accounts.down(Workspace().directory)
    out.print(
        f"Stopped {', '.join(one.stage for one in stopped)}." if stopped else "Nothing was running.", soft_wrap=True
    )


def issue(
    name: _Device,
    ca: _Ca = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its subject as openssl writes it: /O=Acme/CN=sensor-0042.")
    ] = None,
    san: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its subjectAltName as openssl writes it: URI:urn:dev:42.")
    ] = None,
    days: Annotated[int | None, typer.Option(metavar="DAYS", help="How long it is valid.", min=1, max=3650)] = None,
) -> None:
    """Issue a device's certificate under a CA of the local AWS; `jitrctl local connect` then uses it.

    Without options it has what the CA's rules identify a device by: the name as common name, serial number or
    subjectAltName.

    Example: jitrctl local issue sensor-0042 --subject /O=Acme/OU=S2/CN=sensor-0042
    """
    workspace = Workspace()
    files = _issue(workspace, _ca_of(workspace, ca), name, subject=subject, san=san, days=days)
    out.print(f"{files.certificate}\n{files.key}\ncertificate id {files.certificate_id}", markup=False, soft_wrap=True)


def connect(
    name: _Device,
    account: Annotated[str, typer.Option(metavar="NAME", help="The account to connect to.")],
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="The Region, when the account runs in several.")
    ] = None,
    ca: _CaOfAccount = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its MQTT client id; else the thing name that the rules make.")
    ] = None,
    patience: Annotated[float, typer.Option(metavar="SECONDS", help="How long it is tried.")] = 15.0,
) -> None:
    """Connect a device, with a certificate made for it on first use, until it is accepted.

    Example: jitrctl local connect sensor-0042 --account dev
    """
    from jitrctl.localaws.stage import LocalStage  # noqa: PLC0415 -- botocore's weight, for this command alone

    workspace = Workspace()
    running = accounts.find_running(workspace.directory)
    here = [one for one in running if one.name == account and region in (None, one.region)]
    if not here:
        place = f"account {account}" + (f" in {region}" if region else "")
        raise LocalAwsError(f"{place} is not running here: `jitrctl local status` shows which are")
    if len(here) > 1:
        raise LocalAwsError(
            f"account {account} runs in {', '.join(one.region for one in here)}: say which with --region, for instance "
            f"--region {here[0].region}"
        )
    named = _ca_of(workspace, ca) if ca else _ca_of_device(workspace, name, account)
    files = workspace.issuing_ca(named).find_issued(workspace.devices, name) or _issue(workspace, named, name)
    (place_here,) = workspace.places_of(here)
    stage = LocalStage(here[0], place_here, workspace.load_fleet())
    device = stage.device(files, client_id or stage.thing_name(named.name, files) or name)
    with pointing_to_doctor(files, here[0], workspace.fleet_file, device.client_id):
        connection, attempts = device.connect_until_accepted(stage.endpoint, patience=patience)
    with connection:
        for attempt in attempts:
            what = f"{attempt.refusal.how}: {attempt.refusal.detail}" if attempt.refusal else "CONNACK: accepted"
            out.print(f"{attempt.seconds:6.2f} s  {what}", markup=False)


def _running(workspace: Workspace) -> tuple[LocalAccount, ...]:
    running = accounts.find_running(workspace.directory)
    if not running:
        raise LocalAwsError("no local AWS is running: `jitrctl local up` starts one")
    return running


def _ca_of(workspace: Workspace, name: str | None) -> Ca:
    """The CA of that name in the local fleet, or its first.

    Raises FleetError; LocalAwsError when there is none.
    """
    if not workspace.fleet_file.exists():
        raise LocalAwsError("there is no local fleet yet: `jitrctl local up` makes it, with its CAs")
    fleet = workspace.load_fleet()
    named = next((one for one in fleet.cas if name in (None, one.name)), None)
    if named is None:
        raise LocalAwsError(f"the fleet has no CA {name}: it has {', '.join(one.name for one in fleet.cas)}")
    return named


def _ca_of_device(workspace: Workspace, name: str, account: str) -> Ca:
    """The CA that has issued the device's certificate, or else the first that the account has.

    Raises FleetError; LocalAwsError when there is no CA.
    """
    default, fleet = _ca_of(workspace, None), workspace.load_fleet()
    made = ((one, workspace.issuing_ca(one)) for one in fleet.cas)
    issuers = (
        one for one, ca in made if ca.certificate.exists() and ca.find_issued(workspace.devices, name) is not None
    )
    in_account = (given.ca for one in fleet.accounts if one.name == account for given in one.cas)
    return next(chain(issuers, in_account), default)


def _issue(
    workspace: Workspace,
    ca: Ca,
    name: str,
    *,
    subject: str | None = None,
    san: str | None = None,
    days: int | None = None,
) -> DeviceFiles:
    from jitrctl.localaws.device_shape import device_like  # noqa: PLC0415 -- as above

    shape = device_like(ca, name)
    return workspace.issuing_ca(ca).issue(
        workspace.devices,
        name,
        subject=subject or shape.subject,
        san=san or shape.san,
        days=days or shape.days,
    )


def _say(text: str, *, quiet: bool = False) -> None:
    """What is going on, on standard error."""
    if not quiet:
        err.print(text, markup=False, soft_wrap=True)


def _say_differences(own: OwnFleet) -> None:
    if differences := own.describe_differences():
        _say("What runs here differs from your fleet:")
        for text in differences:
            _say(f"  {text}")
    _say(f"Starting {', '.join(spec.stage for spec in own.specs)} …")
    _say(f"with throw-away CAs in place of {', '.join(ca.name for ca in own.choice.cas())}.")
