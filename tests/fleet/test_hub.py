"""[hub] and a CA's home: what people may write, and what they are told otherwise."""

import pytest

from tests.support.fleet.drafts import Draft


def test_without_the_table_there_is_no_hub_and_every_account_is_a_home(draft: Draft) -> None:
    fleet = draft.load()

    assert fleet.hub is None
    assert fleet.homes().by_ca == {}


@pytest.mark.parametrize(("written", "region"), [("", "eu-central-1"), ('region = "us-east-1"', "us-east-1")])
def test_the_hub_is_an_account_and_one_of_its_regions(draft: Draft, written: str, region: str) -> None:
    draft.text += f'\n[hub]\naccount = "prod"\n{written}\n'
    hub = draft.load().hub

    assert hub
    assert (hub.account_id, hub.region) == ("222222222222", region)


def test_a_home_is_named_as_accounts_are_and_becomes_their_ids(draft: Draft) -> None:
    draft.replace('on_reject = "revoke"', 'home = ["prod"]')

    assert draft.load().homes().by_ca == {"factory": ("222222222222",)}


@pytest.mark.parametrize(
    ("written", "line", "said"),
    [
        ('account = "prdo"', 'account = "prdo"', "which is not an account of this file; did you mean prod?"),
        ('account = "dev"\nregion = "us-east-1"', 'region = "us-east-1"', "where account.dev has no stage"),
        ('region = "eu-central-1"', "[hub]", 'hub.account is missing; add account = "prod"'),
    ],
)
def test_what_cannot_be_is_told_with_its_line(draft: Draft, written: str, line: str, said: str) -> None:
    draft.text += f"\n[hub]\n{written}\n"
    found, problem = draft.problem()

    assert found == draft.line(line)
    assert said in problem


def test_events_cross_no_partition(draft: Draft) -> None:
    draft.text += '\n[hub]\naccount = "prod"\n'
    draft.text += '\n[account.cn]\nid = "333333333333"\nregions = ["cn-north-1"]\nca.factory = { mode = "SNI_ONLY" }\n'

    assert "needs events to cross partitions (aws, aws-cn)" in draft.problem()[1]


def test_a_home_that_is_no_account_or_does_not_know_the_ca_is_told(draft: Draft) -> None:
    draft.replace('on_reject = "revoke"', 'home = ["prdo", "other"]')
    draft.write("other.pem", draft.issuer.__class__("Other CA").certificate())
    draft.replace("[sweep]", '[ca.other]\ncertificate = "other.pem"\ncommon_name = ".*"\n\n[sweep]')
    draft.text += (
        '\n[account.other]\nid = "333333333333"\nregions = ["eu-central-1"]\nca.other = { mode = "SNI_ONLY" }\n'
    )
    said = [problem for _, problem in draft.problems()]

    assert 'ca.factory.home[0] is "prdo", which is not an account of this file; did you mean prod?' in said[0]
    assert 'ca.factory.home[1] is "other", where the CA is not registered' in said[1]
