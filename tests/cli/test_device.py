"""One device in several accounts: what is shown of it, and orders about it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.client import BaseClient

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.verdicts import OperatorAction
from jitrctl.__main__ import main
from jitrctl.localaws.workspace import CHECKOUT
from jitrctl.session.stage import Stage
from tests.support.cases.issuing import Authority, certificate_id
from tests.support.cli.device_fleet import DAY, NOW, Fleet

DEV, PROD, FAR = "dev/eu-central-1", "prod/eu-central-1", "prod/us-east-1"
SCHEMA = json.loads((CHECKOUT / "docs/events/operator-verdict.v1.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def fleet(aws: None, stages: tuple[Stage, ...], ca: Authority) -> Fleet:  # noqa: ARG001 -- which it needs first
    return Fleet(stages, ca)


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The details of the events that leave; each is what the schema describes."""
    details: list[dict[str, Any]] = []
    call: Any = vars(BaseClient)["_make_api_call"]

    def noted(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "PutEvents":
            details.extend(json.loads(entry["Detail"]) for entry in parameters["Entries"])
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    yield details
    for detail in details:
        jsonschema.validate(detail, SCHEMA, format_checker=jsonschema.FormatChecker())


@pytest.fixture
def told(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command with --json; its document."""

    def run(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json", "--fleet", str(fleet_file)]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def shown(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command; what it says, with single spaces."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main([*arguments, "--fleet", str(fleet_file)]) == code
        said = capsys.readouterr()
        return " ".join((said.out + said.err).split())

    return run


def by_stage(document: Any) -> dict[str, Any]:
    return {f"{one['account']}/{one['region']}": one for one in document["stages"]}


def test_a_device_is_shown_with_its_thing_policy_and_decision_in_each_account(
    fleet: Fleet, told: Callable[..., Any], tmp_path: Path
) -> None:
    pem = fleet.leaf()
    device = fleet.activate(DEV, pem)
    fleet.decide(
        FAR, pem, Outcome.REJECTED, Status.INACTIVE, reason=Reason.EXPIRES_TOO_SOON, detail="not valid after tomorrow"
    )
    (tmp_path / "device.pem").write_text(pem)

    for word in (device.upper(), str(tmp_path / "device.pem"), "sensor-0001"):
        stages = by_stage(told("device", "show", word))

        (there,) = stages[DEV]["certificates"]
        assert (there["status"], there["things"], there["policies"]) == (
            "ACTIVE",
            ["sensor-0001"],
            ["jitr-acme--factory"],
        )
        assert there["decision"]["outcome"] == "activated"
        assert there["subject"] == "CN=sensor-0001,OU=Mark-2,O=Acme"
        assert stages[PROD]["certificates"] == []
        (refused,) = stages[FAR]["certificates"]
        assert (refused["status"], refused["decision"]["reason"]) == ("INACTIVE", "EXPIRES_TOO_SOON")


def test_a_refusal_is_told_with_its_reason_in_a_sentence(fleet: Fleet, shown: Callable[..., str]) -> None:
    device = fleet.decide(
        DEV, fleet.leaf(), Outcome.HELD, Status.PENDING_ACTIVATION, reason=Reason.CA_INACTIVE, detail="the CA sleeps"
    )
    said = shown("device", "show", device)
    assert f"Certificate {device}" in said
    assert "dev/eu-central-1: held, CA_INACTIVE: the CA sleeps" in said
    assert "evaluated again at" in said
    assert ", or when its rules, entries or CRL change" in said
    assert "Not known in prod/eu-central-1, prod/us-east-1." in said


def test_what_a_rotation_left_behind_in_another_account_is_shown_with_the_order_that_ends_it(
    fleet: Fleet, told: Callable[..., Any], shown: Callable[..., str]
) -> None:
    old, new = fleet.leaf(), fleet.leaf(begins=NOW - DAY)
    first = fleet.activate(PROD, old)
    fleet.activate(DEV, old)
    second = fleet.activate(DEV, new, replaces=first)

    for word in (first, second, "sensor-0001"):
        document = told("device", "show", word)
        behind = {one["account"]: one for one in document["left_behind"]}
        assert set(behind) == {"dev", "prod"}
        assert behind["prod"] == {
            "account": "prod",
            "region": "eu-central-1",
            "thing_name": "sensor-0001",
            "certificate_id": first,
            "status": "ACTIVE",
            "followed_by": second,
            "retiring": False,
        }
        assert behind["dev"]["retiring"] is True

    said = shown("device", "show", "sensor-0001")
    assert f"jitrctl device retire {first} --account prod --region eu-central-1" in said
    assert f"deactivate {first} --account dev" not in said
    assert "the sweep retires the old one after the overlap" in said


def test_nothing_is_left_behind_by_one_certificate_in_many_accounts(fleet: Fleet, told: Callable[..., Any]) -> None:
    pem = fleet.leaf()
    for place in (DEV, PROD, FAR):
        device = fleet.activate(place, pem)
    assert told("device", "show", device)["left_behind"] == []


def test_an_old_certificate_that_is_out_of_use_is_not_left_behind(fleet: Fleet, told: Callable[..., Any]) -> None:
    first = fleet.activate(PROD, fleet.leaf())
    fleet.stages[PROD].iot.update_certificate(certificateId=first, newStatus="INACTIVE")
    fleet.activate(DEV, fleet.leaf(begins=NOW - DAY))
    assert told("device", "show", "sensor-0001")["left_behind"] == []


def test_a_clone_that_is_held_is_nothing_left_behind(fleet: Fleet, told: Callable[..., Any]) -> None:
    fleet.activate(DEV, fleet.leaf(begins=NOW - DAY))
    clone = fleet.decide(PROD, fleet.leaf(), Outcome.HELD, Status.PENDING_ACTIVATION, reason=Reason.NOT_A_ROTATION)
    iot = fleet.stages[PROD].iot
    iot.create_thing(thingName="sensor-0001")
    described = iot.describe_certificate(certificateId=clone)["certificateDescription"]
    iot.attach_thing_principal(thingName="sensor-0001", principal=described["certificateArn"])

    document = told("device", "show", "sensor-0001")

    assert [one["certificate_id"] for one in by_stage(document)[PROD]["certificates"]] == [clone]
    assert document["left_behind"] == []


def test_where_names_every_account_in_short(fleet: Fleet, shown: Callable[..., str]) -> None:
    pem = fleet.leaf()
    device = fleet.activate(DEV, pem)
    fleet.knock(PROD, pem)
    said = shown("device", "where", "sensor-0001")
    assert f"dev/eu-central-1 {device} ACTIVE activated" in said
    assert f"prod/eu-central-1 {device} PENDING_ACTIVATION none" in said
    assert "prod/us-east-1 - not known here" in said


@pytest.mark.usefixtures("fleet")
def test_a_thing_that_nobody_knows_is_said_to_be_unknown(shown: Callable[..., str]) -> None:
    assert "no account knows a thing sensor-9999" in shown("device", "show", "sensor-9999", code=1)


def test_one_account_that_cannot_be_asked_does_not_hide_the_others(fleet: Fleet, shown: Callable[..., str]) -> None:
    device = fleet.activate(DEV, fleet.leaf())
    far = fleet.stages[FAR]
    far.dynamodb.delete_table(TableName=far.names.registry_table)
    said = shown("device", "show", device, code=1)
    assert "dev/eu-central-1 ACTIVE" in said
    assert "prod/us-east-1: what the stack makes is not there (dynamodb:BatchGetItem" in said


ORDERS = [
    ("deny", OperatorAction.DENIED, "INACTIVE"),
    ("deactivate", OperatorAction.DEACTIVATED, "INACTIVE"),
    ("revoke", OperatorAction.REVOKED, "REVOKED"),
]


@pytest.mark.parametrize(("order", "word", "status"), ORDERS)
def test_a_certificate_is_taken_away_in_every_account_with_who_and_why_and_announced(
    fleet: Fleet,
    told: Callable[..., Any],
    announced: list[dict[str, Any]],
    order: str,
    word: OperatorAction,
    status: str,
) -> None:
    device = fleet.activate(DEV, fleet.leaf())

    stages = by_stage(told("device", order, device, "--note", "stolen", "--yes"))

    assert fleet.status(DEV, device) == status
    assert stages[DEV]["status"] == status
    assert stages[PROD]["status"] == "not registered here; refused when it comes"
    for place, account in ((DEV, "111111111111"), (PROD, "222222222222"), (FAR, "222222222222")):
        verdict = fleet.verdict(place, device)
        assert verdict
        assert (verdict.action, verdict.note) == (word, "stolen")
        assert verdict.by == f"arn:aws:sts::{account}:assumed-role/operator/jitrctl"
    assert [(one["account"], one["verdict"], one["note"], one.get("status")) for one in announced].count(
        ("111111111111", word.value, "stolen", status)
    ) == 1
    assert len(announced) == 3
    assert len({one["id"] for one in announced}) == 3


def test_an_order_shows_what_it_would_change_and_changes_nothing_without_yes(
    fleet: Fleet, shown: Callable[..., str]
) -> None:
    device = fleet.activate(DEV, fleet.leaf())
    said = shown("device", "revoke", "sensor-0001", code=2)
    assert f"Certificate {device}: have it revoked, in dev/eu-central-1 ACTIVE, sensor-0001" in said
    assert "prod/eu-central-1 not registered" in said
    assert fleet.status(DEV, device) == "ACTIVE"
    assert fleet.verdict(DEV, device) is None


def test_an_order_about_a_thing_with_several_certificates_asks_which(fleet: Fleet, shown: Callable[..., str]) -> None:
    old, new = fleet.leaf(), fleet.leaf(begins=NOW - DAY)
    first = fleet.activate(DEV, old)
    second = fleet.activate(DEV, new, replaces=first)
    said = shown("device", "revoke", "sensor-0001", "--yes", code=1)
    assert f"sensor-0001 has 2 certificates, say which: {', '.join(sorted([first, second]))}" in said
    assert fleet.status(DEV, first) == "ACTIVE"


def test_an_announcement_that_is_not_taken_is_said(
    fleet: Fleet, shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = fleet.activate(DEV, fleet.leaf())
    call: Any = vars(BaseClient)["_make_api_call"]
    monkeypatch.setattr(
        BaseClient,
        "_make_api_call",
        lambda client, operation, parameters: (
            {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "Full"}]}
            if operation == "PutEvents"
            else call(client, operation, parameters)
        ),
    )
    said = shown("device", "revoke", device, "--yes", "--account", "dev", code=1)
    assert "it was revoked, but could not be announced (EventBridge did not take it: Full)" in said
    assert fleet.status(DEV, device) == "REVOKED"


def test_a_pending_device_is_approved(fleet: Fleet, told: Callable[..., Any], announced: list[dict[str, Any]]) -> None:
    pem = fleet.leaf()
    device = fleet.decide(DEV, pem, Outcome.HELD, Status.PENDING_ACTIVATION, reason=Reason.OPERATOR_VERDICT, detail="x")

    stages = by_stage(told("device", "approve", device, "--note", "order 4711"))

    assert stages[DEV]["status"] == "approved, evaluated again at its next connect or sweep"
    assert stages[PROD]["status"] == "approved for when it comes"
    verdict = fleet.verdict(DEV, device)
    assert verdict
    assert (verdict.action, verdict.note) == (OperatorAction.APPROVED, "order 4711")
    assert {one["verdict"] for one in announced} == {"approved"}


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.INACTIVE, Status.REVOKED])
def test_what_is_not_pending_is_not_approved(fleet: Fleet, shown: Callable[..., str], status: Status) -> None:
    device = fleet.decide(DEV, fleet.leaf(), Outcome.FOUND, status)
    said = shown("device", "approve", device, "--account", "dev", code=1)
    assert ("is ACTIVE already" if status is Status.ACTIVE else f"is {status}, and was taken away") in said
    assert fleet.verdict(DEV, device) is None


def test_a_revocation_is_not_undone_by_approving(fleet: Fleet, shown: Callable[..., str]) -> None:
    device = certificate_id(fleet.leaf())
    shown("device", "revoke", device, "--yes", "--account", "dev")
    assert "`jitrctl device release --revoked`" in shown("device", "approve", device, "--account", "dev", code=1)
    verdict = fleet.verdict(DEV, device)
    assert verdict
    assert verdict.action is OperatorAction.REVOKED


def test_a_device_is_released_where_it_is_known_and_left_alone_elsewhere(
    fleet: Fleet, told: Callable[..., Any], announced: list[dict[str, Any]]
) -> None:
    device = fleet.decide(DEV, fleet.leaf(), Outcome.REJECTED, Status.INACTIVE, reason=Reason.EXPIRED, detail="x")

    stages = by_stage(told("device", "release", device, "--yes"))

    assert stages[DEV]["status"] == "released, evaluated again at its next connect"
    assert stages[PROD]["status"] == stages[FAR]["status"] == "not known here"
    assert fleet.verdict(PROD, device) is None
    with pytest.raises(fleet.stages[DEV].iot.exceptions.ResourceNotFoundException):
        fleet.status(DEV, device)
    assert [one["verdict"] for one in announced] == ["released"]


def test_a_thing_is_adopted_where_it_exists(fleet: Fleet, told: Callable[..., Any], shown: Callable[..., str]) -> None:
    pem = fleet.leaf()
    device = fleet.knock(DEV, pem)
    iot = fleet.stages[DEV].iot
    iot.update_certificate(certificateId=device, newStatus="ACTIVE")
    iot.create_thing(thingName="old-0001")
    described = iot.describe_certificate(certificateId=device)["certificateDescription"]
    iot.attach_thing_principal(thingName="old-0001", principal=described["certificateArn"])

    stages = by_stage(told("device", "adopt", "old-0001"))

    assert (stages[DEV]["certificate_id"], stages[PROD]["certificate_id"]) == (device, None)
    owner = fleet.stages[DEV].registry.owner("old-0001")
    assert owner
    assert owner.certificate_id == device
    assert "no account has a thing old-0002" in shown("device", "adopt", "old-0002", code=1)


@pytest.mark.parametrize("word", ["no such file", "x y.pem", "a/b"])
def test_what_can_mean_no_device_is_refused(shown: Callable[..., str], word: str) -> None:
    assert "is no file, no certificate id (64 hex digits) and no thing name" in shown("device", "show", word, code=2)


def test_a_file_without_a_certificate_is_refused(shown: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("nothing")
    assert "holds no certificate: name a file with" in shown("device", "show", str(tmp_path / "key.pem"), code=2)
