"""The links of a device that was let in: its thing, its policy, and whether that lets it connect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jitr_fleet.authorization.evaluation import PolicyAnswer, Request, evaluate
from jitrctl.device import live_connection
from jitrctl.doctor.finding import LinkFinding, broken, good, note

if TYPE_CHECKING:
    from jitrctl.device.search import RegisteredCertificate
    from jitrctl.doctor.context import DeviceContext

# Fields of a subject that AWS IoT's certificate policy variables are named after, and ours.
_SUBJECT = {
    "CommonName": "common_name",
    "SerialNumber": "serial_number",
    "Organization": "organization",
    "OrganizationalUnit": "organizational_unit",
    "Country": "country",
    "State": "state",
    "DNQualifier": "dn_qualifier",
}


def thing(case: DeviceContext) -> LinkFinding:
    """The certificate is attached to its thing."""
    registered, made = _registered(case), case.sighting.record.decision
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


def connection(case: DeviceContext) -> LinkFinding:
    """Whether it is connected now, since when and from where; else why it went, where AWS still knows."""
    found = live_connection.read(case.stage, case.connects_as)
    return good(str(found)) if found.connected else note(str(found))


def policy(case: DeviceContext) -> LinkFinding:
    """A policy is attached to the certificate: the one of its CA."""
    registered, expected = _registered(case), case.stage.fleet.policy_name(case.issuing.ca)
    if not registered.policies:
        return broken(
            "no policy is attached to the certificate, and AWS IoT closes such a connection like a pending one's",
            f"`aws iot attach-policy --policy-name {expected} --target {registered.device.arn} "
            f"--region {case.stage.region}`",
        )
    if expected not in registered.policies:
        return note(f"{', '.join(registered.policies)}, and not {expected}")
    return good(", ".join(registered.policies))


def allows(case: DeviceContext) -> LinkFinding:
    """The policies allow iot:Connect under the device's client id; policies of its thing groups are not looked at."""
    registered, client = _registered(case), case.connects_as
    documents = [json.loads(case.policy_text(name)) for name in registered.policies]
    request = Request(action="iot:Connect", resource=case.arn("iot", f"client/{client}"), context=_context(case))
    match evaluate(documents, request):
        case PolicyAnswer.ALLOWED:
            return good(f"iot:Connect as client id {client}")
        case PolicyAnswer.UNSURE:
            return note(f"whether they allow iot:Connect as {client} hangs on values that are not known here")
        case answer:
            return broken(
                f"that the device connects as client id {client} is {answer} by {', '.join(registered.policies)}",
                "the client id has to be what the policy names, the thing's name as a rule (--client-id asks about "
                "another); or correct the policy and deploy",
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
    registered = case.sighting.registered
    assert registered is not None  # noqa: S101 -- the link `status` is broken otherwise
    return registered
