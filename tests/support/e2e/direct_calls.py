"""A deployed stage whose functions a test calls directly, with devices that wait for them."""

import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.events import event_document
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from jitrctl.clock import now
from jitrctl.demo.story import Story
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.mqtt.client import ConnectRefusal
from tests.support.e2e.roles import cached_client

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stand:
    """The stage with what the ways need: devices that wait, and the functions to be called directly."""

    def __init__(self, stage: LocalStage, story: Story, folder: Path) -> None:
        self.stage = stage
        self.cas: Mapping[str, IssuingCa] = story.cast.cas
        self.folder = folder
        self.lambda_ = cached_client(stage, "lambda")
        self.dynamodb = cached_client(stage, "dynamodb")
        self._number = 0

    def device(self, name: str = "", *, ca: str = "factory", days: int = 365) -> DeviceFiles:
        """A device that connected for the first time, of which no function has heard."""
        self._number += 1
        kind = {"factory": "sensor", "partner": "gateway"}[ca]
        name = name or f"{kind}-{7000 + self._number}"
        files = self.cas[ca].issue(self.folder / str(self._number), name, days=days)
        assert isinstance(self.stage.device(files, name).connect(self.stage.endpoint), ConnectRefusal)
        assert self.stage.status(files.certificate_id) == "PENDING_ACTIVATION"
        return files

    def name_of(self, files: DeviceFiles) -> str:
        return files.certificate.stem

    def event(self, certificate_id: str, *, ca: str = "factory", again_after: float | None = None) -> dict[str, Any]:
        first = None if again_after is None else now() - timedelta(seconds=again_after)
        return event_document(
            certificate_id=certificate_id,
            ca_certificate_id=self.cas[ca].certificate_id,
            account_id=self.stage.account.id,
            published_at=now(),
            registered_at=first,
        )

    def register(self, event: dict[str, Any]) -> str:
        """Call `register`; what it said."""
        return self._call(self.stage.names.register_function, event)

    def batch(self, *bodies: str, receives: int = 1) -> str:
        """Call `register` with a batch, as the event source mapping does; what it said."""
        records = [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "none",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(receives if number else 1),
                    "SentTimestamp": str(round(now().timestamp() * 1000)),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for number, body in enumerate(bodies)
        ]
        return self._call(self.stage.names.register_function, {"Records": records})

    def deny(self, thing_name: str) -> None:
        entry = Entry(subject=Subject(SubjectKind.THING, thing_name), rule=EntryRule.DENY)
        table = EnrollmentTable(self.dynamodb, self.stage.names.enrollment_table)
        table.change([EntryChange(entry=entry, replaces=None)], by="test", at=now())

    def sweep(self) -> str:
        return self._call(self.stage.names.sweep_function, {})

    def carried(self, account: str = "111111111111", certificate_id: str = "") -> str:
        """An event of another account's as the hub's rule would put it into its queue."""
        self._number += 1
        detail = {
            "version": "1",
            "id": f"{self._number:032x}",
            "fleet": "acme",
            "account": account,
            "region": self.stage.account.region,
            "certificate_id": certificate_id or f"{self._number:064x}",
            "ca": "factory",
            "thing_name": f"sensor-{8000 + self._number}",
            "outcome": "activated",
            "status": "ACTIVE",
            "decided_at": now().isoformat(timespec="milliseconds"),
        }
        return json.dumps({"source": "jitr", "account": account, "region": detail["region"], "detail": detail})

    def hub(self, body: str) -> str:
        return self._call(self.stage.names.hub_function, {"Records": [{"messageId": "message-0", "body": body}]})

    def restart(self) -> None:
        """Have the next call start anew, with nothing remembered."""
        self.lambda_.update_function_configuration(
            FunctionName=self.stage.names.register_function, Description=f"restarted {self._number}"
        )

    def _call(self, function: str, payload: dict[str, Any]) -> str:
        answer = self.lambda_.invoke(FunctionName=function, Payload=json.dumps(payload))
        return str(answer["Payload"].read().decode())

    def log(self, since: float) -> str:
        """What the functions logged since then, a time of `time.time()`."""
        logs = cached_client(self.stage, "logs")
        texts = []
        names = self.stage.names
        for function in (names.register_function, names.sweep_function, names.hub_function):
            group = self.stage.names.log_group(function)
            with suppress(logs.exceptions.ResourceNotFoundException):
                pages = logs.get_paginator("filter_log_events").paginate(
                    logGroupName=group, startTime=int(since * 1000)
                )
                texts += [event["message"] for page in pages for event in page["events"]]
        return "\n".join(texts)
