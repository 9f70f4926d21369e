"""What the local AWS lacks of certificates: `lastModifiedDate`, when a certificate's status was last set.

Loaded by loopback.py into ministack's process, never by jitrctl itself. DescribeCertificate tells it on AWS; ministack
(1.5.33) keeps none. `register` takes a rejection back only where it shows that nobody has set the status since
(jitr/record.py).
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
    """Put it into ministack."""
    iot._handle_certificate = _handle  # noqa: SLF001 -- as above


def _handle(method: str, path: str, body: bytes, query: dict[str, Any]) -> Any:
    answer = _handle_certificate(method, path, body, query)
    if answer[0] != 200:  # noqa: PLR2004 -- HTTP
        return answer
    record = iot._certificates.get(path.removeprefix(_PREFIX))  # noqa: SLF001
    if method == "PUT":
        record[_DATE] = time.time()
    elif method == "GET":
        told = json.loads(answer[2])
        told["certificateDescription"][_DATE] = record.get(_DATE, record.get("creationDate"))
        return json_response(told)
    return answer
