"""Writes commands of other programs, the AWS CLI and the CDK, for one stage, so that they can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jitrctl.session.endpoints import is_loopback

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

_CDK = "node_modules/.bin/cdk"
_DEFAULT = Path("fleet.toml")  # what the CDK app takes by itself


def aws_command(stage: Stage, words: str) -> str:
    """A command of the AWS CLI for the stage's account: `aws iot … --region eu-central-1 --profile acme-dev`."""
    options = [f"--region {stage.region}", *_profile(stage)]
    if stage.account.endpoint_url:
        options.append(f"--endpoint-url {stage.account.endpoint_url}")
    return f"aws {words} {' '.join(options)}"


def deploy_command(stage: Stage, order: str = "deploy") -> str:
    """The command that deploys the stage's stack, from the checkout."""
    context = [] if stage.fleet.path == _DEFAULT else [f"-c fleet={shlex.quote(str(stage.fleet.path))}"]
    if stage.account.endpoint_url and is_loopback(stage.account.endpoint_url):
        context.append("-c target=local")
    return " ".join([_CDK, order, str(stage), *context, *_profile(stage)])


def _profile(stage: Stage) -> list[str]:
    account = stage.account
    if account.profile is None or (account.endpoint_url and is_loopback(account.endpoint_url)):
        return []
    return [f"--profile {account.profile}"]
