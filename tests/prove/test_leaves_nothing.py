"""Whatever ends a run, nothing of it is left, and nothing else is touched: Ctrl-C, SIGKILL, refusals, our mistakes.

What an account held before is `stranger`: a CA, a device, a thing and a policy of somebody else's.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from jitrctl.prove.guard import Guard, NotOurs
from jitrctl.prove.journal import Journal
from jitrctl.prove.operations import OPERATIONS
from jitrctl.prove.probes import PROBES
from jitrctl.prove.run import Run
from simulation import Authority, Call, Died, Fault, Moment
from tests.support.prove.functions_double import refused
from tests.support.prove.proving_world import BOTH, CALLER, World

# Probes that make one of each: CAs in both modes, devices, listeners, things, policies, a role.
SOME = tuple(
    word
    for name in ("ca-id", "event", "both-modes", "exclusive", "connected-after", "template-removed", "loop")
    for word in ("--only", name)
)


def struck(at: int, strike: type[BaseException], moment: Moment, *, for_good: bool) -> Callable[[Call, Moment], None]:
    """Strike at the command's so-manieth attempt of a call; `for_good` at all that follow, too, as after a SIGKILL."""
    seen = 0

    def hook(call: Call, now: Moment) -> Fault | None:
        nonlocal seen
        if call.caller != CALLER:
            return None
        seen += now == "before"
        if (seen == at and now == moment) or (for_good and seen > at):
            raise strike
        return None

    return hook  # type: ignore[return-value]


def calls_of(world: World, *words: str) -> list[str]:
    """The operations of an undisturbed run."""
    before = len(world.aws.calls)
    assert world.say(*BOTH, *words)[0] == 0
    return [call.operation for call in world.aws.calls[before:] if call.caller == CALLER]


@pytest.fixture
def stranger(world: World) -> list[str]:
    """Somebody else's things in both accounts; everything that is there."""
    for name in ("dev", "prod"):
        iot, ca = world.iot(name), Authority.new(f"Stranger {name}")
        iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", allowAutoRegistration=True)
        iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="ACTIVE")
        leaf = ca.issue("jitr-prove-theirs")
        world.account(name).connect(leaf, client_id="theirs")
        iot.update_ca_certificate(certificateId=ca.certificate_id, newStatus="INACTIVE")
        iot.create_thing(thingName="jitr-prove-theirs")
        iot.create_policy(policyName="jitr-prove-theirs", policyDocument="{}")
    return world.left()


@pytest.mark.parametrize(
    ("operation", "moment"),
    [
        ("RegisterCACertificate", "before"),
        ("RegisterCACertificate", "after"),
        ("RegisterCertificateWithoutCA", "after"),
        ("CreatePolicy", "after"),
        ("AttachThingPrincipal", "after"),
        ("UpdateCACertificate", "before"),
    ],
)
def test_ctrl_c_at_a_call_leaves_nothing(
    operation: str,
    moment: Moment,
    world: World,
    stranger: list[str],
    record_property: Callable[[str, object], None],
) -> None:
    at = calls_of(world, *SOME).index(operation) + 1
    before = world.calls
    world.aws.fault = struck(at, KeyboardInterrupt, moment, for_good=False)

    code, said = world.say(*BOTH, *SOME)

    assert code == 130, said
    assert "everything that was made is deleted again" in said
    assert world.left() == stranger
    assert world.journals == []
    record_property("calls of `prove` until Ctrl-C and of cleaning", world.calls - before)


def test_ctrl_c_at_a_connect_and_while_waiting_leaves_nothing(
    world: World, stranger: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        world.on_connect = lambda *_: None
        raise KeyboardInterrupt

    world.on_connect = interrupt
    assert world.say(*BOTH, *SOME)[0] == 130
    assert world.left() == stranger

    sleep = world.aws.clock.sleep

    def interrupted(_: float) -> None:
        monkeypatch.setattr(world.aws.clock, "sleep", sleep)
        raise KeyboardInterrupt

    monkeypatch.setattr(world.aws.clock, "sleep", interrupted)
    assert world.say(*BOTH, "--only", "session-ends")[0] == 130
    assert world.left() == stranger
    assert world.journals == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_programs_leaves_nothing(number: signal.Signals, world: World, stranger: list[str]) -> None:
    def end(*_: object) -> None:
        world.on_connect = lambda *_: None
        os.kill(os.getpid(), number)

    world.on_connect = end
    assert world.say(*BOTH, *SOME)[0] == 130
    assert world.left() == stranger
    assert signal.getsignal(number) is not signal.default_int_handler


def test_a_second_ctrl_c_leaves_it_to_clean(world: World, stranger: list[str]) -> None:
    calls = calls_of(world, *SOME)
    world.aws.fault = struck(calls.index("DeleteCertificate") + 1, KeyboardInterrupt, "before", for_good=False)

    code, said = world.say(*BOTH, *SOME)
    assert code == 130
    assert "`jitrctl prove --clean` tries again" in said
    assert len(world.left()) > len(stranger)

    world.aws.fault = None
    assert world.say("--clean", "--account", "dev")[0] == 0  # whichever accounts are named
    assert world.left() == stranger
    assert world.journals == []


def test_a_second_ctrl_c_before_cleaning_begins_is_said(
    world: World, stranger: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(text: str) -> None:
        if text == "cleaning":
            raise KeyboardInterrupt

    at = calls_of(world, *SOME).index("AttachThingPrincipal") + 1
    world.aws.fault = struck(at, KeyboardInterrupt, "after", for_good=False)
    monkeypatch.setattr("jitrctl.commands.prove._tell", tell)
    code, said = world.say(*BOTH, *SOME)

    assert code == 130
    assert "left, in the journals of" in said
    assert world.say("--clean")[0] == 0
    assert world.left() == stranger


@pytest.mark.parametrize("part", range(10))
def test_a_sigkill_at_any_call_leaves_what_clean_finds(
    part: int, world: World, stranger: list[str], record_property: Callable[[str, object], None]
) -> None:
    total = len(calls_of(world, *SOME))
    at = 6 + part * (total - 6) // 10
    moment: Moment = "after" if part % 2 else "before"
    world.aws.fault = struck(at, Died, moment, for_good=True)
    with pytest.raises(Died):
        world.say(*BOTH, *SOME)
    left = len(world.left()) - len(stranger)

    world.aws.fault = None
    before = world.calls
    code, said = world.say("--clean")

    assert code == 0, said
    assert world.left() == stranger
    assert world.journals == []
    record_property("things left by a SIGKILL", left)
    record_property("calls of `prove --clean` after a SIGKILL", world.calls - before)


def test_the_next_run_cleans_what_a_sigkill_left(world: World, stranger: list[str]) -> None:
    world.aws.fault = struck(60, Died, "after", for_good=True)
    with pytest.raises(Died):
        world.say(*BOTH, *SOME)
    assert len(world.left()) > len(stranger)

    world.aws.fault = None
    code, said = world.say(*BOTH, "--only", "ca-id")

    assert code == 0, said
    assert "Earlier runs left" in said
    assert world.left() == stranger


def test_what_is_kept_is_deleted_by_clean(world: World, stranger: list[str]) -> None:
    code, said = world.say(*BOTH, "--only", "ca-id", "--keep")
    assert code == 0
    assert "`jitrctl prove --clean` deletes them" in said
    assert len(world.left()) == len(stranger) + 3
    (journal,) = world.journals
    keys = journal.with_name(f"{journal.name.partition('.')[0]}-x")
    keys.mkdir()  # as a SIGKILL leaves it
    (keys / "device.key").touch()

    assert world.say("--clean")[0] == 0
    assert world.left() == stranger
    assert [one.name for one in journal.parent.iterdir()] == ["lock"]


def test_what_aws_refuses_to_delete_stays_in_the_journal(world: World, stranger: list[str]) -> None:
    world.lies["delete_thing"] = lambda *_: (_ for _ in ()).throw(refused("UnauthorizedException", "DeleteThing"))
    code, said = world.say(*BOTH, "--only", "exclusive")
    assert code == 1
    assert "could not be deleted: DeleteThing is not allowed" in said
    (journal,) = world.journals
    assert [one["kind"] for one in json.loads(journal.read_text())["entries"]] == ["thing", "thing", "thing"]

    world.lies.clear()
    assert world.say("--clean")[0] == 0
    assert world.left() == stranger


def test_a_policy_that_may_not_be_deleted_for_five_minutes_is_waited_for(world: World, stranger: list[str]) -> None:
    """IoT model, DeletePolicy: up to five minutes after it was detached."""
    free_at: dict[str, float] = {}

    def lie(call: Callable[..., object], _: str, parameters: dict[str, str]) -> object:
        now = world.aws.clock.monotonic()
        if now < free_at.setdefault(parameters["policyName"], now + 300):
            raise refused("DeleteConflictException", "DeletePolicy")
        return call(**parameters)

    world.lies["delete_policy"] = lie
    before = world.calls
    code, said = world.say(*BOTH, "--only", "event")

    assert code == 0, said
    assert free_at
    assert world.calls - before < 200
    assert world.left() == stranger


def test_a_subscription_that_is_refused_at_first_is_tried_again(world: World) -> None:
    """A policy that was just attached takes effect later (aws-facts §5)."""
    world.subscriptions_refused = 3
    document = world.ask(*BOTH, "--only", "event")

    assert document["not_answered"] == []
    assert document["ok"]
    assert world.left() == []


def test_clean_needs_no_accounts_to_be_chosen(world: World) -> None:
    third = '[account.third]\nid = "333333333333"\nregions = ["eu-west-1"]\nca.factory = { mode = "SNI_ONLY" }\n'
    world.file.write_text(world.file.read_text() + third)
    assert world.say(*BOTH, "--only", "ca-id", "--keep")[0] == 0
    assert world.say("--yes")[0] == 2

    assert world.say("--clean")[0] == 0
    assert world.left() == []


def test_a_mistaken_delete_of_a_probe_is_not_sent(
    world: World, stranger: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = next(iter(world.account("dev").iot.certificates.by_id))

    def mistaken(run: Run) -> dict[str, object]:
        run.first.iot.delete_certificate(certificateId=theirs)
        return {}

    probe = replace(next(one for one in PROBES if one.name == "revoked"), run=mistaken)
    monkeypatch.setattr("jitrctl.commands.prove.PROBES", (probe,))
    code, said = world.say(*BOTH)

    assert code == 1
    assert f"iot:DeleteCertificate of {theirs}" in said
    assert "which the journal does not name, was not sent" in said
    assert world.left() == stranger
    assert "DeleteCertificate" not in world.aws.list_operations(caller=CALLER)


def test_cleaning_deletes_nothing_that_has_the_id_and_another_pem(world: World, stranger: list[str]) -> None:
    """An id that is not what it should be, or a journal that was written over, names another's certificate."""
    assert world.say(*BOTH, "--only", "ca-id", "--keep")[0] == 0
    (journal,) = world.journals
    document = json.loads(journal.read_text())
    theirs = next(iter(world.account("prod").iot.certificates.by_id))
    for entry in document["entries"]:
        if entry["kind"] == "certificate":
            entry["expected_id"] = entry["found_id"] = theirs
    journal.write_text(json.dumps(document))

    assert world.say("--clean")[0] == 0
    assert world.left() == stranger  # ours was found by its PEM, theirs left alone


def test_what_a_colleague_attached_is_not_detached(world: World) -> None:
    assert world.say(*BOTH, "--only", "ca-id", "--keep")[0] == 0
    account = world.account("prod")
    (certificate,) = account.iot.certificates.by_id.values()
    iot = world.iot("prod")
    iot.create_policy(policyName="theirs", policyDocument="{}")
    iot.attach_policy(policyName="theirs", target=certificate.arn)

    code, said = world.say("--clean")

    assert code == 1
    assert "detached before deletion" in said
    assert [policy.name for policy in account.iot.policies.of_target(certificate.arn)] == ["theirs"]


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.targets], ids=str)
def test_no_change_is_sent_of_what_the_journal_does_not_name(name: tuple[str, str], world: World) -> None:
    operation = OPERATIONS[name]
    journal = Journal.begin(world.directory / ".prove", "jitr-prove-0", world.aws.clock.now())
    guard = Guard(account="111111111111", region="eu-central-1", journal=journal, sleep=lambda _: None)
    sent: list[object] = []

    class Client:
        def __getattr__(self, _: str) -> Callable[..., None]:
            return lambda **parameters: sent.append(parameters)

    with pytest.raises(NotOurs):
        guard.call(
            name[0],
            Client(),
            _method(name[1]),
            {target.parameter: "arn:aws:iot:eu-central-1:111111111111:cert/x" for target in operation.targets},
            repeats=True,
        )
    with pytest.raises(NotOurs):
        guard.client("iot", Client()).update_thing(thingName="x")
    assert sent == []


def _method(operation: str) -> str:
    from botocore import xform_name  # noqa: PLC0415

    return xform_name(operation)


def test_a_fault_of_ours_is_cleaned_up_after(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: Run) -> dict[str, object]:
        run.register_device("SNI_ONLY", "broken")
        raise ZeroDivisionError

    probe = replace(PROBES[0], run=broken)
    monkeypatch.setattr("jitrctl.commands.prove.PROBES", (probe,))
    with pytest.raises(ZeroDivisionError):
        world.say(*BOTH)
    assert world.left() == []
