"""`jitrctl device import`: certificates registered without a CA, in several accounts, by the functions' own way."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jitr.admission.applicant import Applicant
from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.issuers import find_issuer
from jitr.aws.queues import EventToSend, send_events
from jitr.decisions import Outcome
from jitr.errors import Rejected
from jitr.import_order import ImportOrder
from jitr.rules import CertificateMode, source_id
from jitr.store.enrollment_table import EntryChange
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.commands.device import import_devices
from jitrctl.commands.list_reading import read_lists
from jitrctl.device import imports
from jitrctl.doctor import runner
from jitrctl.status.sources import read_sources
from jitrctl.terminal import Exit
from simulation import Authority, Call, Died, Leaf, Moment
from tests.support.cli.orders import BY, announced_orders, fail_service, last_order
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

SOURCE = source_id("maker")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """Both accounts have the source; while an import waits, the functions work."""
    fleet = simulated(tmp_path, monkeypatch)
    fleet.write(RULES, source=RULES)
    fleet.deploy()

    at_once = threading.Lock()

    def sleep(seconds: float) -> None:
        with at_once:  # both accounts are worked on at once, and share the clock
            fleet.aws.clock.advance(seconds)
            for deployment in fleet.deployments.values():
                deployment.mapping().drain()

    monkeypatch.setattr(imports, "time", SimpleNamespace(sleep=sleep, monotonic=fleet.aws.clock.monotonic))
    monkeypatch.setattr(imports, "now", fleet.aws.clock.now)
    return fleet


@pytest.fixture
def maker() -> Authority:
    """A CA that is registered nowhere."""
    return Authority.new("Maker CA")


def bundle(fleet: Simulated, *leaves: Leaf) -> str:
    path = fleet.directory / "bundle.pem"
    path.write_text("".join(leaf.pem for leaf in leaves))
    return str(path)


def take(fleet: Simulated, *words: str, code: int = 0) -> dict[str, Any]:
    return fleet.ask("device", "import", *words, "--yes", code=code)


def calls(fleet: Simulated, operation: str) -> int:
    return sum(call.operation == operation for call in fleet.aws.calls)


def test_a_bundle_comes_into_one_account_then_the_other(fleet: Simulated, maker: Authority) -> None:
    leaves = [fleet.issue(f"sensor-{number:04}", ca=maker) for number in range(1, 13)]
    file = bundle(fleet, *leaves)
    told = take(fleet, file, "--account", DEV, "--note", "reel 7")[DEV]
    assert (told["planned"], told["activated"], told["done"], told["refused"]) == (12, 12, 0, [])
    assert fleet.status(PROD, leaves[0]) is None
    told = take(fleet, file)
    assert [(told[one]["activated"], told[one]["done"]) for one in (DEV, PROD)] == [(0, 12), (12, 0)]
    for place in (DEV, PROD):
        assert fleet.place(place).connect(leaves[0], client_id="sensor-0001") == "accepted", "at its first CONNECT"
        decision = fleet.record(place, leaves[0]).decision
        assert decision
        assert (decision.outcome, decision.ca, decision.ca_certificate_id) == (Outcome.ACTIVATED, "maker", SOURCE)
    assert calls(fleet, "RegisterCertificateWithoutCA") == 24
    assert calls(fleet, "DescribeCertificate") == 24 + 1, "one for each device, by the function; and the test's"


def test_who_imported_what_and_why_is_kept_and_announced(fleet: Simulated, maker: Authority) -> None:
    file = bundle(fleet, *(fleet.issue(f"sensor-000{number}", ca=maker) for number in (1, 2)))
    take(fleet, file, "--account", DEV, "--note", "reel 7", "--may-follow")
    steps = ("register 2 certificates without a CA; they may follow any certificate that was issued earlier",)
    kept = last_order(fleet, SOURCE)
    assert kept
    assert (kept.order, kept.by, kept.note, kept.steps, kept.completed) == ("device import", BY, "reel 7", steps, True)
    (event,) = announced_orders(fleet)
    assert (event["subject"], event["by"], event["note"]) == (SOURCE, BY, "reel 7")
    take(fleet, file, "--account", DEV)
    assert len(announced_orders(fleet)) == 1, "nothing was to be done"


def test_an_import_that_cannot_be_announced_names_its_source(fleet: Simulated, maker: Authority) -> None:
    failing = fail_service("events")
    fleet.aws.fault = lambda call, moment: failing(call, moment) if "Operator Order" in str(call.parameters) else None
    told = take(fleet, bundle(fleet, fleet.issue("sensor-0001", ca=maker)), "--account", DEV, code=Exit.FAILED)[DEV]
    (warning,) = told["warnings"]
    assert warning.startswith("`device import` about source maker (register 1 certificate without a CA) was carried")


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


def test_a_dry_run_checks_and_changes_nothing(fleet: Simulated, maker: Authority) -> None:
    good, bad = fleet.issue("sensor-0001", ca=maker), fleet.issue("pump-0001", ca=maker)
    told = take(fleet, bundle(fleet, good, bad), "--dry-run", code=Exit.FAILED)[DEV]
    assert (told["planned"], told["activated"], told["dry_run"]) == (1, 0, True)
    assert [one["certificate_id"] for one in told["refused"]] == [bad.certificate_id]
    assert told["refused"][0]["why"].startswith("COMMON_NAME_REFUSED: ")
    assert calls(fleet, "RegisterCertificateWithoutCA") == 0
    assert fleet.record(DEV, good).import_order is None


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_what_is_registered_already_is_reported_and_never_changed(
    fleet: Simulated, maker: Authority, status: str
) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    fleet.iot(DEV).register_certificate_without_ca(certificatePem=leaf.pem, status=status)
    fleet.aws.clock.advance(60)
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    assert f"is registered here already, {status} since" in told["refused"][0]["why"]
    assert fleet.status(DEV, leaf) == status
    assert fleet.record(DEV, leaf).import_order is None
    fleet.sweep(DEV, after=7200)
    assert fleet.status(DEV, leaf) == status
    if status == "ACTIVE":
        fleet.ask("device", "deactivate", leaf.certificate_id, "--account", DEV, "--yes")
    fleet.ask("device", "release", leaf.certificate_id, "--revoked", "--account", DEV, "--yes")
    assert take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]["activated"] == 1, "docs/migrate.md says so"


def test_a_device_that_connected_first_is_its_cas(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    fleet.place(DEV).connect(leaf, client_id="sensor-0001")
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    assert "has connected before" in told["refused"][0]["why"]
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    decision = fleet.record(DEV, leaf).decision
    assert decision
    assert decision.ca == "factory"


def test_an_import_that_was_killed_is_resumed_from_its_order(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    stage = fleet.stage(DEV)
    order = ImportOrder(source=SOURCE, by="ann", at=fleet.aws.clock.now())
    one = imports.CertificateImport(stage.iot, stage.aws_iot, stage.registry)
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
    one = imports.CertificateImport(stage.iot, stage.aws_iot, stage.registry)
    one.register(leaf.certificate_id, leaf.pem, order, fleet.record(DEV, leaf))
    fleet.sweep(DEV, after=400)
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"


def test_an_order_lets_nobody_activate_what_another_set_inactive(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    stage, iot = fleet.stage(DEV), fleet.iot(DEV)
    order = ImportOrder(source=SOURCE, by="ann", at=fleet.aws.clock.now())
    one = imports.CertificateImport(stage.iot, stage.aws_iot, stage.registry)
    one.register(leaf.certificate_id, leaf.pem, order, fleet.record(DEV, leaf))
    fleet.aws.clock.advance(30)
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="INACTIVE")
    fleet.sweep(DEV, after=400)
    assert fleet.status(DEV, leaf) == "INACTIVE"
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    assert told["refused"]
    assert fleet.status(DEV, leaf) == "INACTIVE"


def test_a_denied_certificate_is_not_registered(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    assert take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]["activated"] == 1
    fleet.ask("device", "revoke", "sensor-0001", "--note", "stolen", "--yes")
    told = take(fleet, bundle(fleet, leaf), code=Exit.FAILED)
    assert [told[one]["planned"] for one in (DEV, PROD)] == [0, 0]
    assert "stolen" in told[PROD]["refused"][0]["why"]
    assert "`jitrctl device release` first, with --revoked" in told[PROD]["refused"][0]["why"]
    assert fleet.status(PROD, leaf) is None


def test_an_entry_that_denies_refuses_an_import_and_one_that_allows_ends_a_hold(
    fleet: Simulated, maker: Authority
) -> None:
    fleet.write(RULES, source=RULES + 'enrollment = "listed"\n')
    fleet.deploy()
    leaf, denied = fleet.issue("sensor-0001", ca=maker), fleet.issue("sensor-0002", ca=maker)
    enter(fleet, Entry(subject=Subject(SubjectKind.CERTIFICATE, denied.certificate_id), rule=EntryRule.DENY))
    told = take(fleet, bundle(fleet, leaf, denied), "--account", DEV, code=Exit.FAILED)[DEV]
    assert [one["certificate_id"] for one in told["held"]] == [leaf.certificate_id]
    assert told["refused"][0]["why"].startswith("ENTRY_DENIES: ")
    assert fleet.status(DEV, leaf) == "INACTIVE"
    fleet.aws.clock.advance(30)
    _, *lines = fleet.lines("device", "import", bundle(fleet, leaf, denied), "--account", DEV, "--yes", code=1)
    assert lines[0].startswith(f"  refused: {denied.certificate_id} is INACTIVE here, rejected ")
    assert lines[1].startswith(f"  held, INACTIVE: {leaf.certificate_id} NOT_LISTED: ")
    enter(fleet, Entry(subject=Subject(SubjectKind.THING, "sensor-0001"), rule=EntryRule.ALLOW))
    fleet.sweep(DEV, after=100)
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"


def enter(fleet: Simulated, entry: Entry) -> None:
    fleet.stage(DEV).enrollment.change([EntryChange(entry=entry, replaces=None)], by="ann", at=fleet.aws.clock.now())


def test_a_cas_certificate_follows_an_imported_one_only_by_an_entry(fleet: Simulated, maker: Authority) -> None:
    old = fleet.issue("sensor-0001", ca=maker, begins=-10)
    take(fleet, bundle(fleet, old), "--account", DEV)
    new = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, new, "sensor-0001") == "refused"
    decision = fleet.record(DEV, new).decision
    assert decision
    assert decision.detail
    assert decision.detail.endswith("no enrollment entry says that this one may follow it")
    fleet.ask("enrollment", "allow", "sensor-0001", "--may-follow", "--account", DEV, "--yes")
    fleet.sweep(DEV, after=100)
    assert fleet.place(DEV).connect(new, client_id="sensor-0001") == "accepted"
    assert fleet.record(DEV, old).replaced_by == new.certificate_id


def test_an_imported_certificate_follows_a_cas_one_only_by_the_import(fleet: Simulated, maker: Authority) -> None:
    old = fleet.issue("sensor-0001", begins=-10)
    assert fleet.knock(DEV, old, "sensor-0001") == "accepted"
    fleet.ask("enrollment", "allow", "sensor-0001", "--may-follow", "--account", DEV, "--yes")
    new = fleet.issue("sensor-0001", ca=maker)
    told = take(fleet, bundle(fleet, new), "--account", DEV, code=Exit.FAILED)[DEV]
    assert "only by `--may-follow`" in told["held"][0]["why"]
    assert fleet.status(DEV, new) == "INACTIVE"
    fleet.aws.clock.advance(100)
    assert take(fleet, bundle(fleet, new), "--account", DEV, "--may-follow")[DEV]["activated"] == 1
    assert fleet.record(DEV, old).replaced_by == new.certificate_id


def test_the_plan_says_what_becomes_of_the_certificates(
    fleet: Simulated, maker: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = [fleet.issue(f"sensor-000{number}", ca=maker) for number in range(3)]
    take(fleet, bundle(fleet, leaves[0]), "--account", DEV)
    monkeypatch.setattr(import_devices, "read_lists", lambda *words: replace(read_lists(*words), unverified=3))
    said = fleet.say("device", "import", bundle(fleet, *leaves), "--account", DEV, "--may-follow", "--yes")
    for line in (
        "bundle.pem are registered without a CA. Those that pass the checks become ACTIVE devices.",
        "They may take over thing names from any certificate that was issued earlier (--may-follow).",
        "The signatures of 3 rows were not verified (--signer).",
        f"dev/eu-central-1 as {BY} source maker: 2 to register, about 1 min, longer while new devices connect; 1 ",
        "dev/eu-central-1: source maker: 2 became ACTIVE; 1 ACTIVE already",
    ):
        assert line in said


def test_rows_without_a_certificate_are_refused_with_a_sentence(fleet: Simulated) -> None:
    path = fleet.directory / "ids.csv"
    path.write_text("certificate_id\n" + "ab" * 32 + "\n")
    said = fleet.say("device", "import", str(path), "--yes", code=Exit.UNUSABLE)
    assert "gives no certificate, and to register one AWS IoT needs it whole" in said


def test_accounts_without_the_source_are_left_out(fleet: Simulated, maker: Authority) -> None:
    text = fleet.file.read_text()
    fleet.file.write_text(text.removesuffix("registered.maker = {}\n"))
    file = bundle(fleet, fleet.issue("sensor-0001", ca=maker))
    assert "left out, without a source: prod" in fleet.say("device", "import", file, "--dry-run")
    assert list(take(fleet, file)) == [DEV]
    said = fleet.say("device", "import", file, "--account", PROD, "--yes", code=Exit.UNUSABLE)
    assert "none of the chosen accounts has a source: add registered.NAME = {} to the account in the fleet file" in said
    said = fleet.say("device", "import", file, "--source", "mill", "--yes", code=Exit.UNUSABLE)
    assert said.count("the fleet has no source mill: it has maker") == 1
    fleet.file.write_text(
        f"{text}[registered.other]\n{RULES}".replace("maker = {}", "maker = {}\nregistered.other = {}")
    )
    said = fleet.say("device", "import", file, "--account", PROD, "--yes", code=Exit.FAILED)
    assert "account prod has the sources maker, other: say which with --source" in said


def test_imported_devices_are_listed_shown_counted_and_expire_as_all_others(fleet: Simulated, maker: Authority) -> None:
    soon, later = fleet.issue("sensor-0001", ca=maker, days=20), fleet.issue("sensor-0002", ca=maker)
    take(fleet, bundle(fleet, soon, later))
    for options in ((), ("--ca", "maker")):
        listed = fleet.ask("device", "list", *options)[DEV]["devices"]
        assert {(one["thing_name"], one["ca"], one["status"]) for one in listed} == {
            ("sensor-0001", "maker", "ACTIVE"),
            ("sensor-0002", "maker", "ACTIVE"),
        }
    assert fleet.ask("device", "list", "--ca", "factory")[DEV]["devices"] == []
    (shown,) = fleet.ask("device", "show", "sensor-0001")[DEV]["certificates"]
    assert (shown["status"], shown["ca_certificate_id"], shown["decision"]["ca"]) == ("ACTIVE", SOURCE, "maker")
    ending = fleet.ask("fleet", "expiring", "--within", "30d")[DEV]
    assert [one["thing_name"] for one in ending["devices"]] == ["sensor-0001"]
    assert ending["sources"] == [{"source": "maker", "expiring": 1, "ended": 0}]
    fleet.sweep(DEV)
    assert read_sources(fleet.stage(DEV)) == {"maker": {"ACTIVE": 2}}


def test_a_rejected_import_is_released_by_an_order_on_exactly_that(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    rules = fleet.deployments[DEV].rules
    fleet.deployments[DEV].rules = replace(
        rules, sources=tuple(replace(one, common_name="pump-[0-9]+") for one in rules.sources)
    )  # other rules are deployed than the fleet file has
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    assert told["refused"][0]["why"].startswith("COMMON_NAME_REFUSED: ")
    assert "release" in take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]["refused"][0]["why"]
    fleet.deployments[DEV].rules = rules
    record = fleet.record(DEV, leaf)
    verdict = OperatorVerdict(action=OperatorAction.RELEASED, by="ann", at=fleet.aws.clock.now())
    assert fleet.stage(DEV).outcomes.order_release(leaf.certificate_id, verdict, seen=record)
    fleet.sweep(DEV, after=100)
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"
    decision = fleet.record(DEV, leaf).decision
    assert decision
    assert decision.ca == "maker"


def test_a_source_that_is_not_deployed_holds_the_import_until_it_is(fleet: Simulated, maker: Authority) -> None:
    leaf, rules = fleet.issue("sensor-0001", ca=maker), fleet.deployments[DEV].rules
    fleet.deployments[DEV].rules = replace(rules, sources=())
    told = take(fleet, bundle(fleet, leaf), "--account", DEV, code=Exit.FAILED)[DEV]
    (why,) = (one["why"] for one in told["held"])
    assert why.startswith(
        "CA_UNKNOWN: the account's rules have no [registered.maker]: add registered.maker = {} to it in"
    )
    fleet.deployments[DEV].rules = rules
    fleet.sweep(DEV, after=100)
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"


def test_a_certificate_registered_without_a_ca_by_hand_is_unclaimed(fleet: Simulated) -> None:
    fleet.write(RULES.replace("sensor", "pump"), source=RULES)
    leaf = fleet.issue("sensor-0001")
    fleet.iot(DEV).register_certificate_without_ca(certificatePem=leaf.pem, status="ACTIVE")
    device = fleet.stage(DEV).aws_iot.describe(leaf.certificate_id)
    assert device.ca_certificate_id == fleet.old.certificate_id, "in SNI_ONLY mode AWS may name no CA"
    rules = fleet.stage(DEV).rules
    in_default = replace(rules, cas=tuple(replace(ca, certificate_mode=CertificateMode.DEFAULT) for ca in rules.cas))
    unnamed = replace(device, ca_certificate_id=None, is_ca_named=False)
    found = find_issuer(unnamed, in_default)
    assert found.ca_certificate_id is None
    resolved = Applicant.of(found, in_default).resolved
    assert isinstance(resolved, Rejected)
    assert resolved.detail.startswith("it is unclaimed")


def test_a_released_certificate_can_be_imported_again(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    assert take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]["activated"] == 1
    fleet.ask("device", "revoke", "sensor-0001", "--account", DEV, "--yes")
    said = fleet.say("device", "release", leaf.certificate_id, "--revoked", "--account", DEV, "--yes")
    assert "released, evaluated again once it is imported again" in said
    assert fleet.status(DEV, leaf) is None
    assert take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]["activated"] == 1
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"


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
    one, other = (imports.CertificateImport(stage.iot, stage.aws_iot, stage.registry) for _ in range(2))
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
    one = imports.CertificateImport(stage.iot, stage.aws_iot, stage.registry)
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


def test_the_doctor_knows_that_an_imported_device_needs_no_ca(
    fleet: Simulated, maker: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    take(fleet, bundle(fleet, leaf), "--account", DEV)
    modelled = ("certificate", "issuer", "chain and SNI", "checks", "CA registered", "rule present", "thing", "policy")
    monkeypatch.setattr(runner, "LINKS", tuple(link for link in runner.LINKS if link.name in modelled))
    links = fleet.ask("doctor", bundle(fleet, leaf), "--account", DEV)[DEV]["links"]
    assert [(one["link"], one["state"]) for one in links] == [
        (name, "good") for name in modelled if name not in ("CA registered", "rule present")
    ]
