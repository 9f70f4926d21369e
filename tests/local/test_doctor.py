"""`jitrctl doctor` on one deployed stack, broken in each of its links, one at a time: it names that link, and its cure.

Each break is mended before the next; the last test walks the whole way with the device's key, so a break that was left
behind would be found there.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from jitrctl.doctor.runner import CONNECT, CONNECT_WITHOUT_SNI, LINKS
from tests.support.local.authority import Authority
from tests.support.local.broken_links import FIRST_CONNECTION, FUNCTION, message_in, paused, rule_disabled
from tests.support.local.deployed import Deployed, deployed, role_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from jitrctl.localaws.issuing import DeviceFiles

PATIENCE = 60.0  # seconds; nothing waits that long when all is well


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("doctor")) as made:
        yield made


@pytest.fixture(scope="module")
def new(fleet: Deployed) -> DeviceFiles:
    """A device that has never connected, and would be let in."""
    return fleet.issue("sensor-0002")


@pytest.fixture(scope="module")
def active(fleet: Deployed) -> DeviceFiles:
    return fleet.admitted("sensor-0001")


def until(happened: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:.0f} s")


# Breaks of what a first connection needs.


@pytest.mark.parametrize("link", FIRST_CONNECTION)
def test_a_broken_link_of_the_first_connection_is_named_with_its_cure(
    fleet: Deployed, new: DeviceFiles, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    with FIRST_CONNECTION[link](fleet):
        code, said = fleet.ask(capsys, "doctor", str(new.certificate))

    assert (code, said["broken"]) == (1, link), said["links"][-1]
    assert said["links"][-1]["link"] == link  # nothing behind it was looked at
    assert said["links"][-1]["cure"]
    code, said = fleet.ask(capsys, "doctor", str(new.certificate))
    assert said["broken"] == "certificate status", f"{link} is not mended: {said['links'][-1]}"


def test_an_undelivered_event_is_found_and_stays_where_it_is(
    fleet: Deployed, new: DeviceFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    with message_in("undelivered")(fleet):
        for _ in range(2):
            _, said = fleet.ask(capsys, "doctor", str(new.certificate))
            assert said["broken"] == "messages"
            assert "could not be delivered" in said["links"][-1]["text"]


def test_what_a_first_connection_needs_is_only_noted_for_a_device_that_has_made_it(
    fleet: Deployed, active: DeviceFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    with rule_disabled(fleet), paused(fleet):
        code, said = fleet.ask(capsys, "doctor", str(active.certificate))

    states = {one["link"]: one["state"] for one in said["links"]}
    assert (code, said["broken"]) == (0, None)
    assert states["rule enabled"] == states["mapping"] == "note"
    assert states["policy allows Connect"] == "good"


# Breaks of the certificate itself.


def garbled(fleet: Deployed, tmp_path: Path) -> Path:
    text = fleet.issue("sensor-0002").certificate.read_text()
    path = tmp_path / "garbled.pem"
    path.write_text(text.replace("\nMII", "\nAAA"))
    return path


def of_an_unknown_ca(_: Deployed, tmp_path: Path) -> Path:
    return Authority.new("Somebody", tmp_path).device("sensor-0003").certificate


def ended(fleet: Deployed, _: Path) -> Path:
    return fleet.issue("sensor-0004", days=-1).certificate


def ca_first(fleet: Deployed, tmp_path: Path) -> Path:
    path = tmp_path / "chain.pem"
    path.write_text(fleet.cas["factory"].pem + fleet.issue("sensor-0005").certificate.read_text())
    return path


def of_another_name(fleet: Deployed, _: Path) -> Path:
    return fleet.issue("toaster-0001").certificate


@pytest.mark.parametrize(
    ("link", "make"),
    [
        ("certificate", garbled),
        ("certificate", ended),
        ("issuer", of_an_unknown_ca),
        ("chain and SNI", ca_first),
        ("checks", of_another_name),
    ],
)
def test_what_is_wrong_with_the_certificate_itself_is_named(
    fleet: Deployed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    link: str,
    make: Callable[[Deployed, Path], Path],
) -> None:
    code, said = fleet.ask(capsys, "doctor", str(make(fleet, tmp_path)))

    assert (code, said["broken"]) == (1, link), said["links"][-1]


def test_a_chain_with_the_device_first_is_read(
    fleet: Deployed, new: DeviceFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chain.pem"
    path.write_text(new.certificate.read_text() + fleet.cas["factory"].pem)

    _, said = fleet.ask(capsys, "doctor", str(path))

    assert said["broken"] == "certificate status"


# Breaks of what a decision leaves behind.


@contextmanager
def deactivated(fleet: Deployed, _: str, certificate_id: str) -> Iterator[None]:
    fleet.run("device", "deactivate", certificate_id, "--note", "sold", "--yes")
    yield
    fleet.local.iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")


@contextmanager
def thing_detached(fleet: Deployed, arn: str, _: str) -> Iterator[None]:
    fleet.local.iot.detach_thing_principal(thingName="sensor-0001", principal=arn)
    yield
    fleet.local.iot.attach_thing_principal(thingName="sensor-0001", principal=arn)


@contextmanager
def policy_detached(fleet: Deployed, arn: str, _: str) -> Iterator[None]:
    (policy,) = fleet.local.iot.list_attached_policies(target=arn)["policies"]
    fleet.local.iot.detach_policy(policyName=policy["policyName"], target=arn)
    yield
    fleet.local.iot.attach_policy(policyName=policy["policyName"], target=arn)


@contextmanager
def policy_for_others(fleet: Deployed, arn: str, _: str) -> Iterator[None]:
    iot = fleet.local.iot
    (policy,) = iot.list_attached_policies(target=arn)["policies"]
    before = iot.get_policy(policyName=policy["policyName"])
    document = before["policyDocument"].replace(":client/${iot:Connection.Thing.ThingName}", ":client/gateway-*")
    assert document != before["policyDocument"]
    iot.create_policy_version(policyName=policy["policyName"], policyDocument=document, setAsDefault=True)
    yield
    iot.set_default_policy_version(policyName=policy["policyName"], policyVersionId=before["defaultVersionId"])


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("thing", thing_detached),
        ("policy", policy_detached),
        ("policy allows Connect", policy_for_others),
        ("certificate status", deactivated),
    ],
)
def test_what_is_wrong_with_a_device_that_was_let_in_is_named(
    fleet: Deployed,
    active: DeviceFiles,
    capsys: pytest.CaptureFixture[str],
    link: str,
    broken: Callable[[Deployed, str, str], AbstractContextManager[None]],
) -> None:
    described = fleet.local.iot.describe_certificate(certificateId=active.certificate_id)["certificateDescription"]
    with broken(fleet, described["certificateArn"], active.certificate_id):
        code, said = fleet.ask(capsys, "doctor", str(active.certificate))

    assert (code, said["broken"]) == (1, link), said["links"][-1]
    code, said = fleet.ask(capsys, "doctor", str(active.certificate))
    assert (code, said["broken"]) == (0, None)


def test_another_client_id_than_the_things_name_is_not_allowed(
    fleet: Deployed, active: DeviceFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = fleet.ask(capsys, "doctor", str(active.certificate), "--client-id", "sensor-9999")

    assert said["broken"] == "policy allows Connect"
    assert "sensor-9999 is not allowed" in said["links"][-1]["text"]


def test_a_held_device_is_named_with_its_reason_and_the_order_that_lets_it_in(
    fleet: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    files = fleet.issue("gateway-0001", ca="partner")
    fleet.local.device(files, "gateway-0001").connect(fleet.local.endpoint)
    fleet.local.wait_for_decision(files.certificate_id, seconds=PATIENCE)

    code, said = fleet.ask(capsys, "doctor", str(files.certificate))

    assert (code, said["broken"]) == (1, "decision")
    assert "NOT_LISTED" in said["links"][-1]["text"]
    assert "jitrctl enrollment allow gateway-0001" in said["links"][-1]["cure"]


def _failed(line: dict[str, Any], files: DeviceFiles) -> bool:
    return line["level"] == "ERROR" and line.get("certificate_id") == files.certificate_id


def test_a_function_that_fails_on_the_device_is_named_with_what_it_said(
    fleet: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    files = fleet.issue("sensor-0006")
    role = fleet.client("lambda").get_function_configuration(FunctionName=FUNCTION)["Role"].rpartition("/")[2]
    with role_policy(fleet, role, lambda statements: [one for one in statements if one["Sid"] != "ProvisionThings"]):
        fleet.local.device(files, "sensor-0006").connect(fleet.local.endpoint)
        until(lambda: [one for one in fleet.local.log_lines() if _failed(one, files)])

        code, said = fleet.ask(capsys, "doctor", str(files.certificate))

    assert (code, said["broken"]) == (1, "function"), said["links"][-1]
    assert "iot:CreateThing" in said["links"][-1]["text"]


# The device's own connection.


def test_an_endpoint_that_cannot_be_reached_is_named(
    fleet: Deployed, active: DeviceFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fleet.workspace.directory / "accounts.json"
    before = path.read_text()
    (account,) = json.loads(before)
    path.write_text(json.dumps([{**account, "mqtt_port": 1}]))
    try:
        code, said = fleet.ask(capsys, "doctor", str(active.certificate), "--key", str(active.key))
    finally:
        path.write_text(before)

    assert (code, said["broken"]) == (1, CONNECT), said["links"][-1]


def test_a_key_that_is_not_the_certificates_is_unusable(
    fleet: Deployed, active: DeviceFiles, new: DeviceFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.run("doctor", str(active.certificate), "--key", str(new.key), code=2)

    assert "cannot be used as the key" in capsys.readouterr().err


def test_a_first_connection_with_the_key_goes_all_the_way(
    fleet: Deployed, new: DeviceFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = fleet.ask(capsys, "doctor", str(new.certificate), "--key", str(new.key))

    told = {one["link"]: one for one in said["links"]}
    assert (code, said["broken"]) == (0, None), said["links"][-1]
    assert "accepted" in told[CONNECT]["text"]
    assert "accepted" in told[CONNECT_WITHOUT_SNI]["text"]  # DEFAULT mode
    code, said = fleet.ask(capsys, "doctor", str(new.certificate), "--key", str(new.key))
    assert [one["link"] for one in said["links"]] == [*(link.name for link in LINKS), CONNECT, CONNECT_WITHOUT_SNI]
    assert {one["state"] for one in said["links"]} == {"good", "note"}
    assert [one["link"] for one in said["links"] if one["state"] == "note"] == [
        "AWS IoT logging",
        "connection",  # it has gone by now
    ]
