"""Adds `lastModifiedDate`, when a certificate's status was last set, to the local AWS's DescribeCertificate.

Loaded by loopback.py into ministack's process, never by jitrctl itself. AWS answers it; ministack (1.5.33) does not
keep it. `register` takes a rejection back only if this date shows that the status was not set since (jitr/record.py).
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core.responses import json_response
from ministack.services import iot

_PREFIX = "/certificates/"
_DATE = "lastModifiedDate"

_handle_certificate = iot._handle_certificate  # noqa: SLF001 -- ministack offers no other way in


def install() -> None:
    """Replace ministack's handler of `/certificates/…`."""
    iot._handle_certificate = _handle  # noqa: SLF001 -- as above


def _handle(method: str, path: str, body: bytes, query: dict[str, Any]) -> Any:
    answer = _handle_certificate(method, path, body, query)
    if answer[0] != 200:  # noqa: PLR2004 -- HTTP
        return answer
    record = iot._certificates.get(path.removeprefix(_PREFIX))  # noqa: SLF001
    if method == "PUT":
        record[_DATE] = time.time()
    elif method == "GET":
        described = json.loads(answer[2])
        described["certificateDescription"][_DATE] = record.get(_DATE, record.get("creationDate"))
        return json_response(described)
    return answer
