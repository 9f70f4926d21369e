"""`jitrctl ca …` on two accounts of the local AWS, which knows modes, proofs and topic rules where moto does not."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from jitrctl.ca import registry
from jitrctl.errors import Refused
from jitrctl.localaws.accounts import AccountSpec, LocalAccount, down, up
from jitrctl.localaws.endpoint import find_endpoint
from jitrctl.mqtt.client import ConnectRefusal
from jitrctl.session import access
from tests.support.local.authority import certificate_id
from tests.support.local.ca_fleet import DEFAULT, NAMES, SNI_ONLY, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLACES = [
    AccountSpec(name="dev", id="111111111111", region="eu-central-1", profile="acme-dev"),
    AccountSpec(name="prod", id="222222222222", region="eu-central-1", profile="acme-prod"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAccount, ...]]:
    directory = tmp_path_factory.mktemp("two-accounts")
    try:
        yield up(directory, PLACES)
    finally:
        down(directory)


@pytest.fixture
def fleet(tmp_path: Path, places: tuple[LocalAccount, ...], capsys: pytest.CaptureFixture[str]) -> Iterator[Fleet]:
    made = Fleet(tmp_path, places, capsys)
    yield made
    for name in made.places:
        iot = made.iot(name)
        iot.delete_topic_rule(ruleName=NAMES.rule("factory"))


def test_the_articles_registration_is_five_commands(fleet: Fleet) -> None:
    """Registration code, verification certificate, DEFAULT in dev, SNI_ONLY in prod, and a look at both."""
    fleet.deploy("dev")
    fleet.deploy("prod")
    fleet.prove()
    assert "dev/eu-central-1 factory: register it, with auto-registration" in fleet.run("ca", "plan")
    assert fleet.described("dev") is fleet.described("prod") is None

    fleet.run("ca", "apply", "--yes")

    for account, mode in (("dev", "DEFAULT"), ("prod", "SNI_ONLY")):
        described = fleet.described(account)
        assert described
        assert (described["certificateMode"], described["status"], described["autoRegistrationStatus"]) == (
            mode,
            "ACTIVE",
            "ENABLE",
        )
        tags = fleet.iot(account).list_tags_for_resource(resourceArn=described["certificateArn"])["tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"jitr-fleet": "acme", "jitr-ca": "factory"}
    assert "Nothing to do" in fleet.run("ca", "plan")
    said = fleet.ask("ca", "status")
    assert {name: (one["mode"], one["rule"], one["differences"]) for name, one in said.items()} == {
        "dev": ("DEFAULT", "enabled", []),
        "prod": ("SNI_ONLY", "enabled", []),
    }


def test_what_differs_is_shown_in_words_and_made_so_and_nothing_is_done_twice(fleet: Fleet) -> None:
    fleet.write()
    fleet.deploy("dev")
    fleet.deploy("prod")
    fleet.run("ca", "apply", "--yes")
    described = fleet.described("prod")
    assert described
    fleet.iot("prod").update_ca_certificate(
        certificateId=described["certificateId"], newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE"
    )

    said = fleet.ask("ca", "status", code=1)
    assert said["dev"]["differences"] == []
    assert [text.split(":")[0] for text in said["prod"]["differences"]] == [
        "it is INACTIVE",
        "auto-registration is off",
    ]

    done = fleet.ask("ca", "apply", "--yes")
    assert (done["dev"]["steps"], done["prod"]["steps"]) == ([], ["set it ACTIVE", "enable auto-registration"])
    assert fleet.ask("ca", "status")["prod"]["differences"] == []


def test_auto_registration_is_refused_where_the_rule_is_not_there_yet(fleet: Fleet) -> None:
    fleet.write()
    fleet.deploy("dev")
    fleet.deploy("prod", topic="some/other/topic")

    said = fleet.ask("ca", "apply", "--yes", code=1)

    assert said["dev"]["obstacles"] == []
    assert said["prod"]["steps"] == ["register it, without auto-registration"]
    assert "the topic rule is another topic" in said["prod"]["waiting"][0]
    described = fleet.described("prod")
    assert described
    assert (described["status"], described["autoRegistrationStatus"]) == ("ACTIVE", "DISABLE")

    assert fleet.ask("ca", "apply", "--anyway", "--yes")["prod"]["steps"] == ["enable auto-registration"]


def test_a_plan_is_not_carried_out_unless_somebody_says_so(fleet: Fleet) -> None:
    fleet.write()
    fleet.deploy("dev")
    fleet.deploy("prod")
    assert "say --yes" in fleet.run("ca", "apply", code=2)
    assert fleet.described("dev") is None


def test_a_wrong_mode_is_shown_and_left_alone(fleet: Fleet) -> None:
    fleet.write()
    fleet.deploy("dev")
    fleet.deploy("prod")
    fleet.run("ca", "apply", "--yes")
    fleet.prove()
    fleet.write(dev='{ mode = "DEFAULT", verification_certificate = "dev.pem" }')

    said = fleet.ask("ca", "apply", "--yes", code=1)

    assert said["dev"]["steps"] == []
    assert "switch-mode" in said["dev"]["obstacles"][0]
    described = fleet.described("dev")
    assert described
    assert described["certificateMode"] == "SNI_ONLY"


def test_a_verification_certificate_for_another_account_is_refused_before_it_is_tried(fleet: Fleet) -> None:
    fleet.deploy("dev")
    fleet.deploy("prod")
    fleet.prove()
    fleet.write(prod='{ mode = "DEFAULT", verification_certificate = "dev.pem" }')
    said = fleet.ask("ca", "plan", code=1)
    assert said["prod"]["steps"] == []
    assert "made for another registration code" in said["prod"]["obstacles"][0]


def test_one_account_that_is_down_does_not_hide_the_other(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # jitrctl's five attempts wait for eight seconds at each call.
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    monkeypatch.setattr(access, "_CONFIG", access._CONFIG.merge(once))
    fleet.write()
    fleet.deploy("dev")
    fleet.deploy("prod")
    text = fleet.file.read_text()
    fleet.file.write_text(text.replace(fleet.places["prod"].endpoint_url, "http://127.0.0.1:9"))
    assert fleet.ask("ca", "apply", "--yes", code=1) == {}  # what prod denies cannot be copied first
    assert fleet.described("dev") is None
    said = fleet.ask("ca", "apply", "--yes", "--without-denials", code=1)
    assert said["dev"]["steps"] == ["register it, with auto-registration"]
    assert "account prod cannot be opened with the endpoint http://127.0.0.1:9" in said["prod"]["error"]


def test_devices_wait_while_a_stage_is_paused_and_status_says_so(fleet: Fleet) -> None:
    fleet.write()
    fleet.deploy("dev")
    fleet.deploy("prod")
    fleet.run("ca", "apply", "--yes")
    dev = fleet.places["dev"]
    queue = dev.client("sqs").create_queue(QueueName=NAMES.registrations_queue)["QueueUrl"]
    lambda_ = dev.client("lambda")
    role = dev.client("iam").create_role(RoleName="x", AssumeRolePolicyDocument="{}")["Role"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("f.py", "def handler(event, context): return {}")
    lambda_.create_function(
        FunctionName=NAMES.register_function,
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="f.handler",
        Code={"ZipFile": code.getvalue()},
        Publish=True,
    )
    # As with `[stack] snap_start`; without it, the mapping is of the function itself.
    lambda_.create_alias(FunctionName=NAMES.register_function, Name="live", FunctionVersion="1")
    fed = f"{NAMES.register_function}:live"
    arn = f"arn:aws:sqs:{dev.region}:{dev.id}:{NAMES.registrations_queue}"
    uuid = lambda_.create_event_source_mapping(FunctionName=fed, EventSourceArn=arn)["UUID"]
    assert queue

    fleet.run("ca", "pause", "--account", "dev", "--yes")

    assert lambda_.get_event_source_mapping(UUID=uuid)["State"] == "Disabled"
    assert "paused, devices wait in the queue" in fleet.run("ca", "status", "--account", "dev")
    fleet.run("ca", "resume", "--account", "dev")
    assert lambda_.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    assert "paused" not in fleet.run("ca", "status", "--account", "dev")
    assert "deploy the stack first" in fleet.run("ca", "pause", "--account", "prod", "--yes", code=1)


def _registered(fleet: Fleet, *, dev: str = SNI_ONLY, prod: str = SNI_ONLY) -> None:
    """Both accounts have the CA registered as this says."""
    fleet.deploy("dev")
    fleet.deploy("prod")
    fleet.prove()
    fleet.write(dev=dev, prod=prod)
    fleet.run("ca", "apply", "--yes")


def _modes(fleet: Fleet) -> list[str | None]:
    described = [fleet.described(name) for name in ("dev", "prod")]
    return [str(one["certificateMode"]) if one else None for one in described]


def test_a_mode_is_switched_and_the_ca_is_as_active_and_automatic_as_before(fleet: Fleet) -> None:
    _registered(fleet)
    fleet.write(dev=DEFAULT)
    assert "dev/eu-central-1 factory: SNI_ONLY to DEFAULT" in fleet.run("ca", "switch-mode", code=2)
    assert _modes(fleet) == ["SNI_ONLY", "SNI_ONLY"]

    fleet.run("ca", "switch-mode", "--yes")

    assert _modes(fleet) == ["DEFAULT", "SNI_ONLY"]
    described = fleet.described("dev")
    assert described
    assert (described["status"], described["autoRegistrationStatus"]) == ("ACTIVE", "ENABLE")
    assert "Nothing to do" in fleet.run("ca", "switch-mode", "--yes")
    assert fleet.ask("ca", "status")["dev"]["differences"] == []


def test_two_accounts_change_places_in_one_go(fleet: Fleet) -> None:
    """The other account's proof is for another registration code, so it is made first."""
    _registered(fleet, dev=DEFAULT)
    code = fleet.iot("prod").get_registration_code()["registrationCode"]
    (fleet.directory / "prod.pem").write_text(fleet.ca.verification(code))
    fleet.write(prod='{ mode = "DEFAULT", verification_certificate = "prod.pem" }')
    fleet.run("ca", "switch-mode", "--yes")
    assert _modes(fleet) == ["SNI_ONLY", "DEFAULT"]


def test_a_second_default_in_the_region_is_refused_before_anything_is_deleted(fleet: Fleet) -> None:
    _registered(fleet, dev=DEFAULT)
    code = fleet.iot("prod").get_registration_code()["registrationCode"]
    (fleet.directory / "prod.pem").write_text(fleet.ca.verification(code))
    fleet.write(prod='{ mode = "DEFAULT", verification_certificate = "prod.pem" }')
    said = fleet.run("ca", "switch-mode", "--account", "prod", "--yes", code=1)
    assert "dev/eu-central-1 holds it in mode DEFAULT" in said
    assert _modes(fleet) == ["DEFAULT", "SNI_ONLY"]


def test_a_proof_for_another_code_is_refused_before_anything_is_deleted(fleet: Fleet) -> None:
    _registered(fleet)
    (fleet.directory / "dev.pem").write_text(fleet.ca.verification("0" * 64))
    fleet.write(dev=DEFAULT)
    assert "another registration code" in fleet.run("ca", "switch-mode", "--yes", code=1)
    assert _modes(fleet) == ["SNI_ONLY", "SNI_ONLY"]


def _failing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the next registrations fail, as if AWS IoT refused them."""
    real, left = registry.register, [times]

    def register(*arguments: Any, **more: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise Refused("AWS IoT refuses it")
        real(*arguments, **more)

    monkeypatch.setattr(registry, "register", register)


def test_the_old_registration_is_put_back_when_the_new_one_fails(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    _registered(fleet)
    fleet.write(dev=DEFAULT)
    _failing(monkeypatch, 1)
    said = fleet.run("ca", "switch-mode", "--yes", code=1)
    assert "AWS IoT refuses it; the old registration in mode SNI_ONLY was put back" in said
    described = fleet.described("dev")
    assert described
    assert (described["certificateMode"], described["status"], described["autoRegistrationStatus"]) == (
        "SNI_ONLY",
        "ACTIVE",
        "ENABLE",
    )


def test_a_registration_in_mode_default_is_put_back_with_its_proof(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _registered(fleet, dev=DEFAULT)
    fleet.write()
    _failing(monkeypatch, 1)
    proof = str(fleet.directory / "dev.pem")
    fleet.run("ca", "switch-mode", "--yes", "--old-verification", proof, code=1)
    assert _modes(fleet) == ["DEFAULT", "SNI_ONLY"]


def test_without_a_way_back_it_is_said_before_and_apply_finishes_what_failed_halfway(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _registered(fleet, dev=DEFAULT)
    fleet.write()
    assert "--old-verification FILE" in fleet.run("ca", "switch-mode", code=2)
    _failing(monkeypatch, 1)
    said = fleet.run("ca", "switch-mode", "--yes", code=1)
    assert "it is deleted, and cannot be put back" in said
    assert _modes(fleet) == [None, "SNI_ONLY"]
    fleet.run("ca", "apply", "--yes")
    assert _modes(fleet) == ["SNI_ONLY", "SNI_ONLY"]


def test_nobody_takes_mode_default_when_the_one_who_has_it_was_not_switched(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _registered(fleet, dev=DEFAULT)
    code = fleet.iot("prod").get_registration_code()["registrationCode"]
    (fleet.directory / "prod.pem").write_text(fleet.ca.verification(code))
    fleet.write(prod='{ mode = "DEFAULT", verification_certificate = "prod.pem" }')
    _failing(monkeypatch, 1)
    proof = str(fleet.directory / "dev.pem")
    said = fleet.run("ca", "switch-mode", "--yes", "--old-verification", proof, code=1)
    assert "prod/eu-central-1: not begun, since dev/eu-central-1 was not switched" in said
    assert _modes(fleet) == ["DEFAULT", "SNI_ONLY"]


def test_a_device_that_is_active_goes_on_working_and_one_that_knocks_meanwhile_comes_up_afterwards(
    fleet: Fleet,
) -> None:
    _registered(fleet)
    endpoint = find_endpoint(fleet.places["dev"])
    first, second = fleet.ca.device("sensor-1"), fleet.ca.device("sensor-2")
    iot = fleet.iot("dev")
    assert isinstance(first.connect(endpoint), ConnectRefusal)
    iot.update_certificate(certificateId=certificate_id(first), newStatus="ACTIVE")
    fleet.write(dev=DEFAULT)

    fleet.run("ca", "switch-mode", "--yes")

    described = iot.describe_certificate(certificateId=certificate_id(first))["certificateDescription"]
    assert described["status"] == "ACTIVE"
    assert isinstance(second.connect(endpoint), ConnectRefusal)
    described = iot.describe_certificate(certificateId=certificate_id(second))["certificateDescription"]
    assert (described["status"], described["certificateMode"]) == ("PENDING_ACTIVATION", "DEFAULT")
