"""`jitrctl device import`: certificates registered without a CA, in several accounts, by the functions' own way."""

from dataclasses import replace
from pathlib import Path

import pytest

from jitr.admission.applicant import Applicant
from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.admission.issuers import find_issuer
from jitr.decisions import Outcome
from jitr.errors import Rejected
from jitr.rules import CertificateMode
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitrctl.commands.device import import_devices
from jitrctl.commands.list_reading import read_lists
from jitrctl.doctor import runner
from jitrctl.status.sources import read_sources
from jitrctl.status.sweep import read_sweep
from jitrctl.terminal import Exit
from simulation import Authority
from tests.support.cli.importing import SOURCE, bundle, calls, deploy_with_source, enter, take
from tests.support.cli.orders import BY, announced_orders, fail_service, last_order
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return deploy_with_source(tmp_path, monkeypatch)


@pytest.fixture
def maker() -> Authority:
    """A CA that is registered nowhere."""
    return Authority.new("Maker CA")


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


def test_what_the_accounts_refuse_is_a_file_that_is_mended_and_imported_again(
    fleet: Simulated, maker: Authority
) -> None:
    good, denied, bad = (fleet.issue(name, ca=maker) for name in ("sensor-0001", "sensor-0002", "pump-0001"))
    enter(fleet, Entry(subject=Subject(SubjectKind.THING, "sensor-0002"), rule=EntryRule.DENY))
    refused = fleet.directory / "refused.pem"
    file = bundle(fleet, good, denied, bad)
    told = fleet.say("device", "import", file, "--account", DEV, "--yes", "--refused", str(refused), code=Exit.FAILED)
    assert f"2 rows were refused: {refused} has them with the reasons; mend it, and import it" in told
    assert "1 became ACTIVE; 2 refused" in told
    text = refused.read_text()
    assert f"# is refused in {DEV}/eu-central-1: COMMON_NAME_REFUSED: " in text
    assert (denied.pem in text, bad.pem in text, good.pem in text) == (True, True, False)
    fleet.say("enrollment", "remove", "sensor-0002", "--account", DEV, "--yes")
    fleet.say("device", "release", denied.certificate_id, "--account", DEV, "--yes")
    assert take(fleet, str(refused), "--account", DEV, code=Exit.FAILED)[DEV]["activated"] == 1


def test_a_dry_run_writes_the_rows_that_the_accounts_would_refuse(fleet: Simulated, maker: Authority) -> None:
    refused = fleet.directory / "refused.pem"
    file = bundle(fleet, fleet.issue("pump-0001", ca=maker))
    take(fleet, file, "--dry-run", "--refused", str(refused), code=Exit.FAILED)
    assert {f"{name}/eu-central-1: COMMON_NAME_REFUSED" in refused.read_text() for name in (DEV, PROD)} == {True}


def test_all_devices_of_a_source_are_revoked_by_its_name(fleet: Simulated, maker: Authority) -> None:
    imported, other = fleet.issue("sensor-0001", ca=maker), fleet.issue("sensor-0002")
    fleet.knock(DEV, other, "sensor-0002")
    take(fleet, bundle(fleet, imported))
    assert "1 " in fleet.say("device", "revoke", "--ca", "maker", "--dry-run")
    fleet.say("device", "revoke", "--ca", "maker", "--yes")
    for name in (DEV, PROD):
        fleet.sweep(name)
    assert [fleet.status(name, imported) for name in (DEV, PROD)] == ["REVOKED", "REVOKED"]
    assert fleet.status(DEV, other) == "ACTIVE"


def test_an_order_on_a_ca_says_that_a_source_is_none(fleet: Simulated) -> None:
    said = fleet.say("ca", "revoke", "maker", code=Exit.UNUSABLE)
    assert said.startswith("maker is a source of certificates registered without a CA, and this is for a CA: ")
    assert "such as `jitrctl device revoke --ca maker`" in said


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


def test_certificates_of_no_ca_and_no_source_are_counted_and_left_alone(fleet: Simulated, maker: Authority) -> None:
    iot = fleet.iot(DEV)
    by_hand = [fleet.issue(f"sensor-{number:04}", ca=maker) for number in range(3)]
    for leaf in by_hand:
        iot.register_certificate_without_ca(certificatePem=leaf.pem, status="ACTIVE")
    before_jitr = fleet.issue("sensor-0009")
    fleet.place(DEV).connect(before_jitr, client_id="sensor-0009")  # under a CA of the fleet, and activated by hand
    iot.update_certificate(certificateId=before_jitr.certificate_id, newStatus="ACTIVE")
    take(fleet, bundle(fleet, fleet.issue("sensor-0010", ca=maker)), "--account", DEV)
    fleet.sweep(DEV)
    assert read_sweep(fleet.stage(DEV)).unclaimed == {"ACTIVE": 3}
    assert [fleet.status(DEV, leaf) for leaf in by_hand] == ["ACTIVE"] * 3


def test_a_released_certificate_can_be_imported_again(fleet: Simulated, maker: Authority) -> None:
    leaf = fleet.issue("sensor-0001", ca=maker)
    assert take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]["activated"] == 1
    fleet.ask("device", "revoke", "sensor-0001", "--account", DEV, "--yes")
    said = fleet.say("device", "release", leaf.certificate_id, "--revoked", "--account", DEV, "--yes")
    assert "released, evaluated again once it is imported again" in said
    assert fleet.status(DEV, leaf) is None
    assert take(fleet, bundle(fleet, leaf), "--account", DEV)[DEV]["activated"] == 1
    assert fleet.place(DEV).connect(leaf, client_id="sensor-0001") == "accepted"


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
