"""Orders of an operator in the simulated fleet: what is announced and kept of them, and what fails at them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema

from jitrctl.audit import log, record
from jitrctl.audit.log import AuditEntry
from simulation import Authority
from simulation.faults import Call, Fault, FaultHook, Moment, ServiceError
from tests.support.cli.simulated import DEV, Simulated

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs/events/operator-order.v1.schema.json").read_text(encoding="utf-8")
)
BY = "arn:aws:sts::111111111111:assumed-role/operator/ann"


def announced_orders(fleet: Simulated, name: str = DEV) -> list[dict[str, Any]]:
    """The details of the orders on an account's bus, each as its schema says."""
    details = [one.detail for one in fleet.place(name).events.put if one.detail_type == record.ORDER_DETAIL_TYPE]
    for detail in details:
        jsonschema.validate(detail, SCHEMA, format_checker=jsonschema.FormatChecker())
    return details


def last_order(fleet: Simulated, subject: Authority | str, name: str = DEV) -> AuditEntry | None:
    """The last order about a CA or a device that an account has kept."""
    return log.read_last(fleet.stage(name), subject if isinstance(subject, str) else subject.certificate_id)


def deny_calls(name: str) -> FaultHook:
    """A fault: AWS refuses every call of that name."""

    def fault(call: Call, _: Moment) -> None:
        if call.name == name:
            raise ServiceError("AccessDeniedException", f"not authorized to perform: {name}", status=400)

    return fault


def only_audit_log(fault: FaultHook) -> FaultHook:
    """The same fault, and only of calls about orders that are kept."""

    def of_the_trail(call: Call, moment: Moment) -> Fault | None:
        about = call.parameters.get("Key", {}).get("id", {}).get("S", "")
        return fault(call, moment) if about.startswith("orders#") else None

    return of_the_trail


def fail_service(service: str) -> FaultHook:
    """A fault: a service answers every call with 5xx."""
    return lambda call, _: Fault.SERVER_ERROR if call.service == service else None


@contextmanager
def strike(fleet: Simulated, fault: FaultHook) -> Iterator[None]:
    """Let a fault strike the fleet's calls meanwhile."""
    fleet.aws.fault = fault
    try:
        yield
    finally:
        fleet.aws.fault = None


def create_unknown_thing(fleet: Simulated) -> str:
    """Create a thing with an ACTIVE certificate of which the registry knows nothing; the certificate's id."""
    leaf, iot = fleet.issue("old-0001"), fleet.iot(DEV)
    fleet.place(DEV).connect(leaf, client_id="old-0001")
    iot.update_certificate(certificateId=leaf.certificate_id, newStatus="ACTIVE")
    iot.create_thing(thingName="old-0001")
    arn = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]["certificateArn"]
    iot.attach_thing_principal(thingName="old-0001", principal=arn)
    return leaf.certificate_id
