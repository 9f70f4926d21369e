"""A stage's stack as it is deployed: which CAs are its own, and its template."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from jitrctl.errors import Refused
from jitrctl.session import cloudformation
from jitrctl.session.stage import Stage


def stage(*, resources: Any = (), template: Any = None, refused: ClientError | None = None) -> Stage:
    """A stage of which only its stack is asked."""

    def answer(said: Any) -> Any:
        if refused:
            raise refused
        return said

    client = SimpleNamespace(
        get_template=lambda **_: answer({"TemplateBody": template}),
        get_paginator=lambda _: SimpleNamespace(
            paginate=lambda **_: [answer({"StackResourceSummaries": [one]}) for one in resources or [{}]]
        ),
    )
    access = SimpleNamespace(client=lambda _: client)
    return cast("Stage", SimpleNamespace(access=access, names=SimpleNamespace(stack="jitr-acme")))


def resource(kind: str, physical: str, status: str) -> dict[str, str]:
    return {"ResourceType": kind, "PhysicalResourceId": physical, "ResourceStatus": status}


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "ListStackResources")


GONE = refusal("ValidationError", "Stack with id jitr-acme does not exist")


def test_the_cas_of_a_stack_are_those_that_it_has_registered_and_not_those_that_it_failed_to() -> None:
    kind = "AWS::IoT::CACertificate"
    found = cloudformation.list_registered_cas(
        stage(
            resources=[
                resource("AWS::SQS::Queue", "queue", "CREATE_COMPLETE"),
                resource(kind, "a" * 64, "CREATE_COMPLETE"),
                resource(kind, "b" * 64, "UPDATE_COMPLETE"),
                resource(kind, "c" * 64, "CREATE_FAILED"),
                resource(kind, "d" * 64, "DELETE_COMPLETE"),
                resource(kind, "e" * 64, "DELETE_SKIPPED"),
            ]
        )
    )
    assert found == {"a" * 64, "b" * 64}


def test_a_stack_that_is_not_deployed_has_none() -> None:
    assert cloudformation.list_registered_cas(stage(refused=GONE)) == frozenset()
    assert cloudformation.template(stage(refused=GONE)) is None


@pytest.mark.parametrize("ask", [cloudformation.list_registered_cas, cloudformation.template])
def test_a_stack_that_may_not_be_looked_at_is_not_taken_for_a_missing_one(ask: Callable[[Stage], Any]) -> None:
    with pytest.raises(ClientError):
        ask(stage(refused=refusal("AccessDenied", "not authorized to perform cloudformation:ListStackResources")))


@pytest.mark.parametrize("template", ['{"Resources": {}}', {"Resources": {}}])
def test_a_template_is_read_as_text_and_as_boto3_reads_it(template: Any) -> None:
    assert cloudformation.template(stage(template=template)) == {"Resources": {}}


@pytest.mark.parametrize("template", ["Resources: {}", ""])
def test_a_template_that_is_none_of_the_cdks_is_told(template: str) -> None:
    with pytest.raises(Refused, match="was not deployed by `cdk deploy`"):
        cloudformation.template(stage(template=template))
