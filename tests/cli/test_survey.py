"""`jitrctl fleet survey`: origins with their evidence, what hangs together, and a survey that was broken off."""

from pathlib import Path

import pytest

from simulation.faults import Call, Fault, Moment, ServiceError
from tests.support.cli.old_fleet import OldFleet, old_fleet
from tests.support.cli.orders import strike
from tests.support.cli.simulated import DEV


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldFleet:
    return old_fleet(tmp_path, monkeypatch)


def five(old: OldFleet) -> None:
    """One certificate of each origin."""
    fleet = old.fleet
    fleet.iot(DEV).register_ca_certificate(
        caCertificate=fleet.new.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    fleet.knock(DEV, fleet.issue("sensor-0001", ca=fleet.new), "sensor-0001")
    old.add("sensor-0002")
    old.add("maker-0003", ca=fleet.new.__class__.new("Maker"))
    old.add("thing-0004", ca=old.aws)
    old.add("thing-0005", ca=old.aws, policy="provisioned")


def origins(found: dict) -> dict[str, int]:  # type: ignore[type-arg]
    counts: dict[str, int] = {}
    for one in found["certificates"]:
        counts[one["origin"]] = counts.get(one["origin"], 0) + one["number"]
    return counts


def test_a_survey_names_the_origin_of_each_certificate_and_the_evidence(old: OldFleet, tmp_path: Path) -> None:
    five(old)
    before = old.facts()
    found = old.survey(tmp_path / "dev.survey")
    assert origins(found) == {
        "JITR": 1, "JITP": 1, "without a CA": 1, "issued by AWS": 1, "fleet provisioning": 1,
    }  # fmt: skip
    assert {"origin": "JITR", "evidence": "record of jitr", "number": 1} in found["evidence"]
    assert {"origin": "JITP", "evidence": "its CA has a provisioning template", "number": 1} in found["evidence"]
    assert old.facts() == before


def test_a_survey_says_what_hangs_together_wrongly(old: OldFleet, tmp_path: Path) -> None:
    first, second = old.add("sensor-0001"), old.add("sensor-0002")
    old.iot.attach_thing_principal(thingName="sensor-0001", principal=old.arn(second))
    old.iot.create_thing(thingName="alone")
    found = old.survey(tmp_path / "dev.survey")
    assert (found["things"], found["things_without_certificate"], found["things_with_several"]) == (3, 1, 1)
    assert (found["certificates_on_several_things"], found["certificates_on_no_thing"]) == (1, 0)
    assert any(one["policy"] == "old" for one in found["policy_findings"])
    assert {"template": "claims", "type": "FLEET_PROVISIONING", "enabled": True} in found["provisioning_templates"]
    assert "jitp" in [one["template"] for one in found["cas"]]
    assert first.certificate_id in old.facts()


def test_the_calls_are_told_before_they_are_made(old: OldFleet, tmp_path: Path) -> None:
    five(old)
    told = old.fleet.say("fleet", "survey", str(tmp_path / "one.survey"), "--account", DEV)
    assert "calls to make: 5 ListThingPrincipals" in told
    assert "3 DescribeCertificate" in told


def test_a_survey_never_overwrites_a_file(old: OldFleet, tmp_path: Path) -> None:
    file = tmp_path / "dev.survey"
    file.write_text("mine")
    assert "--resume" in old.fleet.say("fleet", "survey", str(file), "--account", DEV, code=2)
    assert file.read_text() == "mine"
    assert "no survey file" in old.fleet.say("fleet", "survey", str(file), "--resume", "--account", DEV, code=2)


def test_a_survey_struck_at_any_call_is_finished_by_resume(old: OldFleet, tmp_path: Path) -> None:
    five(old)
    old.survey(tmp_path / "whole.survey")
    counted: list[str] = []

    def count(call: Call, moment: Moment) -> None:
        if call.service == "iot" and moment == "before":
            counted.append(call.operation)

    with strike(old.fleet, count):
        whole = old.survey(tmp_path / "counted.survey")
    for number in range(0, len(counted), 5):
        seen = 0

        def fail(call: Call, moment: Moment) -> None:
            nonlocal seen
            if call.service == "iot" and moment == "before":
                seen += 1
                if seen > number:  # noqa: B023 -- of this round
                    raise ServiceError("AccessDeniedException", "not authorized", status=403)

        file = tmp_path / f"{number}.survey"
        with strike(old.fleet, fail):
            old.survey(file, code=1)
        assert old.survey(file, "--resume") == whole, counted[number]


def test_a_survey_outlasts_an_hour_of_throttles(old: OldFleet, tmp_path: Path) -> None:
    old.add("sensor-0001")
    begun = old.fleet.aws.clock.monotonic()

    def throttle(call: Call, _: Moment) -> Fault | None:
        is_long = old.fleet.aws.clock.monotonic() - begun > 3600
        return None if is_long or call.service != "iot" else Fault.THROTTLED

    with strike(old.fleet, throttle):
        assert old.survey(tmp_path / "dev.survey")["things"] == 1


def test_calls_stay_below_the_quotas(old: OldFleet, tmp_path: Path) -> None:
    for number in range(40):
        old.add(f"sensor-{number:04}")
    old.fleet.place(DEV).limit(burst=0.1)
    old.survey(tmp_path / "dev.survey")
    assert not old.fleet.place(DEV).throttled
