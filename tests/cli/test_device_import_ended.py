"""`jitrctl device import` that ends early: killed, interrupted, failed, or beside another one."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.aws.queues import EventToSend, send_events
from jitr.import_order import ImportOrder
from jitrctl.commands.device import import_devices
from jitrctl.device import imports
from jitrctl.device.certificate_import import CertificateImport
from jitrctl.terminal import Exit
from simulation import Authority, Call, Died, Fault, Moment
from tests.support.cli.importing import SOURCE, bundle, calls, deploy_with_source, take
from tests.support.cli.orders import announced_orders
from tests.support.cli.simulated import DEV, RULES, Simulated


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return deploy_with_source(tmp_path, monkeypatch)


@pytest.fixture
def maker() -> Authority:
    """A CA that is registered nowhere."""
    return Authority.new("Maker CA")


def import_and_stop(fleet: Simulated, monkeypatch: pytest.MonkeyPatch, maker: Authority, **ended: Any) -> str:
    """Import 22 certificates in batches of ten; after the first one `stop` is called, and no function works."""
    time = vars(imports)["time"]
    work = time.sleep

    def sleep(seconds: float) -> None:
        if calls(fleet, "RegisterCertificateWithoutCA") > ended["after"]:
            fleet.aws.clock.advance(seconds)
        else:
            work(seconds)
            ended["stop"]()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(imports, "AHEAD", 10)
    file = bundle(fleet, *(fleet.issue(f"sensor-{number:04}", ca=maker) for number in range(22)))
    return fleet.say("device", "import", file, "--account", DEV, "--yes", code=ended["code"])


def test_an_import_that_gets_no_decision_reports_what_is_done(
    fleet: Simulated, maker: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = import_and_stop(fleet, monkeypatch, maker, after=10, stop=lambda: None, code=Exit.FAILED)
    assert "10 became ACTIVE; 10 registered, and left to the functions and the sweep; 2 not begun" in said
    assert "so 2 certificates were not begun; 10 are registered INACTIVE, and wait. `jitrctl fleet status` says" in said
    assert [one.get("completed", True) for one in announced_orders(fleet)] == [False]


def test_an_import_that_is_interrupted_reports_what_is_done(
    fleet: Simulated, maker: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = threading.Event()
    monkeypatch.setattr(import_devices, "threading", SimpleNamespace(Event=lambda: event))
    said = import_and_stop(fleet, monkeypatch, maker, after=22, stop=event.set, code=Exit.INTERRUPTED)
    assert "10 became ACTIVE; 12 not begun" in said
    assert "12 of 22 were not begun, since it was interrupted: the same command again does the rest" in said


@pytest.mark.parametrize(
    "operation", ["RegisterCertificateWithoutCA", "UpdateItem", "SendMessageBatch", "BatchGetItem"]
)
def test_an_import_whose_call_fails_reports_what_is_done_and_is_resumed(
    fleet: Simulated, maker: Authority, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The first batch is imported; in the second one a service fails, for jitrctl and the functions."""

    def fail() -> None:
        fleet.aws.fault = lambda call, _: Fault.SERVER_ERROR if call.operation == operation else None

    with monkeypatch.context() as patch:
        said = import_and_stop(fleet, patch, maker, after=10, stop=fail, code=Exit.FAILED)
    assert "a call of AWS failed: AWS throttles, fails or cannot be reached" in said
    assert "The same command again goes on" in said
    assert "10 became ACTIVE" in said or "certificates are begun and not decided, and 12 not begun" in said
    fleet.aws.fault = None
    fleet.sweep(DEV, after=301)  # completes what was registered
    told = take(fleet, str(fleet.directory / "bundle.pem"), "--account", DEV)[DEV]
    assert told["activated"] + told["done"] == 22


def test_an_import_that_was_killed_is_resumed_from_its_order(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    stage = fleet.stage(DEV)
    order = ImportOrder(source=SOURCE, by="ann", at=fleet.aws.clock.now())
    one = CertificateImport(stage.iot, stage.aws_iot, stage.registry)
    assert one.register(leaf.certificate_id, leaf.pem, order, fleet.record(DEV, leaf)) is None
    assert fleet.status(DEV, leaf) == "INACTIVE"
    fleet.aws.clock.advance(600)
    told = take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]
    assert told["activated"] == 1
    assert fleet.record(DEV, leaf).import_order is None


def test_the_sweep_completes_what_a_killed_import_registered(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    stage = fleet.stage(DEV)
    order = ImportOrder(source=SOURCE, by="ann", at=fleet.aws.clock.now())
    one = CertificateImport(stage.iot, stage.aws_iot, stage.registry)
    one.register(leaf.certificate_id, leaf.pem, order, fleet.record(DEV, leaf))
    fleet.sweep(DEV, after=400)
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"


def test_an_order_lets_nobody_activate_what_another_set_inactive(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    stage, iot = fleet.stage(DEV), fleet.iot(DEV)
    order = ImportOrder(source=SOURCE, by="ann", at=fleet.aws.clock.now())
    one = CertificateImport(stage.iot, stage.aws_iot, stage.registry)
    one.register(leaf.certificate_id, leaf.pem, order, fleet.record(DEV, leaf))
    fleet.aws.clock.advance(30)
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="INACTIVE")
    fleet.sweep(DEV, after=400)
    assert fleet.status(DEV, leaf) == "INACTIVE"
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    assert told["refused"]
    assert fleet.status(DEV, leaf) == "INACTIVE"


def test_an_import_that_was_killed_before_it_registered_lets_nothing_else_in(
    fleet: Simulated, maker: Authority
) -> None:
    leaf, stage = fleet.issue("sensor-0001", ca=maker), fleet.stage(DEV)
    now = fleet.aws.clock.now()
    order = ImportOrder(source=SOURCE, by="ann", at=now)
    assert stage.registry.order_import(leaf.certificate_id, order, seen=fleet.record(DEV, leaf), look_at=now)
    fleet.aws.clock.advance(600)
    fleet.iot(DEV).register_certificate_without_ca(certificatePem=leaf.pem, status="INACTIVE")
    fleet.sweep(DEV, after=400)
    assert fleet.status(DEV, leaf) == "INACTIVE", "somebody else's, long after the order"
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    assert "is INACTIVE here, found" in told["refused"][0]["why"], "the sweep had it looked at, and the order ended"


def test_two_imports_at_once_register_each_certificate_once(fleet: Simulated, maker: Authority) -> None:
    leaf, stage = fleet.issue("sensor-0001", ca=maker), fleet.stage(DEV)
    one, other = (CertificateImport(stage.iot, stage.aws_iot, stage.registry) for _ in range(2))
    seen = fleet.record(DEV, leaf)
    orders = [ImportOrder(source=SOURCE, by=by, at=fleet.aws.clock.now()) for by in ("ann", "bob")]
    assert one.register(leaf.certificate_id, leaf.pem, orders[0], seen) is None
    said = other.register(leaf.certificate_id, leaf.pem, orders[1], seen)
    assert said == "another import or a decision came first: run the import again"
    order = fleet.record(DEV, leaf).import_order
    assert order
    assert order.by == "ann"


def test_a_held_import_is_released_with_its_order(fleet: Simulated, maker: Authority) -> None:
    fleet.write(RULES, source=RULES + 'enrollment = "listed"\n')
    fleet.deploy()
    leaf = fleet.issue("sensor-0001", ca=maker)
    assert take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]["held"]
    fleet.say("device", "release", leaf.certificate_id, "--account", DEV, "--yes")
    assert fleet.status(DEV, leaf) is None
    assert fleet.record(DEV, leaf).import_order is None


def test_a_name_is_not_taken_from_an_import_that_may_still_become_active(fleet: Simulated, maker: Authority) -> None:
    first = fleet.issue("sensor-0001", ca=maker, begins=-2)
    fleet.aws.fault = die_before_active
    stage = fleet.stage(DEV)
    order = ImportOrder(source=SOURCE, by="ann", at=fleet.aws.clock.now())
    one = CertificateImport(stage.iot, stage.aws_iot, stage.registry)
    one.register(first.certificate_id, first.pem, order, fleet.record(DEV, first))
    event = EventToSend(certificate_id=first.certificate_id, ca_certificate_id=None, registered_at=None)
    url = fleet.deployments[DEV].settings.registrations_queue_url
    send_events(stage.sqs, url, [event], account_id=stage.account.id, now=fleet.aws.clock.now())
    fleet.deployments[DEV].mapping().poll()
    fleet.aws.fault = None
    assert fleet.status(DEV, first) == "INACTIVE", "its claim is written, and its function is dead"
    queue = fleet.deployments[DEV].registrations
    for message in queue.messages:
        queue.delete(message.receipt_handle)  # the sweep is the next to see it
    fleet.aws.clock.advance(200)
    second = fleet.issue("sensor-0001", ca=maker, begins=-1)
    told = take(fleet, bundle(fleet, second), "--account", DEV, code=Exit.FAILED)[DEV]
    assert told["held"][0]["why"].startswith("NOT_A_ROTATION: ")
    told = take(fleet, bundle(fleet, first), "--account", DEV)[DEV]
    assert told["activated"] == 1, told


def die_before_active(call: Call, moment: Moment) -> None:
    if (call.operation, moment) == ("UpdateCertificate", "before"):
        raise Died
