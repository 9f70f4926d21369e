"""An order on many devices takes connected ones out, in seconds, and leaves every other device's session; for real."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.client import Connection, ConnectRefusal
from tests.support.cli.kept_clients import keep_clients
from tests.support.e2e.stage_devices import connect
from tests.support.e2e.waiting import wait_until
from tests.support.local import deploying

pytestmark = pytest.mark.deep  # minutes: hundreds of devices at ten a second

# Seconds until a test gives up. At nine a second 200 devices take 22 s; here AWS and the functions share two cores.
PATIENCE = 400.0

Record = Callable[[str, object], None]


class Fleet:
    """Both accounts, deployed, with every CA registered."""

    def __init__(self, workspace: Workspace, stages: Sequence[LocalStage], cas: dict[str, IssuingCa]) -> None:
        self.workspace = workspace
        self.dev, self.prod = stages
        self.cas = cas

    def issue(self, names: Sequence[str], *, ca: str = "factory") -> list[DeviceFiles]:
        return [self.cas[ca].issue(self.workspace.devices, name) for name in names]

    def activate(self, stage: LocalStage, devices: Sequence[DeviceFiles]) -> None:
        """Connect each once, and wait until all are ACTIVE."""
        with ThreadPoolExecutor(8) as connecting:
            answers = list(
                connecting.map(lambda one: stage.device(one, one.certificate.stem).connect(stage.endpoint), devices)
            )
        for answer in answers:
            if not isinstance(answer, ConnectRefusal):
                answer.close()
        left = {one.certificate_id for one in devices}

        def all_are_active() -> bool:
            left.difference_update([one for one in left if stage.status(one) == "ACTIVE"])
            return not left

        wait_until(all_are_active, f"{len(left)} of {len(devices)} devices ACTIVE", seconds=PATIENCE)

    def say(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object], str]:
        """Run a command with --json: its exit code, its document, and what it said beside."""
        capsys.readouterr()
        code = main([*words, "--json", "--fleet", str(self.workspace.fleet_file)])
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    workspace = Workspace(directory=tmp_path_factory.mktemp("many"))
    places = workspace.find_places()
    with pytest.MonkeyPatch.context() as patch:
        keep_clients(patch)
        patch.setenv("AWS_CONFIG_FILE", str(workspace.directory / "aws-config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(workspace.directory / "aws-credentials"))
        started = accounts.up(workspace.directory, [place.spec() for place in places])
        try:
            _, cas = workspace.prepare(started)
            text = workspace.fleet_file.read_text(encoding="utf-8")
            workspace.fleet_file.write_text(text.replace('enrollment   = "listed"', 'enrollment   = "open"'))
            deploying.synthesize(workspace)
            made = workspace.load_fleet()
            stages = [LocalStage(one, place, made) for one, place in zip(started, places, strict=True)]
            for stage, place in zip(stages, places, strict=True):
                deploying.deploy(workspace, stage.account, place)
                for name, ca in cas.items():
                    stage.register_ca(name, ca)
            yield Fleet(workspace, stages, cas)
        finally:
            accounts.down(workspace.directory)


def works(connection: Connection) -> bool:
    return connection.publish(f"devices/{connection.client_id}/state", "21.5")


def is_open(connection: Connection) -> bool:
    connection.serve(lambda: not connection.is_open, seconds=0.02)
    return connection.is_open


def wait_until_out(
    connected: Sequence[tuple[LocalStage, DeviceFiles, Connection]], ordered_at: float, record: Record
) -> None:
    """Wait until each is disconnected and its next CONNECT is refused; record the seconds since the order."""
    left, seconds, reasons = list(connected), list[float](), list[str]()

    def all_are_out() -> bool:
        for one in list(left):
            stage, files, connection = one
            if is_open(connection):
                continue
            left.remove(one)
            assert isinstance(stage.device(files, connection.client_id).connect(stage.endpoint), ConnectRefusal)
            seconds.append(time.monotonic() - ordered_at)
            ended = stage.account.client("iot-data").get_connection(clientId=connection.client_id)
            reasons.append(ended["disconnectReason"])
        return not left

    wait_until(all_are_out, "all connected devices out", seconds=PATIENCE)
    # The local AWS itself ends a session 5 s after its certificate left ACTIVE: on a busy machine, sometimes first.
    assert "API_INITIATED_DISCONNECT" in reasons
    record("why the sessions ended", dict(Counter(reasons)))
    ends = [round(one, 1) for one in sorted(seconds)]
    least, median, most = ends[0], ends[len(ends) // 2], ends[-1]
    record("seconds from the order to a refused CONNECT: least, median, most", (least, median, most))


def test_a_file_of_five_hundred_mixed_lines_takes_out_what_it_names_and_nothing_else(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Record
) -> None:
    stages = (fleet.dev, fleet.prod)
    names = [f"sensor-{number}" for number in range(1001, 1013)]
    stolen, (good,) = fleet.issue(names), fleet.issue(["sensor-1900"])
    for stage in stages:
        fleet.activate(stage, [*stolen, good])
    with ExitStack() as opened:
        connected = [
            (stage, one, opened.enter_context(connect(stage, one, one.certificate.stem)))
            for stage in stages
            for one in stolen[::3]
        ]
        kept = [opened.enter_context(connect(stage, good, "sensor-1900")) for stage in stages]
        decision = fleet.dev.decision(stolen[2].certificate_id)
        assert decision
        digest = stolen[1].certificate_id
        forms = [
            stolen[0].certificate_id,
            ":".join(digest[at : at + 2] for at in range(0, 64, 2)),
            f"0x{decision.serial}",
            str(stolen[3].certificate),
            *names[4:],
        ]
        wrong = ["what is this?", "sensor-8888", "0x77", "a b", str(fleet.cas["factory"].certificate)]
        unknown = [f"{number:064x}" for number in range(1, 500 - len(forms) - len(wrong))]
        lines = [*forms[:6], *wrong[:3], *unknown, *wrong[3:], *forms[6:]]
        pem = stolen[5].certificate.read_text().strip()  # once more, as a block of several lines
        file = tmp_path / "stolen.txt"
        file.write_text("\n".join([*lines, pem]) + "\n", encoding="utf-8")
        order = ("device", "revoke", "--from", str(file), "--note", "stolen", "--yes")

        code, told, said = fleet.say(capsys, *order)
        expected = [lines.index(line) + 1 for line in wrong]
        refused = list(map(str, told["warnings"]))  # type: ignore[call-overload]
        assert (code, [line.partition(" (")[0] for line in refused]) == (1, [f"line {one}" for one in expected]), said
        assert all(fleet.dev.status(one.certificate_id) == "ACTIVE" for one in stolen), "nothing was done"

        ordered_at = time.monotonic()
        code, told, said = fleet.say(capsys, *order, "--despite-problems")
        record_property("seconds until the orders are written", round(time.monotonic() - ordered_at, 1))
        assert (code, told["certificates"]) == (1, len(stolen) + len(unknown)), said
        assert [one["line"] for one in told["problems"]] == expected  # type: ignore[attr-defined]
        assert "500 lines: " in said
        assert all(stage["ordered"] == told["certificates"] for stage in told["stages"])  # type: ignore[attr-defined]

        wait_until_out(connected, ordered_at, record_property)

        def all_are_revoked() -> bool:
            found = {stage.status(one.certificate_id) for stage in stages for one in stolen}
            return found == {"REVOKED"}

        wait_until(all_are_revoked, "all REVOKED in both accounts", seconds=PATIENCE)
        assert all(works(one) for one in kept)
        assert [stage.status(good.certificate_id) for stage in stages] == ["ACTIVE", "ACTIVE"]


def test_two_hundred_devices_of_a_lost_ca_go_out_while_others_come_in_and_stay(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], record_property: Record
) -> None:
    stage = fleet.dev
    lost = fleet.issue([f"sensor-{number}" for number in range(2001, 2201)])
    early, late = (fleet.issue([f"gateway-{first + one}" for one in range(5)], ca="partner") for first in (3001, 3101))
    fleet.activate(stage, lost)
    fleet.activate(stage, early)
    with ExitStack() as opened:

        def stays(one: DeviceFiles) -> Connection:
            return opened.enter_context(connect(stage, one, one.certificate.stem))

        connected = [(stage, one, stays(one)) for one in lost[::25]]
        kept = [stays(one) for one in early]
        ordered_at = time.monotonic()
        code, told, said = fleet.say(
            capsys, "ca", "revoke", "factory", "--devices", "revoke", "--note", "key leaked", "--yes"
        )
        record_property("seconds until the orders are written", round(time.monotonic() - ordered_at, 1))
        assert code == 0, (told, said)
        assert told["stages"][0]["devices"]["ordered"] >= len(lost)  # type: ignore[index]
        kept += [stays(one) for one in late]
        record_property("seconds until the others are in", round(time.monotonic() - ordered_at, 1))
        wait_until_out(connected, ordered_at, record_property)
        (thief,) = fleet.issue(["sensor-6666"])
        assert isinstance(stage.device(thief, "sensor-6666").connect(stage.endpoint), ConnectRefusal)
        assert stage.status(thief.certificate_id) == "not registered"

        def all_are_revoked() -> bool:
            return {stage.status(one.certificate_id) for one in lost} == {"REVOKED"}

        wait_until(all_are_revoked, "all REVOKED", seconds=PATIENCE)
        record_property("seconds until all 200 are REVOKED", round(time.monotonic() - ordered_at, 1))
        assert all(works(one) for one in kept)
    code, told, said = fleet.say(capsys, "ca", "revoke", "factory", "--devices", "revoke", "--yes")
    assert (code, told["stages"][0]["devices"]["planned"]) == (0, 0), (told, said)  # type: ignore[index]
    code, told, said = fleet.say(capsys, "ca", "revoke", "factory", "--lift", "--note", "after the test", "--yes")
    assert code == 0, (told, said)
