"""Makes what a new user has: a checkout, and a fleet file of one's own beside it, with the CAs' public certificates.

The checkout is a folder of links to this one, so that the hour has a `.local` of its own, and disturbs no local AWS
that runs here.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitrctl.localaws.workspace import CHECKOUT, Workspace

if TYPE_CHECKING:
    from pathlib import Path

_LINKED = (
    "fleet",
    "functions",
    "infra",
    "jitrctl",
    "policies",
    "tests",
    "node_modules",
    ".venv",
    ".wheels",
    "build",
)
_COPIED = ("app.py", "cdk.json", "pyproject.toml")
_PACKAGES = ("functions", "fleet", "infra", ".")
# The AWS CLI need not be installed, and its versions differ: aws.py gives the same calls.
_COMMANDS = {"jitrctl": "jitrctl", "aws": "tests.support.e2e.hour.aws"}

FLEET = """
[fleet]
name = "acme"

[ca.factory]
certificate = "certs/factory.pem"
common_name = "sensor-[0-9]{4,}"
thing_type = "sensor"
thing_groups = ["hall-1"]
policy = "device.json"

[ca.partner]
certificate = "certs/partner.pem"
common_name = "gateway-[0-9]{4,}"
policy = "device.json"
enrollment = "listed"

[ca.meters]
certificate = "certs/meters.pem"
common_name = "meter-[0-9]{4,}"
policy = "device.json"
[ca.meters.checks]
revocation = "enforce"

[sweep]
pending_after = "1s"

[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
ca.factory = { mode = "DEFAULT" }
ca.partner = { mode = "SNI_ONLY" }
ca.meters = { mode = "SNI_ONLY" }

[account.prod]
id = "222222222222"
regions = ["eu-central-1"]
ca.factory = { mode = "SNI_ONLY" }

[account.lab]
id = "333333333333"
regions = ["eu-central-1"]
ca.factory = { mode = "SNI_ONLY" }
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A new user's folders; made by `create`."""

    folder: Path  # the checkout, in which the commands are given
    fleet_file: Path  # the user's own

    @classmethod
    def create(cls, directory: Path) -> Checkout:
        """Make both folders in a directory that is empty."""
        folder, mine = directory / "jitr", directory / "acme"
        folder.mkdir()
        (CHECKOUT / "build").mkdir(exist_ok=True)  # what is built is kept for the next time
        for name in _LINKED:
            (folder / name).symlink_to(CHECKOUT / name)
        for name in _COPIED:
            shutil.copyfile(CHECKOUT / name, folder / name)
        (mine / "certs").mkdir(parents=True)
        shutil.copyfile(CHECKOUT / "policies" / "device.json", mine / "device.json")
        (mine / "fleet.toml").write_text(FLEET, encoding="utf-8")
        return cls(folder, mine / "fleet.toml")

    @property
    def workspace(self) -> Workspace:
        return Workspace(directory=self.folder / ".local", checkout=self.folder)

    def environ(self) -> dict[str, str]:
        """The shell's environment: `jitrctl` is this checkout's, and nothing points at an AWS account of the user's."""
        commands = self.folder / "bin"
        commands.mkdir(exist_ok=True)
        for name, module in _COMMANDS.items():
            script = commands / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "JITR_"))}
        return kept | {
            "PATH": f"{commands}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": os.pathsep.join(str(self.folder / name) for name in _PACKAGES),
            "TERM": "xterm-256color",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        }
