"""Lists certificates page by page, with one call per page, made on demand."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from jitr.errors import StaleMarker
from jitr.frozen import value
from jitr.iot_models import ListedCertificate, Status

MOST_ON_PAGE = 250  # ListCertificates, ListCertificatesByCA


@value
class Page:
    """One page of certificates, and the marker of the next page; None: it is the last."""

    certificates: tuple[ListedCertificate, ...]
    next_marker: str | None


def pages(list_page: Callable[..., Mapping[str, Any]], marker: str | None) -> Iterator[Page]:
    """Yield the pages from a marker on; without a marker, all pages.

    Raises StaleMarker, and what `list_page` raises.
    """
    while True:
        try:
            answer = list_page(**({"marker": marker} if marker else {}))
        except ClientError as error:
            if marker is None or error.response["Error"]["Code"] != "InvalidRequestException":
                raise
            raise StaleMarker(f"{error.operation_name} refuses its marker: {error}") from error
        marker = answer.get("nextMarker")
        yield Page(
            certificates=tuple(
                ListedCertificate(
                    certificate_id=one["certificateId"],
                    status=Status(one["status"]),
                    created_at=one["creationDate"],
                )
                for one in answer["certificates"]
            ),
            next_marker=marker,
        )
        if not marker:
            return
