"""Billing groups and first shadows in the stacks: made, kept, and permitted only where a CA's rules give them."""

from jitr_cdk.target import AWS, local
from tests.support.fleet.drafts import Draft
from tests.support.infra.least_privilege import privilege_problems, role_statements
from tests.support.infra.synthesis import Stacks, Synthesized

EXTRAS = {"JoinBillingGroups", "WriteFirstShadows"}


def extra_sids(stack: Synthesized) -> set[str]:
    return {statement["Sid"] for _, statement in role_statements(stack)} & EXTRAS


def test_a_billing_group_is_made_and_kept_and_its_permissions_are_only_where_it_is_given(
    draft: Draft, production: Synthesized
) -> None:
    draft.give_extras()
    stack = Stacks(draft.load(), AWS)["dev/eu-central-1"]
    (group,) = stack.template.find_resources("AWS::IoT::BillingGroup").values()

    assert group["Properties"]["BillingGroupName"] == "costs"
    assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert privilege_problems(stack) == []
    assert extra_sids(stack) == EXTRAS
    assert extra_sids(production) == set()


def test_an_existing_billing_group_is_not_made_and_the_local_aws_has_none(draft: Draft) -> None:
    draft.give_extras()
    assert not Stacks(draft.load(), local())["dev/eu-central-1"].of_type("AWS::IoT::BillingGroup")
    draft.replace('billing_group = "costs"', 'billing_group = "costs"\nexisting = true')
    stack = Stacks(draft.load(), AWS)["dev/eu-central-1"]
    assert not stack.of_type("AWS::IoT::BillingGroup")
    assert extra_sids(stack) == EXTRAS
