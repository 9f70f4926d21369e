"""Synthesizes the stacks of a fleet in this process, as app.py does, and reads their templates."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Template

from jitr_cdk.stage import AccountStacks
from jitr_cdk.target import Target
from jitr_fleet.model import Fleet
from jitr_fleet.resources import ResourceNames

# Of the example fleet and of the drafts.
NAMES = ResourceNames("acme")


class Synthesized:
    """A stack's template and assets, and what is asked of them again and again."""

    def __init__(self, stack: cdk.Stack, assembly: Path) -> None:
        self.template = Template.from_stack(stack)
        self._assembly = assembly
        self._manifest = assembly / f"{stack.artifact_id}.assets.json"

    def asset(self, key: str) -> Path:
        """The directory or file that is published under an S3 key of the template."""
        files = json.loads(self._manifest.read_text(encoding="utf-8"))["files"]
        return Path(self._assembly, files[key.partition(".")[0]]["source"]["path"]).resolve()

    def of_type(self, resource_type: str) -> list[Mapping[str, Any]]:
        """Every resource of a type, as it stands in the template."""
        return list(self.template.find_resources(resource_type).values())

    def one(self, resource_type: str, **properties: object) -> dict[str, Any]:
        """The properties of the only resource of this type with these properties."""
        found = [
            resource["Properties"]
            for resource in self.of_type(resource_type)
            if all(resource["Properties"].get(name) == value for name, value in properties.items())
        ]
        assert len(found) == 1, f"{len(found)} of {resource_type} with {properties}"
        return dict(found[0])

    def statements(self, sid: str) -> list[dict[str, Any]]:
        """Every statement of this Sid in an inline policy of a role."""
        return [
            statement
            for role in self.of_type("AWS::IAM::Role")
            for policy in role["Properties"].get("Policies", [])
            for statement in policy["PolicyDocument"]["Statement"]
            if statement.get("Sid") == sid
        ]


class Stacks(Mapping[str, Synthesized]):
    """Every stack of the fleet by its name on the CDK command line; an account's are synthesized when one is asked for.

    Most tests ask for one of three, and each takes as long as the test.
    """

    def __init__(self, fleet: Fleet, target: Target) -> None:
        self._fleet = fleet
        self._target = target
        self._made: dict[str, Synthesized] = {}

    def __getitem__(self, name: str) -> Synthesized:
        if name not in self._made:
            self._made |= synthesize(self._fleet, self._target, name.partition("/")[0])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return (f"{account.name}/{region}" for account in self._fleet.accounts for region in account.regions)

    def __len__(self) -> int:
        return len(list(iter(self)))


_folders: list[str] = []


@contextmanager
def keep_outputs() -> Iterator[None]:
    """Keep what is synthesized meanwhile in a folder, which is removed then.

    At the end of the session, not of the process: xdist does not wait for all that a worker has to do there.
    """
    with TemporaryDirectory(prefix="jitr-synthesized-") as folder:
        _folders.append(folder)
        yield
        _folders.remove(folder)


def new_app() -> cdk.App:
    """An app with a folder of `keep_outputs`; without one, the CDK makes a folder in /tmp and leaves it."""
    return cdk.App(outdir=mkdtemp(dir=_folders[-1]))


def synthesize(fleet: Fleet, target: Target, name: str | None = None) -> dict[str, Synthesized]:
    """The stacks of one account, or of all of them in one app, as app.py makes them."""
    app = new_app()
    chosen = [one for one in fleet.accounts if name in (None, one.name)]
    accounts = [AccountStacks(app, fleet=fleet, account=account, target=target) for account in chosen]
    assembly = Path(app.synth().directory)
    return {
        stack.node.path: Synthesized(stack, assembly)
        for account in accounts
        for stack in account.node.children
        if isinstance(stack, cdk.Stack)
    }
