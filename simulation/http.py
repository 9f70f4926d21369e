"""HTTP responses as botocore takes them from urllib3."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import AWSResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.awsrequest import AWSPreparedRequest, HTTPHeaders


class _Raw(BytesIO):
    """The body, as urllib3's response gives it: at once, or to be read by the caller."""

    def stream(self, **_: Any) -> "Iterator[bytes]":
        yield self.read()


def response(url: str, status: int, body: bytes, **headers: str) -> AWSResponse:
    """A response; headers are in lower case."""
    # A plain dict is what botocore's own stubber gives too.
    return AWSResponse(url, status, cast("HTTPHeaders", {"x-amzn-requestid": "simulated", **headers}), _Raw(body))


def header(request: "AWSPreparedRequest", name: str) -> str:
    """A header that a request has."""
    value = request.headers[name]
    return value.decode() if isinstance(value, bytes) else str(value)
