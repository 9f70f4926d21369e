"""Checks the links of an activated device: its thing, its policy, whether that allows it to connect, its connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jitrctl.device import live_connection
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.doctor.policies import PolicyAnswer, Request, evaluate

if TYPE_CHECKING:
    from jitrctl.device.search import RegisteredCertificate
    from jitrctl.doctor.context import DeviceContext

# Subject fields: the name in AWS IoT's certificate policy variables → jitr's name.
_SUBJECT = {
    "CommonName": "common_name",
    "SerialNumber": "serial_number",
    "Organization": "organization",
    "OrganizationalUnit": "organizational_unit",
    "Country": "country",
    "State": "state",
    "DNQualifier": "dn_qualifier",
}


def check_thing(case: DeviceContext) -> LinkFinding:
    """The certificate is attached to its thing."""
    registered, made = _registered(case), case.stage_certificate.record.decision
    if not registered.things:
        expected = made.thing_name if made and made.thing_name else case.connects_as
        return broken(
            "the certificate is attached to no thing, so a policy that names the thing allows it nothing",
            f"`aws iot attach-thing-principal --thing-name {expected} --principal {registered.device.arn} "
            f"--region {case.stage.region}`",
        )
    if case.thing is None:
        return broken(f"there is no thing {registered.things[0]}", f"`jitrctl device show {case.path} {case.options}`")
    if made and made.thing_name and made.thing_name not in registered.things:
        return note(f"{', '.join(registered.things)}; jitr gave it {made.thing_name}")
    return good(", ".join(registered.things))


def check_connection(case: DeviceContext) -> LinkFinding:
    """Says whether the device is connected, since when and from where; if not, why it ended, if AWS still knows."""
    found = live_connection.read(case.stage, case.connects_as)
    return good(str(found)) if found.connected else note(str(found))


def check_policy(case: DeviceContext) -> LinkFinding:
    """The policy of the CA is attached to the certificate."""
    registered, expected = _registered(case), case.stage.fleet.policy_name(case.issuing.ca)
    if not registered.policies:
        return broken(
            "no policy is attached to the certificate: AWS IoT closes its connection, as if it were pending",
            f"`aws iot attach-policy --policy-name {expected} --target {registered.device.arn} "
            f"--region {case.stage.region}`",
        )
    if expected not in registered.policies:
        return note(f"{', '.join(registered.policies)}, and not {expected}")
    return good(", ".join(registered.policies))


def check_policy_allows(case: DeviceContext) -> LinkFinding:
    """The policies allow iot:Connect with the device's client id; policies of its thing groups are not evaluated."""
    registered, client = _registered(case), case.connects_as
    documents = [json.loads(case.read_policy_text(name)) for name in registered.policies]
    request = Request(action="iot:Connect", resource=case.arn("iot", f"client/{client}"), context=_context(case))
    match evaluate(documents, request):
        case PolicyAnswer.ALLOWED:
            return good(f"iot:Connect as client id {client}")
        case PolicyAnswer.UNSURE:
            return note(f"whether they allow iot:Connect as {client} depends on values that are not known here")
        case answer:
            return broken(
                f"iot:Connect as client id {client} is {answer} by {', '.join(registered.policies)}",
                "use the client id that the policy names, usually the thing's name (--client-id checks another); or "
                "correct the policy and deploy",
            )


def _context(case: DeviceContext) -> dict[str, str | None]:
    """The policy variables and condition keys of this device (AWS IoT developer guide, "Policy variables")."""
    found = case.thing or {}
    certificate = case.certificate
    context: dict[str, str | None] = {
        "iot:ClientId": case.connects_as,
        "iot:CertificateId": case.certificate_id,
        "iot:Connection.Thing.ThingName": found.get("thingName"),
        "iot:Connection.Thing.ThingTypeName": found.get("thingTypeName"),
        "iot:Connection.Thing.IsAttached": "true" if found else "false",
        "iot:Certificate.SerialNumber": certificate.serial,
    }
    for name, value in found.get("attributes", {}).items():
        context[f"iot:Connection.Thing.Attributes[{name}]"] = value
    for name, field in _SUBJECT.items():
        values = certificate.subject_fields.get(field, ())
        context[f"iot:Certificate.Subject.{name}"] = values[0] if values else None
    return context


def _registered(case: DeviceContext) -> RegisteredCertificate:
    registered = case.stage_certificate.registered
    assert registered is not None  # noqa: S101 -- the link `status` is broken otherwise
    return registered
