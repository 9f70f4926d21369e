"""`jitrctl --version`: what is installed here."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
_CDK_CLI = "aws-cdk"  # on npm


def versions(checkout: Path = _CHECKOUT) -> list[str]:
    """The versions of jitr, boto3, the CDK CLI and Python, one a line."""
    return [
        f"jitrctl {version('jitr')}",
        f"boto3 {version('boto3')}",
        f"CDK CLI {_cdk_cli(checkout)}",
        f"Python {platform.python_version()}",
    ]


def _cdk_cli(checkout: Path) -> str:
    """The installed version; else that there is none, and which one package.json asks for."""
    installed = checkout / "node_modules" / _CDK_CLI / "package.json"
    if installed.is_file():
        return str(json.loads(installed.read_text(encoding="utf-8"))["version"])
    asked = checkout / "package.json"
    if not asked.is_file():
        return "not installed"
    wanted = json.loads(asked.read_text(encoding="utf-8")).get("devDependencies", {}).get(_CDK_CLI)
    return f"not installed; package.json asks for {wanted}: `make setup`" if wanted else "not installed"
