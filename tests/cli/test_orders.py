"""Orders that are no verdicts leave a trail all the same: who, when and why, kept before they are carried out."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from jitr.rules import CertificateMode
from jitr.store.dynamodb import key, plain, stored, values
from jitrctl.audit import log, record
from jitrctl.audit.log import BRAKE, MOST_KEPT, AuditEntry
from jitrctl.ca import rotation
from jitrctl.ca.mode_switch import Switch
from jitrctl.doctor import ca as authority
from jitrctl.doctor.context import DeviceContext
from jitrctl.doctor.finding import LinkFinding
from jitrctl.errors import Refused
from jitrctl.intake import Mapping
from jitrctl.session.access import Access
from jitrctl.session.stage import Stage
from simulation import Authority
from simulation.faults import Call, Died, Fault, FaultHook, Moment, ServiceError
from tests.support.cli.simulated import DEV, PROD, RULES, Simulated, simulated

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/events/operator-order.v1.schema.json").read_text(encoding="utf-8")
)
BY = "arn:aws:sts::111111111111:assumed-role/operator/ann"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    fleet = simulated(tmp_path, monkeypatch)
    monkeypatch.setattr(record, "now", fleet.aws.clock.now)
    return fleet


def announced(fleet: Simulated, name: str = DEV) -> list[dict[str, Any]]:
    """The details of the orders on an account's bus, each as its schema says."""
    details = [one.detail for one in fleet.place(name).events.put if one.detail_type == record.ORDER_DETAIL_TYPE]
    for detail in details:
        jsonschema.validate(detail, SCHEMA, format_checker=jsonschema.FormatChecker())
    return details


def kept(fleet: Simulated, subject: Authority | str, name: str = DEV) -> AuditEntry | None:
    return log.read_last(fleet.stage(name), subject if isinstance(subject, str) else subject.certificate_id)


def denied(name: str) -> FaultHook:
    """A fault: AWS refuses every call of that name."""

    def fault(call: Call, _: Moment) -> None:
        if call.name == name:
            raise ServiceError("AccessDeniedException", f"not authorized to perform: {name}", status=400)

    return fault


def trail_alone(fault: FaultHook) -> FaultHook:
    """The same fault, and only of calls about orders that are kept."""

    def of_the_trail(call: Call, moment: Moment) -> Fault | None:
        about = call.parameters.get("Key", {}).get("id", {}).get("S", "")
        return fault(call, moment) if about.startswith("orders#") else None

    return of_the_trail


def unavailable(service: str) -> FaultHook:
    return lambda call, _: Fault.SERVER_ERROR if call.service == service else None


@contextmanager
def at_fault(fleet: Simulated, fault: FaultHook) -> Iterator[None]:
    fleet.aws.fault = fault
    try:
        yield
    finally:
        fleet.aws.fault = None


@pytest.fixture
def mapping(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The event source mapping of every account, which the simulation's Lambda does not have."""
    mapping = {"state": "Enabled"}
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: Mapping(uuid="0", state=mapping["state"]))

    def switch(_: Stage, *, on: bool) -> Mapping:
        mapping["state"] = "Enabled" if on else "Disabled"
        return Mapping(uuid="0", state=mapping["state"])

    monkeypatch.setattr("jitrctl.intake.switch", switch)
    return mapping


def test_a_cas_successor_is_registered_on_record(fleet: Simulated) -> None:
    fleet.say("ca", "rotate", "--account", DEV, "--note", "factory ends in March", "--yes")

    given = kept(fleet, fleet.new)
    assert given
    assert (given.order, given.by, given.note) == ("ca rotate", BY, "factory ends in March")
    assert given.steps == ("register it, with auto-registration",)
    (event,) = announced(fleet)
    assert (event["subject"], event["by"], event["note"]) == (fleet.new.certificate_id, BY, given.note)
    assert announced(fleet, PROD) == []


def test_a_cas_end_is_on_record_in_every_account(fleet: Simulated) -> None:
    fleet.say("ca", "retire", "factory", "--delete", "--note", "empty", "--yes")

    for name in (DEV, PROD):
        given = kept(fleet, fleet.old, name)
        assert given
        assert (given.order, given.note) == ("ca retire", "empty")
        assert given.steps == ("disable auto-registration", "set it INACTIVE", "delete it")
        assert [one["order"] for one in announced(fleet, name)] == ["ca retire"]


def test_an_order_that_was_broken_off_is_kept_and_announced_as_such_so_that_all_steps_add_up(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rotation.retire

    def breaks_off(stage: Stage, one: Any, *, delete: bool) -> None:  # noqa: ARG001 -- as it is called
        real(stage, one, delete=False)
        raise Refused("the connection is gone")

    with monkeypatch.context() as broken:
        broken.setattr("jitrctl.commands.ca.rotate.retire", breaks_off)
        fleet.say("ca", "retire", "factory", "--account", DEV, "--delete", "--note", "first", "--yes", code=1)
    given = kept(fleet, fleet.old)
    assert given
    assert given.note == "first"

    fleet.say("ca", "retire", "factory", "--account", DEV, "--delete", "--note", "second", "--yes")

    told = [(one["note"], one["steps"], one.get("completed", True)) for one in announced(fleet)]
    assert told == [
        ("first", ["disable auto-registration", "set it INACTIVE", "delete it"], False),
        ("second", ["delete it"], True),
    ]


def test_an_order_that_finds_nothing_to_do_leaves_nothing(fleet: Simulated) -> None:
    fleet.say("ca", "apply", "--ca", "factory", "--yes")
    assert kept(fleet, fleet.old) is None
    assert announced(fleet) == []


def test_a_device_that_is_brought_in_line_is_on_record_and_device_show_tells(fleet: Simulated) -> None:
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    fleet.write(RULES + 'thing_groups = ["line-2"]\n')
    fleet.deploy()

    fleet.say("device", "reconcile", "sensor-0001", "--account", DEV, "--note", "hall 2", "--yes")

    given = kept(fleet, leaf.certificate_id)
    assert given
    assert given.steps == ("join group line-2",)
    assert [one["order"] for one in announced(fleet)] == ["device reconcile"]
    said = fleet.say("device", "show", "sensor-0001")
    assert f"`device reconcile` by {BY}" in said
    assert ": hall 2" in said
    (document,) = fleet.ask("device", "show", "sensor-0001")[DEV]["certificates"]
    assert document["last_order"]["note"] == "hall 2"


def made_by_hand(fleet: Simulated) -> str:
    """A thing with an ACTIVE certificate that the registry knows nothing of; the certificate's id."""
    leaf, iot = fleet.issue("old-0001"), fleet.iot(DEV)
    fleet.place(DEV).connect(leaf, client_id="old-0001")
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    iot.create_thing(thingName="old-0001")
    arn = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]["certificateArn"]
    iot.attach_thing_principal(thingName="old-0001", principal=arn)
    return leaf.certificate_id


def test_an_adoption_is_kept_before_it_is_carried_out(fleet: Simulated) -> None:
    made_by_hand(fleet)

    with at_fault(fleet, trail_alone(denied("dynamodb:UpdateItem"))):
        fleet.say("device", "adopt", "old-0001", "--account", DEV, code=1)
    assert fleet.stage(DEV).registry.owner("old-0001") is None


def test_a_second_adoption_finds_nothing_to_do_and_leaves_nothing(fleet: Simulated) -> None:
    device = made_by_hand(fleet)
    fleet.say("device", "adopt", "old-0001", "--account", DEV, "--note", "first")
    fleet.say("device", "adopt", "old-0001", "--account", DEV, "--note", "second")
    given = kept(fleet, device)
    assert given
    assert given.note == "first"
    assert [one["order"] for one in announced(fleet)] == ["device adopt"]


def test_status_names_who_gave_the_last_order_about_a_ca_that_is_not_as_the_fleet_file_says_and_of_no_other(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: None)
    fleet.write(successor_in=())
    fleet.say("ca", "retire", "factory", "--account", DEV, "--note", "stolen key", "--yes")

    said = fleet.say("ca", "status", code=1)

    assert f"dev/eu-central-1 factory: the last order was `ca retire` by {BY}" in said
    assert ": stolen key" in said
    assert "prod/eu-central-1 factory: the last order" not in said
    assert fleet.ask("ca", "status", code=1)[DEV]["cas"][0]["last_order"]["order"] == "ca retire"


def broken_off_halfway(fleet: Simulated) -> None:
    """A retirement in dev that has disabled auto-registration, and may not go on."""
    allowed = iter([True])

    def fault(call: Call, moment: Moment) -> None:
        if call.name == "iot:UpdateCACertificate" and moment == "before" and not next(allowed, False):
            denied(call.name)(call, moment)

    with at_fault(fleet, fault):
        fleet.say("ca", "retire", "factory", "--account", DEV, "--note", "line closed", "--yes", code=1)


def test_status_names_whose_order_was_broken_off_while_the_ca_is_still_active(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: None)
    broken_off_halfway(fleet)

    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory", code=1)

    assert "SNI_ONLY ACTIVE" in said
    assert f"dev/eu-central-1 factory: the last order was `ca retire` by {BY} " in said
    assert "Z, not known to be completed: line closed" in said


@pytest.mark.parametrize(
    ("link", "text"),
    [(authority.check_auto_registration, "and sends no event"), (authority.check_mode, "the fleet file says SNI_ONLY")],
)
def test_doctor_names_whose_order_it_may_be_that_a_ca_is_not_as_the_fleet_file_says(
    fleet: Simulated, tmp_path: Path, link: Callable[[DeviceContext], LinkFinding], text: str
) -> None:
    broken_off_halfway(fleet)
    pem, stage = fleet.issue("sensor-0001").pem, fleet.stage(DEV)
    case = DeviceContext(stage=stage, path=tmp_path, certificates=(pem,), client_id=None, now=fleet.aws.clock.now())
    found: Any = case.ca.found
    case.__dict__["ca"] = replace(case.ca, found=replace(found, mode=CertificateMode.DEFAULT))
    assert f"{text}; the last order about it was `ca retire` by {BY}" in link(case).text


@pytest.mark.usefixtures("mapping")
def test_who_paused_an_account_and_why_is_told_while_it_is_paused(fleet: Simulated) -> None:
    fleet.say("ca", "pause", "--account", DEV, "--note", "wrong CRL", "--yes")
    given = kept(fleet, BRAKE)
    assert given
    assert (given.order, given.note) == ("ca pause", "wrong CRL")
    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory")
    assert f"dev/eu-central-1: the last order was `ca pause` by {BY}" in said

    fleet.say("ca", "resume", "--account", DEV)
    assert [one["order"] for one in announced(fleet)] == ["ca pause", "ca resume"]
    assert "last order" not in fleet.say("ca", "status", "--account", DEV, "--ca", "factory")


@pytest.mark.usefixtures("mapping")
def test_nobody_is_named_for_a_pause_that_could_not_be_kept(fleet: Simulated) -> None:
    fleet.say("ca", "pause", "--account", DEV, "--yes")
    fleet.say("ca", "resume", "--account", DEV)
    with at_fault(fleet, unavailable("dynamodb")):
        fleet.say("ca", "pause", "--account", DEV, "--yes")

    said = fleet.say("ca", "status", "--account", DEV, "--ca", "factory")

    assert "paused" in said
    assert "last order" not in said


NOT_ANNOUNCED = "was carried out and kept, but could not be announced"


def refused(fleet: Simulated) -> None:
    fleet.place(DEV).events.refuses = lambda _: "InternalFailure"


def not_allowed(fleet: Simulated) -> None:
    fleet.aws.fault = denied("events:PutEvents")


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
    assert kept(fleet, fleet.old) is not None
    assert announced(fleet) == []


def test_an_announcement_that_fails_keeps_no_other_ca_of_the_account_from_its_order_and_each_is_told(
    fleet: Simulated,
) -> None:
    fleet.iot(DEV).update_ca_certificate(certificateId=fleet.old.certificate_id, newStatus="INACTIVE")
    with at_fault(fleet, denied("events:PutEvents")):
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
        denied("iot:RegisterCACertificate")(call, moment) or denied("events:PutEvents")(call, moment)
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
    device = made_by_hand(fleet)
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
    with at_fault(fleet, unavailable("dynamodb")):
        said = fleet.say("ca", "switch-mode", "--yes", code=1)
    assert switched == []
    assert "prod/eu-central-1: not begun, since dev/eu-central-1 was not switched" in said


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.TIMEOUT])
def test_the_brake_is_pulled_also_where_the_order_cannot_be_kept_since_dynamodb_is_down(
    fleet: Simulated, mapping: dict[str, str], fault: Fault
) -> None:
    fleet.aws.fault = lambda call, _: fault if call.service == "dynamodb" else None
    said = fleet.say("ca", "pause", "--account", DEV, "--yes")
    assert mapping["state"] == "Disabled"
    assert "dev/eu-central-1: `ca pause` cannot be kept (" in said
    assert [one["order"] for one in announced(fleet)] == ["ca pause"]
    fleet.say("ca", "resume", "--account", DEV)
    assert mapping["state"] == "Enabled"
    fleet.aws.fault = None
    assert kept(fleet, BRAKE) is None


@pytest.mark.usefixtures("aws")
def test_the_brake_waits_for_dynamodb_for_one_short_attempt_and_other_orders_are_patient(
    stages: tuple[Stage, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, client = list[Any](), Access.client

    def kept_in_mind(access: Access, service: str, config: Any = None) -> Any:
        made = client(access, service, config)
        asked.extend([made.meta.config] if service == "dynamodb" else [])
        return made

    monkeypatch.setattr(Access, "client", kept_in_mind)
    for stage, urgent in zip(stages, (True, False), strict=False):
        with record.audited(stage, "ca pause", BRAKE, ["disable the mapping"], "", urgent=urgent):
            pass

    brakes, others = asked
    assert (brakes.connect_timeout, brakes.read_timeout, brakes.retries["total_max_attempts"]) == (2, 3, 1)
    assert (others.connect_timeout, others.read_timeout, others.retries["total_max_attempts"]) == (5, 30, 5)


def test_the_brake_is_not_pulled_by_who_may_not_write_the_order_down(fleet: Simulated, mapping: dict[str, str]) -> None:
    with at_fault(fleet, denied("dynamodb:UpdateItem")):
        assert "is not allowed" in fleet.say("ca", "pause", "--account", DEV, "--yes", code=1)
    assert mapping["state"] == "Enabled"


def test_no_other_order_is_carried_out_where_it_cannot_be_kept(fleet: Simulated) -> None:
    with at_fault(fleet, unavailable("dynamodb")):
        fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    (ca,) = fleet.iot(DEV).list_ca_certificates()["certificates"]
    assert ca["status"] == "ACTIVE"


def test_what_is_kept_says_whether_the_order_was_completed(fleet: Simulated) -> None:
    with at_fault(fleet, denied("iot:UpdateCACertificate")):
        fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", code=1)
    given = kept(fleet, fleet.old)
    assert given
    assert not given.completed

    fleet.say("ca", "retire", "factory", "--account", DEV, "--yes")

    given = kept(fleet, fleet.old)
    assert given
    assert given.completed
    assert "completed" not in str(given)


def test_an_order_whose_completion_cannot_be_kept_stands_is_announced_and_is_told(fleet: Simulated) -> None:
    writes = iter([None])  # the order itself; what comes then fails

    def fault(call: Call, moment: Moment) -> Fault | None:
        is_write = call.name == "dynamodb:UpdateItem" and moment == "before"
        return next(writes, Fault.SERVER_ERROR) if is_write else None

    with at_fault(fleet, trail_alone(fault)):
        said = fleet.say("ca", "retire", "factory", "--account", DEV, "--yes")

    assert "`ca retire` about CA factory (disable auto-registration; set it INACTIVE) was carried out, and that" in said
    given = kept(fleet, fleet.old)
    assert given
    assert "not known to be completed" in str(given)
    assert ["completed" in one for one in announced(fleet)] == [False]


def test_of_an_order_that_jitrctl_does_not_survive_there_is_only_what_was_kept_before(fleet: Simulated) -> None:
    """A second Ctrl-C ends the process in the middle of it; nothing of ours runs any more."""
    with suppress(Died), record.audited(fleet.stage(DEV), "ca pause", BRAKE, ["disable the mapping"], "wrong CRL"):
        raise Died
    given = kept(fleet, BRAKE)
    assert given
    assert (given.note, given.completed) == ("wrong CRL", False)
    assert announced(fleet) == []


def give(stage: Stage, note: str, *, step: str = "disable the mapping") -> None:
    with record.audited(stage, "ca pause", BRAKE, [step], note):
        pass


def notes(fleet: Simulated) -> list[str]:
    """Of all orders about the brake that are kept, the last one last."""
    stage = fleet.stage(DEV)
    answer = stage.dynamodb.get_item(TableName=stage.names.registry_table, Key=key(f"orders#{BRAKE}"))
    return [one["note"] for one in plain(answer["Item"])["orders"]]


def test_of_the_orders_about_a_subject_the_latest_are_kept(fleet: Simulated) -> None:
    for number in range(MOST_KEPT + 3):
        give(fleet.stage(DEV), str(number))
    assert notes(fleet) == [str(number) for number in range(3, MOST_KEPT + 3)]


def test_an_order_finds_room_whatever_long_ones_there_were(fleet: Simulated) -> None:
    stage = fleet.stage(DEV)
    fields = {"order": "ca pause", "steps": ["disable the mapping"], "by": BY, "at": 1, "note": 100_000 * "x"}
    stage.dynamodb.put_item(
        TableName=stage.names.registry_table, Item={**key(f"orders#{BRAKE}"), **stored({"orders": 3 * [fields]})}
    )
    give(stage, "short")
    assert notes(fleet) == ["short"]
    for letter in "abc":
        give(stage, letter, step=60_000 * letter)
        assert notes(fleet)[-1] == letter
    assert notes(fleet) == ["c"]


@pytest.mark.parametrize(
    "words", [["ca", "retire", "factory", "--yes"], ["device", "revoke", "a" * 64, "--yes"]], ids=" ".join
)
def test_a_note_that_is_too_long_is_refused_before_anything_is_asked(fleet: Simulated, words: list[str]) -> None:
    called: list[str] = []
    fleet.aws.fault = lambda call, _: called.append(call.name)
    said = fleet.say(*words, "--note", "x" * 1_001, code=2)
    assert called == []
    assert "the note is 1,001 characters long, and may have 1,000: say it shorter" in said


def test_a_note_of_the_greatest_length_is_kept(fleet: Simulated) -> None:
    fleet.say("ca", "retire", "factory", "--account", DEV, "--yes", "--note", 1_000 * "ä")
    given = kept(fleet, fleet.old)
    assert given
    assert given.note == 1_000 * "ä"


def test_the_trail_has_nothing_that_the_functions_look_for(fleet: Simulated) -> None:
    stage = fleet.stage(DEV)
    give(stage, "first")
    answer = stage.dynamodb.get_item(TableName=stage.names.registry_table, Key=key(f"orders#{BRAKE}"))
    assert set(answer["Item"]) == {"id", "orders", "schema"}  # not `due`, which would put it into the index


def test_an_order_that_another_version_appends_is_read_and_added_to(fleet: Simulated) -> None:
    stage = fleet.stage(DEV)
    give(stage, "this version")
    fields = {"order": "ca resume", "steps": ["enable the mapping"], "by": BY, "at": 1, "note": "the one before"}
    stage.dynamodb.update_item(
        TableName=stage.names.registry_table,
        Key=key(f"orders#{BRAKE}"),
        UpdateExpression="SET #orders = list_append(#orders, :one)",
        ExpressionAttributeNames={"#orders": "orders"},
        ExpressionAttributeValues=values(one=[fields]),
    )
    give(stage, "this version again")
    assert notes(fleet) == ["this version", "the one before", "this version again"]


def test_of_two_orders_at_the_same_moment_none_is_lost(fleet: Simulated) -> None:
    stage, others = fleet.stage(DEV), ["meanwhile", "and again"]
    give(stage, "first")

    def somebody_else(call: Call, moment: Moment) -> None:
        if call.name == "dynamodb:GetItem" and moment == "after" and others:
            give(stage, others.pop(0))

    with at_fault(fleet, somebody_else):
        give(stage, "last")

    assert notes(fleet) == ["first", "meanwhile", "and again", "last"]


def test_an_order_of_which_the_answer_was_lost_is_kept_once(fleet: Simulated) -> None:
    give(fleet.stage(DEV), "first")
    lost = [Fault.TIMEOUT]

    def fault(call: Call, moment: Moment) -> Fault | None:
        return lost.pop() if call.name == "dynamodb:UpdateItem" and moment == "after" and lost else None

    with at_fault(fleet, fault):
        give(fleet.stage(DEV), "last")

    assert lost == []
    assert notes(fleet) == ["first", "last"]


def test_a_trail_that_cannot_be_read_hides_nothing_else(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitrctl.intake.find_mapping", lambda _: Mapping(uuid="0", state="Disabled"))
    leaf = fleet.issue("sensor-0001")
    assert fleet.knock(DEV, leaf, "sensor-0001") == "accepted"
    fleet.write(successor_in=())
    fleet.say("ca", "retire", "factory", "--account", PROD, "--yes")

    fleet.aws.fault = trail_alone(denied("dynamodb:GetItem"))
    for one in fleet.ask("ca", "status", code=1).values():
        assert (one["ok"], one["paused"], one["braked"]) == (True, True, None)
        assert one["cas"][0]["last_order"] is None
    (document,) = fleet.ask("device", "show", "sensor-0001")[DEV]["certificates"]
    assert (document["status"], document["last_order"]) == ("ACTIVE", None)


@pytest.mark.usefixtures("aws")
def test_before_there_is_a_stack_an_order_is_announced_alone(stages: tuple[Stage, ...]) -> None:
    done = []
    with record.audited(stages[0], "ca apply", "a" * 64, ["register it"], "first"):
        done.append("it")
    assert done == ["it"]
    assert log.read_last(stages[0], "a" * 64) is None
