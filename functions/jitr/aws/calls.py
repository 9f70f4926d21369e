"""Configures the AWS clients, and sorts the errors of their calls.

An error of a call becomes Unavailable if a later retry can succeed, and NotPermitted if the deployment lacks a
permission. Any other error stays botocore's, whose text names the action.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import botocore
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 -- botocore's own name

from jitr.errors import NotPermitted, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient

# Timeouts are short, since a hanging call delays a whole batch. botocore retries, since a single 5xx is normal.
# The user agent is fixed because botocore builds it twice for every call, which is a sixth of a call's CPU time
# (bench/warm.py).
CLIENT_CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    user_agent=f"jitr Botocore/{botocore.__version__}",
)
# The longest duration of one call: every attempt times out, with back-offs of up to 1 and 2 s between them.
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
# A permission is missing, a key cannot be used, or the credentials are not accepted. Most come with HTTP 401 or 403,
# those of DynamoDB and of SQS's JSON protocol with 400.
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
_ERROR, _SERVER_ERROR = 300, 500  # the same limits as in botocore
_BATCH_GET_TRIES = 4
MOST_KEYS = 100  # BatchGetItem

_T = TypeVar("_T")


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Sort the errors of one call.

    Raises Unavailable, NotPermitted; any other ClientError unchanged.
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
    """Whether an error code means a missing permission, an unusable key, or refused credentials."""
    return code not in _RETRYABLE and (code in _DENIED or code.startswith(_KEY_UNUSABLE))


def entry_error(operation: str, code: str | None) -> Unavailable:
    """The error for one refused entry of a batch call, by the entry's error code."""
    return NotPermitted(operation, code) if code and is_denied(code) else Unavailable(f"{operation}: {code}")


def try_once(client: "IoTClient", operation: str) -> None:
    """Disable a client's retries for one operation.

    botocore's `retries` apply to a whole client, and a second client would cost 6 to 9 ms of a cold start and another
    TLS connection (measured with botocore 1.43). So this uses botocore's event `needs-retry`: it is emitted after every
    attempt, and an exception of a handler ends the call. The exception is that of a single failed attempt.

    Call it after other handlers of this event are registered; otherwise they miss this operation's failures.
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


# Reasons for which DynamoDB cancels a transaction that can be retried (TransactWriteItems, CancellationReasons).
PASSING = frozenset({"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


def batches(items: Sequence[_T], most: int = MOST_KEYS) -> Iterator[Sequence[_T]]:
    """Split into parts of at most so many items, in order."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


def batch_get(client: "DynamoDBClient", table: str, keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Read the items with these distinct keys consistently, with one BatchGetItem for each hundred.

    Keys that DynamoDB leaves unprocessed are requested again.

    Raises Unavailable.
    """
    return [item for some in batches(keys) for item in batch_get_of_tables(client, {table: some})[table]]


def batch_get_of_tables(
    client: "DynamoDBClient", keys: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[Mapping[str, Any]]]:
    """Read the items with these keys of several tables, at most a hundred in all, with one BatchGetItem.

    Returns the items by table. Each is read consistently and by itself: together they are no snapshot. Keys that
    DynamoDB leaves unprocessed are requested again: if it throttles one table, those of this table alone.

    Raises Unavailable; also when one of the tables fails and the others do not.
    """
    items: dict[str, list[Mapping[str, Any]]] = {table: [] for table in keys}
    left = {table: list(some) for table, some in keys.items() if some}
    for _ in range(_BATCH_GET_TRIES):
        if not left:
            return items
        with calling("BatchGetItem"):
            answer = client.batch_get_item(
                RequestItems={table: {"Keys": some, "ConsistentRead": True} for table, some in left.items()}
            )
        for table in left:
            items[table] += answer["Responses"].get(table, [])
        left = {table: list(request["Keys"]) for table, request in answer["UnprocessedKeys"].items()}
    raise Unavailable(f"BatchGetItem: UnprocessedKeys of {', '.join(left)}")


def is_throttle(response: tuple[object, dict[str, Any]] | None) -> bool:
    """Whether an answer, as passed by botocore's event `needs-retry`, is a throttle."""
    return response is not None and response[1].get("Error", {}).get("Code") in _THROTTLED


def attempts_of(answer: Mapping[str, Any]) -> tuple[int, int]:
    """The number of attempts of a call, and how many were throttled, by botocore's answer or error response.

    A retried attempt counts as throttled, since other failures are rare; but not if the call ends with 5xx, which means
    a failure of the service and says nothing about a quota.
    """
    metadata = answer.get("ResponseMetadata", {})
    attempts = 1 + metadata.get("RetryAttempts", 0)
    code = answer.get("Error", {}).get("Code")
    if code in _THROTTLED:
        return attempts, attempts
    return attempts, 0 if metadata.get("HTTPStatusCode", 0) >= _SERVER_ERROR else attempts - 1
