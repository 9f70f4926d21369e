"""What `cdk synth` and `cdk deploy` come to, without the CDK CLI: for tests that are about the stack that is deployed.

The same app in the same stacks, synthesized in this process, for the one account that is deployed; the assets put where
the template looks for them, and the template given to CloudFormation. The CLI takes ten seconds of a processor for it:
Node starts three times, and an interpreter that has to import the CDK. That the CLI does it, and what it refuses, is
shown where it is what a test is about: the demo's story, test_cdk.py, test_stack_registered.py.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
from typing import TYPE_CHECKING, Any

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

import aws_cdk as cdk
from botocore.exceptions import ClientError

from jitr_cdk.asset import ROOT
from jitr_cdk.stage import AccountStacks
from jitr_cdk.target import local

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jitrctl.localaws.account import LocalAccount
    from jitrctl.localaws.workspace import LocalPlace, Workspace

_POLL = 0.1  # seconds
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
_NOTHING_TO_UPDATE = "No updates are to be performed"


def synthesize(workspace: Workspace, *accounts: str) -> None:
    """Synthesize the stacks of these accounts, all when none is named, as app.py does, into the cloud assembly."""
    shutil.rmtree(workspace.cloud_assembly, ignore_errors=True)
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(
        outdir=str(workspace.cloud_assembly),
        context=context | {"aws:cdk:disable-asset-staging": True},  # which `--no-staging` says
        analytics_reporting=False,
        builtin_cloud_formation_validation=False,  # ten seconds; see jitrctl.localaws.deployment
    )
    fleet = workspace.load_fleet()
    for account in fleet.accounts:
        if not accounts or account.name in accounts:
            AccountStacks(app, fleet=fleet, account=account, target=local())
    app.synth()


def deploy(workspace: Workspace, account: LocalAccount, place: LocalPlace) -> None:
    """Create or update the stack of a place from the cloud assembly, and wait until it is there.

    Raises AssertionError with CloudFormation's reasons when it does not come about.
    """
    assembly = workspace.cloud_assembly
    artifacts = _json(assembly / "manifest.json")["artifacts"]
    (found,) = (one for one in artifacts.values() if one.get("displayName") == place.stack)
    stack, cloudformation = found["properties"]["stackName"], account.client("cloudformation")
    (assets,) = (one for one in found["dependencies"] if artifacts[one]["type"] == "cdk:asset-manifest")
    _publish(assembly, _json(assembly / artifacts[assets]["properties"]["file"]), account)
    given = {
        "StackName": stack,
        "TemplateURL": _filled(found["properties"]["stackTemplateAssetObjectUrl"], account).replace(
            "s3:/", account.endpoint_url, 1
        ),
        "Capabilities": _CAPABILITIES,
        "Tags": [{"Key": name, "Value": value} for name, value in found["properties"].get("tags", {}).items()],
    }
    if _exists(cloudformation, stack):
        try:
            cloudformation.update_stack(**given)
        except ClientError as error:
            if _NOTHING_TO_UPDATE not in str(error):
                raise
    else:
        cloudformation.create_stack(**given)
    while (status := _status(cloudformation, stack)).endswith("_IN_PROGRESS"):
        time.sleep(_POLL)
    assert status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), list(_failures(cloudformation, stack))


def _publish(assembly: Path, assets: Mapping[str, Any], account: LocalAccount) -> None:
    s3 = account.client("s3")
    for one in assets["files"].values():
        for destination in one["destinations"].values():
            bucket = _filled(destination["bucketName"], account)
            source = assembly / one["source"]["path"]
            if bucket not in [known["Name"] for known in s3.list_buckets()["Buckets"]]:
                # S3 takes no constraint for us-east-1, which is where a bucket is without one.
                where = {"CreateBucketConfiguration": {"LocationConstraint": account.region}}
                s3.create_bucket(Bucket=bucket, **({} if account.region == "us-east-1" else where))
            body = _zipped(source.resolve()) if one["source"]["packaging"] == "zip" else source.read_bytes()
            s3.put_object(Bucket=bucket, Key=_filled(destination["objectKey"], account), Body=body)


_archives: dict[str, bytes] = {}


def _zipped(directory: Path) -> bytes:
    """The directory as an archive, made once for the process: its name has the hash of what is in it."""
    if directory.name not in _archives:
        _archives[directory.name] = _archive(directory)
    return _archives[directory.name]


def _archive(directory: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(directory))
    return archive.getvalue()


def _filled(text: str, account: LocalAccount) -> str:
    return text.replace("${AWS::AccountId}", account.id).replace("${AWS::Region}", account.region)


def _exists(cloudformation: Any, stack: str) -> bool:
    try:
        cloudformation.describe_stacks(StackName=stack)
    except ClientError:  # ValidationError: there is none
        return False
    return True


def _status(cloudformation: Any, stack: str) -> str:
    return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])


def _failures(cloudformation: Any, stack: str) -> Iterator[str]:
    for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        if "FAILED" in event["ResourceStatus"] or "ROLLBACK" in event["ResourceStatus"]:
            yield f"{event['LogicalResourceId']}: {event['ResourceStatus']}: {event.get('ResourceStatusReason', '')}"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
