"""Invokes the hook's function; the only module that invokes a Lambda function.

It invokes once, without a retry, since a hook may record the request. The time limit is below the five seconds of AWS
IoT's own hooks. If Lambda is busy, that is no answer about the device, nor is a missing permission to invoke, which is
an error of the deployment. All other failures hold the device: the detail says what to repair, and the repair takes
longer than the time until the message's next receive.

The client is made for the first CA that needs it, since not every fleet has hooks.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004 -- botocore's own name
    HTTPClientError,
    ReadTimeoutError,
)

from jitr.errors import NotPermitted, Reason, Rejected, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SECONDS_TO_ANSWER = 4
HOOK_CONFIG = Config(
    connect_timeout=1, read_timeout=SECONDS_TO_ANSWER, retries={"mode": "standard", "total_max_attempts": 1}
)
_BUSY = frozenset({"TooManyRequestsException", "ThrottlingException", "ServiceException"})
_LONGEST_ANSWER = 65_536  # bytes


class Hook:
    """The hooks of one account and Region, by their functions' ARNs."""

    def __init__(self, client_in: Callable[[str], "LambdaClient"]) -> None:
        self._client_in = client_in  # by Region
        self._clients: dict[str, LambdaClient] = {}

    def invoke(self, function_arn: str, request: dict[str, Any]) -> object:
        """Invoke the function; return its answer, decoded from JSON.

        Raises Rejected(HOOK_FAILED), Unavailable, NotPermitted.
        """
        region = function_arn.split(":")[3]
        if region not in self._clients:
            self._clients[region] = self._client_in(region)
        try:
            answer = self._clients[region].invoke(FunctionName=function_arn, Payload=json.dumps(request).encode())
            payload = answer["Payload"].read(_LONGEST_ANSWER + 1)
        except ReadTimeoutError as error:
            raise Rejected(Reason.HOOK_FAILED, f"the hook did not answer within {SECONDS_TO_ANSWER} seconds") from error
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _BUSY:
                raise Unavailable(f"Invoke: {code}") from error
            if code == "AccessDeniedException":
                raise NotPermitted("lambda:InvokeFunction", error.response["Error"].get("Message") or code) from error
            raise Rejected(Reason.HOOK_FAILED, f"the hook cannot be invoked: {code}") from error
        except (ConnectionError, HTTPClientError) as error:
            raise Unavailable(f"Invoke: {type(error).__name__}") from error
        return _read(payload, answer.get("FunctionError"))


def _read(payload: bytes, function_error: str | None) -> object:
    if len(payload) > _LONGEST_ANSWER:
        raise Rejected(Reason.HOOK_FAILED, f"the hook answers more than {_LONGEST_ANSWER} bytes")
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Rejected(Reason.HOOK_FAILED, "the hook's answer is not JSON") from error
    if function_error:
        # Only the type: the error's message may hold secrets.
        kind = answer.get("errorType") if isinstance(answer, dict) else None
        raise Rejected(Reason.HOOK_FAILED, f"the hook raised {str(kind or function_error)[:100]!a}")
    return answer
