"""CAs that the stack registers: the certificate, the proof of possession, the order, and the mode."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from jitr_cdk.target import AWS
from tests.support.fleet.drafts import Draft, Issuer
from tests.support.infra.fleet_options import EVERYTHING
from tests.support.infra.synthesis import Stacks, Synthesized


def by_the_stack(draft: Draft) -> Stacks:
    draft.replace('policy = "device.json"', 'policy = "device.json"\nregistered_by = "stack"')
    return Stacks(draft.load(), AWS)


def test_by_default_no_stack_registers_a_ca(production: Synthesized) -> None:
    assert not production.of_type("AWS::IoT::CACertificate")


def test_an_account_may_say_on_its_own_who_registers_a_ca(draft: Draft) -> None:
    """So that one account's stack can let go of it, to change its mode, and the others' keep it."""
    draft.replace('"dev.pem"', '"dev.pem", registered_by = "jitrctl"')
    stacks = by_the_stack(draft)

    assert not stacks["dev/eu-central-1"].of_type("AWS::IoT::CACertificate")
    assert stacks["prod/us-east-1"].of_type("AWS::IoT::CACertificate")


def test_sni_only_mode_needs_the_public_certificate_alone(draft: Draft) -> None:
    ca = by_the_stack(draft)["prod/us-east-1"].one("AWS::IoT::CACertificate")

    assert ca["CACertificatePem"] == draft.load().cas[0].certificate_pem
    assert (ca["Status"], ca["AutoRegistrationStatus"]) == ("ACTIVE", "ENABLE")
    assert "VerificationCertificatePem" not in ca


def parameter(stack: Synthesized, reference: dict[str, str]) -> dict[str, Any]:
    """The parameter that a property refers to."""
    return dict(stack.template.to_json()["Parameters"][reference["Ref"]])


def test_default_mode_proves_possession_of_the_key_with_what_the_ca_was_first_registered_with(draft: Draft) -> None:
    """AWS IoT asks for it once: a parameter, which later deployments hand on, so that a renewed one changes nothing."""
    stack = by_the_stack(draft)["dev/eu-central-1"]
    proof = parameter(stack, stack.one("AWS::IoT::CACertificate")["VerificationCertificatePem"])

    assert proof["Default"] == draft.load().accounts[0].cas[0].verification_certificate_pem
    assert not {key for key in proof if key.startswith("Allowed")}, "any later one is as good"


def test_another_certificate_under_a_cas_name_is_another_ca_and_inherits_nothing(draft: Draft) -> None:
    first = by_the_stack(draft)["dev/eu-central-1"].template.to_json()
    draft.issuer = Issuer()
    draft.write("factory.pem", draft.issuer.certificate())
    draft.write("dev.pem", draft.issuer.verification())
    second = Stacks(draft.load(), AWS)["dev/eu-central-1"].template.to_json()

    assert len(of_the_ca(first)) == 3
    assert not of_the_ca(first) & of_the_ca(second)


def of_the_ca(template: Mapping[str, Any]) -> set[str]:
    """The logical ids of the CA and of its parameters."""
    cas = {name: one for name, one in template["Resources"].items() if one["Type"] == "AWS::IoT::CACertificate"}
    return {*cas, *(name for name in template["Parameters"] if f'"{name}"' in json.dumps(cas))}


def test_a_ca_under_another_name_is_the_same_one_and_is_not_registered_again(draft: Draft) -> None:
    """With another logical id CloudFormation would register the certificate a second time, in mid-update."""
    first = by_the_stack(draft)["dev/eu-central-1"].template.to_json()
    draft.text = draft.text.replace("ca.factory", "ca.plant")
    second = Stacks(draft.load(), AWS)["dev/eu-central-1"].template.to_json()

    assert len(of_the_ca(first)) == 3
    assert of_the_ca(first) == of_the_ca(second)


def needed_by(resources: Mapping[str, Any], logical_id: str) -> set[str]:
    """Every resource that CloudFormation makes before this one."""
    before: set[str] = set()
    ahead = [logical_id]
    while ahead:
        resource = resources[ahead.pop()]
        named = json.dumps([resource.get("DependsOn", []), resource.get("Properties", {})])
        found = {name for name in resources if f'"{name}"' in named} - before
        before |= found
        ahead += found
    return before


def test_cas_are_registered_after_everything_else_one_after_the_other_and_outlive_the_stack(draft: Draft) -> None:
    """What fails in the operation that registers a CA would have it deleted, with devices in by then."""
    draft.write("other.pem", Issuer("Other CA").certificate())
    other = '[ca.other]\ncertificate = "other.pem"\ncommon_name = ".*"\nregistered_by = "stack"\n'
    draft.replace("[sweep]", f"{other}\n[sweep]")
    draft.replace('profile = "acme-dev"', 'profile = "acme-dev"\nca.other = { mode = "SNI_ONLY" }')
    draft.text += EVERYTHING + '\n[hub]\naccount = "dev"\n'
    resources = by_the_stack(draft)["dev/eu-central-1"].template.to_json()["Resources"]
    cas = {name for name, one in resources.items() if one["Type"] == "AWS::IoT::CACertificate"}

    before = {name: needed_by(resources, name) for name in cas}

    assert sorted(map(len, before.values())) == [len(resources) - 2, len(resources) - 1]
    for name, made in before.items():
        assert made - cas == set(resources) - cas, name
        assert resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resources[name]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize(("stage", "mode"), [("dev/eu-central-1", "DEFAULT"), ("prod/us-east-1", "SNI_ONLY")])
def test_another_mode_is_refused_before_anything_is_touched(draft: Draft, stage: str, mode: str) -> None:
    """The CDK CLI hands the deployed stack's parameters on, and only this stage's mode is allowed."""
    synthesized_stage = by_the_stack(draft)[stage]
    allowed = parameter(synthesized_stage, synthesized_stage.one("AWS::IoT::CACertificate")["CertificateMode"])

    assert (allowed["Default"], allowed["AllowedPattern"]) == (mode, mode)
    assert 'registered_by = "jitrctl"' in allowed["ConstraintDescription"]
    assert "`jitrctl ca switch-mode`" in allowed["ConstraintDescription"]
