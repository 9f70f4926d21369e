"""CloudWatch Logs' one call that is modelled: FilterLogEvents of AWS IoT's log, for a principal's accepted CONNECTs.

The entries have the fields that jitrctl reads (IoT guide, "CloudWatch Logs log entries", Connect); they are there at
once, which on AWS takes seconds.
"""

import json
import re

from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.place import Place

_GROUP = "AWSIotLogsV2"
_PRINCIPAL = re.compile(r'\{ \(\$\.eventType = "Connect"\).*\(\$\.principalId = "([0-9a-f]{64})"\) \}')


class Logs:
    """The logs of one account and Region; AWS IoT logs when a test says so."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.iot_logs = False
        self._connects: list[tuple[int, str, str]] = []  # epoch milliseconds, client id, certificate id

    def note_connect(self, client_id: str, certificate_id: str) -> None:
        if self.iot_logs:
            self._connects.append((round(self._place.clock.now().timestamp() * 1000), client_id, certificate_id))

    def filter_log_events(self, params: Params) -> Answer:
        if params["logGroupName"] != _GROUP or not self.iot_logs:
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
        pattern = _PRINCIPAL.fullmatch(params["filterPattern"])
        if pattern is None:
            raise NotModelled(params["filterPattern"])
        found = [
            {
                "timestamp": at,
                "message": json.dumps({"eventType": "Connect", "status": "Success", "clientId": client_id}),
            }
            for at, client_id, certificate_id in self._connects
            if certificate_id == pattern[1] and at >= params.get("startTime", 0)
        ]
        return {"events": found}
