"""The CDK app: load fleet.toml, a stack per account and Region, synthesize; needs no network, credentials or Docker.

Context (`cdk -c key=value`):
    fleet    path of the fleet file (default: fleet.toml beside this file)
    target   aws (default), or local: for the local AWS of `jitrctl local`
    nag      if set, check every stage with cdk-nag's AwsSolutions pack (`make synth` does)
"""

import os
import sys
from pathlib import Path

# Node 20 still runs CDK; jsii says so on every start, in eleven lines, unless this is set before it is loaded.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

import aws_cdk as cdk

from jitr_cdk.assembly import remove_stale
from jitr_cdk.asset import AssetError, explain_missing_byte_code
from jitr_cdk.stage import AccountStacks
from jitr_cdk.target import AWS, local
from jitr_fleet.parse import load
from jitr_fleet.problems import FleetError

ROOT = Path(__file__).parent


def main() -> int:
    app = cdk.App()
    if app.node.try_get_context("nag"):
        from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415 -- a test's dependency, and slow to load

        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    path = Path(app.node.try_get_context("fleet") or ROOT / "fleet.toml")
    target = {"aws": lambda: AWS, "local": local}.get(app.node.try_get_context("target") or "aws")
    if target is None:
        print("context target is neither aws nor local", file=sys.stderr)  # noqa: T201 -- cdk shows it
        return 2
    try:
        fleet = load(path)
        if warning := explain_missing_byte_code(target()):
            print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 -- cdk shows it
        for account in fleet.accounts:
            AccountStacks(app, fleet=fleet, account=account, target=target())
    except (FleetError, AssetError) as error:
        print(error, file=sys.stderr)  # noqa: T201 -- cdk shows it
        return 2
    remove_stale(Path(app.synth().directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
