"""A KMS key of the fleet's own: what is encrypted with it, which keys are refused, and who may use it."""

import json
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from jitr_cdk.asset import ROOT
from jitr_cdk.target import AWS
from jitr_fleet.model import Fleet
from tests.support.fleet.drafts import Draft
from tests.support.infra.fleet_options import EVERYTHING
from tests.support.infra.least_privilege import arn_text, role_statements
from tests.support.infra.synthesis import Stacks, Synthesized

OWN_KEY = 'kms_key = "arn:aws:kms:eu-central-1:111111111111:key/0123abcd-0000-0000-0000-000000000000"'
# Where each kind of resource that can be encrypted with a key of one's own says which.
ENCRYPTED_BY = {
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::DynamoDB::GlobalTable": ("Replicas", 0, "SSESpecification", "KMSMasterKeyId"),
    "AWS::S3::Bucket": (
        "BucketEncryption",
        "ServerSideEncryptionConfiguration",
        0,
        "ServerSideEncryptionByDefault",
        "KMSMasterKeyID",
    ),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::Lambda::Function": ("KmsKeyArn",),
}


def keys_of(stack: Synthesized) -> list[Any]:
    """The key of each resource that can have one, resolved; None where it has none."""
    found = []
    for kind, path in ENCRYPTED_BY.items():
        for resource in stack.of_type(kind):
            value: Any = resource["Properties"]
            for step in path:
                value = value[step] if isinstance(step, int) else (value or {}).get(step)
            found.append(value and arn_text(value, stack.template.to_json()))
    return found


ALIAS = "arn:<partition>:kms:<region>:<account>:alias/jitr"
ONE_KEY = "arn:<partition>:kms:<region>:<account>:key/0123abcd-0000-0000-0000-000000000000"
MANY_REGIONS = "arn:<partition>:kms:<region>:<account>:key/mrk-0123456789abcdef0123456789abcdef"
# The table in docs/fleet.md, "A key of your own", row by row: how the key is written for an account, and whether the
# functions' environments are under it; the queues, tables, bucket and logs always are.
KEY_TABLE = [
    ("alias, own account", "dev", ALIAS, False),
    ("alias, own account", "prod", ALIAS, False),
    ("key, own account", "dev", ONE_KEY, True),
    ("multi-Region key, own account", "prod", MANY_REGIONS, True),
]
ACCOUNTS = ("own account", "another account")
FOREIGN = "333333333333"


def with_key(draft: Draft, account: str, written: str) -> Fleet:
    draft.replace(f"[account.{account}]", f'[account.{account}]\nkms_key = "{written}"')
    return draft.load()


@pytest.mark.parametrize(("row", "account", "written", "environments"), KEY_TABLE)
def test_what_a_key_encrypts_is_what_the_table_says(
    draft: Draft,
    row: str,
    account: str,
    written: str,
    environments: bool,  # noqa: FBT001 -- a row of the table
) -> None:
    fleet = with_key(draft, account, written)
    one = next(one for one in fleet.accounts if one.name == account)
    for region in one.regions:
        stack = Stacks(fleet, AWS)[f"{account}/{region}"]
        arn = written.replace("<partition>", "aws").replace("<region>", region).replace("<account>", one.id)
        keys = keys_of(stack)
        functions, others = keys[-3:], keys[:-3]
        assert others == [arn] * 11, "five queues, two tables, the bucket, three logs"
        assert functions == [arn if environments else None] * 3
    assert f"| {row} |" in (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


REFUSED_KEYS = [
    ("alias, another account", f"arn:aws:kms:<region>:{FOREIGN}:alias/jitr"),
    ("key, another account", f"arn:aws:kms:<region>:{FOREIGN}:key/0123abcd-0000-0000-0000-000000000000"),
    ("multi-Region key, another account", f"arn:aws:kms:<region>:{FOREIGN}:key/mrk-{'0' * 32}"),
]


def test_every_row_of_the_table_of_keys_is_synthesized_or_refused_here() -> None:
    page = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    section = page.partition("## A key of your own")[2].partition("\n## ")[0]
    rows = {line.split("|")[1].strip() for line in section.splitlines() if "account |" in line}

    assert rows == {row for row, *_ in KEY_TABLE} | {row for row, _ in REFUSED_KEYS}
    assert rows == {f"{written}, {of}" for written in ("alias", "key", "multi-Region key") for of in ACCOUNTS}


@pytest.mark.parametrize(("row", "written"), REFUSED_KEYS)
def test_a_key_of_another_account_is_refused_as_the_table_says(draft: Draft, row: str, written: str) -> None:
    draft.replace("[account.dev]", f'[account.dev]\nkms_key = "{written}"')
    assert "stages in 111111111111 use it" in draft.problem()[1]
    assert f"| {row} | refused" in (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


def test_no_property_that_takes_a_keys_arn_alone_gets_an_alias(everything: Stacks) -> None:
    """By CloudFormation's schemas, whose format says which properties take an alias too."""
    stack = everything["prod/us-east-1"]
    aliased: set[str] = set()
    for kind, path in ENCRYPTED_BY.items():
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        takes_alias = "Alias" in json.dumps(
            schema["properties"][path[0]] if len(path) == 1 else schema["definitions"], default=str
        )
        for resource in stack.of_type(kind):
            if ":alias/" in json.dumps(resource["Properties"]):
                aliased.add(kind)
                assert takes_alias, kind
    assert aliased == ENCRYPTED_BY.keys() - {"AWS::Lambda::Function"}


def test_without_a_choice_nothing_asks_kms(production: Synthesized) -> None:
    assert set(keys_of(production)) == {None}
    assert "kms:" not in json.dumps(production.template.to_json())


def test_an_account_may_have_a_key_of_its_own(draft: Draft) -> None:
    draft.text += EVERYTHING
    draft.replace('profile = "acme-dev"', f'profile = "acme-dev"\n{OWN_KEY}')
    stack = Stacks(draft.load(), AWS)["dev/eu-central-1"]

    assert set(keys_of(stack)) == {OWN_KEY.partition('"')[2].rstrip('"')}
    for statement in stack.statements("UseKey"):
        assert "Condition" not in statement
        assert arn_text(statement["Resource"], {}) in keys_of(stack)


def test_roles_use_the_key_for_what_they_do_and_by_its_alias_alone(everything: Stacks) -> None:
    stack = everything["prod/us-east-1"]
    roles = {role: statement for role, statement in role_statements(stack) if statement["Sid"] == "UseKey"}

    assert {role.rstrip("0123456789ABCDEF"): one["Action"] for role, one in roles.items()} == {
        "RegistrationRegisterRole": ["kms:Decrypt", "kms:GenerateDataKey"],
        "RegistrationRuleRole": ["kms:Decrypt", "kms:GenerateDataKey"],
        "RevocationRevokeRole": "kms:Decrypt",
        "SweepingSweepRole": ["kms:Decrypt", "kms:GenerateDataKey"],
    }
    for one in roles.values():
        assert arn_text(one["Resource"], {}).endswith(":key/*")
        assert one["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/jitr"}}
