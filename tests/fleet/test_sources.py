"""Sources of certificates registered without a CA: `[registered.<name>]`, and the rules that they become."""

import pytest

from jitr.rules import CheckMode, Rules, is_source, source_id
from tests.support.fleet.drafts import Draft

SOURCE = """
[registered.maker]
common_name = "0123[0-9A-F]{14}"
thing_type = "gateway"
policy = "device.json"
[registered.maker.checks]
extensions = "observe"
"""


@pytest.fixture
def drawn(draft: Draft) -> Draft:
    """The valid fleet, with a source in its first account."""
    draft.text = draft.text.replace("[account.prod]", f"registered.maker = {{}}\n{SOURCE}\n[account.prod]")
    return draft


def test_a_source_becomes_rules_in_the_accounts_that_have_it(drawn: Draft) -> None:
    fleet = drawn.load()
    dev, prod = fleet.accounts
    rules = fleet.rules(dev, dev.regions[0])
    (source,) = rules.sources
    assert (source.name, source.certificate_id, source.policy) == ("maker", "registered.maker", "jitr-acme--maker")
    assert source.mode_of("extensions") is CheckMode.OBSERVE
    assert source.mode_of("validity") is CheckMode.ENFORCE
    assert [source.mode_of(check) for check in ("issuance", "revocation")] == [CheckMode.OFF] * 2
    assert rules.ca(source_id("maker")) is source
    assert rules.origins == (*rules.cas, source)
    assert Rules.from_json(rules.to_json()) == rules
    assert fleet.rules(prod, prod.regions[0]).sources == ()


def test_no_certificates_id_is_taken_for_a_source() -> None:
    assert is_source(source_id("maker"))
    assert not is_source("ab" * 32)
    assert not is_source(None)


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ('policy = "device.json"\n[reg', 'succeeds = "factory"\n[reg', "is not a key of fleet.toml"),
        ('extensions = "observe"', 'issuance = "observe"', "is not a key of fleet.toml"),
        ('common_name = "0123[0-9A-F]{14}"\n', "", "common_name"),
        ("registered.maker = {}\n", "registered.makers = {}\n", "names a source that is not in this file"),
        ("registered.maker = {}\n", "", "is in no account"),
        ('policy = "device.json"\n[reg', 'policy = "gone.json"\n[reg', "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(drawn: Draft, written: str, instead: str, said: str) -> None:
    assert drawn.text.count(written) >= 1
    drawn.text = drawn.text.replace(written, instead)
    assert any(said in message for _, message in drawn.problems()), drawn.problems()


SOURCE_ALONE = """
[fleet]
name = "acme"
[registered.maker]
common_name = "sensor-[0-9]+"
[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
registered.maker = {}
"""


def test_a_fleet_may_have_sources_and_no_ca(draft: Draft) -> None:
    draft.text = SOURCE_ALONE
    fleet = draft.load()
    (account,) = fleet.accounts
    assert (fleet.cas, account.cas, [one.name for one in account.sources]) == ((), (), ["maker"])
    rules = fleet.rules(account, "eu-central-1")
    assert [one.name for one in rules.origins] == ["maker"]


def test_an_account_needs_a_ca_or_a_source(draft: Draft) -> None:
    draft.text = (
        SOURCE_ALONE
        + """
[account.prod]
id = "222222222222"
regions = ["eu-central-1"]
"""
    )
    ((_, said),) = draft.problems()
    assert said.startswith("account.prod.ca is missing; add ca.factory = ")
    assert "or registered.maker = {}" in said


def test_a_source_and_a_ca_have_two_names(drawn: Draft) -> None:
    drawn.text = drawn.text.replace("registered.maker", "registered.factory")
    assert any("registered.factory has the name of ca.factory" in message for _, message in drawn.problems())


def test_a_source_is_provisioned_with_what_the_stack_makes(drawn: Draft) -> None:
    fleet = drawn.load()
    dev, prod = fleet.accounts
    assert [one.name for one in dev.origins] == ["factory", "maker"]
    assert [one.name for one in prod.origins] == ["factory"]
