"""Writes real output into docs/runbook.md: every console block between markers, from one run on the local AWS.

python tools/runbook.py [SCENE…]

Each scene prepares a situation on a deployed stage, and runs an operator's commands; the block gets the commands and
their output. Scenes run in the order of the page's markers.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[1])]
from tools.runbook_wrong_rule import WrongRule  # noqa: E402 -- the checkout is on the path only now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.local.deployed import Deployed

PAGE = Path(__file__).parents[1] / "docs" / "runbook.md"
BLOCK = re.compile(r"(?<=<!-- run: )([a-z-]+)( -->\n).*?(?=<!-- end of run -->)", re.DOTALL)
# The notice that calls do not go to AWS, which an operator on AWS does not see.
_ELSEWHERE = re.compile(r"^.*, not AWS$\n?", re.MULTILINE)
# Whose fleet it is, which each command says where no option names the file.
_FLEET = re.compile(r"^fleet acme, .*$\n?", re.MULTILINE)
_PATIENCE = 60.0  # seconds
_PROD_ID = "222222222222"
# An account that does not run locally; the scenes only read what the hub has of it.
_PROD = f"""
[account.prod]
id = "{_PROD_ID}"
regions = ["eu-central-1"]
ca.factory = {{ mode = "SNI_ONLY" }}
"""


class Runbook(WrongRule):
    """The scenes, on one stage; each yields commands with their output."""

    def __init__(self, fleet: Deployed) -> None:
        self.fleet = fleet
        self.directory = fleet.workspace.directory
        self.mistaken = {}

    def scenes(self) -> dict[str, Callable[[], Iterator[str]]]:
        return {
            "doctor-good": self.well,
            "dead-letters": self.dead_letters,
            "undelivered": self.undelivered,
            "backlog": self.backlog,
            "not-permitted": self.not_permitted,
            "contradictions": self.contradictions,
            "rejections": self.rejections,
            "sweep-not-run": self.sweep,
            "ca-expiring": self.ca_expiring,
            "never-seen": self.never_seen,
            "held": self.held,
            "clone": self.clone,
            "rule-off": self.rule_off,
            "client-id": self.client_id,
            "revoked": self.revoked,
            "elsewhere": self.elsewhere,
            "unforwarded": self.unforwarded,
            "out-of-place": self.out_of_place,
            "hub-dead-letters": self.hub_dead_letters,
            "hub-errors": self.hub_errors,
            "wrong-rule": self.wrong_rule,
            "wrong-rule-tried": self.wrong_rule_tried,
            "wrong-rule-held": self.wrong_rule_held,
            "wrong-rule-rejected": self.wrong_rule_rejected,
        }

    def blocks(self, wanted: set[str]) -> dict[str, str]:
        """The blocks of the scenes that are wanted, of all when none is named."""
        return {name: "\n".join(scene()) for name, scene in self.scenes().items() if not wanted or name in wanted}

    def well(self) -> Iterator[str]:
        self.issue("sensor-0001")
        yield self.run_command("jitrctl doctor sensor-0001.pem --key sensor-0001.key --account dev")

    def dead_letters(self) -> Iterator[str]:
        self.send("dead-letters", "{}", jitr_reason="unreadable: certificateId is missing")
        yield self.run_command("jitrctl dlq list --account dev")
        yield self.run_command("jitrctl dlq drop --all --account dev --yes")

    def undelivered(self) -> Iterator[str]:
        failed = {
            "ruleName": "jitr_acme__factory",
            "failures": [
                {"failedAction": "SqsAction", "failedResource": "registrations", "errorMessage": "AccessDenied"}
            ],
            "base64OriginalPayload": self.encoded_event("sensor-0001"),
        }
        self.send("undelivered", json.dumps(failed))
        yield self.run_command("jitrctl dlq list --queue undelivered --account dev")
        yield self.run_command("jitrctl dlq drop --all --queue undelivered --account dev --yes")

    def backlog(self) -> Iterator[str]:
        yield self.run_command('jitrctl ca pause --account dev --note "CRL of factory is being corrected" --yes')
        yield self.run_command("jitrctl fleet status --account dev", code=1)
        yield self.run_command("jitrctl ca resume --account dev")

    def not_permitted(self) -> Iterator[str]:
        from tests.support.local.deployed import role_policy  # noqa: PLC0415 -- the checkout is on the path only now

        name = self.fleet.stage.names.register_function
        role = self.fleet.client("lambda").get_function_configuration(FunctionName=name)["Role"].rpartition("/")[2]
        files = self.issue("sensor-0002")
        with role_policy(self.fleet, role, lambda held: [one for one in held if one["Sid"] != "ProvisionThings"]):
            self.connect_once("sensor-0002")
            self.until(
                lambda: [
                    one
                    for one in self.fleet.local.log_lines()
                    if one["level"] == "ERROR" and one.get("certificate_id") == files
                ]
            )
            yield self.run_command("jitrctl fleet status --account dev", code=1)
            yield self.run_command("jitrctl doctor sensor-0002.pem --account dev", code=1)

    def contradictions(self) -> Iterator[str]:
        yield self.run_command("jitrctl device where sensor-0001 --account dev")

    def rejections(self) -> Iterator[str]:
        self.connect_refused("toaster-0001")
        yield self.run_command("jitrctl device show toaster-0001.pem --account dev")
        yield self.run_command("jitrctl verify toaster-0001.pem --account dev", code=1)

    def sweep(self) -> Iterator[str]:
        yield self.run_command("jitrctl sweep --account dev")

    def ca_expiring(self) -> Iterator[str]:
        yield self.run_command("jitrctl ca status --account dev")

    def never_seen(self) -> Iterator[str]:
        self.issue("sensor-0003")
        yield self.run_command("jitrctl doctor sensor-0003.pem --account dev", code=1)

    def held(self) -> Iterator[str]:
        self.connect_refused("gateway-0001", ca="partner")
        yield self.run_command("jitrctl doctor gateway-0001.pem --account dev", code=1)
        yield self.run_command("jitrctl enrollment allow gateway-0001 --account dev --yes")

    def clone(self) -> Iterator[str]:
        self.connect_refused("sensor-0001", file="clone")
        yield self.run_command("jitrctl doctor clone.pem --account dev", code=1)

    def rule_off(self) -> Iterator[str]:
        with self.fleet.local.disable_rule():
            yield self.run_command("jitrctl doctor sensor-0003.pem --account dev", code=1)

    def client_id(self) -> Iterator[str]:
        self.issue("sensor-0004")
        self.admit("sensor-0004")
        yield self.run_command("jitrctl doctor sensor-0004.pem --client-id my-sensor --account dev", code=1)

    def revoked(self) -> Iterator[str]:
        yield self.run_command('jitrctl device revoke sensor-0004.pem --account dev --note "stolen" --yes')
        yield self.run_command("jitrctl doctor sensor-0004.pem --account dev", code=1)

    def elsewhere(self) -> Iterator[str]:
        yield self.run_command("jitrctl device where sensor-0001.pem")

    def unforwarded(self) -> Iterator[str]:
        """Put an event into the queue as EventBridge does when it cannot deliver it to the hub's bus."""
        certificate_id = self.issue("sensor-0005")
        said = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "the bus's policy names another account"}
        self.send("unforwarded", self.activated(certificate_id, "sensor-0005", self.fleet.local.account.id), **said)
        yield self.run_command("jitrctl dlq list --queue unforwarded --account dev")
        yield self.run_command("jitrctl dlq redrive --all --queue unforwarded --account dev --yes")
        self.until(lambda: certificate_id in self.in_hub())

    def out_of_place(self) -> Iterator[str]:
        """Put into the hub's queue what prod would have forwarded when a device of dev connected there."""
        certificate_id = self.issue("sensor-0006")
        file = self.fleet.workspace.fleet_file
        before = file.read_text(encoding="utf-8")
        file.write_text(before + _PROD, encoding="utf-8")
        # The hub refuses accounts that its fleet does not have.
        self.deploy()
        self.send("hub", self.activated(certificate_id, "sensor-0006", _PROD_ID))
        self.until(lambda: certificate_id in self.in_hub())
        yield self.run_command("jitrctl fleet devices --out-of-place", code=1)
        file.write_text(before, encoding="utf-8")

    def hub_dead_letters(self) -> Iterator[str]:
        certificate_id = self.issue("sensor-0007")
        self.send("hub-failed", self.activated(certificate_id, "sensor-0007", self.fleet.local.account.id))
        yield self.run_command("jitrctl dlq list --queue hub")
        yield self.run_command("jitrctl dlq redrive --all --queue hub --yes")
        self.until(lambda: certificate_id in self.in_hub())

    def hub_errors(self) -> Iterator[str]:
        """The hub's function processes nothing for a while, as when it fails."""
        lambda_ = self.fleet.client("lambda")
        found = lambda_.list_event_source_mappings(FunctionName=self.fleet.stage.names.hub_function)
        mapping = found["EventSourceMappings"][0]["UUID"]
        lambda_.update_event_source_mapping(UUID=mapping, Enabled=False)
        certificate_id = self.issue("sensor-0008")
        self.admit("sensor-0008")
        yield self.run_command("jitrctl fleet status --account dev")
        yield self.run_command("jitrctl device where sensor-0008 --account dev")
        yield self.run_command("jitrctl fleet devices")
        lambda_.update_event_source_mapping(UUID=mapping, Enabled=True)
        self.until(lambda: certificate_id in self.in_hub())
        yield self.run_command("jitrctl fleet devices")

    def deploy(self) -> None:
        self.fleet.deploy()

    def in_hub(self) -> set[str]:
        """The certificates that the hub's table has."""
        from jitr.hub.table import HubTable  # noqa: PLC0415 -- the checkout is on the path only now

        stage = self.fleet.stage
        return {one.certificate_id for one in HubTable(stage.dynamodb, stage.names.hub_table).scan()}

    def activated(self, certificate_id: str, thing_name: str, account_id: str) -> str:
        """The EventBridge event of an activation, as the hub's queue has it."""
        detail = {
            "version": "1",
            "id": certificate_id[:32],
            "fleet": "acme",
            "account": account_id,
            "region": self.fleet.stage.region,
            "certificate_id": certificate_id,
            "ca": "factory",
            "thing_name": thing_name,
            "outcome": "activated",
            "status": "ACTIVE",
            "decided_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        envelope = {"source": "jitr", "account": account_id, "region": detail["region"], "detail": detail}
        return json.dumps(envelope)

    def issue(self, name: str, *, ca: str = "factory", file: str | None = None) -> str:
        """Write a device's files beside the fleet file; returns its certificate id."""
        made = self.fleet.issue(name, ca=ca)
        for path in (made.certificate, made.key):
            (self.directory / f"{file or name}{path.suffix}").write_bytes(path.read_bytes())
        return made.certificate_id

    def connect_once(self, name: str, file: str | None = None) -> None:
        self.device(name, file).connect(self.fleet.local.endpoint)

    def admit(self, name: str) -> None:
        connection, _ = self.device(name).connect_until_accepted(self.fleet.local.endpoint, patience=_PATIENCE)
        connection.close()

    def device(self, name: str, file: str | None = None) -> Any:
        from jitrctl.mqtt.client import Device  # noqa: PLC0415 -- the checkout is on the path only now

        path = self.directory / (file or name)
        return Device(client_id=name, certificate=path.with_suffix(".pem"), key=path.with_suffix(".key"))

    def connect_refused(self, name: str, *, ca: str = "factory", file: str | None = None) -> None:
        """Have a new device connect once, and wait for its decision."""
        certificate_id = self.issue(name, ca=ca, file=file)
        self.connect_once(name, file)
        self.fleet.local.wait_for_decision(certificate_id, seconds=_PATIENCE)

    def encoded_event(self, name: str) -> str:
        import base64  # noqa: PLC0415

        return base64.b64encode(json.dumps(self.event(self.issue(name))).encode()).decode()

    def event(self, certificate_id: str) -> dict[str, Any]:
        from jitr.events import event_document  # noqa: PLC0415 -- the checkout is on the path only now

        return dict(
            event_document(
                certificate_id=certificate_id,
                ca_certificate_id=self.fleet.cas["factory"].certificate_id,
                account_id=self.fleet.local.account.id,
                published_at=None,
                registered_at=None,
            )
        )

    def send(self, queue: str, body: str, **attributes: str) -> None:
        """Put a message into one of the fleet's queues, with attributes that are strings."""
        sqs = self.fleet.client("sqs")
        url = sqs.get_queue_url(QueueName=f"jitr-acme-{queue}")["QueueUrl"]
        said: dict[str, Any] = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=said)

    def until(self, happened: Callable[[], Any], *, seconds: float = _PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the scene waited for {seconds:.0f} s in vain")
            time.sleep(0.1)

    def run_command(self, line: str, code: int = 0) -> str:
        """Run a command in the fleet file's folder; the line and its output. RuntimeError on another exit code."""
        words = shlex.split(line)
        environ = (
            self.fleet.local.account.environ_over(os.environ)
            | {
                "COLUMNS": "110",
                "TTY_COMPATIBLE": "1",  # as on a terminal
                "NO_COLOR": "1",
                "TERM": "dumb",
                "PYTHONPATH": os.pathsep.join(sys.path[:2]),
            }
        )
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.directory,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != code:
            raise RuntimeError(f"{line} ended with {done.returncode}: {done.stdout}")
        said = "\n".join(
            part.rstrip() for part in _FLEET.sub("", _ELSEWHERE.sub("", done.stdout)).strip("\n").splitlines()
        )
        return f"$ {line}\n{said}\n"


def with_hub(text: str) -> str:
    """The fleet file with a hub in dev, and dev as the home of the factory's devices."""
    return text.replace("[ca.factory]", '[ca.factory]\nhome = ["dev"]', 1) + '\n[hub]\naccount = "dev"\n'


def main() -> int:
    checkout = str(PAGE.parents[1])
    sys.path[:0] = [str(Path(checkout) / "functions"), checkout]
    from tests.support.local.deployed import deployed  # noqa: PLC0415 -- the checkout is on the path only now
    from tools.runbook_situations import SITUATIONS, two_accounts  # noqa: PLC0415 -- the same

    wanted = set(sys.argv[1:])
    blocks: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        if not wanted or wanted - SITUATIONS:
            with deployed(Path(directory) / "local", with_hub) as fleet:
                blocks |= Runbook(fleet).blocks(wanted)
        if not wanted or wanted & SITUATIONS:
            with two_accounts(Path(directory) / "accounts") as situations:
                blocks |= situations.blocks(wanted)

    def filled(found: re.Match[str]) -> str:
        if found[1] not in blocks:
            return found[0]
        return f"{found[1]}{found[2]}```console\n{blocks[found[1]]}```\n"

    PAGE.write_text(BLOCK.sub(filled, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
