"""cfn-lint over one template of each shape; `make synth` runs it over every one."""

import json
from typing import Any

import pytest

from jitr_cdk.target import AWS
from tests.support.fleet.drafts import Draft
from tests.support.infra.fleet_options import CHINA_AND_GOVERNMENT, EVERYTHING
from tests.support.infra.lint import lint_findings
from tests.support.infra.synthesis import Stacks


@pytest.mark.parametrize(
    ("stage", "region"),
    [("dev/eu-central-1", "eu-central-1"), ("cn/cn-north-1", "cn-north-1"), ("gov/us-gov-west-1", "us-gov-west-1")],
)
def test_with_everything_chosen_a_template_is_clean(draft: Draft, stage: str, region: str) -> None:
    draft.replace('policy = "device.json"', 'policy = "device.json"\nregistered_by = "stack"')
    draft.give_extras()
    draft.text += CHINA_AND_GOVERNMENT + EVERYTHING

    assert lint_findings(Stacks(draft.load(), AWS)[stage].template.to_json(), region) == []


def test_with_nothing_chosen_a_template_is_clean(production: Any) -> None:
    assert lint_findings(production.template.to_json(), "eu-central-1") == []


def test_without_a_ca_a_template_is_clean_and_no_role_may_do_anything_to_cas(draft: Draft) -> None:
    draft.text = """
[fleet]
name = "acme"
[registered.maker]
common_name = "sensor-[0-9]+"
[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
registered.maker = {}
"""
    template = Stacks(draft.load(), AWS)["dev/eu-central-1"].template.to_json()

    assert lint_findings(template, "eu-central-1") == []
    assert "CACertificate" not in json.dumps(template)


def test_the_local_aws_gets_one_that_is_clean_but_for_its_own_actions(on_local_aws: Any) -> None:
    found = lint_findings(on_local_aws.template.to_json(), "eu-central-1")

    assert all("W3037" in one and "messagebatch" in one for one in found)
    assert len(found) == 2, "the extra statement of each role"


def test_the_linter_sees_what_is_wrong(production: Any) -> None:
    template = production.template.to_json()
    queue = next(one for one in template["Resources"].values() if one["Type"] == "AWS::SQS::Queue")
    queue["Properties"]["MessageRetentionPeriod"] = "for ever"

    assert lint_findings(template, "eu-central-1")
