"""AWS's errors in one sentence, with the next thing to do."""

from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, SSOTokenLoadError
from botocore.stub import Stubber

from jitrctl.session.aws_errors import explain, name_the_action


@cache
def client_of(service: str) -> Any:
    """One of jitrctl's clients, which name the action that is not allowed."""
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-central-1")
    client: Any = session.client(service)  # type: ignore[call-overload]
    client.meta.events.register("after-call", name_the_action)
    return client


def refusal(code: str, message: str = "", service: str = "iot", operation: str = "describe_certificate") -> ClientError:
    """What a client raises, with what `name_the_action` adds."""
    client = client_of(service)
    parameters: dict[str, Any] = {
        "describe_certificate": {"certificateId": "a" * 64},
        "invoke": {"FunctionName": "f"},
        "list_metrics": {},
    }
    with Stubber(client) as stub:
        stub.add_client_error(operation, service_error_code=code, service_message=message)
        with pytest.raises(ClientError) as raised:
            getattr(client, operation)(**parameters[operation])
    return raised.value


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            refusal("AccessDeniedException", "User: arn:x is not authorized to perform: iot:Y on resource: z"),
            "iot:Y is not allowed: have it added",
        ),
        (refusal("AccessDeniedException"), "iot:DescribeCertificate is not allowed"),
        (refusal("AccessDenied", "", "lambda", "invoke"), "lambda:InvokeFunction is not allowed"),
        (refusal("AccessDenied", "", "cloudwatch", "list_metrics"), "cloudwatch:ListMetrics is not allowed"),
        (
            refusal("AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify x."),
            "MultiFactorAuthentication failed, unable to validate MFA code. Please verify x",
        ),
        (refusal("ExpiredTokenException"), "the credentials have expired: renew them"),
        (refusal("UnrecognizedClientException"), "AWS does not know the credentials (UnrecognizedClientException)"),
        (refusal("ThrottlingException"), "AWS throttles iot:DescribeCertificate, after several attempts: try again"),
        (refusal("ResourceNotFoundException", "", "lambda", "invoke"), "what the stack makes is not there"),
        (refusal("ResourceNotFoundException", "no such\ncertificate"), "iot:DescribeCertificate: no such certificate"),
        (NoCredentialsError(), "there are no credentials: name a profile in the fleet file"),
        (SSOTokenLoadError(error_msg="old"), "the credentials cannot be had (Error loading SSO Token: old): renew"),
        (EndpointConnectionError(endpoint_url="http://x"), "it cannot be reached (Could not connect to the endpoint"),
    ],
)
def test_an_error_is_one_sentence_that_says_what_to_do(error: Exception, sentence: str) -> None:
    assert explain(error).startswith(sentence)
    assert "\n" not in explain(error)
