"""What a call reads and writes: calls that do not meet can be exchanged in a schedule (explorer.py)."""

from collections.abc import Mapping

from jitr.pacing.schedule import PACE
from jitr.x509.certificate import Certificate
from simulation import Call

_EVERYTHING = "*"


def footprint(call: Call) -> tuple[frozenset[str], frozenset[str]]:
    """What it reads, and what it writes."""
    reads: set[str] = set()
    writes: set[str] = set()
    match call.service:
        case "dynamodb" if call.parameters.get("Key") == {"id": {"S": PACE}}:
            pass  # whoever reserves first has the earlier turn, and nothing else
        case "dynamodb":
            _items(call, reads, writes)
        case "iot":
            what = str(call.parameters.get("certificateId", ""))
            if pem := call.parameters.get("certificatePem"):
                what = Certificate.from_pem(pem).fingerprint
            if call.operation.startswith(("Describe", "Get")):
                reads.add(f"iot {what or _EVERYTHING}")
            elif call.operation.startswith("List"):
                reads.add("iot writes")
            else:
                # Promises bind things, policies and statuses together, so no two changes are exchanged.
                writes |= {"iot writes", f"iot {what}"}
        case "iot-data" if call.operation.endswith("ThingShadow"):
            (reads if call.operation.startswith("Get") else writes).add(f"shadow {call.parameters['thingName']}")
        case "sqs":
            writes.add("queue")
        case "lambda":
            writes.add("hook")
    return frozenset(reads), frozenset(writes)


def _items(call: Call, reads: set[str], writes: set[str]) -> None:
    parameters = call.parameters
    match call.operation:
        case "BatchGetItem":
            for table, request in parameters["RequestItems"].items():
                reads |= {f"{table} {key['id']['S']}" for key in request["Keys"]}
        case "GetItem":
            reads.add(f"{parameters['TableName']} {parameters['Key']['id']['S']}")
        case "TransactWriteItems":
            for entry in parameters["TransactItems"]:
                for kind, write in entry.items():
                    (reads if kind == "ConditionCheck" else writes).add(f"{write['TableName']} {_key(write)}")
            writes.add("items")
        case "UpdateItem" | "PutItem" | "DeleteItem":
            writes |= {f"{parameters['TableName']} {_key(parameters)}", "items"}
        case _:
            reads.add("items")


def _key(write: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    return (write.get("Key") or write["Item"])["id"]["S"]
