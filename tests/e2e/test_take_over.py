"""A fleet of five origins is taken over while its devices are connected; then they follow, and one is revoked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from tests.support.e2e.old_accounts import JITP, JITR, OF_AWS, PROVISIONED, WITHOUT_CA, OldAccounts, old_accounts
from tests.support.e2e.stage_devices import connect, expect_refusal
from tests.support.e2e.take_over import PAGE, TERMINAL, TakeOver, as_block, blocks_of, without_ids
from tests.support.e2e.waiting import wait_until

ALL = (JITP, JITR, WITHOUT_CA, OF_AWS, PROVISIONED)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldAccounts]:
    with old_accounts(tmp_path / "local") as old:
        for name, file in (("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")):
            monkeypatch.setenv(name, str(old.directory / file))
        for name, value in TERMINAL.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(old.directory)
        yield old


def test_a_connected_fleet_of_five_origins_is_taken_over_as_the_page_shows_it(old: OldAccounts) -> None:
    before = {name: old.policies(name) for name in ALL}
    assert all(old.talks(name) for name in ALL)
    checks: dict[str, Callable[[], None]] = {
        "apply": lambda: see_no_session_lost(old, before),
        "follow": lambda: see_followed(old, JITP),
        "follow-elsewhere": lambda: see_followed(old, OF_AWS, WITHOUT_CA),
        "revoke": lambda: see_revoked(old),
    }
    page, done, story = blocks_of(PAGE.read_text(encoding="utf-8")), [], TakeOver(old)
    for name, text in story.scenes():
        assert without_ids(as_block(name, text)) == without_ids(page.get(name, "")), "run tools/migrate.py"
        checks.get(name, lambda: None)()
        done.append(name)
    assert done == list(page)

    story.come_with_a_new_certificate(JITR, "partner")
    see_followed(old, JITR)
    revoke_everywhere(old)
    go_on_without_the_stack(old, story)


def see_no_session_lost(old: OldAccounts, before: dict[str, list[str]]) -> None:
    """The connections from before jitr are open, and messages pass; only what was aligned has another policy."""
    assert [name for name in ALL if not old.talks(name)] == []
    assert {name: old.policies(name) for name in ALL} == before | {JITP: ["jitr-acme--factory"]}
    registry = old.stage.registry
    owners = {name: owner.certificate_id for name, owner in registry.owners(ALL).items()}
    assert owners == {name: old.certificate_id(name) for name in ALL}
    origins = [one.origin for one in registry.recall(owners.values()).values()]
    assert sorted(map(str, origins)) == ["JITP", "JITR", "fleet provisioning", "issued by AWS", "without a CA"]


def see_followed(old: OldAccounts, *names: str) -> None:
    for name in names:
        owner, first = old.stage.registry.owner(name), old.certificate_id(name)
        assert owner
        assert owner.certificate_id != first
        assert old.stage.registry.recall([first])[first].replaced_by == owner.certificate_id


def see_revoked(old: OldAccounts) -> None:
    assert old.stage.status(old.certificate_id(PROVISIONED)) == "REVOKED"
    assert not old.sessions[PROVISIONED].is_open
    expect_refusal(old.stage, old.devices[PROVISIONED], PROVISIONED)


def revoke_everywhere(old: OldAccounts) -> None:
    """The first device's old certificate is in both accounts."""
    assert main(["device", "revoke", old.certificate_id(JITP), "--note", "stolen", "--yes"]) == 0
    for one in (old.fleet, old.prod):
        assert one.local.status(old.certificate_id(JITP)) == "REVOKED"
        expect_refusal(one.local, old.devices[JITP], JITP)


def go_on_without_the_stack(old: OldAccounts, story: TakeOver) -> None:
    """The way back: with the stack gone, devices connect as before, those with jitr's policy included."""
    cloudformation, stack = old.fleet.client("cloudformation"), old.stage.names.stack
    cloudformation.delete_stack(StackName=stack)

    def is_gone() -> bool:
        stacks = cloudformation.list_stacks()["StackSummaries"]
        return all(one["StackStatus"] == "DELETE_COMPLETE" for one in stacks if one["StackName"] == stack)

    wait_until(is_gone, "the stack's end")
    for name, files in [*((name, old.devices[name]) for name in (JITR, WITHOUT_CA, OF_AWS)), *story.new.items()]:
        with connect(old.stage, files, name) as session:
            assert session.publish(f"devices/{name}/state", "{}")
