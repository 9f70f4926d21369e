"""Deploys the CDK app into accounts of the local AWS, with the CDK CLI.

Starts the CLI, and turns its failures into sentences for the user; knows nothing of the stacks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from jitr_fleet.resources import ResourceNames
from jitrctl.localaws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.workspace import LocalPlace, Workspace

_NODE = 20  # the CDK CLI's least major version
_AT_ONCE = 2  # each is a Node process, which takes most of a processor
_BOOTSTRAP = "CDKToolkit"  # the stack of `cdk bootstrap`
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def check_tools(workspace: Workspace) -> None:
    """Check that Node, the CDK CLI and openssl are installed, before anything is started.

    Raises LocalAwsError, which says what to install.
    """
    node = shutil.which("node")
    if node is None:
        raise LocalAwsError(f"Node is not installed: install Node {_NODE} or newer, then try again")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = re.match(r"v(\d+)\.", version)
    if major is None or int(major[1]) < _NODE:
        raise LocalAwsError(
            f"Node is {version or 'of no known version'}: install Node {_NODE} or newer, then try again"
        )
    if not _cli(workspace).exists():
        raise LocalAwsError(f"the CDK CLI is not in {workspace.checkout / 'node_modules'}: run `make setup`")
    if shutil.which("openssl") is None:
        raise LocalAwsError("openssl is not installed: install it (Debian: apt-get install openssl)")


def synthesize(workspace: Workspace, account: LocalAccount) -> None:
    """Run app.py for the local AWS, once for all accounts; writes the workspace's cloud assembly.

    Raises LocalAwsError with the app's error.
    """
    shutil.rmtree(workspace.cloud_assembly, ignore_errors=True)
    context = ["-c", "target=local", "-c", f"fleet={workspace.fleet_file}"]
    # No staging: publishes the assets from where they were built, instead of copying their thousand files.
    options = ["--quiet", "--no-staging", "--output", str(workspace.cloud_assembly)]
    _cdk(workspace, account, "synth", *options, *context)


def deploy(workspace: Workspace, account: LocalAccount, place: LocalPlace) -> None:
    """Bootstrap the account's Region, if it is not yet, and deploy its stack; what was changed beside it is reverted.

    Raises LocalAwsError with CloudFormation's error.
    """
    assembly = ["--app", str(workspace.cloud_assembly)]
    if not _has_stack(account, _BOOTSTRAP):
        _cdk(workspace, account, "bootstrap", f"aws://{account.id}/{account.region}", *assembly)
    # Of a new stack nothing can have been changed.
    revert = ["--revert-drift"] if _has_stack(account, ResourceNames(workspace.load_fleet().name).stack) else []
    options = ["--require-approval", "never", "--progress", "events", *revert]
    _cdk(workspace, account, "deploy", place.stack, *assembly, *options)


def deploy_all(
    workspace: Workspace, running: Sequence[LocalAccount]
) -> Iterator[tuple[LocalAccount, float, str | None]]:
    """Deploy the stacks of these accounts, two at a time; gives each as it ends, with its seconds and its error."""
    places = dict(zip(running, workspace.places_of(running), strict=True))

    def one(account: LocalAccount) -> tuple[LocalAccount, float, str | None]:
        began, error = time.monotonic(), None
        try:
            deploy(workspace, account, places[account])
        except LocalAwsError as failed:
            error = str(failed)
        return account, time.monotonic() - began, error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in as_completed([pool.submit(one, account) for account in running]):
            yield done.result()


def _has_stack(account: LocalAccount, name: str) -> bool:
    """Whether a stack of that name is deployed; the CLI would take three seconds to find out."""
    client = account.client("cloudformation")
    try:
        stacks = client.describe_stacks(StackName=name)["Stacks"]
    except client.exceptions.ClientError:  # ValidationError: there is none
        return False
    return any(stack["StackStatus"].endswith("_COMPLETE") for stack in stacks)


def _cli(workspace: Workspace) -> Path:
    return workspace.checkout / "node_modules" / ".bin" / "cdk"


def cdk(workspace: Workspace, account: LocalAccount, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the CDK CLI in the account; its output and errors are both in `stdout`."""
    environ = account.environ_over(os.environ) | {
        "CI": "true",  # no colours, no questions
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        # The CDK's validation takes ten seconds of processor time, and only warns; `make synth` does it, with cfn-lint.
        "CDK_VALIDATION": "false",
        "NODE_NO_WARNINGS": "1",
    }
    return subprocess.run(
        [str(_cli(workspace)), *words],
        cwd=workspace.checkout,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _cdk(workspace: Workspace, account: LocalAccount, command: str, *arguments: str) -> None:
    log = workspace.directory / f"cdk-{command}-{account.label}.log"
    done = cdk(workspace, account, command, *arguments)
    log.write_text(_ESCAPES.sub("", done.stdout), encoding="utf-8")
    if done.returncode:
        raise LocalAwsError(f"cdk {command} failed for {account.stage}: {_cause(done.stdout)}; the whole log is {log}")


def _cause(output: str) -> str:
    """The lines of the CLI's output that say what failed."""
    lines = [_ESCAPES.sub("", line).strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"❌|_FAILED|rror:|denied|fleet\.toml:", line)]
    return " | ".join(telling[:3] or lines[-2:] or ["no output"])[:600]
