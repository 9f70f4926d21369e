"""What the edge modules share: how calls are made, and how their errors are sorted.

Every call of AWS leaves here as its answer, as Unavailable when trying again later can succeed, or as botocore's own
error, whose text names the action.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 -- botocore's own name

from jitr.errors import Unavailable

# Short timeouts, since a call that hangs holds a whole batch; retries beneath, since one 5xx is no news.
CLIENT_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})

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
        "InternalServerError",
        "TransactionConflictException",
        "TransactionInProgressException",
        "InternalException",
    }
)
_SERVER_ERROR = 500


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Sort the errors of one call.

    Raises Unavailable; any other ClientError as it came.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _RETRYABLE or http_status >= _SERVER_ERROR:
            raise Unavailable(f"{operation}: {code}") from error
        raise
    except (ConnectionError, HTTPClientError) as error:
        raise Unavailable(f"{operation}: {type(error).__name__}") from error
