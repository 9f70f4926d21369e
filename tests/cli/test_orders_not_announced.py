"""Orders that were carried out and kept, and whose announcement failed: what is told, and what is taken back."""

from types import SimpleNamespace
from typing import Any

import pytest

from jitr.rules import CertificateMode
from jitrctl.ca.mode_switch import Switch
from jitrctl.session.stage import Stage
from simulation.faults import Fault
from tests.support.cli.orders import (
    announced_orders,
    create_unknown_thing,
    deny_calls,
    fail_service,
    last_order,
    strike,
)
from tests.support.cli.simulated import DEV, PROD, Simulated

NOT_ANNOUNCED = "was carried out and kept, but could not be announced"


def refused(fleet: Simulated) -> None:
    fleet.place(DEV).events.refuses = lambda _: "InternalFailure"


def not_allowed(fleet: Simulated) -> None:
    fleet.aws.fault = deny_calls("events:PutEvents")


def throttled(fleet: Simulated) -> None:
    fleet.aws.fault = lambda call, _: Fault.THROTTLED if call.service == "events" else None


def unheard(fleet: Simulated) -> None:
    fleet.aws.fault = lambda call, _: Fault.TIMEOUT if call.service == "events" else None


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (refused, "EventBridge did not take it: InternalFailure"),
        (not_allowed, "events:PutEvents is not allowed: have it added to the permissions of who you are there"),
        (throttled, "PutEvents: ThrottlingException"),
        (unheard, "PutEvents: ReadTimeoutError"),
    ],
)
def test_an_announcement_that_fails_however_fails_the_command_and_says_that_the_order_stands(
    fleet: Simulated, fails: Any, why: str
) -> None:
    fails(fleet)
    said = fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    assert f" was carried out and kept, but could not be announced ({why}): tell the event's consumers" in said
    assert last_order(fleet, fleet.old) is not None
    assert announced_orders(fleet) == []


def test_an_announcement_that_fails_keeps_no_other_ca_of_the_account_from_its_order_and_each_is_told(
    fleet: Simulated,
) -> None:
    fleet.iot(DEV).update_ca_certificate(certificateId=fleet.old.certificate_id, newStatus="INACTIVE")
    with strike(fleet, deny_calls("events:PutEvents")):
        said = fleet.say("ca", "apply", "--account", DEV, "--yes", code=1)
    assert f"`ca apply` about CA factory (set it ACTIVE) {NOT_ANNOUNCED}" in said
    assert f"`ca apply` about CA factory-2 (register it, with auto-registration) {NOT_ANNOUNCED}" in said
    registered = {one["certificateId"] for one in fleet.iot(DEV).list_ca_certificates()["certificates"]}
    assert registered == {fleet.old.certificate_id, fleet.new.certificate_id}
    assert "Nothing to do" in fleet.say("ca", "plan", "--account", DEV)


def test_what_was_carried_out_and_not_announced_is_told_beside_the_error_that_ended_the_rest(
    fleet: Simulated,
) -> None:
    fleet.iot(DEV).update_ca_certificate(certificateId=fleet.old.certificate_id, newStatus="INACTIVE")
    fleet.aws.fault = lambda call, moment: (
        deny_calls("iot:RegisterCACertificate")(call, moment) or deny_calls("events:PutEvents")(call, moment)
    )
    said = fleet.say("ca", "apply", "--account", DEV, "--yes", code=1)
    assert f"`ca apply` about CA factory (set it ACTIVE) {NOT_ANNOUNCED}" in said
    assert "`ca apply` about CA factory-2 (register it, with auto-registration) was broken off, and could not" in said
    assert "iot:RegisterCACertificate is not allowed" in said


@pytest.mark.usefixtures("mapping")
@pytest.mark.parametrize(
    ("words", "done", "told"),
    [
        (
            ("ca", "retire", "factory", "--yes"),
            {"steps": ["disable auto-registration", "set it INACTIVE"]},
            "`ca retire` about CA factory (disable auto-registration; set it INACTIVE)",
        ),
        (("ca", "pause", "--yes"), {"mapping": "Disabled"}, "`ca pause` about the brake (disable the mapping)"),
    ],
    ids=["ca retire", "ca pause"],
)
def test_what_was_done_and_not_announced_is_a_done_result_beside_a_warning_and_exit_code_1(
    fleet: Simulated, words: tuple[str, ...], done: dict[str, Any], told: str
) -> None:
    refused(fleet)
    said = fleet.ask(*words, "--account", DEV, code=1)[DEV]
    (warning,) = said["warnings"]
    assert warning.startswith(f"{told} {NOT_ANNOUNCED}")
    assert said["ok"] is True
    assert done.items() <= said.items()


def test_an_adoption_that_was_not_announced_says_which_certificate_it_was(fleet: Simulated) -> None:
    device = create_unknown_thing(fleet)
    refused(fleet)
    said = fleet.ask("device", "adopt", "old-0001", "--account", DEV, code=1)[DEV]
    (warning,) = said["warnings"]
    assert f"about certificate {device} (take thing old-0001 into the registry) {NOT_ANNOUNCED}" in warning
    assert said["certificate_id"] == device


def test_what_was_done_and_not_announced_is_in_the_table_and_what_is_amiss_below_it(fleet: Simulated) -> None:
    refused(fleet)
    said = fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    table, warning = (said.rindex(text) for text in ("stage CA done", NOT_ANNOUNCED))
    assert table < warning


@pytest.fixture
def switched(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Dev is to give mode DEFAULT up, and prod to take it; the accounts that were switched."""

    def wrong(stage: Stage, before: str, to: CertificateMode) -> Switch:
        declared = SimpleNamespace(mode=to, ca=SimpleNamespace(certificate_id=fleet.old.certificate_id))
        state: Any = SimpleNamespace(name="factory", declared=declared, found=SimpleNamespace(mode=before))
        return Switch(stage=stage, state=state)

    def both(scope: Any, *_: object) -> tuple[Switch, ...]:
        dev, prod = scope.stages
        return wrong(dev, "DEFAULT", CertificateMode.SNI_ONLY), wrong(prod, "SNI_ONLY", CertificateMode.DEFAULT)

    switched: list[str] = []
    monkeypatch.setattr("jitrctl.commands.ca.switch_mode._find_wrong", both)
    monkeypatch.setattr(
        "jitrctl.commands.ca.switch_mode.switch", lambda one, **_: switched.append(one.stage.account.name)
    )
    return switched


def test_mode_default_is_taken_where_it_was_given_up_and_only_not_announced(
    fleet: Simulated, switched: list[str]
) -> None:
    refused(fleet)
    told = fleet.ask("ca", "switch-mode", "--yes", code=1)
    assert switched == [DEV, PROD]
    assert told[DEV]["switched"] == [{"ca": "factory", "from": "DEFAULT", "to": "SNI_ONLY"}]
    assert told[PROD]["switched"] == [{"ca": "factory", "from": "SNI_ONLY", "to": "DEFAULT"}]
    step = "delete it in mode DEFAULT, and register it in mode SNI_ONLY"
    assert told[DEV]["warnings"][0].startswith(f"`ca switch-mode` about CA factory ({step}) {NOT_ANNOUNCED}")


def test_mode_default_is_not_taken_where_it_was_not_given_up(fleet: Simulated, switched: list[str]) -> None:
    with strike(fleet, fail_service("dynamodb")):
        said = fleet.say("ca", "switch-mode", "--yes", code=1)
    assert switched == []
    assert "prod/eu-central-1: not begun, since dev/eu-central-1 was not switched" in said
