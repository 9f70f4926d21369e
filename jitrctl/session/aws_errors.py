"""Explains AWS's errors in one sentence each, with what to do next."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 -- botocore's own name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)

from jitr.errors import NotPermitted

_ACTION = "JitrctlAction"
_IAM_SERVICES = {"monitoring": "cloudwatch", "iotdata": "iot"}
_IAM_NAMES = {"lambda:Invoke": "lambda:InvokeFunction"}
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9]+)")

DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ForbiddenException",  # the IoT data plane's
        "UnauthorizedException",
        "UnauthorizedOperation",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN_KEYS = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"}
)
THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled"}
)
_STACK_MISSING = frozenset(
    {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "com.amazonaws.sqs#QueueDoesNotExist"}
)
# In the message of an AccessDenied of STS: the code, or something else about MFA, such as the device, is wrong.
_CODE_REFUSED = "invalid MFA one time pass code"
_MFA_REFUSED = "MultiFactorAuthentication failed"
_RENEW = "renew them the way you got them, for instance `aws sso login`"


def name_the_action(**event: Any) -> None:
    """Handle botocore's `after-call`: add the failed IAM action to an error, since a ClientError does not have it."""
    parsed, model = event["parsed"], event["model"]
    if "Error" in parsed:
        service = model.service_model.signing_name
        action = f"{_IAM_SERVICES.get(service, service)}:{model.name}"
        parsed["Error"][_ACTION] = _IAM_NAMES.get(action, action)


def explain(error: Exception) -> str:
    """An error of botocore as one sentence without a full stop; for NotPermitted, of its cause."""
    if isinstance(error, NotPermitted) and isinstance(error.__cause__, ClientError):
        error = error.__cause__
    if isinstance(error, ClientError):
        return _explain_client_error(error)
    said = _one_line(error)
    match error:
        case ProfileNotFound():
            said = f"{said}: add the profile to your AWS configuration, or correct it in the fleet file"
        case NoCredentialsError() | PartialCredentialsError():
            said = "there are no credentials: name a profile in the fleet file, or set them in the environment"
        case RefreshWithMFAUnsupportedError():
            # botocore asks for a code once; a refused code is reported by `profiles`.
            said = "the credentials from an MFA code have expired: run it again, and enter another code"
        case SSOError() | TokenRetrievalError() | CredentialRetrievalError():
            said = f"the credentials cannot be had ({said}): {_RENEW}"
        case ConnectionError() | HTTPClientError():
            said = f"it cannot be reached ({said}): see to the network or the endpoint, then try again"
        case BotoCoreError():
            pass
        case _:
            said = f"a fault of jitrctl itself ({type(error).__name__}: {said}): please report it"
    return said


def wants_another_code(error: Exception) -> bool:
    """Whether AWS refused an MFA code, or the credentials of a code have expired."""
    if isinstance(error, ClientError):
        code, said = error.response["Error"].get("Code"), str(error.response["Error"].get("Message"))
        return _CODE_REFUSED in said or (code == "ValidationError" and "tokenCode" in said)
    return isinstance(error, RefreshWithMFAUnsupportedError)


def is_missing(error: ClientError) -> bool:
    """Whether AWS answered that the resource does not exist."""
    code = error.response["Error"].get("Code", "")
    return code in _STACK_MISSING or code in ("ResourceNotFoundException", "NoSuchEntity")


def _explain_client_error(error: ClientError) -> str:
    code = error.response["Error"].get("Code", "")
    said = error.response["Error"].get("Message") or code
    action = str(error.response["Error"].get(_ACTION, error.operation_name))
    if code in DENIED:
        return _explain_denied(said, action)
    if code in _EXPIRED:
        return f"the credentials have expired: {_RENEW}"
    if code in _UNKNOWN_KEYS:
        return f"AWS does not know the credentials ({code}): {_RENEW}"
    if code in THROTTLED:
        return f"AWS throttles {action}, after several attempts: try again in a minute"
    if code in _STACK_MISSING or (
        code == "ResourceNotFoundException" and action.partition(":")[0] in ("dynamodb", "lambda")
    ):
        return f"what the stack makes is not there ({action}: {_one_line(said)}): deploy it first"
    return f"{action}: {_one_line(said)}"


def _explain_denied(said: str, action: str) -> str:
    if _MFA_REFUSED in said:  # no permission is missing; AWS says what to verify
        return _one_line(said).rstrip(".")
    named = _NOT_AUTHORIZED.search(said)
    return f"{named[1] if named else action} is not allowed: have it added to the permissions of who you are there"


def _one_line(said: object) -> str:
    return " ".join(str(said).split())
