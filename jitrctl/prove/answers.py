"""Makes a call that may be refused, and returns its answer as probes report it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitrctl.session.aws_errors import DENIED, THROTTLED

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED = "accepted"


def try_call(call: Callable[[], object]) -> str:
    """Make a call; returns the code of the error that AWS answers, or ACCEPTED.

    Raises botocore's errors if the answer is missing permissions, throttling or a failure of AWS.
    """
    try:
        call()
    except ClientError as error:
        code = str(error.response["Error"].get("Code"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in DENIED or code in THROTTLED or status >= 500:  # noqa: PLR2004 -- AWS's own failure
            raise
        return code
    return ACCEPTED
