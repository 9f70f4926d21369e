"""Makes HTTP responses in the form in which botocore gets them from urllib3."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import AWSResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.awsrequest import AWSPreparedRequest, HTTPHeaders


class _Raw(BytesIO):
    """A response's body with urllib3's interface: read at once, or as a stream."""

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
