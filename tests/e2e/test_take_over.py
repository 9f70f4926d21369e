"""A fleet of five origins is taken over while its devices are connected; then they follow, and one is revoked."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jitrctl.__main__ import main
from tests.support.e2e.old_accounts import (
    EMPTY,
    JITP,
    JITR,
    OF_AWS,
    PROVISIONED,
    WITHOUT_CA,
    OldAccounts,
    old_accounts,
)
from tests.support.e2e.stage_devices import connect, expect_refusal

ALL = (JITP, JITR, WITHOUT_CA, OF_AWS, PROVISIONED)
Ask = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldAccounts]:
    with (
        pytest.MonkeyPatch.context() as environ,
        old_accounts(tmp_path_factory.mktemp("old") / "local") as old,
    ):
        for name, file in (("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")):
            environ.setenv(name, str(old.directory / file))
        yield old


@pytest.fixture
def ask(old: OldAccounts, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: str, code: int = 0) -> dict[str, dict[str, Any]]:
        capsys.readouterr()
        ended = main([*words, "--json", "--fleet", str(old.fleet.workspace.fleet_file)])
        told = capsys.readouterr()
        assert ended == code, told.out + told.err
        return {one["account"]: one for one in json.loads(told.out)["stages"]}

    return run


def test_a_connected_fleet_of_five_origins_is_taken_over_and_goes_on(
    old: OldAccounts, ask: Ask, tmp_path: Path
) -> None:
    survey, plan = str(tmp_path / "all.survey"), tmp_path / "all.plan"
    found = ask("fleet", "survey", survey)["dev"]["certificates"]
    assert sorted((one["origin"], one["ca"], one["number"]) for one in found) == [
        ("JITP", "factory", 1),
        ("JITR", "partner", 1),
        ("fleet provisioning", "-", 1),
        ("issued by AWS", "-", 1),
        ("without a CA", "-", 1),
    ]
    old.deploy()
    planned = ask("fleet", "adopt", "plan", str(plan), "--survey", survey)["dev"]
    assert [planned[name] for name in ("adopt", "review", "cannot", "already")] == [2, 3, 1, 0]
    assert f"# cannot  dev/eu-central-1  {EMPTY}: it has no principal" in plan.read_text()
    text = plan.read_text().replace("\nreview ", "\nadopt  ")
    plan.write_text(text.replace(f"adopt  dev/eu-central-1  {JITP}", f"align  dev/eu-central-1  {JITP}"))

    before = {name: old.policies(name) for name in ALL}
    assert all(old.talks(name) for name in ALL)
    applied = ask("fleet", "adopt", "apply", str(plan), "--note", "factory 1", "--yes")
    assert [(one["adopted"], one["aligned"], one["failed"]) for one in applied.values()] == [(5, 1, []), (1, 0, [])]
    assert [name for name in ALL if not old.talks(name)] == []
    assert {name: old.policies(name) for name in ALL} == before | {JITP: ["jitr-acme--factory"]}
    again = ask("fleet", "adopt", "apply", str(plan), "--yes")
    assert [(one["adopted"], one["already"], one["aligned"]) for one in again.values()] == [(0, 5, 0), (0, 1, 0)]

    follow(old, ask)
    revoke(old, ask)


def follow(old: OldAccounts, ask: Ask) -> None:
    """Each device with a new certificate: under its own CA at once, and where that is another's, by an entry."""
    old.take_template_off()
    for name in (JITP, JITR):
        come_with_a_new_certificate(old, name, "factory" if name == JITP else "partner")
    for name in (WITHOUT_CA, OF_AWS):
        ask("enrollment", "allow", name, "--may-follow", "--account", "dev", "--yes")
        come_with_a_new_certificate(old, name, "factory")


def come_with_a_new_certificate(old: OldAccounts, name: str, ca: str) -> None:
    new = old.fleet.cas[ca].issue(old.directory / "new", name)
    connect(old.stage, new, name).close()
    first = old.certificate_id(name)
    assert old.stage.registry.recall([first])[first].replaced_by == new.certificate_id


def revoke(old: OldAccounts, ask: Ask) -> None:
    """Revoke the device that has no CA to follow to, and the one that lives in both accounts."""
    ask("device", "revoke", PROVISIONED, "--account", "dev", "--note", "stolen", "--yes")
    assert old.stage.status(old.certificate_id(PROVISIONED)) == "REVOKED"
    expect_refusal(old.stage, old.devices[PROVISIONED], PROVISIONED)
    ask("device", "revoke", old.certificate_id(JITP), "--note", "stolen", "--yes")
    for one in (old.fleet, old.prod):
        assert one.local.status(old.certificate_id(JITP)) == "REVOKED"
        expect_refusal(one.local, old.devices[JITP], JITP)
