"""What leaves a function about a decision: the event, the log line, the metrics; nothing secret in any of them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from jitr import telemetry
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason, Unavailable
from jitr.event_details import event_detail
from jitr.iot_models import Status
from jitr.telemetry import METRIC_NAMES, METRICS_NAMESPACE, SECONDS_TO_ACTIVE
from tests.support.cases.issuing import ACCOUNT, DAY, NOW, REGION, SECOND
from tests.support.cloud import Cloud, Wire
from tests.support.examples import ACTIVATION, ID, LEAST, MOST, REJECTION, SETTINGS
from tests.support.strategies import decisions

REPLACED = replace(
    ACTIVATION, outcome=Outcome.REPLACED, status=Status.INACTIVE, replaced_by="02" * 32, decided_at=NOW + 7 * DAY
)
SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs/events/device-decision.v1.schema.json").read_text()),
    format_checker=FormatChecker(),
)


def sent(wire: Wire) -> list[dict[str, Any]]:
    return [entry for one in wire.of("PutEvents") for entry in one["Entries"]]


@pytest.mark.parametrize(
    ("decision", "detail_type"),
    [
        (ACTIVATION, "Device Activated"),
        (replace(ACTIVATION, replaces="01" * 32), "Device Activated"),
        (REJECTION, "Device Rejected"),
        (MOST, "Device Held"),
        (replace(MOST, reason=Reason.NOT_A_ROTATION), "Device Duplicate"),
        (replace(REJECTION, reason=Reason.REPLACEMENT_REFUSED), "Device Duplicate"),
        (REPLACED, "Device Replaced"),
    ],
)
def test_a_decision_is_one_event(cloud: Cloud, wire: Wire, decision: Decision, detail_type: str) -> None:
    cloud.announcer.announce(decision)
    (entry,) = sent(wire)
    assert entry["Source"] == "jitr"
    assert entry["DetailType"] == detail_type
    assert entry["EventBusName"] == "default"
    assert entry["Time"] == decision.decided_at
    assert json.loads(entry["Detail"]) == event_detail(decision, cloud.settings)
    SCHEMA.validate(json.loads(entry["Detail"]))


@given(decisions.filter(lambda decision: decision.outcome in telemetry.DETAIL_TYPES))
def test_whatever_is_announced_is_as_the_schema_says(decision: Decision) -> None:
    settled = replace(decision, certificate_id="ab" * 32, status=Status.ACTIVE)
    SCHEMA.validate(event_detail(settled, SETTINGS))


@pytest.mark.parametrize("status", Status)
def test_every_status_that_we_leave_a_certificate_in_is_in_the_schema(status: Status) -> None:
    left = {Status.ACTIVE, Status.INACTIVE, Status.REVOKED, Status.PENDING_ACTIVATION}
    assert SCHEMA.is_valid(event_detail(replace(MOST, status=status), SETTINGS)) is (status in left)


def test_every_outcome_is_announced_or_nothing_that_we_decided() -> None:
    assert set(Outcome) - set(telemetry.DETAIL_TYPES) == {Outcome.FOUND, Outcome.DUPLICATE, Outcome.GONE}
    # `found` in the event of a certificate that a CRL took out
    names = {outcome.value for outcome in telemetry.DETAIL_TYPES} | {Outcome.FOUND.value}
    assert set(SCHEMA.schema["properties"]["outcome"]["enum"]) == names  # type: ignore[index]


def test_the_schema_knows_every_field_that_a_decision_can_have() -> None:
    every = set(event_detail(MOST, SETTINGS))
    assert every == set(SCHEMA.schema["properties"])  # type: ignore[index]


def test_the_docs_name_every_detail_type() -> None:
    readme = (Path(__file__).parents[2] / "docs/events/README.md").read_text()
    said = set(re.findall(r"^\| `(Device [A-Za-z]+)`", readme, re.MULTILINE))
    assert said == {
        *telemetry.DETAIL_TYPES.values(),
        telemetry.DUPLICATE_DETAIL_TYPE,
        telemetry.REVOKED_DETAIL_TYPE,
    }


def test_the_events_detail_says_who_what_where_and_why(cloud: Cloud) -> None:
    detail = event_detail(MOST, cloud.settings)
    assert re.fullmatch("[0-9a-f]{32}", detail.pop("id"))
    assert detail == {
        "version": "1",
        "fleet": "acme",
        "account": ACCOUNT,
        "region": REGION,
        "certificate_id": "ab" * 32,
        "ca_certificate_id": "ef" * 32,
        "ca": "factory",
        "outcome": "held",
        "reason": "THING_TAKEN",
        "rests_on": "others",
        "by_brake": True,
        "detail": "thing sensor-0001 is another's",
        "thing_name": "sensor-0001",
        "replaces": "01" * 32,
        "replaced_by": "02" * 32,
        "status": "PENDING_ACTIVATION",
        "would_reject": ["EXPIRED", "KEY_TYPE_REFUSED"],
        "decided_at": "2026-11-01T12:00:00.285+00:00",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert None not in event_detail(LEAST, SETTINGS).values()
    assert "reason" not in event_detail(LEAST, SETTINGS)


@pytest.mark.parametrize(
    "same",
    [{}, {"decided_at": NOW + DAY}, {"detail": "in other words"}, {"attempts": 9}, {"rules_digest": "other"}],
)
def test_an_events_id_is_the_same_however_often_it_is_sent(same: dict[str, Any]) -> None:
    assert event_detail(replace(MOST, **same), SETTINGS)["id"] == event_detail(MOST, SETTINGS)["id"]


@pytest.mark.parametrize(
    "other",
    [
        {"certificate_id": "0" * 64},
        {"registered_at": NOW + DAY},
        {"outcome": Outcome.REJECTED},
        {"reason": Reason.CA_INACTIVE},
        {"reason": None},
        {"after": NOW + DAY},
    ],
)
def test_another_decision_has_another_id(other: dict[str, Any]) -> None:
    assert event_detail(replace(MOST, **other), SETTINGS)["id"] != event_detail(MOST, SETTINGS)["id"]


@pytest.mark.parametrize("other", [{"account_id": "222222222222"}, {"region": "us-east-1"}])
def test_the_same_certificate_has_another_id_elsewhere(other: dict[str, Any]) -> None:
    assert event_detail(MOST, replace(SETTINGS, **other))["id"] != event_detail(MOST, SETTINGS)["id"]


@pytest.mark.parametrize("outcome", [Outcome.FOUND, Outcome.DUPLICATE, Outcome.GONE])
def test_what_we_did_not_decide_is_no_event(cloud: Cloud, wire: Wire, outcome: Outcome) -> None:
    cloud.announcer.announce(replace(LEAST, outcome=outcome))
    assert sent(wire) == []


def test_an_event_that_the_bus_does_not_take_is_unavailable(cloud: Cloud, wire: Wire) -> None:
    wire.answer("PutEvents", {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]})
    with pytest.raises(Unavailable, match="InternalFailure"):
        cloud.announcer.announce(ACTIVATION)


def test_a_bus_that_throttles_is_unavailable(cloud: Cloud, wire: Wire) -> None:
    wire.fail("PutEvents", "ThrottlingException")
    with pytest.raises(Unavailable, match="PutEvents"):
        cloud.announcer.announce(ACTIVATION)


@pytest.mark.parametrize("asked", [True, False])
def test_rejections_are_counted_by_reason_where_that_is_asked_for(
    cloud: Cloud,
    asked: bool,  # noqa: FBT001 -- a parameter of the test
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud.settings = replace(cloud.settings, rejections_by_reason=asked)
    cloud.put_together()
    for decision in (REJECTION, REJECTION, replace(REJECTION, reason=Reason.KEY_SIZE_REFUSED), MOST, ACTIVATION):
        cloud.announcer.report_outcome(decision.outcome, ID, decision)
    cloud.announcer.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_reason = {line["reason"]: line["RejectedFor"] for line in lines if "reason" in line}
    assert by_reason == ({"EXPIRED": [2.0], "KEY_SIZE_REFUSED": [1.0]} if asked else {})
    (ordinary,) = (line for line in lines if "reason" not in line)
    assert ordinary["Rejected"] == [3.0]
    for line in lines:
        (dimensions,) = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
        assert sorted(dimensions) == (["ca", "fleet", "reason"] if "reason" in line else ["ca", "fleet"])


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_one_line_and_one_count(cloud: Cloud, outcome: Outcome) -> None:
    cloud.announcer.report_outcome(outcome, "ab" * 32)
    (line,) = cloud.logged()
    assert (line["message"], line["outcome"]) == ("device outcome", outcome.value)
    assert line["certificate_id"] == "ab" * 32
    assert sum(cloud.counted().values()) == 1
    assert set(cloud.counted()) <= set(METRIC_NAMES)


def test_the_outcomes_are_counted_apart(cloud: Cloud) -> None:
    for outcome in Outcome:
        cloud.announcer.report_outcome(outcome, "ab" * 32)
    assert set(cloud.counted().values()) == {1}
    assert len(cloud.counted()) == len(Outcome)


def test_a_decision_is_logged_with_its_reason(cloud: Cloud) -> None:
    cloud.announcer.report_outcome(Outcome.HELD, MOST.certificate_id, MOST)
    (line,) = cloud.logged()
    assert (line["reason"], line["thing_name"], line["ca"], line["level"]) == (
        "THING_TAKEN",
        "sensor-0001",
        "factory",
        "INFO",
    )


@pytest.mark.parametrize(("age", "seconds"), [(3 * SECOND, 3.285), (-60 * SECOND, 0)])
def test_the_seconds_to_active_are_counted_from_the_queue_and_never_negative(
    cloud: Cloud, age: Any, seconds: float
) -> None:
    cloud.announcer.report_outcome(Outcome.ACTIVATED, ACTIVATION.certificate_id, ACTIVATION, sent_at=NOW - age)
    assert cloud.counts._by_ca["factory"][SECONDS_TO_ACTIVE] == [pytest.approx(seconds)]


@pytest.mark.parametrize("decision", [MOST, REJECTION, LEAST])
def test_only_activations_have_seconds_to_active(cloud: Cloud, decision: Decision) -> None:
    cloud.announcer.report_outcome(decision.outcome, decision.certificate_id, decision, sent_at=NOW)
    assert SECONDS_TO_ACTIVE not in cloud.counted()


def test_a_warning_is_logged_and_counted(cloud: Cloud) -> None:
    cloud.announcer.warn("event contradicts the certificate", telemetry.CONTRADICTIONS, certificate_id="ab")
    (line,) = cloud.logged()
    assert (line["level"], line["message"], line["certificate_id"]) == (
        "WARNING",
        "event contradicts the certificate",
        "ab",
    )
    assert cloud.counted() == {"Contradictions": 1}


def test_a_failure_is_logged_with_its_traceback_and_counted(cloud: Cloud) -> None:
    try:
        dict[str, str]()["lost"]
    except KeyError:
        cloud.announcer.log_failure("message failed", message_id="m")
    (line,) = cloud.logged()
    assert (line["level"], line["message_id"], line["exception_name"]) == ("ERROR", "m", "KeyError")
    assert cloud.counted() == {"Failures": 1}


def emf(written: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


def test_metrics_are_one_line_for_each_ca_with_each_metric_summed(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    for decision in (ACTIVATION, ACTIVATION, replace(MOST, ca="gateways")):
        cloud.announcer.report_outcome(decision.outcome, decision.certificate_id, decision)
    cloud.announcer.count(telemetry.PUT_OFF)
    cloud.announcer.flush()
    lines = {line["ca"]: line for line in emf(capsys.readouterr().out)}
    assert set(lines) == {"factory", "gateways", "none"}
    assert lines["factory"]["Activated"] == [2.0]
    assert lines["gateways"]["Held"] == [1.0]
    assert lines["none"]["PutOff"] == [1.0]
    for line in lines.values():
        (metrics,) = line["_aws"]["CloudWatchMetrics"]
        assert metrics["Namespace"] == METRICS_NAMESPACE
        assert {name for dimensions in metrics["Dimensions"] for name in dimensions} >= {"fleet", "ca"}
        assert line["fleet"] == "acme"
    assert cloud.counted() == {}


def test_a_metrics_dimensions_are_the_fleet_and_the_ca(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.announcer.count(telemetry.PUT_OFF)
    cloud.announcer.flush()
    (line,) = emf(capsys.readouterr().out)
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert [sorted(one) for one in metrics["Dimensions"]] == [["ca", "fleet"]]


def test_each_measured_second_is_kept_for_its_percentiles(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in (1, 2, 2):
        decision = ACTIVATION
        cloud.announcer.report_outcome(Outcome.ACTIVATED, ID, decision, sent_at=decision.decided_at - seconds * SECOND)
    cloud.announcer.flush()
    (line,) = emf(capsys.readouterr().out)
    assert line["SecondsToActive"] == [1.0, 2.0, 2.0]
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    units = {metric["Name"]: metric["Unit"] for metric in metrics["Metrics"]}
    assert units == {"Activated": "Count", "SecondsToActive": "Seconds", "RejectedShare": "Percent"}


def test_a_batch_of_many_activations_loses_no_measurement(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(250):  # EMF takes 100 values of a metric in one line
        cloud.announcer.report_outcome(Outcome.ACTIVATED, ID, ACTIVATION, sent_at=NOW)
    cloud.announcer.flush()
    lines = emf(capsys.readouterr().out)
    assert all(len(line.get("SecondsToActive", [])) <= 100 for line in lines)
    assert sum(len(line.get("SecondsToActive", [])) for line in lines) == 250
    assert sum(sum(line.get("Activated", [])) for line in lines) == 250


def test_the_next_invocation_counts_anew_under_the_fleet_too(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        cloud.announcer.count(telemetry.PUT_OFF)
        cloud.announcer.flush()
    assert [(line["fleet"], line["PutOff"]) for line in emf(capsys.readouterr().out)] == [("acme", [1.0])] * 2


def test_the_average_of_the_rejected_share_is_the_rejection_rate(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    for decision in (ACTIVATION, REJECTION, ACTIVATION, ACTIVATION, MOST):  # a held device is neither
        cloud.announcer.report_outcome(decision.outcome, decision.certificate_id, replace(decision, ca="factory"))
    cloud.announcer.flush()
    (line,) = emf(capsys.readouterr().out)
    assert line["RejectedShare"] == [0, 100, 0, 0]


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_only_a_metric_of_one_ca_has_the_ca_as_its_dimension(cloud: Cloud, name: str) -> None:
    cloud.announcer.count(name, 1, ca="factory")
    assert set(cloud.counts._by_ca) == {"factory" if name in telemetry.BY_CA else telemetry.NO_CA}


def test_an_invocation_that_counted_nothing_writes_nothing(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.announcer.flush()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", [telemetry.SWEPT, telemetry.THROTTLES, telemetry.DISAGREEMENTS])
def test_what_is_counted_elsewhere_is_a_metric_too(name: str) -> None:
    assert name in METRIC_NAMES


@given(st.text())
def test_an_events_detail_is_json_whatever_the_subject(detail: str) -> None:
    decision = replace(MOST, detail=detail)
    assert json.loads(json.dumps(event_detail(decision, SETTINGS)))["detail"] == detail
