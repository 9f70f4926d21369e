"""The fleet's own decision on a device: what its hook is asked, and what its answer means.

The contract is that of AWS IoT's pre-provisioning hooks (developer guide, "Pre-provisioning hooks"), so that a function
written for fleet provisioning can be used as it is. docs/hook.md is the same for those who write one.

What a hook overrides is held to the naming rules like everything else; it can give a device nothing that the fleet
could not. A refusal is curable: what a hook knows (an order, a contract, another system) changes as a list does, and
nobody should release devices by hand because a record came late. To keep a device out for good there are entries.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from jitr.admission.identity import Identity
from jitr.admission.naming import THING_NAME
from jitr.admission.overrides import Additions
from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration
from jitr.rules import CaRules
from jitr.x509.certificate import Certificate

THING, TYPE, GROUPS = "ThingName", "ThingType", "ThingGroups"
_CERTIFICATE = "AWS::IoT::Certificate::"
# Developer guide, "Just-in-time provisioning": the names of a template's parameters, and our names for the fields.
_FIELDS = {
    "Country": "country",
    "Organization": "organization",
    "OrganizationalUnit": "organizational_unit",
    "DistinguishedNameQualifier": "dn_qualifier",
    "StateName": "state",
    "CommonName": "common_name",
    "SerialNumber": "serial_number",
}
_MOST_SAID = 200  # characters of a hook's own words


@value
class Overrides:
    """What a hook changes about a device that it allows."""

    thing_name: str | None = None
    names: bool = False  # it gives a name, be it the one that was asked about; it may give another one next time
    additions: Additions = field(default_factory=Additions)


def request(
    identity: Identity,
    device: DeviceRegistration,
    certificate: Certificate,
    rules: CaRules,
    *,
    previous_name: str | None = None,
) -> dict[str, Any]:
    """What the hook is asked, as JSON: texts throughout.

    `previous_name` is the thing name that the last attempt on the certificate used. It is no parameter: a hook that
    gives back what it was sent overrides nothing with it.
    """
    _, partition, _, region, account, _ = device.arn.split(":", 5)
    return {
        # There is no claim: the device came with its own certificate.
        "claimCertificateId": device.certificate_id,
        "certificateId": device.certificate_id,
        "certificatePem": device.pem,
        # There is no template either; this says in its form which fleet and CA ask.
        "templateArn": f"arn:{partition}:iot:{region}:{account}:provisioningtemplate/{rules.policy}",
        # The client id of the CONNECT is not known any more; under jitr's policy it is the thing's name.
        "clientId": identity.thing_name,
        "parameters": _parameters(identity, device, certificate),
        # Ours alone, beside the contract: a hook that allocates names can answer the same one again.
        **({"previousThingName": previous_name} if previous_name else {}),
    }


def _parameters(identity: Identity, device: DeviceRegistration, certificate: Certificate) -> dict[str, str]:
    single = {name: values[0] for name, one in _FIELDS.items() if len(values := certificate.field_values(one)) == 1}
    return {
        **identity.attributes,
        **{_CERTIFICATE + name: value for name, value in single.items()},
        **({"SerialNumber": single["SerialNumber"]} if "SerialNumber" in single else {}),
        _CERTIFICATE + "Id": device.certificate_id,
        THING: identity.thing_name,
        TYPE: identity.thing_type or "",
        GROUPS: ",".join(identity.thing_groups),
    }


def read_answer(answer: object, asked: Mapping[str, str]) -> Overrides:
    """What the hook says; `asked` are the request's parameters, and what comes back unchanged overrides nothing.

    Raises Rejected (HOOK_REFUSED, HOOK_FAILED).
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("allowProvisioning"), bool):
        raise _failed("answers without allowProvisioning, true or false")
    if not answer["allowProvisioning"]:
        said = answer.get("reason")
        why = f": {said[:_MOST_SAID]!a}" if isinstance(said, str) and said else ""
        raise Rejected(Reason.HOOK_REFUSED, f"the hook does not allow it{why}")
    written = answer.get("parameterOverrides") or {}
    if not isinstance(written, dict) or not all(isinstance(value, str) for value in written.values()):
        raise _failed("answers parameterOverrides that are no texts by name")
    changed = {name: value for name, value in written.items() if asked.get(name) != value}
    for name in changed:
        if name.startswith("AWS::") or (name == "SerialNumber" and name in asked):
            raise _failed(f"overrides {name!a}, which the certificate says")
    thing_name = changed.pop(THING, None)
    if thing_name is not None and not THING_NAME.fullmatch(thing_name):
        raise _failed(f"overrides the thing name with {thing_name[:_MOST_SAID]!a}, which is not legal")
    return Overrides(
        thing_name=thing_name,
        names=THING in written,
        additions=Additions(
            thing_type=changed.pop(TYPE, None) or None,
            thing_groups=tuple(group.strip() for group in changed.pop(GROUPS, "").split(",") if group.strip()),
            attributes=changed,
        ),
    )


def overridden(identity: Identity, overrides: Overrides, rules: CaRules) -> Identity:
    """The device as the hook wants it.

    Raises Rejected(HOOK_FAILED) when it cannot be so.
    """
    whole = overrides.additions.over(
        Additions(thing_type=identity.thing_type, thing_groups=identity.thing_groups, attributes=identity.attributes)
    )
    if overrides.additions != Additions() and (problem := whole.problem(rules)):
        raise _failed(f"overrides what cannot be so: {problem}")
    named = replace(identity, thing_name=overrides.thing_name or identity.thing_name)
    return named.with_additions(overrides.additions)


def _failed(how: str) -> Rejected:
    return Rejected(Reason.HOOK_FAILED, f"the hook {how}")
