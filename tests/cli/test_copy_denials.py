"""Denials of a fleet's accounts, copied to a new one before its first CA lets devices in."""

import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jitr.admission.enrollment import EntryRule, Subject, SubjectKind
from jitr.errors import NotPermitted, Reason
from jitr.store.revoked_cas import CaRevocation
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitr_fleet.model import Account
from jitrctl.__main__ import main
from jitrctl.commands.ca import first_denials
from jitrctl.commands.fleet import copy_denials
from jitrctl.device import denials, denied_but_active
from jitrctl.session import stage as stages
from jitrctl.session.access import Access
from jitrctl.session.stage import Stage
from simulation import Leaf
from tests.support.cli.simulated import DEV, PROD, REGION, Simulated, simulated

NAME, OTHER = "sensor-0001", "sensor-0002"
THING = Subject(SubjectKind.THING, NAME)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """Dev denies a name, and two certificates; prod is new: deployed, and without a CA."""
    fleet = simulated(tmp_path, monkeypatch)
    ca, iot = fleet.old.certificate_id, fleet.iot(PROD)
    iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=ca)
    return fleet


@pytest.fixture
def stolen(fleet: Simulated) -> Leaf:
    """A device that dev revoked, and whose thing name it denies."""
    leaf = fleet.issue(OTHER)
    assert fleet.knock(DEV, leaf, OTHER) == "accepted"
    fleet.say("device", "revoke", leaf.certificate_id, "--account", DEV, "--note", "on a stolen laptop", "--yes")
    fleet.say("enrollment", "deny", NAME, "--account", DEV, "--note", "stolen in May", "--yes")
    return leaf


def entry_rule(fleet: Simulated, name: str) -> EntryRule | None:
    found = fleet.stage(name).enrollment.entries([THING]).get(THING)
    return found.rule if found else None


def admits(fleet: Simulated, leaf: Leaf, thing: str) -> bool:
    return fleet.knock(PROD, leaf, thing) == "accepted"


def test_a_new_account_gets_what_the_others_deny_with_who_gave_it_and_why(fleet: Simulated, stolen: Leaf) -> None:
    plan = fleet.say("fleet", "copy-denials", "--account", PROD, code=2)
    assert f"prod/eu-central-1 deny thing {NAME}, denied in dev/eu-central-1 by arn:" in plan
    assert f"revoked certificate {stolen.certificate_id}, revoked in dev/eu-central-1 by arn:" in plan
    assert "on a stolen laptop" in plan
    assert entry_rule(fleet, PROD) is None

    (done,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes").values()

    assert (done["entries"], done["verdicts"]) == (1, 1)
    assert entry_rule(fleet, PROD) is EntryRule.DENY
    verdict = fleet.verdict(PROD, stolen)
    assert verdict
    assert verdict.action is OperatorAction.REVOKED
    assert verdict.note.startswith("revoked in dev/eu-central-1 by arn:")
    assert verdict.note.endswith("on a stolen laptop")
    events = [one for one in fleet.place(PROD).events.put if one.detail_type == "Operator Verdict"]
    assert len(events) == 1


def test_what_was_copied_keeps_the_devices_out(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--yes")
    assert not admits(fleet, stolen, OTHER)
    assert not admits(fleet, fleet.issue(NAME), NAME)
    assert admits(fleet, fleet.issue("sensor-0003"), "sensor-0003")


def test_a_second_copy_changes_nothing_and_asks_nothing(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("fleet", "copy-denials", "--account", PROD, "--yes")
    before = fleet.verdict(PROD, stolen)

    (done,) = fleet.ask("fleet", "copy-denials", "--account", PROD).values()

    assert (done["entries"], done["verdicts"], done["unchanged"]) == (0, 0, 2)
    assert fleet.verdict(PROD, stolen) == before


@pytest.mark.usefixtures("stolen")
def test_each_account_is_opened_once(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, before = list[str](), vars(stages)["open_access"]

    def count(account: Account, *more: Any) -> Access:
        opened.append(account.name)
        access: Access = before(account, *more)
        return access

    monkeypatch.setattr(stages, "open_access", count)
    fleet.say("fleet", "copy-denials", "--account", PROD, "--yes")
    assert sorted(opened) == [DEV, PROD]


def test_all_accounts_get_what_any_denies_and_a_note_stays_the_first_ones(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("enrollment", "deny", "sensor-0009", "--account", PROD, "--note", "lost", "--yes")
    fleet.say("fleet", "copy-denials", "--yes")
    fleet.say("fleet", "copy-denials", "--yes")

    nine = Subject(SubjectKind.THING, "sensor-0009")
    assert fleet.stage(DEV).enrollment.entries([nine])[nine].note.startswith("denied in prod/eu-central-1 by arn:")
    assert fleet.verdict(PROD, stolen)


def test_the_strongest_of_several_verdicts_is_copied(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("device", "deny", stolen.certificate_id, "--account", PROD, "--yes")
    fleet.say("fleet", "copy-denials", "--account", PROD, "--yes")

    verdict = fleet.verdict(PROD, stolen)
    assert verdict
    assert verdict.action is OperatorAction.REVOKED
    fleet.say("device", "deny", fleet.issue("sensor-0005").certificate_id, "--account", DEV, "--yes")
    fleet.say("fleet", "copy-denials", "--yes")
    verdict = fleet.verdict(DEV, stolen)
    assert verdict
    assert verdict.note == "on a stolen laptop", "equal verdicts stay as they are"


def test_what_an_operator_allowed_there_stays_and_is_reported(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("enrollment", "allow", NAME, "--account", PROD, "--yes")
    fleet.say("device", "approve", stolen.certificate_id, "--account", PROD)

    said = fleet.say("fleet", "copy-denials", "--account", PROD, code=1)

    assert f"not copied, decide yourself: thing {NAME}, which arn:" in said
    assert f"certificate {stolen.certificate_id}, approved by arn:" in said
    assert entry_rule(fleet, PROD) is EntryRule.ALLOW


def test_a_device_that_is_active_there_stays_so_and_is_reported(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--without-denials", "--yes")
    named = fleet.issue(NAME)
    assert admits(fleet, stolen, OTHER)
    assert admits(fleet, named, NAME)

    said = fleet.say("fleet", "copy-denials", "--account", PROD, "--yes", code=1)

    assert fleet.status(PROD, stolen) == "ACTIVE"
    assert f"decide yourself: certificate {stolen.certificate_id}, which is ACTIVE here; revoked in dev" in said
    assert f"thing {NAME}, which is ACTIVE here with certificate {named.certificate_id}; denied in dev" in said
    assert entry_rule(fleet, PROD) is None, "a device that moved there comes back with its next certificate"
    assert "device revoke" not in said
    (told,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes", code=1).values()
    assert (told["entries"], told["verdicts"], len(told["allowed"])) == (0, 0, 2)


def test_an_entry_on_a_certificate_that_is_active_there_is_not_copied(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--yes")
    leaf = fleet.issue(OTHER)
    assert admits(fleet, leaf, OTHER)
    fleet.say("enrollment", "deny", leaf.certificate_id, "--account", DEV, "--yes")

    (told,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes", code=1).values()

    assert told["entries"] == 0
    assert told["allowed"][0].startswith(f"certificate {leaf.certificate_id}, which is ACTIVE here; denied in dev")


def test_a_device_that_became_active_before_the_copy_is_told_with_its_place(
    fleet: Simulated, stolen: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--without-denials", "--yes")
    named, copy = fleet.issue(NAME), denials.copy

    def admit_and_copy(stage: Stage, plan: denials.CopyPlan) -> denials.Copied:
        assert admits(fleet, named, NAME)
        assert admits(fleet, stolen, OTHER)
        return copy(stage, plan)

    monkeypatch.setattr(copy_denials, "copy", admit_and_copy)
    said = fleet.say("fleet", "copy-denials", "--account", PROD, "--yes", code=1)

    for leaf in (named, stolen):
        where = f"{leaf.certificate_id} --account {PROD} --region {REGION} --fleet {fleet.file}`"
        assert f"still ACTIVE: look whether it belongs here, `jitrctl device show {where}; if not, " in said
        assert said.index(f"`jitrctl device show {where}") < said.index(f"`jitrctl device revoke {where}")


def test_a_denied_certificate_that_the_console_activated_is_reported(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--without-denials", "--yes")
    fleet.place(PROD).connect(stolen, client_id=OTHER)
    fleet.iot(PROD).update_certificate(certificateId=stolen.certificate_id, newStatus="ACTIVE")

    (told,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes", code=1).values()

    assert told["verdicts"] == 1
    assert told["still_active"] == [stolen.certificate_id]


def test_a_claim_that_was_under_way_at_a_verdict_is_waited_for(
    fleet: Simulated, stolen: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_for = list[str]()
    monkeypatch.setattr(denied_but_active, "wait_out_claim", lambda _registry, one, _record: waited_for.append(one))
    fleet.say("fleet", "copy-denials", "--account", PROD, "--yes")
    assert waited_for == [stolen.certificate_id]


def test_of_equal_verdicts_the_earliest_is_copied() -> None:
    def given(day: int, action: OperatorAction = OperatorAction.REVOKED) -> denials.Denials:
        verdict = OperatorVerdict(action=action, by=f"{day}", at=datetime(2026, 11, day, tzinfo=UTC))
        return denials.Denials(verdicts={"a": verdict})

    def source(**sources: denials.Denials) -> str:
        return denials._merge_verdicts(sources)["a"].source

    assert source(later=given(20), earlier=given(10)) == "earlier"
    assert source(earlier=given(10), later=given(20)) == "earlier"
    assert source(weaker=given(1, OperatorAction.DENIED), stronger=given(20)) == "stronger"
    assert source(stronger=given(20), weaker=given(1, OperatorAction.DENIED)) == "stronger"


def test_nothing_is_copied_while_an_account_cannot_be_asked(
    fleet: Simulated, stolen: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotPermitted("Scan", "dynamodb:Scan is not allowed")

    monkeypatch.setattr(denials, "scan_denied", refuse)
    assert "cannot be asked for its denials" in fleet.say("fleet", "copy-denials", "--yes", code=1)
    said = fleet.say("ca", "apply", "--account", PROD, "--yes", code=1)
    assert "or say --without-denials" in said
    assert fleet.verdict(PROD, stolen) is None
    assert not fleet.place(PROD).iot.cas.by_id


def test_ca_apply_says_and_does_it_only_before_the_first_ca(fleet: Simulated, stolen: Leaf) -> None:
    plan = fleet.say("ca", "plan", "--account", PROD)
    assert "prod/eu-central-1 copy denials that other accounts have:" in plan
    assert plan.index("copy denials") < plan.index("factory: register it")
    assert f"deny thing {NAME}" in fleet.say("ca", "apply", "--account", PROD, code=2)

    fleet.say("ca", "apply", "--account", PROD, "--ca", "factory", "--yes")
    assert entry_rule(fleet, PROD) is EntryRule.DENY
    assert fleet.verdict(PROD, stolen)

    fleet.say("enrollment", "deny", OTHER, "--account", DEV, "--yes")
    fleet.aws.calls.clear()
    assert "factory-2: register it" in fleet.say("ca", "apply", "--account", PROD, "--yes")
    assert "Scan" not in fleet.aws.list_operations(caller="jitrctl")


def test_ca_plan_and_apply_have_the_copies_in_their_documents(fleet: Simulated, stolen: Leaf) -> None:
    (planned,) = fleet.ask("ca", "plan", "--account", PROD).values()
    assert [line.partition(",")[0] for line in planned["denials"]["copied"]] == [
        f"deny thing {NAME}",
        f"revoked certificate {stolen.certificate_id}",
    ]
    (dev,) = fleet.ask("ca", "plan", "--account", DEV, "--ca", "factory").values()
    assert dev["denials"] is None, "it admits devices already"

    (done,) = fleet.ask("ca", "apply", "--account", PROD, "--yes").values()

    copied = done["denials"]
    assert (copied["entries"], copied["verdicts"], copied["copied"]) == (1, 1, planned["denials"]["copied"])
    (again,) = fleet.ask("ca", "apply", "--account", PROD, "--yes").values()
    assert again["denials"] is None


def test_ca_apply_says_what_the_copy_left_and_fails(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("enrollment", "allow", NAME, "--account", PROD, "--yes")
    fleet.say("device", "approve", stolen.certificate_id, "--account", PROD)
    left = f"decide yourself: thing {NAME}, which arn:"
    assert f"do not copy, {left}" in fleet.say("ca", "plan", "--account", PROD)

    said = StringIO()
    with redirect_stdout(said), redirect_stderr(StringIO()):
        assert main(["ca", "apply", "--account", PROD, "--yes", "--json", "--fleet", str(fleet.file)]) == 1

    document = json.loads(said.getvalue())
    assert document["ok"] is False
    assert len(document["stages"][0]["denials"]["allowed"]) == 2
    assert any(f"not copied, {left}" in warning for warning in document["warnings"])


def test_ca_apply_tells_of_denied_devices_that_are_active_with_commands_to_paste(
    fleet: Simulated, stolen: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denied_but_active, "select_active", lambda _stage, ids: ids)
    said = fleet.say("ca", "apply", "--account", PROD, "--yes", code=1)
    place = f"--account {PROD} --region {REGION} --fleet {fleet.file}"
    assert "prod/eu-central-1: denied, and still ACTIVE: look whether it belongs here, `jitrctl device show " in said
    assert f"`jitrctl device revoke {stolen.certificate_id} {place}`" in said


def test_ca_plan_says_why_denials_cannot_be_copied_in_its_document(
    fleet: Simulated, stolen: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotPermitted("Scan", "dynamodb:Scan is not allowed")

    monkeypatch.setattr(denials, "scan_denied", refuse)
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(StringIO()):
        assert main(["ca", "plan", "--account", PROD, "--json", "--fleet", str(fleet.file)]) == 0

    document = json.loads(said.getvalue())
    assert document["stages"][0]["denials"] is None
    assert "cannot be asked for its denials" in document["warnings"][0]
    assert f"`jitrctl fleet copy-denials --fleet {fleet.file}` afterwards" in document["warnings"][0]
    assert stolen.certificate_id not in said.getvalue()


def revoked_in(fleet: Simulated, place: str) -> CaRevocation | None:
    return fleet.stage(place).revoked_cas.read().get(fleet.old.certificate_id)


def test_a_ca_that_another_account_revoked_stays_out_of_a_new_one(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--account", DEV, "--note", "key leaked", "--yes")
    plan = fleet.say("ca", "plan", "--account", PROD, "--ca", "factory", code=1)
    assert "revoke CA factory, revoked in dev/eu-central-1 by arn:" in plan
    assert "--lift" in plan
    (told,) = fleet.ask("ca", "apply", "--account", PROD, "--ca", "factory", "--yes", code=1).values()
    assert (told["cas"][0]["steps"], told["denials"]["cas"]) == ([], 1)
    assert "key leaked" in told["cas"][0]["obstacles"][0]
    given = revoked_in(fleet, PROD)
    assert given is not None
    assert given.note.startswith("revoked in dev/eu-central-1 by arn:")
    assert given.note.endswith("key leaked")
    assert not fleet.place(PROD).iot.cas.by_id


def test_a_new_accounts_stack_that_registers_a_revoked_ca_is_undone(fleet: Simulated) -> None:
    fleet.say("ca", "revoke", "factory", "--account", DEV, "--note", "key leaked", "--yes")
    fleet.iot(PROD).register_ca_certificate(
        caCertificate=fleet.old.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    (told,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes").values()
    assert (told["cas"], len(told["copied"])) == (1, 1)
    assert not admits(fleet, fleet.issue(NAME), NAME)
    fleet.sweep(PROD)
    ca = fleet.place(PROD).iot.cas.by_id[fleet.old.certificate_id]
    assert ca.status == "INACTIVE"
    (again,) = fleet.ask("fleet", "copy-denials", "--account", PROD).values()
    assert (again["cas"], again["unchanged"]) == (0, 1)


def test_a_revoked_ca_that_has_devices_here_is_an_operators_to_decide(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--ca", "factory", "--yes")
    assert admits(fleet, fleet.issue(NAME), NAME)
    fleet.say("ca", "revoke", "factory", "--account", DEV, "--yes")
    fleet.iot(PROD).update_ca_certificate(certificateId=fleet.old.certificate_id, newAutoRegistrationStatus="DISABLE")
    (told,) = fleet.ask("ca", "apply", "--account", PROD, "--ca", "factory", "--yes", code=1).values()
    assert told["cas"][0]["steps"] == []
    assert "`jitrctl ca revoke factory` takes it out here, too" in told["cas"][0]["obstacles"][0]
    (told,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes", code=1).values()
    assert told["allowed"][0].startswith("CA factory, which has devices here")
    assert revoked_in(fleet, PROD) is None


def test_what_an_account_lifted_is_not_copied_back_to_it(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--ca", "factory", "--yes")
    fleet.say("ca", "revoke", "factory", "--yes")
    fleet.say("ca", "revoke", "factory", "--account", PROD, "--lift", "--yes")
    (told,) = fleet.ask("fleet", "copy-denials", "--account", PROD, "--yes", code=1).values()
    assert (told["cas"], len(told["allowed"])) == (0, 1)
    assert revoked_in(fleet, PROD) is None
    assert "or was admitted again" in told["allowed"][0]


def test_no_ca_is_registered_while_it_is_not_known_whether_another_account_revoked_it(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--ca", "factory", "--yes")

    def refuse(*_: object) -> None:
        raise NotPermitted("GetItem", "dynamodb:GetItem is not allowed")

    monkeypatch.setattr(first_denials, "read_revocations", refuse)
    said = fleet.say("ca", "apply", "--account", PROD, "--ca", "factory-2", "--yes", code=1)
    assert "cannot be asked for its revoked CAs" in said
    assert "or say --without-denials" in said
    fleet.say("ca", "apply", "--account", PROD, "--ca", "factory-2", "--without-denials", "--yes")


def test_the_reason_of_a_copied_denial_reaches_the_device_record(fleet: Simulated, stolen: Leaf) -> None:
    fleet.say("ca", "apply", "--account", PROD, "--yes")
    assert not admits(fleet, stolen, OTHER)

    decision = fleet.record(PROD, stolen).decision
    assert decision
    assert decision.reason is Reason.WAS_REVOKED
