"""The hook's contract: builds the request to the fleet's own function, and applies its answer.

The contract is that of AWS IoT's pre-provisioning hooks (developer guide, "Pre-provisioning hooks"), so that a function
written for fleet provisioning works unchanged. docs/hook.md describes it for authors of hooks.

Overrides must satisfy the same naming rules as fleet.toml: a hook cannot give a device what the fleet could not. A
refusal is curable, since a hook's data (orders, contracts) changes like a list, and late data should not require a
release by hand. An entry keeps a device out for good.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from jitr.admission.applicant import Admitted
from jitr.admission.identity import Identity
from jitr.admission.naming import THING_NAME
from jitr.admission.overrides import Additions
from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.rules import CaRules

THING, TYPE, GROUPS = "ThingName", "ThingType", "ThingGroups"
_CERTIFICATE = "AWS::IoT::Certificate::"
# Template parameters (developer guide, "Just-in-time provisioning") → jitr's names of the fields.
_FIELDS = {
    "Country": "country",
    "Organization": "organization",
    "OrganizationalUnit": "organizational_unit",
    "DistinguishedNameQualifier": "dn_qualifier",
    "StateName": "state",
    "CommonName": "common_name",
    "SerialNumber": "serial_number",
}
_MOST_QUOTED = 200  # characters of a text from the hook


@value
class Overrides:
    """What a hook changes about a device that it allows."""

    thing_name: str | None = None
    names: bool = False  # the answer holds a thing name, even the requested one; the next answer may hold another
    additions: Additions = field(default_factory=Additions)


def build_request(admitted: Admitted, *, previous_name: str | None = None) -> dict[str, Any]:
    """The hook's request, as JSON; all values are strings.

    `previous_name` is the thing name that the last attempt on the certificate used. It is not one of the parameters: a
    hook that returns its parameters unchanged does not override the name with it.
    """
    device = admitted.device
    _, partition, _, region, account, _ = device.arn.split(":", 5)
    return {
        # There is no claim: the device came with its own certificate.
        "claimCertificateId": device.certificate_id,
        "certificateId": device.certificate_id,
        "certificatePem": device.pem,
        # There is no template either: this names the fleet and the CA in the form of a template's ARN.
        "templateArn": f"arn:{partition}:iot:{region}:{account}:provisioningtemplate/{admitted.rules.policy}",
        # The CONNECT's client id is not known here; jitr's policy requires it to be the thing name.
        "clientId": admitted.identity.thing_name,
        "parameters": _parameters(admitted),
        # jitr's extension of the contract: a hook that allocates names can answer the same one again.
        **({"previousThingName": previous_name} if previous_name else {}),
    }


def _parameters(admitted: Admitted) -> dict[str, str]:
    identity, certificate = admitted.identity, admitted.certificate
    single = {name: values[0] for name, one in _FIELDS.items() if len(values := certificate.field_values(one)) == 1}
    return {
        **identity.attributes,
        **{_CERTIFICATE + name: value for name, value in single.items()},
        **({"SerialNumber": single["SerialNumber"]} if "SerialNumber" in single else {}),
        _CERTIFICATE + "Id": admitted.device.certificate_id,
        THING: identity.thing_name,
        TYPE: identity.thing_type or "",
        GROUPS: ",".join(identity.thing_groups),
    }


def read_answer(answer: object, parameters: Mapping[str, str]) -> Overrides:
    """Read the hook's answer; `parameters` are the request's, and an unchanged value overrides nothing.

    Raises Rejected (HOOK_REFUSED, HOOK_FAILED).
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("allowProvisioning"), bool):
        raise _failed("answers without allowProvisioning, true or false")
    if not answer["allowProvisioning"]:
        reason = answer.get("reason")
        why = f": {reason[:_MOST_QUOTED]!a}" if isinstance(reason, str) and reason else ""
        raise Rejected(Reason.HOOK_REFUSED, f"the hook does not allow it{why}")
    written = answer.get("parameterOverrides") or {}
    if not isinstance(written, dict) or not all(isinstance(value, str) for value in written.values()):
        raise _failed("answers parameterOverrides that do not map names to strings")
    changed = {name: value for name, value in written.items() if parameters.get(name) != value}
    for name in changed:
        if name.startswith("AWS::") or (name == "SerialNumber" and name in parameters):
            raise _failed(f"overrides {name!a}, which comes from the certificate")
    thing_name = changed.pop(THING, None)
    if thing_name is not None and not THING_NAME.fullmatch(thing_name):
        raise _failed(f"overrides the thing name with {thing_name[:_MOST_QUOTED]!a}, which is not legal")
    return Overrides(
        thing_name=thing_name,
        names=THING in written,
        additions=Additions(
            thing_type=changed.pop(TYPE, None) or None,
            thing_groups=tuple(group.strip() for group in changed.pop(GROUPS, "").split(",") if group.strip()),
            attributes=changed,
        ),
    )


def apply_overrides(identity: Identity, overrides: Overrides, rules: CaRules) -> Identity:
    """The identity with the hook's overrides.

    Raises Rejected(HOOK_FAILED) when they break a naming rule.
    """
    whole = overrides.additions.over(
        Additions(thing_type=identity.thing_type, thing_groups=identity.thing_groups, attributes=identity.attributes)
    )
    if overrides.additions != Additions() and (problem := whole.problem(rules)):
        raise _failed(f"overrides are not allowed: {problem}")
    named = replace(identity, thing_name=overrides.thing_name or identity.thing_name)
    return named.with_additions(overrides.additions)


def _failed(how: str) -> Rejected:
    return Rejected(Reason.HOOK_FAILED, f"the hook {how}")
