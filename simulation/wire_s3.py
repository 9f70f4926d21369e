"""S3's HTTP form: the bucket in the host's name, the key in the path, all else in headers; errors in XML."""

from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.http import header, response

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.model import OperationModel


class S3Operation:
    """One operation on an object that is read."""

    def __init__(self, model: "OperationModel") -> None:
        if model.name != "GetObject":
            raise NotModelled(f"S3's {model.name}")
        members = model.input_shape.members if model.input_shape else {}
        self._headers = {
            shape.serialization["name"]: member
            for member, shape in members.items()
            if shape.serialization.get("location") == "header"
        }

    def parameters(self, request: "AWSPreparedRequest") -> Params:
        url = urlsplit(request.url)
        bucket, _, domain = url.netloc.partition(".")
        query = parse_qs(url.query)
        if not domain.startswith("s3.") or query.keys() - {"versionId"}:
            raise NotModelled(f"a request of {url.geturl()}")
        parameters = {"Bucket": bucket, "Key": unquote(url.path.removeprefix("/"))}
        if "versionId" in query:
            parameters["VersionId"] = query["versionId"][0]
        return parameters | {
            member: header(request, name) for name, member in self._headers.items() if name in request.headers
        }

    def answer(self, url: str, answer: Answer) -> "AWSResponse":
        headers = {
            "etag": answer["ETag"],
            "content-length": str(answer["ContentLength"]),
            "x-amz-version-id": answer["VersionId"],
            "last-modified": format_datetime(answer["LastModified"], usegmt=True),
        }
        return response(url, 200, answer["Body"], **headers)

    def error(self, url: str, error: ServiceError) -> "AWSResponse":
        status = error.status or 400
        if status == 304:  # noqa: PLR2004 -- HTTP's "not modified" has no body, and botocore makes its code of it
            return response(url, status, b"")
        body = f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        return response(url, status, body.encode())
