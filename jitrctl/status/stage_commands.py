"""Writes commands of other programs, the AWS CLI and the CDK, for one stage, so that they can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jitrctl.localaws.state import ACCOUNTS
from jitrctl.session.endpoints import is_loopback

if TYPE_CHECKING:
    from jitr_fleet.model import Account
    from jitrctl.session.stage import Stage

_CDK = "node_modules/.bin/cdk"
_DEFAULT = Path("fleet.toml")  # what the CDK app takes by itself


def aws_command(stage: Stage, words: str) -> str:
    """A command of the AWS CLI for the stage's account: `aws iot … --region eu-central-1 --profile acme-dev`.

    For an account that is opened with a role, a comment says whose credentials the command needs, since no option does.
    """
    account, region = stage.account, f"--region {stage.region}"
    if _is_local(stage):
        keys = f"AWS_ACCESS_KEY_ID={account.id} AWS_SECRET_ACCESS_KEY=test"
        return f"{keys} aws {words} {region} --endpoint-url {account.endpoint_in(stage.region)}"
    if account.role_arn:
        return f"aws {words} {region} # with the credentials of {account.role_arn}"
    return " ".join([f"aws {words} {region}", *_profile(account)])


def deploy_command(stage: Stage, order: str = "deploy") -> str:
    """The command that deploys the stage's stack, from the checkout; `diff` compares it instead.

    Of the local AWS that runs beside the fleet file, jitrctl deploys it: the CDK CLI alone would go to AWS.
    """
    if order == "deploy" and _is_local(stage) and (stage.fleet.path.parent / ACCOUNTS).exists():
        return f"jitrctl local deploy --account {stage.account.name} --region {stage.region}"
    context = [] if stage.fleet.path == _DEFAULT else [f"-c fleet={shlex.quote(str(stage.fleet.path))}"]
    if _is_local(stage):
        return " ".join([_CDK, order, str(stage), *context, "-c target=local"])
    return " ".join([_CDK, order, str(stage), *context, *_profile(stage.account)])


def restore_command(stage: Stage) -> str:
    """The command that deploys the stage's stack, and reverts what somebody changed or deleted beside it.

    Without `--revert-drift` CloudFormation compares templates alone: where nothing was changed in the fleet file, `cdk
    deploy` says "no changes", and what was deleted stays deleted. `jitrctl local deploy` always reverts.
    """
    command = deploy_command(stage)
    return f"{command} --revert-drift" if command.startswith(_CDK) else command


def _is_local(stage: Stage) -> bool:
    url = stage.account.endpoint_in(stage.region)
    return url is not None and is_loopback(url)


def _profile(account: Account) -> list[str]:
    return [f"--profile {account.profile}"] if account.profile else []
