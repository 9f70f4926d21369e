"""Lambda functions that are invoked by name, such as a CA's hook; a test gives a Python function for each.

An asynchronous invocation (`InvocationType` Event) is only kept, in `asked`. An exception of the function is answered
as Lambda does: HTTP 200, FunctionError, and the error's type and text. Versions, permissions, concurrency and the
function's duration are not modelled.
"""

import json
from collections.abc import Callable
from typing import Any

from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.place import Place

# A request, parsed from JSON → an answer that becomes JSON, or bytes that are sent unchanged.
Function = Callable[[Any], Any]


class Functions:
    """The functions of one account and Region, by ARN."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._by_arn: dict[str, Function] = {}
        self.asked: list[str] = []  # the names of those that were invoked asynchronously

    def create(self, name: str, function: Function) -> str:
        """Create the function of this name, or replace its code; returns its ARN."""
        arn = self._place.arn("lambda", f"function:{name}")
        self._by_arn[arn] = function
        return arn

    def delete(self, arn: str) -> None:
        del self._by_arn[arn]

    def invoke(self, params: Params) -> Answer:
        if unknown := params.keys() - {"FunctionName", "InvocationType", "Payload"}:
            raise NotModelled(f"Invoke with {', '.join(unknown)}")
        if (kind := params.get("InvocationType", "RequestResponse")) not in ("RequestResponse", "Event"):
            raise NotModelled(f"Invoke with InvocationType {kind}")
        name = params["FunctionName"]
        function = self._by_arn.get(name) or self._by_arn.get(self._place.arn("lambda", f"function:{name}"))
        if function is None:
            raise ServiceError("ResourceNotFoundException", f"Function not found: {name}")
        if kind == "Event":
            self.asked.append(name)
            return {"StatusCode": 202, "Payload": b""}
        try:
            answer = function(json.loads(params["Payload"]))
        except Exception as error:  # noqa: BLE001 -- whatever it raises is its answer
            error_payload = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []}
            return {
                "FunctionError": "Unhandled",
                "ExecutedVersion": "$LATEST",
                "Payload": json.dumps(error_payload).encode(),
            }
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return {"ExecutedVersion": "$LATEST", "Payload": payload}
