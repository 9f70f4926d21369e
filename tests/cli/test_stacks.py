"""A stage's stack as it is deployed: which CAs are its own."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from jitrctl import stacks
from jitrctl.stages import Stage
from tests.cases.issuing import Authority


def stage(answer: Any) -> Stage:
    """A stage of which only its stack's template is asked."""

    def get_template(**_: str) -> dict[str, Any]:
        if isinstance(answer, Exception):
            raise answer
        return {"TemplateBody": answer}

    access = SimpleNamespace(client=lambda _: SimpleNamespace(get_template=get_template))
    return cast("Stage", SimpleNamespace(access=access, names=SimpleNamespace(stack="jitr-acme")))


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetTemplate")


@pytest.mark.parametrize("as_text", [False, True])
def test_the_cas_of_a_stack_are_those_whose_certificate_its_template_has(ca: Authority, *, as_text: bool) -> None:
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Ca": {"Type": "AWS::IoT::CACertificate", "Properties": {"CACertificatePem": ca.pem}},
        }
    }
    assert stacks.cas(stage(json.dumps(template) if as_text else template)) == {ca.certificate_id}


def test_a_stack_that_is_not_deployed_has_none() -> None:
    assert stacks.cas(stage(refusal("ValidationError", "Stack with id jitr-acme does not exist"))) == frozenset()


def test_a_stack_that_may_not_be_looked_at_is_not_taken_for_a_missing_one() -> None:
    with pytest.raises(ClientError):
        stacks.cas(stage(refusal("AccessDenied", "not authorized to perform cloudformation:GetTemplate")))
