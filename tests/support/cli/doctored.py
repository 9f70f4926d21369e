"""A simulated fleet with all that doctor reads beside it, and an operator who does what doctor prints.

The simulation has no event source mapping that can be disabled, no IAM, no logs, and one rule for each CA that says
nothing of itself; they are put beside it here, for jitrctl's clients alone.
"""

import json
import re
import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jitr_fleet.resources import rule_sql
from jitrctl.__main__ import main
from jitrctl.ca import registry
from jitrctl.session.stage import Stage
from simulation import Leaf, SimulatedAccount
from tests.support.cli.simulated import DEV, IDS, REGION, RULES, Access, Simulated, simulated

_ENABLED, _DISABLED = "Enabled", "Disabled"
_CDK = "node_modules/.bin/cdk"
_COMMAND = re.compile(rf"`((?:jitrctl|aws|{re.escape(_CDK)}) [^`]+)`")
_CURE = re.compile(r"^  Cure: (.*)\.$", re.MULTILINE)
_BESIDE = re.compile(r"beside that, [^:]+: (.*)\.$", re.MULTILINE)


@dataclass
class Doctored:
    """A fleet, and what it does when an operator asks doctor and follows its cures."""

    fleet: Simulated
    mapping: dict[str, str] = field(default_factory=lambda: dict.fromkeys(IDS, _ENABLED))  # by account
    disabled_rules: set[str] = field(default_factory=set)
    # What somebody changed beside the stack, for jitrctl's eyes alone.
    changed: set[str] = field(default_factory=set)  # "rule role", "queue policy", "function"
    reverting: list[Callable[[], object]] = field(default_factory=list)  # what a deployment with --revert-drift does

    def read(self, *words: str) -> tuple[int, str]:
        """Run a command on the fleet; its exit code and what it prints, line for line."""
        return _run([*words, "--fleet", str(self.fleet.file)])

    def ask_doctor(self, device: str, account: str = DEV) -> tuple[int, str]:
        return self.read("doctor", device, "--account", account)

    def cures(self, printed: str) -> list[list[str]]:
        """The commands in the cures of what doctor printed, as an operator pastes them."""
        texts = [*_CURE.findall(printed), *_BESIDE.findall(printed)]
        return [shlex.split(command) for text in texts for command in _COMMAND.findall(text)]

    def follow(self, printed: str) -> list[list[str]]:
        """Run the commands in the cures, each of which has to work."""
        commands = self.cures(printed)
        for command in commands:
            if command[0] == "aws":
                self._run_aws(command)
                continue
            if command[0] == _CDK:
                self._deploy(command)
                continue
            code, said = _run(command[1:])
            assert code == 0, f"{shlex.join(command)}\n{said}"
        return commands

    def _run_aws(self, command: list[str]) -> None:
        match command[1:]:
            case ["iot", "enable-topic-rule", "--rule-name", rule, "--region", _]:
                self.disabled_rules.remove(rule)
            case ["iot", "list-principal-things", *_]:
                pass
            case _:
                raise AssertionError(f"not expected: {shlex.join(command)}")

    def _deploy(self, command: list[str]) -> None:
        """Deploy what the fleet file says; what was changed beside the stack is only mended where that is asked for."""
        assert command[1:3] == ["deploy", f"{DEV}/{REGION}"]
        self.fleet.deploy()
        if "--revert-drift" in command:
            self.changed.clear()
            for revert in self.reverting:
                revert()

    def connect(self, leaf: Leaf, client_id: str, account: str = DEV) -> str:
        """Connect, let the functions decide if they may, and connect again: what that is answered."""
        place, deployment = self.fleet.place(account), self.fleet.deployments[account]
        place.connect(leaf, client_id=client_id)
        if self.mapping[account] == _ENABLED and not self.changed:
            deployment.mapping().drain()
        return place.connect(leaf, client_id=client_id)

    def cure(self, leaf: Leaf, client_id: str, *, device: str | None = None, rounds: int = 4) -> list[str]:
        """Ask doctor and do what it prints, until it finds nothing; the printed texts of the broken links.

        The device connects again after each cure. Fails when it is not well in the end.
        """
        found: list[str] = []
        for _ in range(rounds):
            code, printed = self.ask_doctor(device or self.file(leaf))
            if code == 0 and not self.cures(printed):
                assert self.connect(leaf, client_id) == "accepted"
                return found
            found.append(printed)
            assert self.follow(printed), printed
            self.connect(leaf, client_id)
        raise AssertionError("\n".join(found))

    def file(self, leaf: Leaf) -> str:
        path = self.fleet.directory / f"{leaf.certificate_id[:8]}.pem"
        path.write_text(leaf.pem)
        return str(path)

    def orders_sweep(self, name: str) -> dict[str, Any]:
        self.fleet.aws.clock.advance(1200)
        self.fleet.deployments[name].sweep()
        self.fleet.aws.clock.advance(901)
        self.fleet.deployments[name].mapping().drain()
        return {"looked_at": 1, "sent": 1}


def _run(words: list[str]) -> tuple[int, str]:
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main(words)
    return code, said.getvalue()


def doctored(directory: Path, monkeypatch: pytest.MonkeyPatch, rules: str = RULES) -> Doctored:
    """The fleet of `simulated`, with what doctor reads beside it; whoever is asked says yes."""
    fleet = simulated(directory, monkeypatch, rules)
    made = Doctored(fleet)
    monkeypatch.setattr("jitrctl.commands.doctor.now", fleet.aws.clock.now)
    monkeypatch.setattr("jitrctl.audit.record.now", fleet.aws.clock.now)
    monkeypatch.setattr("jitrctl.device.bulk_release.read_deployed_rules", lambda stage: stage.rules)
    monkeypatch.setattr("jitrctl.run.scope.can_ask", lambda: True)
    monkeypatch.setattr("jitrctl.run.scope.confirmed", lambda _: True)
    rules_of = registry._rules

    def with_disabled(stage: Stage) -> dict[str, dict[str, Any]]:
        return {name: {**rule, "ruleDisabled": name in made.disabled_rules} for name, rule in rules_of(stage).items()}

    monkeypatch.setattr(registry, "_rules", with_disabled)
    simulated_client = Access.client

    def client(access: Access, service: Any, config: Any = None) -> Any:
        name = next(one for one, number in IDS.items() if number == access.place.id)
        stage = fleet.stage(name)
        beside: dict[str, Callable[[], Any]] = {
            "lambda": lambda: _Lambda(made, name),
            "iam": lambda: _Iam(made, stage),
            "logs": lambda: _Logs(made),
            "s3": lambda: _with_objects(simulated_client(access, service, config), access.place),
            "sqs": lambda: _with_policy(simulated_client(access, service, config), made, stage),
            "iot": lambda: _with_rules(simulated_client(access, service, config), made, stage),
        }
        return beside[service]() if service in beside else simulated_client(access, service, config)

    monkeypatch.setattr(Access, "client", client)
    return made


def _with_rules(iot: Any, made: Doctored, stage: Stage) -> Any:
    """The simulated client, which also describes topic rules, and fills in the device policy as the stack does."""
    if hasattr(iot, "of_doctored"):
        return iot
    get_policy = iot.get_policy
    names = {stage.names.rule(one.ca.name): one.ca.certificate_id for one in stage.account.cas}

    def get_topic_rule(*, ruleName: str) -> dict[str, Any]:  # noqa: N803 -- AWS's name
        action = {
            "queueUrl": f"https://sqs/{stage.names.registrations_queue}",
            "roleArn": f"arn:aws:iam::{stage.account.id}:role/rule",
        }
        return {
            "rule": {
                "sql": rule_sql(names[ruleName]),
                "actions": [{"sqs": action}],
                "ruleDisabled": ruleName in made.disabled_rules,
            }
        }

    def get_filled_policy(**asked: Any) -> Any:
        answer = get_policy(**asked)
        values = {"<partition>": "aws", "<region>": stage.region, "<account>": stage.account.id}
        for placeholder, value in values.items():
            answer["policyDocument"] = answer["policyDocument"].replace(placeholder, value)
        return answer

    def get_v2_logging_options(**_: Any) -> dict[str, str]:
        return {"defaultLogLevel": "ERROR"}

    for function in (get_topic_rule, get_v2_logging_options):
        setattr(iot, function.__name__, function)
    iot.get_policy = get_filled_policy
    iot.of_doctored = True
    return iot


def _with_policy(sqs: Any, made: Doctored, stage: Stage) -> Any:
    """The simulated client, which also answers the policy of the queue `registrations`."""
    if hasattr(sqs, "of_doctored"):
        return sqs
    get_queue_attributes = sqs.get_queue_attributes

    def with_policy(**asked: Any) -> Any:
        answer = get_queue_attributes(**asked)
        if "queue policy" in made.changed and asked["QueueUrl"].endswith(stage.names.registrations_queue):
            denial = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
            answer["Attributes"]["Policy"] = json.dumps({"Version": "2012-10-17", "Statement": [denial]})
        return answer

    sqs.get_queue_attributes = with_policy
    sqs.of_doctored = True
    return sqs


def _with_objects(s3: Any, place: SimulatedAccount) -> Any:
    """The simulated client, which also writes objects; on which condition is not looked at."""

    def put_object(*, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 -- AWS's names
        place.s3.put(Bucket, Key, Body)
        return {}

    s3.put_object = put_object
    return s3


class _Lambda:
    """The mapping and the functions of one account."""

    def __init__(self, made: Doctored, name: str) -> None:
        self._made, self._name = made, name
        self.exceptions = SimpleNamespace(ResourceNotFoundException=ClientError)

    def list_event_source_mappings(self, EventSourceArn: str) -> dict[str, Any]:  # noqa: N803 -- AWS's name
        arn = EventSourceArn.replace(":sqs:", ":lambda:").rpartition(":")[0] + ":function:jitr-acme-register"
        return {"EventSourceMappings": [{"UUID": "1", "State": self._made.mapping[self._name], "FunctionArn": arn}]}

    def get_function_configuration(self, **_: Any) -> dict[str, Any]:
        return {"State": "Active"}

    def update_event_source_mapping(self, UUID: str, Enabled: bool) -> dict[str, Any]:  # noqa: ARG002, FBT001, N803
        self._made.mapping[self._name] = _ENABLED if Enabled else _DISABLED
        return {"State": self._made.mapping[self._name]}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: ARG002, N803
        assert FunctionName == "jitr-acme-sweep"
        return {"Payload": BytesIO(json.dumps(self._made.orders_sweep(self._name)).encode())}


class _Iam:
    """The rule's role, which may all that it needs until that is taken away."""

    def __init__(self, made: Doctored, stage: Stage) -> None:
        self._made = made
        self.exceptions = SimpleNamespace(NoSuchEntityException=ClientError)
        self._arn = f"arn:aws:iam::{stage.account.id}:role/rule"

    def get_role(self, **_: Any) -> dict[str, Any]:
        trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
        return {"Role": {"Arn": self._arn, "AssumeRolePolicyDocument": {"Statement": [trust]}}}

    def get_paginator(self, operation: str) -> Any:
        page = {"PolicyNames": ["send"]} if operation == "list_role_policies" else {"AttachedPolicies": []}
        return SimpleNamespace(paginate=lambda **_: [page])

    def get_role_policy(self, **_: Any) -> dict[str, Any]:
        effect = "Deny" if "rule role" in self._made.changed else "Allow"
        return {
            "PolicyDocument": {"Statement": [{"Effect": effect, "Action": "sqs:SendMessage", "Resource": "*"}]},
        }


class _Logs:
    """The log of `register`, with what Lambda writes when it cannot start."""

    exceptions = SimpleNamespace(ResourceNotFoundException=ClientError)

    def __init__(self, made: Doctored) -> None:
        self._made = made

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=self._paginate)

    def _paginate(self, filterPattern: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803 -- AWS's name
        if "function" not in self._made.changed or filterPattern != "ERROR":
            return [{"events": []}]
        text = "[ERROR] Runtime.ImportModuleError: Unable to import module 'jitr.handlers.register'"
        at = int(self._made.fleet.aws.clock.now().timestamp() * 1000)
        return [{"events": [{"timestamp": at, "message": text}]}]
