"""A stack is updated, and an update fails and is rolled back, while devices connect for the first time: none is lost.

Devices arrive all the while, from before the update to after it. What may happen to one is that it waits longer: its
event stays in the queue while the function changes. What may not happen is that one is never let in, that a message
dies, or that one version cannot read what the other one wrote.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jitr.decisions import Outcome
from jitr.rules import CertificateMode
from jitrctl.localaws.issuing import IssuingCa
from jitrctl.localaws.stage import LocalStage
from tests.support.e2e.waiting import PATIENCE, wait_until
from tests.support.local import deploying
from tests.support.local.deployed import Deployed, deployed

_AT_ONCE = 3
# A device whose activation the update cut off waits for the end of that attempt's claim, 90 s (decisions/0005).
_PATIENCE = 2 * PATIENCE + 90
_NUMBERS = count(3000)


class Stream:
    """Devices that connect for the first time, one after the other, in several threads."""

    def __init__(self, stage: LocalStage, ca: IssuingCa, folder: Path) -> None:
        self._stage = stage
        self._ca = ca
        self._folder = folder
        self._ended = threading.Event()
        self._issuing = threading.Lock()  # openssl keeps the next serial number in a file
        self._threads = [threading.Thread(target=self._connect_all, daemon=True) for _ in range(_AT_ONCE)]
        self.accepted: list[str] = []  # certificate ids
        self.lost: list[str] = []  # what was said of each that was not accepted

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def go_on(self, *, devices: int = 2 * _AT_ONCE) -> None:
        """Wait until so many more devices were accepted, so that some of them arrived after this was called."""
        wanted = len(self.accepted) + devices
        wait_until(lambda: len(self.accepted) >= wanted or self.lost, f"{devices} more devices")

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(2 * _PATIENCE)
            assert not thread.is_alive()

    def _connect_all(self) -> None:
        while not self._ended.is_set():
            name, told = f"sensor-{next(_NUMBERS)}", ""
            try:
                with self._issuing:
                    files = self._ca.issue(self._folder / name, name, days=365)
                told = files.certificate_id
                connection, _ = self._stage.device(files, name).connect_until_accepted(
                    self._stage.endpoint, patience=_PATIENCE
                )
                connection.close()
            except Exception as error:  # noqa: BLE001 -- whatever it was, the test says it
                self.lost.append(f"{name}: {error}; {self._known_of(told)}")
            else:
                self.accepted.append(files.certificate_id)

    def _known_of(self, certificate_id: str) -> str:
        """What AWS, the registry and the function's log say of a device that did not come in."""
        try:
            record = self._stage.registry.recall([certificate_id])[certificate_id]
            lines = [line for line in self._stage.log_lines() if certificate_id in str(line)]
            return f"{self._stage.status(certificate_id)}; {record}; log: {lines[-5:]}"
        except Exception as error:  # noqa: BLE001 -- it is said besides
            return f"nothing is known of it: {error}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """One of this module's own: its stack is changed and broken."""
    # At the example's pace the local AWS would start up to 75 processes for the function, all of them anew at each
    # update, and starve a small machine that has to start them all.
    pace = ("activations_per_second = 50", "activations_per_second = 4")
    directory = tmp_path_factory.mktemp("update")
    with deployed(directory, lambda text: replaced(text, *pace), mode=CertificateMode.SNI_ONLY) as made:
        yield made


@pytest.fixture
def streaming(fleet: Deployed, tmp_path: Path) -> Callable[[], Any]:
    stage, ca = fleet.local, fleet.cas["factory"]

    @contextmanager
    def stream() -> Iterator[Stream]:
        """Devices before, while and after what is done in it; in the end all of them are in."""
        devices = Stream(stage, ca, tmp_path)
        devices.begin()
        try:
            devices.go_on()
            yield devices
            devices.go_on()
        finally:
            devices.end()
        assert devices.lost == []
        unrecorded = 0
        for certificate_id in devices.accepted:
            assert stage.status(certificate_id) == "ACTIVE"
            # The local AWS kills what runs in a function that is updated (AWS lets it end). If that comes between
            # ACTIVE and the record, the record follows when the message is visible again, six minutes later.
            record = stage.registry.recall([certificate_id])[certificate_id]
            settled = record.decision or record.intent
            assert settled
            assert settled.outcome is Outcome.ACTIVATED
            unrecorded += record.decision is None
        # Those that were on their way at an update and at its rollback, and who came last of all.
        assert unrecorded <= 3 * _AT_ONCE
        for queue in (stage.names.dead_letter_queue, stage.names.undelivered_queue):
            assert waiting(stage, queue) == 0

    return stream


def waiting(stage: LocalStage, queue: str) -> int:
    sqs = stage.account.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def code(stage: LocalStage) -> str:
    """Which asset `register` runs."""
    found = stage.account.client("lambda").get_function_configuration(FunctionName=stage.names.register_function)
    return str(found["CodeSha256"])


def replaced(text: str, old: str, new: str) -> str:
    """The text with what stands in it once replaced."""
    assert text.count(old) == 1
    return text.replace(old, new)


def change_rules(fleet: Deployed, old: str, new: str) -> None:
    """Make the next deployment bring another function."""
    file = fleet.workspace.fleet_file
    file.write_text(replaced(file.read_text(encoding="utf-8"), old, new), encoding="utf-8")


def test_a_new_version_is_deployed_while_devices_connect_and_the_one_before_again_and_none_is_lost(
    fleet: Deployed, streaming: Callable[[], Any]
) -> None:
    stage, first = fleet.local, code(fleet.local)

    for old, new in (
        ('horizon       = "7d"', 'horizon       = "6d"'),
        ('horizon       = "6d"', 'horizon       = "7d"'),
    ):
        before = code(stage)
        change_rules(fleet, old, new)
        deploying.synthesize(fleet.workspace, stage.name)
        with streaming():
            deploying.deploy(fleet.workspace, stage.account, stage.place)
        assert code(stage) != before

    assert code(stage) == first


def publish(stage: LocalStage, template: str) -> str:
    """Put a template into a bucket, since a call takes 51,200 bytes of it at most; its URL."""
    s3 = stage.account.client("s3")
    s3.create_bucket(Bucket="broken-templates", CreateBucketConfiguration={"LocationConstraint": stage.account.region})
    s3.put_object(Bucket="broken-templates", Key="template.json", Body=template.encode())
    return f"{stage.account.endpoint_url}/broken-templates/template.json"


def test_an_update_that_fails_is_rolled_back_while_devices_connect_and_none_is_lost(
    fleet: Deployed, streaming: Callable[[], Any]
) -> None:
    stage = fleet.local
    cloudformation, before = stage.account.client("cloudformation"), code(stage)
    template = cloudformation.get_template(StackName=stage.names.stack)["TemplateBody"]
    broken = with_a_failure(json.loads(template) if isinstance(template, str) else template, stage)

    with streaming() as devices:
        cloudformation.update_stack(
            StackName=stage.names.stack,
            TemplateURL=publish(stage, json.dumps(broken)),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )

        def status() -> str:
            return str(cloudformation.describe_stacks(StackName=stage.names.stack)["Stacks"][0]["StackStatus"])

        wait_until(lambda: status() == "UPDATE_ROLLBACK_COMPLETE", "the rollback's end")
        devices.go_on()

    assert code(stage) == before
    assert memory(stage) == _MEMORY


_MEMORY = 512


def memory(stage: LocalStage) -> int:
    found = stage.account.client("lambda").get_function_configuration(FunctionName=stage.names.register_function)
    return int(found["MemorySize"])


def with_a_failure(template: dict[str, Any], stage: LocalStage) -> dict[str, Any]:
    """An update that changes the function, and then comes to something that cannot be made."""
    resources = template["Resources"]
    ((name, function),) = (
        (name, one)
        for name, one in resources.items()
        if one["Type"] == "AWS::Lambda::Function" and one["Properties"]["FunctionName"] == stage.names.register_function
    )
    function["Properties"]["MemorySize"] = 2 * _MEMORY
    resources["Failing"] = {
        "Type": "AWS::Lambda::Url",
        "Properties": {"AuthType": "AWS_IAM", "TargetFunctionArn": "a-function-that-is-not-there"},
        "DependsOn": [name],
    }
    return template
