"""Dead letters and undelivered events: looked at, sent again, dropped; nothing is lost on the way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from jitrctl.__main__ import main
from jitrctl.localaws.workspace import CHECKOUT
from jitrctl.queues.dead_letters import LetterQueue, receive
from jitrctl.session import access
from jitrctl.session.stage import Stage
from tests.support.cli.decision_events import activation_event

EVENT = (CHECKOUT / "events/first-connection.json").read_text(encoding="utf-8")
UNDELIVERED = (CHECKOUT / "events/error-action.json").read_text(encoding="utf-8")
CERTIFICATE = json.loads(EVENT)["certificateId"]


class Queues:
    """The queues of two accounts."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = {str(stage): stage for stage in stages if stage.region == "eu-central-1"}
        for stage in self.stages.values():
            names = stage.names
            for queue in (names.registrations_queue, names.dead_letter_queue, names.undelivered_queue):
                stage.sqs.create_queue(QueueName=queue)

    def put(self, place: str, body: str, *, reason: str | None = None, letters: LetterQueue = LetterQueue.DEAD) -> str:
        stage = self.stages[place]
        url = stage.sqs.get_queue_url(QueueName=letters.queue(stage))["QueueUrl"]
        attributes = {"jitr_reason": {"DataType": "String", "StringValue": reason}} if reason else {}
        return str(stage.sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)["MessageId"])

    def bodies(self, place: str, queue: str) -> list[str]:
        """What is to be had from a queue now."""
        sqs = self.stages[place].sqs
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in answer.get("Messages", [])]

    def left(self, place: str, letters: LetterQueue = LetterQueue.DEAD) -> list[str]:
        return self.bodies(place, letters.queue(self.stages[place]))

    def sent(self, place: str) -> list[str]:
        return self.bodies(place, self.stages[place].names.registrations_queue)


DEV, PROD = "dev/eu-central-1", "prod/eu-central-1"


@pytest.fixture
def queues(aws: None, stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch) -> Queues:  # noqa: ARG001
    call: Any = vars(BaseClient)["_make_api_call"]

    def at_once(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "ReceiveMessage":
            is_bodies = parameters["VisibilityTimeout"] == 0
            assert is_bodies or parameters["WaitTimeSeconds"] > 0  # a short poll asks some of SQS's servers only
            parameters = {**parameters, "WaitTimeSeconds": 0}  # moto would really wait
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", at_once)
    return Queues(stages)


@pytest.fixture
def hub(queues: Queues, fleet_file: Path) -> Queues:
    """The fleet with a hub in prod, and its queues."""
    fleet_file.write_text(fleet_file.read_text(encoding="utf-8") + '\n[hub]\naccount = "prod"\n', encoding="utf-8")
    for stage in queues.stages.values():
        stage.sqs.create_queue(QueueName=stage.names.unforwarded_queue)
    prod = queues.stages[PROD]
    for queue in (prod.names.hub_queue, prod.names.hub_dead_letter_queue):
        prod.sqs.create_queue(QueueName=queue)
    return queues


@pytest.fixture
def told(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command with --json in the Region that has the queues; what it says of each stage."""

    def run(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json", "--fleet", str(fleet_file), "--region", "eu-central-1"]) == code
        document = json.loads(capsys.readouterr().out)
        return {f"{one['account']}/{one['region']}": one.get("messages") for one in document["stages"]}

    return run


def test_each_message_is_listed_with_whose_it_is_and_why_and_stays_to_be_had(
    queues: Queues, told: Callable[..., Any]
) -> None:
    queues.put(DEV, EVENT, reason="AccessDenied, 10 receives")
    queues.put(DEV, "not JSON", reason="unreadable: not JSON")
    queues.put(PROD, UNDELIVERED, letters=LetterQueue.UNDELIVERED)

    said = told("dlq", "list")

    assert {(one["certificate_id"], one["reason"]) for one in said[DEV]} == {
        (CERTIFICATE, "AccessDenied, 10 receives"),
        (None, "unreadable: not JSON"),
    }
    assert said[PROD] == []
    (undelivered,) = told("dlq", "list", "--queue", "undelivered")[PROD]
    assert undelivered["reason"].startswith("Failed to send message to SQS queue")
    assert undelivered["certificate_id"] is not None
    assert len(queues.left(DEV)) == 2
    assert len(told("dlq", "list")[DEV]) == 2


def test_more_than_ten_messages_are_all_seen_each_once(queues: Queues, told: Callable[..., Any]) -> None:
    ids = {queues.put(DEV, EVENT) for _ in range(23)}
    assert sorted(one["id"] for one in told("dlq", "list")[DEV]) == sorted(ids)
    assert len(told("dlq", "list", "--most", "12")[DEV]) == 12


def test_a_message_is_shown_whole_by_the_beginning_of_its_id(queues: Queues, told: Callable[..., Any]) -> None:
    message = queues.put(DEV, EVENT)
    queues.put(DEV, "other")
    (shown,) = told("dlq", "show", message[:8])[DEV]
    assert shown["body"] == EVENT


def test_what_is_sent_again_leaves_the_queue_and_what_is_no_event_stays(
    queues: Queues, told: Callable[..., Any]
) -> None:
    good, bad = queues.put(DEV, EVENT), queues.put(DEV, "not JSON")
    queues.put(PROD, EVENT)

    said = told("dlq", "redrive", good[:8], bad[:8], "--yes", code=1)

    assert {one["id"]: one["ok"] for one in said[DEV]} == {good: True, bad: False}
    assert (queues.sent(DEV), queues.left(DEV)) == ([EVENT], ["not JSON"])
    assert (queues.sent(PROD), queues.left(PROD)) == ([], [EVENT])


def test_undelivered_events_are_sent_again_in_every_account(queues: Queues, told: Callable[..., Any]) -> None:
    for place in (DEV, PROD):
        queues.put(place, UNDELIVERED, letters=LetterQueue.UNDELIVERED)
    told("dlq", "redrive", "--queue", "undelivered", "--all", "--yes")
    for place in (DEV, PROD):
        assert (queues.sent(place), queues.left(place, LetterQueue.UNDELIVERED)) == ([UNDELIVERED], [])


def test_a_message_that_cannot_be_sent_again_is_not_deleted(queues: Queues, told: Callable[..., Any]) -> None:
    queues.put(DEV, EVENT)
    stage = queues.stages[DEV]
    stage.sqs.delete_queue(QueueUrl=stage.sqs.get_queue_url(QueueName=stage.names.registrations_queue)["QueueUrl"])
    told("dlq", "redrive", "--all", "--yes", "--account", "dev", code=1)
    assert queues.left(DEV) == [EVENT]


def test_only_what_was_named_is_dropped(queues: Queues, told: Callable[..., Any]) -> None:
    message = queues.put(DEV, "not JSON")
    queues.put(DEV, EVENT)
    told("dlq", "drop", message[:8], "--yes")
    assert queues.left(DEV) == [EVENT]


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize("order", ["redrive", "drop"])
def test_all_messages_of_an_empty_queue_are_done(
    fleet_file: Path, order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["dlq", order, "--all", "--yes", "--account", "dev", "--fleet", str(fleet_file)]
    assert main(command) == 0
    assert capsys.readouterr().out == "Nothing is in the dead-letter queue.\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


@pytest.mark.parametrize("order", ["redrive", "drop"])
def test_nothing_is_done_without_yes_or_without_saying_to_what(
    queues: Queues, fleet_file: Path, order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = queues.put(DEV, EVENT)
    common = ["--fleet", str(fleet_file), "--account", "dev"]
    for arguments, code, sentence in (
        (["--all"], 2, f"{DEV} {message}"),
        ([], 2, "say which messages"),
        ([message, "--all"], 2, "say which messages"),
        (["zzz", "--yes"], 1, "no such message is in the dead-letter queue"),
    ):
        assert main(["dlq", order, *arguments, *common]) == code
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert (queues.sent(DEV), queues.left(DEV)) == ([], [EVENT])


def test_what_the_hub_gave_up_is_looked_for_in_its_account_alone_and_sent_to_its_function_again(
    hub: Queues, told: Callable[..., Any]
) -> None:
    good = hub.put(PROD, activation_event(CERTIFICATE), letters=LetterQueue.HUB)
    bad = hub.put(PROD, activation_event(CERTIFICATE, fleet="other"), letters=LetterQueue.HUB)

    listed = told("dlq", "list", "--queue", "hub")
    said = told("dlq", "redrive", "--queue", "hub", "--all", "--yes", code=1)

    assert list(listed) == list(said) == [PROD]
    assert {(one["id"], one["certificate_id"], one["reason"]) for one in listed[PROD]} == {
        (good, CERTIFICATE, "unknown; the log of jitr-acme-hub says why"),
        (bad, None, "of another fleet"),
    }
    assert {one["id"]: one["ok"] for one in said[PROD]} == {good: True, bad: False}
    assert hub.bodies(PROD, hub.stages[PROD].names.hub_queue) == [activation_event(CERTIFICATE)]
    assert hub.left(PROD, LetterQueue.HUB) == [activation_event(CERTIFICATE, fleet="other")]
    assert (hub.sent(PROD), hub.sent(DEV)) == ([], [])


def test_what_could_not_be_forwarded_says_what_eventbridge_said_and_is_sent_to_the_hub_itself(
    hub: Queues, told: Callable[..., Any]
) -> None:
    dev = hub.stages[DEV]
    url = dev.sqs.get_queue_url(QueueName=dev.names.unforwarded_queue)["QueueUrl"]
    said = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "not authorized to put events"}
    attributes: Any = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    dev.sqs.send_message(QueueUrl=url, MessageBody=activation_event(CERTIFICATE), MessageAttributes=attributes)

    (listed,) = told("dlq", "list", "--queue", "unforwarded")[DEV]
    told("dlq", "redrive", "--queue", "unforwarded", "--all", "--yes")

    assert listed["certificate_id"] == CERTIFICATE
    assert listed["reason"] == "NO_PERMISSIONS: not authorized to put events"
    assert hub.bodies(PROD, hub.stages[PROD].names.hub_queue) == [activation_event(CERTIFICATE)]
    assert hub.left(DEV, LetterQueue.UNFORWARDED) == []


def test_an_unforwarded_event_stays_where_the_hub_cannot_take_it(
    hub: Queues, fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put(DEV, activation_event(CERTIFICATE), letters=LetterQueue.UNFORWARDED)
    prod = hub.stages[PROD]
    prod.sqs.delete_queue(QueueUrl=prod.sqs.get_queue_url(QueueName=prod.names.hub_queue)["QueueUrl"])
    words = ["dlq", "redrive", "--queue", "unforwarded", "--all", "--yes", "--account", "dev"]
    assert main([*words, "--fleet", str(fleet_file)]) == 1
    assert "prod/eu-central-1 has no queue jitr-acme-hub: deploy the hub's stack" in capsys.readouterr().err
    assert hub.left(DEV, LetterQueue.UNFORWARDED) == [activation_event(CERTIFICATE)]


def test_an_event_that_says_it_is_of_another_account_is_not_passed_on_to_the_hub(
    hub: Queues, told: Callable[..., Any]
) -> None:
    """Whoever may send to the queue of one account could have the hub believe anything of another."""
    forged = activation_event(CERTIFICATE).replace("111111111111", "222222222222")
    hub.put(DEV, forged, letters=LetterQueue.UNFORWARDED)
    (listed,) = told("dlq", "list", "--queue", "unforwarded")[DEV]
    told("dlq", "redrive", "--queue", "unforwarded", "--all", "--yes", code=1)
    assert listed["reason"] == "in the queue of dev/eu-central-1, and says that it is of 222222222222/eu-central-1"
    assert hub.bodies(PROD, hub.stages[PROD].names.hub_queue) == []
    assert hub.left(DEV, LetterQueue.UNFORWARDED) == [forged]


def test_the_hubs_account_is_opened_once_and_before_anybody_is_asked(
    hub: Queues, fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        hub.put(DEV, activation_event(CERTIFICATE), letters=LetterQueue.UNFORWARDED)
    opened: list[str] = []
    real = access.open_access

    def noted(account: Any, *arguments: Any) -> Any:
        opened.append(account.name)
        return real(account, *arguments)

    monkeypatch.setattr("jitrctl.session.stage.open_access", noted)
    words = ["dlq", "redrive", "--queue", "unforwarded", "--all", "--account", "dev", "--fleet", str(fleet_file)]

    assert main(words) == 2
    assert sorted(opened) == ["dev", "prod"]
    assert "there is nobody to ask" in " ".join(capsys.readouterr().err.split())

    opened.clear()
    assert main([*words, "--yes"]) == 0
    assert sorted(opened) == ["dev", "prod"]
    assert len(hub.bodies(PROD, hub.stages[PROD].names.hub_queue)) == 3


def test_what_was_sent_again_before_aws_failed_is_told_and_the_rest_is_not_tried(
    queues: Queues, told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        queues.put(DEV, EVENT)
    call: Any = vars(BaseClient)["_make_api_call"]
    sent: list[str] = []

    def failing(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "SendMessage":
            sent.append(operation)
            if len(sent) == 3:
                raise ClientError({"Error": {"Code": "KmsDisabled", "Message": "the key is disabled"}}, operation)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", failing)

    said = told("dlq", "redrive", "--all", "--yes", "--account", "dev", code=1)[DEV]

    assert [one["ok"] for one in said] == [True, True, False, False]
    assert "the key is disabled" in said[2]["error"]
    assert said[3]["error"] == "not tried"
    assert len(queues.left(DEV)) == 2


@pytest.mark.parametrize("queue", ["hub", "unforwarded"])
def test_a_fleet_without_a_hub_has_no_queues_of_one(
    queues: Queues,  # noqa: ARG001
    fleet_file: Path,
    queue: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["dlq", "list", "--queue", queue, "--fleet", str(fleet_file)]) == 2
    assert "the fleet file has no [hub], so there is no" in " ".join(capsys.readouterr().err.split())


def test_the_hubs_queue_is_not_looked_for_in_another_account(
    hub: Queues,  # noqa: ARG001
    fleet_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["dlq", "list", "--queue", "hub", "--account", "dev", "--fleet", str(fleet_file)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the dead-letter queue of the hub is in prod/eu-central-1: name that account and Region, or none" in said


def test_messages_are_hidden_while_they_are_looked_at_and_back_afterwards(queues: Queues) -> None:
    queues.put(DEV, EVENT)
    with receive(queues.stages[DEV], LetterQueue.DEAD, most=10) as found:
        assert len(found) == 1
        assert queues.left(DEV) == []
    assert queues.left(DEV) == [EVENT]


def _functions(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, Any], Any]) -> None:
    """Have the stage's functions answer."""
    monkeypatch.setattr("jitrctl.queues.replay.invoke", lambda _, function, payload: answer(function, payload))
    monkeypatch.setattr("jitrctl.commands.sweep.invoke", lambda _, function, payload: answer(function, payload))


def test_a_replayed_message_leaves_its_queue_only_when_it_came_to_an_outcome(
    queues: Queues, fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queues.put(DEV, EVENT)
    queues.put(DEV, "not JSON")
    asked: list[Any] = []

    def answer(_: str, payload: Any) -> dict[str, Any]:
        asked.append(payload)
        return {"outcome": "activated"}

    _functions(monkeypatch, answer)

    assert main(["replay", "--dead-letters", "--account", "dev", "--fleet", str(fleet_file)]) == 1

    assert [payload["certificateId"] for payload in asked] == [CERTIFICATE]
    assert queues.left(DEV) == ["not JSON"]
    assert "not replayed: no registration event" in capsys.readouterr().out
    assert main(["replay", "--account", "dev", "--fleet", str(fleet_file)]) == 2


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        ({"looked_at": 3, "sent": 2, "retired": 1, "unfinished": []}, "3 2 1"),
        ({"looked_at": 3, "sent": 0, "retired": 0, "queue_is_behind": True}, "nothing sent: the queue is behind"),
        ({"another_sweep_is_under_way": True}, "another sweep is under way"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_a_sweep_tells_what_it_did_in_each_stage(
    fleet_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], swept: Any, said: str
) -> None:
    _functions(monkeypatch, lambda function, _: swept if function == "jitr-acme-sweep" else pytest.fail(function))
    assert main(["sweep", "--fleet", str(fleet_file), "--account", "dev"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
