"""Least privilege, second proof: what our code calls, held against the roles of the production template.

The functions run in the simulation, every call is allowed or denied by the very statements that the stack would deploy,
and the resources are those that AWS checks (service authorization reference), which the local AWS does not in every
case. So this is our reading of IAM, not IAM itself: actions and ARNs, no conditions, of which these roles have none.

    enough       every path ends as it should under the roles as they are
    no more      every action that a role allows is used by a path, by AWS itself, or by Lambda's log
    needed       without any one of them, the path that uses it fails, and what fails it names the action
"""

from collections.abc import Mapping

import pytest

from jitr_cdk.target import AWS
from simulation.clock import START
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.least_privilege import arn_text, as_list
from tests.support.infra.synthesis import Stacks
from tests.support.infra.ways import ACCOUNT, REGION, ROLES, WAYS, Allowed, Needed, Way, play
from tests.support.survival.scenario_world import authority

# What AWS does in a function's role: the event source mapping (Lambda guide, "Amazon SQS permissions"), and the log.
BY_AWS = {
    "register": {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    },
    "sweep": {"logs:CreateLogStream", "logs:PutLogEvents"},
    "revoke": {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    },
}
# Without these a session is not ended, which fails nothing: AWS ends it within minutes.
NOT_FAILING = {
    ("revoke", f"iot:{one}")
    for one in ("DeleteConnection", "GetConnection", "ListPrincipalThings", "ListThingPrincipals")
}


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Allowed:
    """What the roles of the production template allow, for the fleet of the simulated account."""
    draft = Draft(tmp_path_factory.mktemp("fleet"), Issuer())
    draft.write("factory.pem", authority().pem.encode())
    draft.replace('thing_groups = ["factory-1", "sensors"]', 'thing_groups = ["group"]')
    draft.give_extras()
    draft.replace('{ mode = "DEFAULT", verification_certificate = "dev.pem" }', '{ mode = "SNI_ONLY" }')
    stack = Stacks(draft.load(now=START), AWS)[f"dev/{REGION}"]
    template = stack.template.to_json()
    names = {
        logical_id: resource["Properties"][key]
        for kind, key in (
            ("AWS::SQS::Queue", "QueueName"),
            ("AWS::DynamoDB::GlobalTable", "TableName"),
            ("AWS::S3::Bucket", "BucketName"),
        )
        for logical_id, resource in stack.template.find_resources(kind).items()
    }
    roles: dict[str, list[Needed]] = {}
    for caller, prefix in ROLES.items():
        (role,) = (
            one for name, one in template["Resources"].items() if name.startswith(prefix) and "Role" in one["Type"]
        )
        roles[caller] = [
            (action, _named(arn_text(arn, template), names))
            for policy in role["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            for action in as_list(statement["Action"])
            for arn in as_list(statement["Resource"])
        ]
    return roles


def _named(arn: str, names: Mapping[str, str]) -> str:
    """The ARN with physical names in place of logical ids, in the simulated account."""
    for logical_id, name in names.items():
        arn = arn.replace(logical_id, name)
    return arn.replace("222222222222", ACCOUNT)


@pytest.fixture(scope="module")
def used(allowed: Allowed) -> dict[tuple[str, str], Way]:
    """Every action that some way uses in a role, with the first way that does."""
    found: dict[tuple[str, str], Way] = {}
    for way in WAYS:
        iam, said = play(way, allowed)
        assert iam.denied == [], f"{way}: {said}"
        for one in iam.used:
            found.setdefault(one, way)
    return found


def test_no_role_allows_an_action_that_nothing_uses(allowed: Allowed, used: Mapping[tuple[str, str], Way]) -> None:
    for caller in ROLES:
        by_us = {action for one, action in used if one == caller}
        assert {action for action, _ in allowed[caller]} == by_us | BY_AWS[caller], caller


def test_without_any_one_action_the_way_that_uses_it_fails_and_names_it(
    allowed: Allowed, used: Mapping[tuple[str, str], Way]
) -> None:
    for (caller, action), way in sorted(used.items(), key=lambda one: one[0]):
        without = {**allowed, caller: [one for one in allowed[caller] if one[0] != action]}
        iam, said = play(way, without)
        assert iam.denied, f"{way} does not need {action} in {caller}"
        assert {one.split(" on ")[0] for one in iam.denied} == {f"{caller} {action}"}
        if action not in ("s3:ListBucket", "iot:GetConnection") and (caller, action) not in NOT_FAILING:
            assert f"not authorized to perform: {action}" in said, f"{way}, {caller} without {action}: {said}"


def test_a_resource_that_a_role_does_not_name_is_denied(allowed: Allowed) -> None:
    narrower = {
        **allowed,
        "register": [(a, arn.replace("thinggroup/group", "thinggroup/other")) for a, arn in allowed["register"]],
    }

    iam, said = play(WAYS[0], narrower)

    assert set(iam.denied) == {f"register iot:AddThingToThingGroup on arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/group"}
    assert "not authorized to perform: iot:AddThingToThingGroup" in said


def test_a_role_without_the_entries_table_says_so_though_it_is_read_with_another(allowed: Allowed) -> None:
    action, table = "dynamodb:BatchGetItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/jitr-acme-enrollment"
    assert (action, table) in allowed["register"]

    iam, said = play(WAYS[0], {**allowed, "register": [one for one in allowed["register"] if one != (action, table)]})

    assert set(iam.denied) == {f"register {action} on {table}"}
    assert f"not authorized to perform: {action} on resource: {table}" in said
