"""Runs cfn-lint over a template."""

import json
from typing import Any

from cfnlint import api, config  # type: ignore[import-untyped]

# CDK writes DependsOn beside GetAtt by itself.
IGNORED = ["W3005"]


def lint_findings(template: Any, region: str) -> list[str]:
    """What cfn-lint finds wrong with a template in a Region, a sentence each."""
    settings = config.ManualArgs(regions=[region], ignore_checks=IGNORED)
    return [str(match) for match in api.lint(json.dumps(template), config=settings)]
