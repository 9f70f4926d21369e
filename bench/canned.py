"""Answers botocore's requests in process, without a network, so that the code around them can be measured.

Imported by the measured processes; so it imports nothing whose import is measured.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

Answer = Mapping[str, Any]


class Canned:
    """Answers each call by its name in the request, and counts the calls."""

    def __init__(self, certificates: Mapping[str, str], ca: tuple[str, str], items: Mapping[str, Answer]) -> None:
        """`certificates` are certificate id → PEM, `ca` is one such pair, `items` are DynamoDB items by their key."""
        self._certificates = certificates
        self._ca = ca
        self._items = items
        self.calls: dict[str, int] = {}

    def install(self) -> None:
        """Answer every request of this process."""
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 -- what is measured imports it
        from botocore.httpsession import URLLib3Session  # noqa: PLC0415

        class Raw:
            def __init__(self, body: bytes) -> None:
                self._body = body

            def stream(self, **_: Any) -> Any:
                yield self._body

        def send(_session: object, request: Any) -> AWSResponse:
            body = json.dumps(self._answer(request)).encode()
            return AWSResponse(request.url, 200, {}, Raw(body))  # type: ignore[arg-type]  # as botocore's stubber

        URLLib3Session.send = send  # type: ignore[method-assign,assignment]

    def _answer(self, request: Any) -> Answer:
        target = request.headers.get("X-Amz-Target")
        if target:
            name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
            self._count(name)
            return self._json[name](json.loads(request.body))
        path = request.url.partition("amazonaws.com")[2].partition("?")[0]
        _, collection, rest = path.split("/", 2)
        self._count(f"{request.method} {collection}")
        if request.method == "GET":
            return {"certificateDescription": self._described(collection, rest)}
        return {}

    def _count(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1

    def _described(self, collection: str, certificate_id: str) -> Answer:
        arn = f"arn:aws:iot:eu-central-1:111111111111:cert/{certificate_id}"
        common: dict[str, Any] = {"certificateArn": arn, "certificateId": certificate_id, "certificateMode": "SNI_ONLY"}
        common |= {"creationDate": 1793534400.277, "ownedBy": "111111111111"}
        if collection == "cacertificate":
            return common | {"status": "ACTIVE", "autoRegistrationStatus": "ENABLE", "certificatePem": self._ca[1]}
        return common | {
            "status": "PENDING_ACTIVATION",
            "caCertificateId": self._ca[0],
            "certificatePem": self._certificates[certificate_id],
        }

    @property
    def _json(self) -> Mapping[str, Callable[[Any], Answer]]:
        return {
            "BatchGetItem": self._batch_get,
            "GetItem": lambda _: {},
            "TransactWriteItems": lambda _: {},
            "UpdateItem": self._update,
            "PutEvents": lambda _: {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]},
            "ChangeMessageVisibility": lambda _: {},
        }

    def _update(self, request: Any) -> Answer:
        """Answer a reservation with a schedule that begins now; no other update requests attributes."""
        if request["Key"] != {"id": {"S": "pace"}}:
            return {}
        return {"Attributes": {**request["Key"], "next_at": {"N": str(round(time.time() * 1e6))}}}

    def _batch_get(self, request: Any) -> Answer:
        found = {
            table: [self._items[key["id"]["S"]] for key in keys["Keys"] if key["id"]["S"] in self._items]
            for table, keys in request["RequestItems"].items()
        }
        return {"Responses": found, "UnprocessedKeys": {}}
