"""A wrong pattern is deployed, and mended: nobody is lost, nobody is let in who was taken away; by the real stack.

And under the right pattern, a flood of devices that it refuses, among good ones.
"""

from collections.abc import Iterator

import pytest

from jitrctl.__main__ import main
from tests.support.e2e.wrong_rule import RIGHT, WRONG, Devices, alarm_state, ask_status, mend
from tests.support.local.deployed import Deployed, deployed

REASON = "COMMON_NAME_REFUSED"
ALARM = "jitr-acme--rules-refuse-many--factory"
# A refusal is counted before it is carried out, and twice where its function failed in between.
REJECTED = range(15, 21)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with (
        pytest.MonkeyPatch.context() as environ,
        deployed(tmp_path_factory.mktemp("wrong"), lambda text: text.replace(RIGHT, WRONG, 1)) as fleet,
    ):
        for name, file in (("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")):
            environ.setenv(name, str(fleet.workspace.directory / file))
        yield fleet


def test_sixty_devices_under_a_wrong_pattern_come_up_but_for_one_that_is_taken_away(
    fleet: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"sensor-{4000 + number}" for number in range(60)]
    devices = Devices(fleet, names)
    assert alarm_state(fleet, ALARM) != "ALARM"
    devices.connect(names)
    devices.decided()
    rejected, held = devices.of("INACTIVE", names), devices.of("PENDING_ACTIVATION", names)
    assert len(rejected) in REJECTED
    assert len(held) == len(names) - len(rejected)

    assert alarm_state(fleet, ALARM) == "ALARM"
    code, brakes = ask_status(fleet, capsys)
    assert (code, set(brakes)) == (1, {"factory"})
    assert brakes["factory"]["reason"] == REASON
    assert brakes["factory"]["refused"] > 20

    taken, *others = rejected
    fleet.run("device", "deactivate", devices.by_name[taken].certificate_id, "--yes", "--note", "stolen")
    mend(fleet)
    devices.until("ACTIVE", held)
    assert devices.statuses(rejected) == {"INACTIVE": len(rejected)}
    assert ask_status(fleet, capsys) == (0, {})

    words = ["device", "release", "--rejected-for", REASON, "--would-be-admitted", "--yes", "--note", "pattern"]
    code, told = fleet.ask(capsys, *words)
    assert (code, told["found"], told["ordered"]) == (0, len(rejected), len(others)), told
    devices.until("ACTIVE", others)
    assert devices.status(taken) == "INACTIVE"
    devices.come_in(others[0])
    devices.come_in(held[0])
    devices.connect([taken])
    where = ["--account", fleet.local.name, "--fleet", str(fleet.workspace.fleet_file)]
    assert main(["device", "release", "--rejected-for", REASON, "--dry-run", *where]) == 0


def test_a_flood_of_bad_devices_among_good_ones_is_kept_out_and_the_good_come_in(
    fleet: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    mend(fleet)
    good = [f"sensor-{5000 + number}" for number in range(20)]
    bad = [f"badger-{5000 + number}" for number in range(40)]
    devices = Devices(fleet, [*good, *bad])
    for number, name in enumerate(good):  # one good device between two bad ones
        devices.connect([*bad[2 * number : 2 * number + 2], name])
    devices.decided()
    assert devices.statuses(good) == {"ACTIVE": len(good)}
    rejected, held = devices.of("INACTIVE", bad), devices.of("PENDING_ACTIVATION", bad)
    assert len(rejected) in REJECTED
    assert len(held) == len(bad) - len(rejected)
    code, brakes = ask_status(fleet, capsys)
    assert (code, set(brakes)) == (1, {"factory"})
    assert "badger" in brakes["factory"]["example"]

    fleet.local.sweep()
    devices.connect(bad)
    for name in (good[0], good[-1]):
        devices.come_in(name)
    assert devices.statuses(bad)["ACTIVE"] == 0

    fleet.run("ca", "accept-rejections", "factory", "--yes", "--note", "not our devices")
    devices.until("INACTIVE", bad)
    assert ask_status(fleet, capsys) == (0, {})
