"""What the edge modules share: how calls are made, and how their errors are sorted.

Every call of AWS leaves here as its answer, as Unavailable when trying again later can succeed, as NotPermitted when
the deployment lacks a permission, or as botocore's own error, whose text names the action.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import botocore
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 -- botocore's own name

from jitr.errors import NotPermitted, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient

# Short timeouts, since a call that hangs holds a whole batch; retries beneath, since one 5xx is no news.
# The user agent is given because botocore composes its own anew for every call, twice, which is a sixth of what a call
# costs the processor (bench/warm.py).
CLIENT_CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    user_agent=f"jitr Botocore/{botocore.__version__}",
)
# The longest that one call can take: every attempt times out, with back-offs of up to 1 and 2 s between them.
SECONDS_OF_A_HANGING_CALL = 3 * (2 + 3) + 3

# The IoT control plane and DynamoDB answer these with HTTP 400; everything with 5xx is retryable anyway.
_RETRYABLE = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "ServiceUnavailableException",
        "InternalFailureException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "InternalServerError",
        "TransactionConflictException",
        "TransactionInProgressException",
        "InternalException",
        "KmsThrottled",
        "KMS.ThrottlingException",
    }
)
# A permission is missing, a key cannot be used, or the credentials are not accepted. Most come with HTTP 401 or 403;
# DynamoDB and the JSON protocol of SQS say it with 400.
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "NotAuthorized",
        "UnauthorizedException",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_KEY_UNUSABLE = ("KMS", "Kms")
_REFUSED_STATUS = frozenset({401, 403})
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled"}
)
_ERROR, _SERVER_ERROR = 300, 500  # as botocore tells answers apart
_BATCH_GET_TRIES = 4


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Sort the errors of one call.

    Raises Unavailable, NotPermitted; any other ClientError as it came.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _RETRYABLE or http_status >= _SERVER_ERROR:
            raise Unavailable(f"{operation}: {code}") from error
        if is_denied(code) or http_status in _REFUSED_STATUS:
            raise NotPermitted(operation, error.response["Error"].get("Message") or code) from error
        raise
    except (ConnectionError, HTTPClientError) as error:
        raise Unavailable(f"{operation}: {type(error).__name__}") from error


def is_denied(code: str) -> bool:
    """Whether an error code says that the caller may not do this, or not with this key or these credentials."""
    return code not in _RETRYABLE and (code in _DENIED or code.startswith(_KEY_UNUSABLE))


def entry_error(operation: str, code: str | None) -> Unavailable:
    """The error for one entry of a batch call that AWS did not take, by the entry's error code."""
    return NotPermitted(operation, code) if code and is_denied(code) else Unavailable(f"{operation}: {code}")


def try_once(client: "IoTClient", operation: str) -> None:
    """Have a client try one operation only once, and all others as it is configured.

    botocore's `retries` are a whole client's, and a second client would cost 6 to 9 ms of a cold start and a TLS
    connection of its own (measured with botocore 1.43). So botocore's `needs-retry` event is used: it is emitted after
    every attempt, and what a handler raises there ends the call. It is the error with which a single attempt ends.

    To be called after other handlers of this event are registered, or they miss that operation's failures.
    """

    def end(*, operation: Any, response: Any, caught_exception: Exception | None, **_: object) -> None:
        if operation.name != once:
            return
        if caught_exception is not None:
            raise caught_exception
        http, parsed = response
        if http.status_code >= _ERROR:
            raise exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, operation.name)

    once = operation
    exceptions: Any = client.exceptions
    client.meta.events.register("needs-retry.iot", end, unique_id=f"jitr-once-{operation}")


# Why DynamoDB cancels a transaction that can just be made again (TransactWriteItems, CancellationReasons).
PASSING = frozenset({"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


def batch_get(client: "DynamoDBClient", table: str, keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The items with these keys, read consistently; what DynamoDB leaves out at first is asked for again.

    At most 100 distinct keys (BatchGetItem).

    Raises Unavailable.
    """
    items: list[Mapping[str, Any]] = []
    left = list(keys)
    for _ in range(_BATCH_GET_TRIES):
        if not left:
            return items
        with calling("BatchGetItem"):
            answer = client.batch_get_item(RequestItems={table: {"Keys": left, "ConsistentRead": True}})
        items += answer["Responses"].get(table, [])
        unprocessed = answer["UnprocessedKeys"]
        left = list(unprocessed[table]["Keys"]) if table in unprocessed else []
    raise Unavailable("BatchGetItem: UnprocessedKeys")


def is_throttle(response: tuple[object, dict[str, Any]] | None) -> bool:
    """Whether an answer, as botocore's `needs-retry` event hands it over, asks for patience."""
    return response is not None and response[1].get("Error", {}).get("Code") in _THROTTLED


def attempts_of(answer: Mapping[str, Any]) -> tuple[int, int]:
    """How many attempts a call took, and how many of them were throttled, by botocore's answer or error.

    What was tried again, and succeeded or was refused in the end, is taken for throttled: other failures are rare. What
    fails in the end with 5xx says that the service is unwell, and nothing about a quota.
    """
    metadata = answer.get("ResponseMetadata", {})
    attempts = 1 + metadata.get("RetryAttempts", 0)
    code = answer.get("Error", {}).get("Code")
    if code in _THROTTLED:
        return attempts, attempts
    return attempts, 0 if metadata.get("HTTPStatusCode", 0) >= _SERVER_ERROR else attempts - 1
